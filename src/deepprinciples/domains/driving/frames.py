"""Frames of an expert's drives, with the steering or the lane to be learned; roads of the parts differ.

The pictures are made when the data are loaded, as a function of `data_seed` alone.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.domains.driving import simulation
from deepprinciples.domains.driving.simulation import Road, State
from deepprinciples.kernels import random
from deepprinciples.kernels.keys import stream
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.types import Array, Count, Range, Seed, Split

Portion = Annotated[float, Range("[0, 1]")]
DRIVE = 300.0  # meters of a road that frames are taken from
PUSH, TURN = 0.8, 0.12  # largest offset and heading that a car is put off by: meters, radians
CORRECTIONS = 4  # most steps that the expert has steered back when the frame is taken


class _Frames(NamedTuple):
    pictures: Array  # [F, ROWS, COLUMNS, 1]
    steering: Array  # [F]
    lanes: Array  # [F, ROWS, COLUMNS]


def off_center(road: Road, state: State, draws: Array) -> State:
    """Put a car off the center line, and let the expert steer back for up to CORRECTIONS steps.

    Args:
        road: one road.
        state: one state, whose offset and heading are replaced.
        draws: [3] uniform in [0, 1): of the push, of the turn and of the number of steps.
    """
    pushed = State(state.along, PUSH * (2.0 * draws[0] - 1.0), TURN * (2.0 * draws[1] - 1.0))
    steps = ((CORRECTIONS + 1) * draws[2]).astype(jnp.int32)
    path = simulation.follow(road, pushed, CORRECTIONS + 1)
    return jax.tree.map(lambda one: one[steps], path)


@functools.partial(jax.jit, static_argnames="frames")
def _drive(key: Array, share: Array, frames: int) -> _Frames:
    """Take frames of a road, equally spaced; a share of them is off center."""
    road = simulation.random_road(stream(key, "road"))
    steps = round(DRIVE / (simulation.SPEED * simulation.PERIOD))
    rest = jnp.float32(0.0)
    path = simulation.follow(road, State(rest, rest, rest), steps)
    taken = (jnp.arange(frames) * steps) // frames
    states = jax.tree.map(lambda one: one[taken], path)
    draws = random.uniform(stream(key, "recoveries"), (frames, 4))

    def frame(state: State, draws: Array, key: Array) -> _Frames:
        off = off_center(road, state, draws[1:])
        state = jax.tree.map(lambda a, b: jnp.where(draws[0] < share, a, b), off, state)
        return _Frames(
            simulation.render(road, state, key), simulation.expert(road, state), simulation.lane_mask(road, state)
        )

    return jax.vmap(frame)(states, draws, jax.random.split(stream(key, "frames"), frames))


def _part(name: str, roads: int, frames: int, share: float, data_seed: int) -> _Frames:
    keys = jax.random.split(stream(jax.random.key(data_seed, impl="threefry2x32"), name), roads)
    made = [jax.device_get(_drive(key, jnp.float32(share), frames)) for key in keys]
    return jax.tree.map(lambda *one: np.concatenate(one), *made)


def _parts(
    roads: int, held_out: int, frames: int, recoveries: float, test_recoveries: float, data_seed: int
) -> dict[str, _Frames]:
    return {
        "train": _part("train", roads, frames, recoveries, data_seed),
        "validation": _part("validation", held_out, frames, test_recoveries, data_seed),
        "test": _part("test", held_out, frames, test_recoveries, data_seed),
    }


def road(
    *,
    roads: Count = 40,
    held_out: Count = 8,
    frames: Count = 32,
    recoveries: Portion = 0.0,
    test_recoveries: Portion = 0.0,
    data_seed: Seed = 0,
) -> Source:
    """Render an expert's drives: what the camera sees, and how the expert steers there.

    A frame is taken at equal distances over 300 m. The expert stays near the center line, so other states are seen in
    recoveries only: the car is put off by up to 0.8 m and 0.12 radians, and steered back for 0 to 4 steps. Whether a
    network that drives itself stays in its lane is measured by `meters_in_lane`. Grays from -1 to 1, never
    standardized. Source: generated. License: none needed.

    Args:
      roads: roads of the training part.
      held_out: roads of the validation part, and as many others of the test part.
      frames: frames of each road.
      recoveries: share of the training frames that are recoveries, from 0 to 1.
      test_recoveries: the same of the validation and the test frames.
      data_seed: seed of roads and frames, in [0, 2**32).

    Returns:
      Source with inputs [N, 32, 64, 1] and real targets [N], steering from -1 (right) to 1 (left); fixed validation and
      test parts on roads of their own.

    References: Pomerleau 1989, ALVINN: an autonomous land vehicle in a neural network; Bojarski et al.,
      arXiv:1604.07316.
    """
    made = _parts(roads, held_out, frames, recoveries, test_recoveries, data_seed)
    parts = {name: Split(one.pictures, one.steering) for name, one in made.items()}
    return of_parts(parts, "regression", 1, standardize=False, display=_show)


def lane(
    *,
    roads: Count = 40,
    held_out: Count = 8,
    frames: Count = 32,
    recoveries: Portion = 0.0,
    test_recoveries: Portion = 0.0,
    data_seed: Seed = 0,
) -> Source:
    """Render an expert's drives, with the pixels of the car's lane to be found: segmentation.

    The pictures are those of `road`. Source: generated. License: none needed.

    Args:
      roads: roads of the training part.
      held_out: roads of the validation part, and as many others of the test part.
      frames: frames of each road.
      recoveries: share of the training frames that are recoveries, from 0 to 1; see `road`.
      test_recoveries: the same of the validation and the test frames.
      data_seed: seed of roads and frames, in [0, 2**32).

    Returns:
      Source with inputs [N, 32, 64, 1] and labels [N, 32, 64], 1 in the lane; fixed validation and test parts on roads
      of their own.

    References: none.
    """
    made = _parts(roads, held_out, frames, recoveries, test_recoveries, data_seed)
    parts = {name: Split(one.pictures, one.lanes) for name, one in made.items()}
    names = ("other", "lane")
    return of_parts(parts, "classification", 2, standardize=False, class_names=names, display=_show)


def _show(axes: Any, inputs: Any, outputs: Any) -> None:
    """Draw a frame with its lane, or with where the wheels point."""
    axes.imshow(inputs[..., 0], cmap="gray", vmin=-1, vmax=1)
    axes.set_axis_off()
    values = np.asarray(outputs)
    if values.shape[:2] == (simulation.ROWS, simulation.COLUMNS):
        labels = values if values.ndim == 2 else values.argmax(axis=-1)
        axes.contour(labels, levels=[0.5], colors="tab:orange", linewidths=1.0)
    else:
        middle, low = simulation.COLUMNS / 2, simulation.ROWS - 1
        axes.plot([middle, middle - 24.0 * float(values.reshape(-1)[0])], [low, low - 12], color="tab:orange")
