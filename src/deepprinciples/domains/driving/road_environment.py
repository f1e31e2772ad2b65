"""The road as an environment: to steer by what the camera sees, and to be paid for the meters in the lane."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.domains.control.environment import Environment
from deepprinciples.domains.driving import simulation
from deepprinciples.domains.driving.road_pictures import draw_view
from deepprinciples.kernels.keys import stream
from deepprinciples.types import Array, Count


class Drive(NamedTuple):
    """A car on its road."""

    road: simulation.Road
    car: simulation.State


def road(*, horizon: Count = 150) -> Environment:
    """Drive a road by what a camera sees, and stay in the lane.

    reward = meters along the center line in this step, 0 in the one that leaves the lane

    An episode is a road of its own, and a car at 10 m/s in the middle of the lane that steers every 0.2 s, so a return
    is the meters that `meters_in_lane` counts: 300 in 150 steps. It ends when the car is 0.85 m off the center line.
    Pictures and steering are those of the data set `road`, so a network that learned from it fits as an actor.

    Args:
      horizon: steps after which an episode is cut off.
    Returns: Environment with observations [32, 64, 1] and 1 control, steering from -1 (right) to 1 (left); beyond that
      it is the largest angle.
    References: none; the road and the car are those of `domains.driving.simulation`.
    """

    def reset(key: Array) -> tuple[Drive, Array]:
        rest = jnp.zeros(())
        drive = Drive(simulation.random_road(stream(key, "road")), simulation.State(rest, rest, rest))
        return drive, simulation.render(*drive, stream(key, "camera"))

    def step(key: Array, drive: Drive, action: Array) -> tuple[Drive, Array, Array, Array]:
        car = simulation.advance(drive.road, drive.car, action[0])
        inside = simulation.in_lane(car)
        reward = jnp.where(inside, car.along - drive.car.along, 0.0)
        return Drive(drive.road, car), simulation.render(drive.road, car, key), reward, ~inside

    draw = lambda axes, drive: draw_view(axes, *jax.tree.map(jnp.asarray, drive))
    return Environment(reset, step, (simulation.ROWS, simulation.COLUMNS, 1), controls=1, horizon=horizon, draw=draw)
