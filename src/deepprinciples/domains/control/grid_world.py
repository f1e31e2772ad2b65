"""A world of squares: a way to find, with wind that pushes aside."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.domains.control.environment import Environment
from deepprinciples.kernels import random
from deepprinciples.types import Array, Count, NonNegative, Share

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right


def grid_world(*, size: Count = 5, slip: Share = 0.0, cost: NonNegative = 0.01, horizon: Count = 100) -> Environment:
    """Find the way from one corner of a square of fields to the opposite one.

    A move into a wall stays where it is. The goal is worth 1 and ends the episode; every step costs something. Without
    slips the best return is 1 - cost (2 size - 2).

    Args:
      size: fields along each side.
      slip: probability that a move goes in a direction drawn at random. *Sweepable.*
      cost: of a step. *Sweepable.*
      horizon: steps after which an episode is cut off.
    Returns: Environment with observations [size^2], a one at the place, and 4 actions (up, down, left, right).
    References: Sutton and Barto 2018, Reinforcement learning, section 3.5.
    """
    goal = jnp.array([size - 1, size - 1])

    def observed(place: Array) -> Array:
        return jax.nn.one_hot(place[0] * size + place[1], size * size)

    def reset(key: Array) -> tuple[Array, Array]:
        del key
        start = jnp.zeros(2, jnp.int32)
        return start, observed(start)

    def step(key: Array, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        slipped, direction = random.uniform(key, (2,))
        action = jnp.where(slipped < slip, (4.0 * direction).astype(jnp.int32), action)
        after = jnp.clip(state + jnp.asarray(MOVES)[action], 0, size - 1)
        there = jnp.all(after == goal)
        return after, observed(after), jnp.where(there, 1.0, 0.0) - cost, there

    def draw(axes: Any, state: Array) -> None:
        fields = jnp.zeros((size, size)).at[size - 1, size - 1].set(0.5).at[state[0], state[1]].set(1.0)
        axes.imshow(fields, cmap="Blues", vmin=0.0, vmax=1.0)

    return Environment(reset, step, (size * size,), actions=4, horizon=horizon, draw=draw)
