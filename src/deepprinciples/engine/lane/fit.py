"""The compiled fit of one lane: a loop over steps, in segments; the host lives only between segments.

A segment is a loop over chunks; a chunk is one probed step and a loop of plain steps. Nothing here calls back to the
host. The loop watches the loss alone: to look at a state, or to choose between two, would read all of it once more in
every step. The state is checked when the segment ends, and a lane that has diverged by then gets back the state with
which the segment began.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.engine.lane.packed_log import Rows, pack
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.types import Array, Batch, Info, Learner, PyTree

SMALL = 2**13  # numbers: arrays of up to as many are checked as one
FINALIZE = 16  # batches that a learner prepares itself for evaluation with, after a segment
STEP = "step"  # the stream that a step draws from, folded with its number
NEVER = 2**31 - 1  # a step that no run reaches
Probe = Callable[[Info], Mapping[str, PyTree]]


class Lane(NamedTuple):
    """One training run under way."""

    state: PyTree  # of a lane that diverged: that with which the segment began in which it did
    diverged_at: Array  # int32: the first step whose loss was not finite, -1 while none was


def start(learner: Learner, key: Array) -> Lane:
    """Make a lane at step 0."""
    return Lane(learner.init(key), jnp.full((), -1, jnp.int32))


def stayed_finite(before: PyTree, after: PyTree) -> Array:
    """Check that every value that was finite before still is.

    Small arrays are checked as one: compiling a line for each takes far longer than copying them.
    """
    pairs = list(zip(*map(jax.tree.leaves, (before, after)), strict=True))
    pairs = [(old, new) for old, new in pairs if jnp.issubdtype(old.dtype, jnp.inexact)]
    large = [pair for pair in pairs if pair[0].size > SMALL]
    small = [_joined([pair[side] for pair in pairs if pair[0].size <= SMALL]) for side in (0, 1)]
    lost = [jnp.any(jnp.isfinite(old) & ~jnp.isfinite(new)) for old, new in [*large, *zip(*small, strict=True)]]
    # Stacked: XLA would copy a chain of scalars into the fusion of every leaf, and compiling grow quadratically.
    return ~jnp.any(jnp.stack(lost)) if lost else jnp.ones((), bool)


def _joined(arrays: Sequence[Array]) -> list[Array]:
    """Join arrays to one vector for each type."""
    kinds = dict.fromkeys(a.dtype for a in arrays)
    return [jnp.concatenate([a.reshape(-1) for a in arrays if a.dtype == kind]) for kind in kinds]


def segment(
    learner: Learner,
    probe: Probe,
    lane: Lane,
    key: Array,
    data: Batch,
    indices: Array,
    steps: Array,
    total: Array,
) -> tuple[Lane, Rows]:
    """Train a lane for one segment.

    The lane diverged at the first step whose loss is not finite. Where all losses are finite and the state at the end
    is not, it diverged at the last step that was taken; where both are at fault, the loss tells.

    Args:
        learner: what a step is.
        probe: reads the first step of every chunk.
        lane: where the run stands.
        key: the lane's key.
        data: the training examples, [N, ...].
        indices: examples of each step, int32 [chunks, every, B].
        steps: the number of each step, int32 [chunks, every].
        total: steps at `total` and beyond are not taken, int32; the same for lanes that are vmapped.

    Returns:
        The lane, and per chunk `train_loss` (mean over its steps) beside what the probe gave, as `Rows`; NaN where the
        lane had diverged before the chunk, and where no step was taken.
    """
    count = jnp.clip(total - steps[0, 0], 0, steps.size)
    state, bad, rows = _trained(learner, probe, lane.state, key, data, indices, steps, total, count)
    state = _finalized(learner, state, key, data, indices, count)
    last = steps[0, 0] + count - 1
    bad = jnp.where(stayed_finite(lane.state, state), bad, jnp.minimum(bad, last))
    alive = lane.diverged_at < 0
    diverged_at = jnp.where(alive & (bad < NEVER), bad, lane.diverged_at)
    state = jax.lax.cond(diverged_at < 0, lambda new, _: new, lambda _, old: old, state, lane.state)
    seen = alive & (steps[:, 0] <= bad)  # chunks that began before the first bad step, or with it
    log = jax.tree.map(lambda a: jnp.where(seen[:, None], a, jnp.full((), jnp.nan, a.dtype)), rows)
    return Lane(state, diverged_at), log


def _trained(
    learner: Learner,
    probe: Probe,
    state: PyTree,
    key: Array,
    data: Batch,
    indices: Array,
    steps: Array,
    total: Array,
    count: Array,
) -> tuple[PyTree, Array, Rows]:
    """Take the `count` steps of a segment; return the state, the first step with a bad loss or NEVER, and the log."""
    chunks, every = steps.shape
    steps_key = stream(key, STEP)
    put = functools.partial(jax.lax.dynamic_update_index_in_dim, axis=0)  # `.at` would scatter

    def advance(state: PyTree, step: Array, index: Array) -> tuple[PyTree, Info]:
        batch = jax.tree.map(lambda array: array[index], data)
        return learner.step(state, batch, fold_in(steps_key, step))

    @jax.jit  # traced once, for its shapes and for the loop
    def first(state: PyTree, step: Array, index: Array) -> tuple[PyTree, Array, Mapping[str, PyTree]]:
        state, info = advance(state, step, index)
        named = info.named or (lambda params: params)
        return state, info.loss, dict(probe(info._replace(start=lambda: named(learner.init(key).params))))

    def one_chunk(number: Array, carry: tuple[PyTree, Array, Rows]) -> tuple[PyTree, Array, Rows]:
        state, bad, rows = carry
        step, index = steps[number], indices[number]
        taken = jnp.minimum(total - step[0], every)
        state, loss, log = first(state, step[0], index[0])

        def one_step(i: Array, carry: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
            state, losses = carry
            state, info = advance(state, step[i], index[i])
            return state, put(losses, info.loss, i)

        losses = put(jnp.zeros(every, loss.dtype), loss, 0)
        state, losses = jax.lax.fori_loop(1, taken, one_step, (state, losses))
        bad = jnp.minimum(bad, jnp.min(jnp.where(jnp.isfinite(losses), NEVER, step)))
        row = pack({**log, "train_loss": jnp.sum(losses) / taken})
        return state, bad, jax.tree.map(lambda whole, new: put(whole, new, number), rows, row)

    _, loss, log = jax.eval_shape(first, state, steps[0, 0], indices[0, 0])
    row = jax.eval_shape(pack, {**log, "train_loss": loss})
    rows = jax.tree.map(lambda a: jnp.full((chunks, *a.shape), jnp.nan, a.dtype), row)
    return jax.lax.fori_loop(0, -(-count // every), one_chunk, (state, jnp.int32(NEVER), rows))


def _finalized(learner: Learner, state: PyTree, key: Array, data: Batch, indices: Array, taken: Array) -> PyTree:
    """Prepare the state for evaluation with the last batches of a segment that took so many steps."""
    if learner.finalize_for_eval is None:
        return state
    rows = indices.reshape(-1, indices.shape[-1])
    count = min(FINALIZE, len(rows))
    last = jax.lax.dynamic_slice_in_dim(rows, jnp.maximum(taken - count, 0), count)
    return learner.finalize_for_eval(state, jax.tree.map(lambda array: array[last], data), stream(key, "settle"))
