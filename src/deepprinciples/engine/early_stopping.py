"""Which state of a lane is judged: its last one, or the best of its evaluations, with or without early stopping.

Lanes train to their last step in either case, so that all take the same steps. Between segments the host decides by
the values of an evaluation, and one compiled choice on the devices keeps the states that are better.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from deepprinciples.engine.lane.fit import Lane
from deepprinciples.engine.population import LANES, Program, place
from deepprinciples.types import Array, PyTree


class Choice(NamedTuple):
    """Which state each lane of a block keeps."""

    metric: str  # by its values on the split of the curve
    higher_is_better: bool
    best: tuple[bool, ...]  # [points]: the best of its evaluations, or else the last
    patience: tuple[int, ...]  # [points]: evaluations in a row that are no better, after which none counts; 0: all do


class Kept(NamedTuple):
    """The best states of lanes so far, leading axes [blocks, points]."""

    state: PyTree  # on the devices
    value: np.ndarray  # float32
    number: np.ndarray  # of the evaluation that it is of, int32


class Judged(NamedTuple):
    """What is judged of lanes, [blocks, points]."""

    state: PyTree
    number: np.ndarray  # of the evaluation that it is of, int32
    diverged_at: np.ndarray  # int32; -1 also where a lane diverged after early stopping
    step: np.ndarray  # steps done in that state, int32; -1 where the lane diverged


def begin(lane: Lane) -> Kept:
    """Start with nothing known; the states are copies, since training goes on in the memory of the originals."""
    return like(lane)._replace(state=jax.tree.map(jnp.copy, lane.state))


def like(lane: Lane) -> Kept:
    """Return the structure of the best states, with nothing known in it."""
    shape = lane.diverged_at.shape
    return Kept(lane.state, np.full(shape, np.nan, np.float32), np.zeros(shape, np.int32))


def update(choice: Choice, kept: Kept, lane: Lane, number: int, values: Any, mesh: Mesh) -> Kept:
    """Keep the states that an evaluation found to be better than all before.

    The first of equal values stays, NaN is never better, and neither is what a lane has after it diverged. The first
    evaluation is kept, whatever it gave.

    Args:
        choice: which lanes are patient for how long.
        kept: the best so far; its memory is reused.
        lane: the lanes as they were evaluated.
        number: of the evaluation, counted from 0.
        values: what it gave of the metric [blocks, points].
        mesh: where the lanes lie.
    """
    values = np.asarray(values, np.float32)
    better = values > kept.value if choice.higher_is_better else values < kept.value
    better |= np.isnan(kept.value) & ~np.isnan(values)
    better &= (np.asarray(lane.diverged_at) < 0) & (number <= _last(choice, kept))
    better |= number == 0
    state = _selector(mesh)(place(better, mesh, shared=False), lane.state, kept.state)
    return Kept(state, np.where(better, values, kept.value), np.where(better, np.int32(number), kept.number))


def judged(choice: Choice, kept: Kept, lane: Lane, steps: Sequence[int], mesh: Mesh) -> Judged:
    """Choose between the best and the last state of each lane, after the last of its evaluations.

    A lane that diverged stays so, whatever it had before; but what comes after the evaluation at which a patient lane
    would have stopped is not held against it.

    Args:
        choice: which lanes keep the best.
        kept: the best; its memory is reused.
        lane: the lanes at the end.
        steps: the numbers of steps done at each evaluation.
        mesh: where the lanes lie.
    """
    best = np.broadcast_to(np.array(choice.best), kept.number.shape)
    last = len(steps) - 1
    end = np.append(np.array(steps), np.iinfo(np.int32).max)[np.minimum(_last(choice, kept), last + 1)]
    diverged_at = np.asarray(lane.diverged_at)
    diverged_at = np.where(best & (diverged_at >= end), np.int32(-1), diverged_at)
    number = np.where(best, kept.number, np.int32(last))
    state = _selector(mesh)(place(~best, mesh, shared=False), lane.state, kept.state)
    step = np.where(diverged_at < 0, np.array(steps, np.int32)[number], np.int32(-1))
    return Judged(state, number, diverged_at, step)


def values_at(values: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Pick one evaluation of each lane: [blocks, points, evaluations, ...] -> [blocks, points, ...]."""
    index = number.reshape(*number.shape, *[1] * (values.ndim - 2))
    return np.take_along_axis(values, index, axis=2)[:, :, 0]


def held_bytes(program: Program) -> int:
    """Count the bytes that the best states take on each device."""
    leaves = jax.tree.leaves(program.shapes[0].state)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) // program.layout.devices


def _last(choice: Choice, kept: Kept) -> np.ndarray:
    """Return the number of the last evaluation that counts for each lane, as far as is known."""
    patience = np.array(choice.patience)
    return np.where(patience > 0, kept.number + patience, np.iinfo(np.int32).max - 1)


@functools.cache
def _selector(mesh: Mesh) -> Any:
    """Return the compiled choice, on every device by itself."""

    def select(first: Array, one: PyTree, other: PyTree) -> PyTree:
        pick = lambda a, b: jnp.where(first.reshape(*first.shape, *[1] * (a.ndim - 2)), a, b)
        return jax.tree.map(pick, one, other)

    mapped = jax.shard_map(select, mesh=mesh, in_specs=LANES, out_specs=LANES, check_vma=False)
    return jax.jit(mapped, donate_argnums=2)
