"""Roads, a camera on a car, the car's motion and an expert who steers it: pure functions that run inside jit.

The ground is flat. In the frame of the car x points ahead and y to the left, in meters; the camera looks along x.
Angles, curvatures, offsets and steering are positive to the left. Steering is in [-1, 1], 1 for the largest angle.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.types import Array, Scalar

ROWS, COLUMNS = 32, 64
HORIZON = 10.0  # row of the horizon, counted from the upper edge
FOCAL = 40.0  # pixels
HEIGHT = 1.5  # of the camera above the ground
HALF_LANE = 1.75  # from the center line to the middle of a marking
MARKING = 0.24  # width of a marking
IN_LANE = 0.85  # largest offset at which a car 1.8 wide is inside the lane
SPEED, PERIOD = 10.0, 0.2  # meters a second, seconds between two steering commands
WHEELBASE = 2.7
LARGEST_ANGLE = 0.2  # of the front wheels, in radians, at steering 1
LOOKAHEAD = 8.0  # meters ahead to the point that the expert steers for
VIEW, SPACING = 42.0, 1.5  # how far the center line is followed, and in what steps
WAVES, BLOTCHES = 5, 4  # sines that a curvature and a shadow are made of
# Between what a road's gray of asphalt, verge (against it) and sky, paint, repair, shadow and noise are drawn.
_BETWEEN = ((-0.6, 0.0), (-0.25, 0.25), (0.2, 0.9), (0.4, 0.9), (0.0, 0.3), (0.1, 0.7), (0.02, 0.1))


class Road(NamedTuple):
    """A road without end, as numbers; axes are those of one road, and many are stacked along a first axis."""

    bend: Array  # [WAVES] curvature of each wave, 1 / m
    wavelength: Array  # [WAVES] m
    phase: Array  # [WAVES]
    ground: Array  # [3] gray of asphalt, of the verge and of the sky, from -1 black to 1 white
    paint: Array  # gray that a marking adds
    wear: Array  # [2] left and right: share of the paint that is lost where it is lost most
    worn: Array  # [2, 2] phases of the wear along the road
    repair: Array  # gray that an old line adds that is no marking
    repaired: Array  # [2] where it lies, as phases
    shadow: Array  # how dark shadows are, from 0 to 1
    blotch: Array  # [BLOTCHES, 3] of a shadow's waves: number along, number across, phase
    noise: Array  # standard deviation of the camera's noise


class State(NamedTuple):
    """Where a car is: position along the center line, offset to the left of it, heading against it."""

    along: Array  # m
    offset: Array  # m
    heading: Array  # radians


def random_road(key: Array) -> Road:
    """Draw a road: its curvature is a sum of sines whose wavelengths lie between 40 and 200 m.

    curvature(s) = sum_k bend_k cos(2 pi s / wavelength_k + phase_k), of standard deviation 0.014 / m

    Args:
        key: of the road.
    """
    drawn = random.uniform(key, (len(_BETWEEN) + 2 * WAVES + 3 * BLOTCHES + 8,))  # at once: to compile is quicker
    low, high = jnp.asarray(_BETWEEN).T
    asphalt, verge, sky, paint, repair, shadow, noise = low + (high - low) * drawn[: len(_BETWEEN)]
    rest = drawn[len(_BETWEEN) :]
    angle = 2.0 * math.pi * rest
    blotches = rest[2 * WAVES + 8 :].reshape(3, BLOTCHES)
    return Road(
        bend=jnp.full(WAVES, 0.02 / math.sqrt(WAVES)),
        wavelength=40.0 * 5.0 ** rest[:WAVES],
        phase=angle[WAVES : 2 * WAVES],
        ground=jnp.stack([asphalt, asphalt + verge, sky]),
        paint=paint,
        wear=0.2 + 0.6 * rest[2 * WAVES : 2 * WAVES + 2],
        worn=angle[2 * WAVES + 2 : 2 * WAVES + 6].reshape(2, 2),
        repair=repair,
        repaired=angle[2 * WAVES + 6 : 2 * WAVES + 8],
        shadow=shadow,
        blotch=jnp.stack([0.25 + 0.95 * blotches[0], 2.0 * blotches[1] - 1.0, 2.0 * math.pi * blotches[2]], axis=1),
        noise=noise,
    )


def curvature(road: Road, along: Scalar) -> Array:
    """Return the curvature of the center line, 1 / m."""
    bend, number, phase = _waves(road)
    return _total(bend[k] * jnp.cos(number[k] * along + phase[k]) for k in range(WAVES))


def direction(road: Road, along: Scalar) -> Array:
    """Return the direction of the center line in radians, the integral of its curvature up to a constant."""
    bend, number, phase = _waves(road)
    return _total(bend[k] / number[k] * jnp.sin(number[k] * along + phase[k]) for k in range(WAVES))


def _total(terms: Iterable[Array]) -> Array:
    return functools.reduce(jnp.add, terms)


def _waves(road: Road) -> tuple[Array, Array, Array]:
    return road.bend, 2.0 * jnp.pi / road.wavelength, road.phase


def project(x: Scalar, y: Scalar) -> tuple[Scalar, Scalar]:
    """Return (row, column) of a point of the ground in the picture; the center of pixel 0 is at 0.5.

    row = HORIZON + FOCAL HEIGHT / x, column = COLUMNS / 2 - FOCAL y / x

    Args:
        x: meters ahead, above 0.
        y: meters to the left.
    """
    return HORIZON + FOCAL * HEIGHT / x, COLUMNS / 2 - FOCAL * y / x


def center_line(road: Road, state: State, ahead: Array) -> tuple[Array, Array, Array]:
    """Follow the center line in the frame of the car.

    Args:
        road: one road.
        state: of the car.
        ahead: [P] equally spaced distances along the line, from 0.

    Returns:
        x, y [P] in meters, and the angle [P] of the line to the car's heading.
    """
    angle = direction(road, state.along + ahead) - direction(road, state.along) - state.heading
    step = ahead[1] - ahead[0]
    sums = lambda rate: jnp.cumsum(rate) - 0.5 * (rate + rate[0])  # of the trapezoid rule
    x = -state.offset * jnp.sin(state.heading) + step * sums(jnp.cos(angle))
    y = -state.offset * jnp.cos(state.heading) + step * sums(jnp.sin(angle))
    return x, y, angle


def _on_road(road: Road, state: State) -> tuple[Array, Array, Array, Array]:
    """Return of each row below the horizon [R, 1] its distance, and of its pixels [R, W] where they lie on the road.

    A pixel's offset is measured across the line where the line passes through its row, so it is exact where the line is
    straight.
    """
    ahead = jnp.arange(0.0, VIEW + SPACING, SPACING)
    x, y, angle = center_line(road, state, ahead)
    x = jax.lax.cummax(x) + 1e-3 * jnp.arange(len(ahead))  # a line that turns away has no place in farther rows
    row = jnp.arange(int(HORIZON), ROWS) + 0.5
    distance = FOCAL * HEIGHT / (row - HORIZON)  # [R]
    left = jnp.clip(jnp.sum(distance[:, None] >= x[None, :], axis=1) - 1, 0, len(ahead) - 2)
    share = jnp.clip((distance - x[left]) / (x[left + 1] - x[left]), 0.0, 1.0)
    at = lambda values: ((1.0 - share) * values[left] + share * values[left + 1])[:, None]
    column = jnp.arange(COLUMNS) + 0.5
    beside = (COLUMNS / 2 - column)[None, :] * distance[:, None] / FOCAL - at(y)  # [R, W]
    along = state.along + at(ahead) + beside * jnp.sin(at(angle))
    seen = (distance <= jnp.minimum(x[-1], VIEW))[:, None]
    return distance[:, None], along, beside * jnp.cos(at(angle)), seen


def lane_mask(road: Road, state: State) -> Array:
    """Return the pixels of the car's own lane, int32 [ROWS, COLUMNS] of 0 and 1."""
    _, _, offset, seen = _on_road(road, state)
    inside = (jnp.abs(offset) < HALF_LANE) & seen
    return jnp.pad(inside.astype(jnp.int32), ((int(HORIZON), 0), (0, 0)))


def _line(offset: Array, place: Scalar, pixel: Array) -> Array:
    """Return the share of each pixel that a line of the width of a marking covers."""
    apart = offset - place
    low, high = jnp.maximum(apart - pixel / 2, -MARKING / 2), jnp.minimum(apart + pixel / 2, MARKING / 2)
    return jnp.maximum(high - low, 0.0) / pixel


def render(road: Road, state: State, key: Array) -> Array:
    """Draw what the camera sees.

    Args:
        road: one road.
        state: of the car.
        key: of the camera's noise.

    Returns:
        Grays [ROWS, COLUMNS, 1] from -1 (black) to 1 (white).
    """
    distance, along, offset, seen = _on_road(road, state)
    asphalt, verge, sky = road.ground
    pixel = distance / FOCAL
    on_road = jnp.clip((HALF_LANE + 0.5 - jnp.abs(offset)) / pixel + 0.5, 0.0, 1.0)
    ground = verge + (asphalt - verge) * on_road
    for side, sign in enumerate((1.0, -1.0)):
        lost = 0.5 + 0.25 * (jnp.cos(along / 9.0 + road.worn[side, 0]) + jnp.cos(along / 23.0 + road.worn[side, 1]))
        dash = jax.nn.sigmoid(8.0 * jnp.cos(2.0 * jnp.pi * along / 8.0) + 2.0)
        paint = road.paint * dash * (1.0 - road.wear[side] * lost)
        ground += paint * _line(offset, sign * HALF_LANE, pixel)
    beside = 1.3 * jnp.cos(along / 17.0 + road.repaired[0]) + 0.8 * jnp.cos(along / 40.0 + road.repaired[1])
    ground += road.repair * _line(offset, beside, pixel)
    waves = _total(jnp.cos(number * along + across * offset + phase) for number, across, phase in road.blotch)
    dark = road.shadow * jax.nn.sigmoid(4.0 * (waves - 0.7))
    ground += dark * (-0.9 - ground)
    haze = jnp.where(seen, jnp.clip(distance / VIEW, 0.0, 1.0) ** 2, 1.0)
    picture = jnp.concatenate([jnp.full((int(HORIZON), COLUMNS), 1.0) * sky, ground + haze * (sky - ground)])
    noisy = picture + road.noise * random.normal(key, picture.shape)
    return jnp.clip(noisy, -1.0, 1.0)[..., None]


def advance(road: Road, state: State, steering: Scalar) -> State:
    """Move a kinematic bicycle for one period, by Euler's rule, in the coordinates of the road.

    along' = v cos(heading) / (1 - curvature offset), offset' = v sin(heading),
    heading' = v tan(angle of the wheels) / WHEELBASE - curvature along'

    Args:
        road: one road.
        state: before.
        steering: in [-1, 1].
    """
    bend = curvature(road, state.along)
    along = SPEED * jnp.cos(state.heading) / (1.0 - bend * state.offset)
    turn = SPEED * jnp.tan(LARGEST_ANGLE * jnp.clip(steering, -1.0, 1.0)) / WHEELBASE - bend * along
    return State(
        state.along + PERIOD * along,
        state.offset + PERIOD * SPEED * jnp.sin(state.heading),
        state.heading + PERIOD * turn,
    )


def expert(road: Road, state: State) -> Array:
    """Steer for a point of the center line ahead (pure pursuit): on the circle that leads there.

    curvature = 2 y / (x^2 + y^2), angle of the wheels = atan(WHEELBASE curvature)

    References:
        Coulter 1992, Implementation of the pure pursuit path tracking algorithm.
    """
    x, y, _ = center_line(road, state, jnp.linspace(0.0, LOOKAHEAD, 9))
    angle = jnp.arctan(WHEELBASE * 2.0 * y[-1] / (x[-1] ** 2 + y[-1] ** 2))
    return jnp.clip(angle / LARGEST_ANGLE, -1.0, 1.0)


def in_lane(state: State) -> Array:
    """Check whether a car is in its lane, and not across it; false for NaN."""
    return (jnp.abs(state.offset) < IN_LANE) & (jnp.abs(state.heading) < 1.0)


def drive(predict: Callable[[Array], Array], road: Road, start: State, steps: int, key: Array) -> tuple[State, Array]:
    """Let a model drive by what the camera sees; where a car leaves its lane, it stops.

    Args:
        predict: pictures [R, ROWS, COLUMNS, 1] -> steering [R] or [R, 1].
        road: R roads, stacked along a first axis.
        start: [R] a car on each.
        steps: of PERIOD seconds.
        key: of the camera's noise.

    Returns:
        States after each step [steps, R], and whether the car is still in its lane.
    """
    sees = jax.vmap(render)
    moves = jax.vmap(advance)

    def step(carry: tuple[State, Array], number: Array) -> tuple[tuple[State, Array], tuple[State, Array]]:
        state, inside = carry
        keys = jax.random.split(jax.random.fold_in(key, number), len(inside))
        after = moves(road, state, predict(sees(road, state, keys)).reshape(len(inside)))
        inside &= in_lane(after)
        state = jax.tree.map(lambda new, old: jnp.where(inside, new, old), after, state)
        return (state, inside), (state, inside)

    begun = (start, jnp.ones(start.along.shape, bool))
    return jax.lax.scan(step, begun, jnp.arange(steps, dtype=jnp.uint32))[1]


def follow(road: Road, start: State, steps: int) -> State:
    """Let the expert drive one road; return the states before each step [steps]."""
    step = lambda state, _: (advance(road, state, expert(road, state)), state)
    return jax.lax.scan(step, start, None, length=steps)[1]
