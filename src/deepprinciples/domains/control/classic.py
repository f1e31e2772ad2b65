"""Two classic tasks of control: a pole on a cart to keep upright, and a double pendulum to swing up."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from deepprinciples.domains.control.environment import Environment
from deepprinciples.kernels import random
from deepprinciples.types import Array, Count, Positive

TRACK, FALL = 2.4, math.radians(12.0)  # how far the cart may go, in m, and the pole lean
TORQUE_LIMITS = (4.0 * math.pi, 9.0 * math.pi)  # largest speeds of the two joints, in rad/s


class Cart(NamedTuple):
    """Where the cart is, in m, how the pole leans, in rad, and how fast both change."""

    place: Array
    speed: Array
    angle: Array
    turn: Array


def cartpole(*, horizon: Count = 500, force: Positive = 10.0) -> Environment:
    """Keep a pole upright on a cart by pushing it to the left or to the right.

    theta'' = (g sin theta - cos theta p) / (l (4/3 - m cos^2 theta / M)), p = (F + m l theta'^2 sin theta) / M
    x'' = p - m l theta'' cos theta / M, every 0.02 s by Euler's method

    An episode ends when the cart is more than 2.4 m off the center or the pole leans by more than 12 degrees. Each
    step is worth 1.

    Args:
      horizon: steps after which an episode is cut off.
      force: of a push F, in newtons. *Sweepable.*
    Returns: Environment with observations [4] (place, speed, angle, turn) and 2 actions.
    References: Barto, Sutton, Anderson 1983; the numbers are those of Gymnasium's CartPole-v1.
    """
    gravity, pole, half, total = 9.8, 0.1, 0.5, 1.1

    def reset(key: Array) -> tuple[Cart, Array]:
        state = Cart(*random.uniform(key, (4,), None, -0.05, 0.05))
        return state, jnp.stack(state)

    def step(key: Array, state: Cart, action: Array) -> tuple[Cart, Array, Array, Array]:
        del key
        place, speed, angle, turn = state
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        push = (jnp.where(action == 1, force, -force) + pole * half * turn**2 * sin) / total
        turning = (gravity * sin - cos * push) / (half * (4.0 / 3.0 - pole * cos**2 / total))
        moving = push - pole * half * turning * cos / total
        after = Cart(place + 0.02 * speed, speed + 0.02 * moving, angle + 0.02 * turn, turn + 0.02 * turning)
        fallen = (jnp.abs(after.place) > TRACK) | (jnp.abs(after.angle) > FALL)
        return after, jnp.stack(after), jnp.ones(()), fallen

    return Environment(reset, step, (4,), actions=2, horizon=horizon, draw=_draw_cart)


class Joints(NamedTuple):
    """Angles of the upper arm from hanging down, and of the lower one from the upper, in rad, and their speeds."""

    upper: Array
    lower: Array
    upper_turn: Array
    lower_turn: Array


def acrobot(*, horizon: Count = 500) -> Environment:
    """Swing a double pendulum up by a torque at its middle joint.

    The equations of two arms of 1 m and 1 kg, every 0.2 s by the Runge-Kutta method of fourth order. Each step costs 1
    until the tip is 1 m above the upper joint, which ends the episode.

    Args:
      horizon: steps after which an episode is cut off.
    Returns: Environment with observations [6] (cosine and sine of both angles, both speeds) and 3 actions, a torque of
      -1, 0 or 1 N m.
    References: Sutton 1996, Generalization in reinforcement learning; the numbers are those of Gymnasium's Acrobot-v1.
    """

    def observed(state: Joints) -> Array:
        a, b, *speeds = state
        return jnp.stack([jnp.cos(a), jnp.sin(a), jnp.cos(b), jnp.sin(b), *speeds])

    def reset(key: Array) -> tuple[Joints, Array]:
        state = Joints(*random.uniform(key, (4,), None, -0.1, 0.1))
        return state, observed(state)

    def step(key: Array, state: Joints, action: Array) -> tuple[Joints, Array, Array, Array]:
        del key
        y, torque, h = jnp.stack(state), action.astype(jnp.float32) - 1.0, 0.2
        k1 = _swing(y, torque)
        k2 = _swing(y + h / 2.0 * k1, torque)
        k3 = _swing(y + h / 2.0 * k2, torque)
        k4 = _swing(y + h * k3, torque)
        upper, lower, *speeds = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        around = lambda angle: jnp.mod(angle + math.pi, 2.0 * math.pi) - math.pi
        kept = [jnp.clip(s, -most, most) for s, most in zip(speeds, TORQUE_LIMITS, strict=True)]
        after = Joints(around(upper), around(lower), *kept)
        up = -jnp.cos(after.upper) - jnp.cos(after.upper + after.lower) > 1.0
        return after, observed(after), jnp.where(up, 0.0, -1.0), up

    return Environment(reset, step, (6,), actions=3, horizon=horizon, draw=_draw_joints)


def _swing(y: Array, torque: Array) -> Array:
    """Return how the angles and speeds of the arms change, per second."""
    a, b, da, db = y
    gravity, center = 9.8, 0.5  # of mass, in m from the joint
    both = center**2 + (1.0 + center**2 + 2.0 * center * jnp.cos(b)) + 2.0
    mixed = center**2 + center * jnp.cos(b) + 1.0
    weight = center * gravity * jnp.cos(a + b - math.pi / 2.0)
    pull = -center * db**2 * jnp.sin(b) - 2.0 * center * db * da * jnp.sin(b)
    pull += (center + 1.0) * gravity * jnp.cos(a - math.pi / 2.0) + weight
    ddb = torque + mixed / both * pull - center * da**2 * jnp.sin(b) - weight
    ddb /= center**2 + 1.0 - mixed**2 / both
    return jnp.stack([da, db, -(mixed * ddb + pull) / both, ddb])


def _draw_cart(axes: Any, state: Cart) -> None:
    x, angle = float(state.place), float(state.angle)
    axes.plot([-TRACK, TRACK], [0, 0], color="0.6", linewidth=1)
    axes.plot([x - 0.25, x + 0.25], [0, 0], color="tab:blue", linewidth=8, solid_capstyle="butt")
    axes.plot([x, x + math.sin(angle)], [0, math.cos(angle)], color="tab:orange", linewidth=3)
    axes.set(xlim=(-TRACK - 0.3, TRACK + 0.3), ylim=(-0.3, 1.2), aspect="equal")


def _draw_joints(axes: Any, state: Joints) -> None:
    a, b = float(state.upper), float(state.upper) + float(state.lower)
    x, y = np.cumsum([0.0, math.sin(a), math.sin(b)]), np.cumsum([0.0, -math.cos(a), -math.cos(b)])
    axes.axhline(1.0, color="0.6", linewidth=1, linestyle=":")
    axes.plot(x, y, color="tab:blue", linewidth=4, marker="o")
    axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
