"""The compiled fit of one lane: a loop over steps, in segments; the host lives only between segments.

A segment is a loop over chunks; a chunk is one probed step and a loop of plain steps. Nothing here calls back to the
host, and a lane that turns non-finite is frozen at its last finite state without touching any other.

Looking at the whole state, or freezing it, at every step would read it once more. So a stretch of chunks runs freely;
only if a loss in it or its last state was not finite is it run again, watched at every step, and once more up to the
step that spoiled it. Lanes that run vmapped run it again together, as often as one of them needs it: a loop whose
length differed between them would choose between two states at every step of every lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.engine.rows import Rows, pack
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.types import Array, Batch, Info, Learner, PyTree

SMALL = 2**13  # numbers: arrays of up to as many are looked at as one
STRETCH = 4  # chunks that run before the state is looked at
SETTLE = 16  # batches that a learner readies itself with after a segment
STEP = "step"  # the stream that a step draws from, folded with its number
Probe = Callable[[Info], Mapping[str, PyTree]]


class Lane(NamedTuple):
    """One training run under way."""

    state: PyTree
    diverged_at: Array  # int32: the first step whose result was not finite, -1 while none was


class _Going(NamedTuple):
    """A segment under way. Vmapped lanes have `chunk`, `tries` and `more` in common."""

    lane: Lane  # at the end of the stretch if it is done with it, else at its start
    chunk: Array  # int32: the first of the stretch
    tries: Array  # int32: attempts at this stretch
    limit: Array  # int32: steps of the stretch to take
    done: Array  # bool
    more: Array  # bool
    log: Rows  # [chunks, ...] and room for a last stretch that is cut short


def start(learner: Learner, key: Array) -> Lane:
    """Make a lane at step 0."""
    return Lane(learner.init(key), jnp.full((), -1, jnp.int32))


def sums_finite(tree: PyTree) -> Array:
    """Tell whether small arrays, and the sums of the columns of large ones, are finite; a sum may overflow.

    A product with ones reads a large array about as fast as memory gives it; a plain sum takes several times as long.
    Small arrays are looked at as one: compiling a line for each takes far longer than copying them.
    """
    floats = [a for a in jax.tree.leaves(tree) if _is_float(a)]
    columns = [a.reshape(-1, a.shape[-1] if a.ndim > 1 else 1) for a in floats if a.size > SMALL]
    sums = [jnp.sum(jnp.ones((1, c.shape[0]), c.dtype) @ c) for c in columns]
    # Times 0: NaN where a number is not finite, and no overflow. (On CPU, XLA may pass over a NaN in a maximum.)
    sums += [jnp.sum(joined * 0.0) for joined in _joined([a for a in floats if 0 < a.size <= SMALL])]
    # Stacked: XLA would copy a chain of scalar sums into the fusion of every leaf, and compiling grow quadratically.
    return jnp.all(jnp.isfinite(jnp.stack(sums))) if sums else jnp.ones((), bool)


def stayed_finite(before: PyTree, after: PyTree) -> Array:
    """Tell whether every value that was finite before still is.

    All arrays of a type are looked at as one: it is seldom run, and a line for each would be a third of compiling.
    """
    sides = [_joined([a for a in jax.tree.leaves(tree) if _is_float(a)]) for tree in (before, after)]
    lost = [jnp.where(jnp.isfinite(old) & ~jnp.isfinite(new), 1.0, 0.0) for old, new in zip(*sides, strict=True)]
    return sum((one @ one for one in lost), start=jnp.zeros(())) == 0  # a product compiles faster than `any`


def _joined(arrays: Sequence[Array]) -> list[Array]:
    """Join arrays to one vector for each type."""
    kinds = dict.fromkeys(a.dtype for a in arrays)
    return [jnp.concatenate([a.reshape(-1) for a in arrays if a.dtype == kind]) for kind in kinds]


def _is_float(array: Array) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.inexact))


def segment(
    learner: Learner,
    probe: Probe,
    lane: Lane,
    key: Array,
    data: Batch,
    indices: Array,
    steps: Array,
    total: Array,
    axis: str = "",
) -> tuple[Lane, Rows]:
    """Train a lane for one segment.

    Args:
        learner: what a step is.
        probe: reads the first step of every chunk.
        lane: where the run stands.
        key: the lane's key.
        data: the training examples, [N, ...].
        indices: examples of each step, int32 [chunks, every, B].
        steps: the number of each step, int32 [chunks, every].
        total: steps at `total` and beyond change nothing, int32.
        axis: the name of the axis over which lanes are vmapped; `steps` and `total` are the same on all of it.

    Returns:
        The lane, and per chunk `train_loss` (mean over its steps) beside what the probe gave, as `Rows`; NaN where the
        lane had diverged.
    """
    chunks, every = steps.shape
    most = min(STRETCH, chunks)
    least = lambda value: jax.lax.pmin(value, axis) if axis else value
    all_lanes = lambda flag: least(flag.astype(jnp.int32)) > 0
    attempt, blank = _attempts(learner, probe, key, data, indices, steps, all_lanes)

    def again(now: _Going) -> _Going:
        fresh, begin = now.tries == 0, steps[now.chunk, 0]
        count = jnp.clip(total - begin, 0, jnp.minimum(most, chunks - now.chunk) * every)
        alive = now.lane.diverged_at < 0
        done, limit = jnp.where(fresh, ~alive, now.done), jnp.where(fresh, count, now.limit)
        goal = jnp.where(now.tries > 1, least(jnp.where(done, count, limit)), count)
        state, bad, rows = attempt(now.lane.state, now.chunk, goal, now.tries == 1)
        taken = ~done & (bad >= goal) & (limit == goal)
        limit = jnp.where(done | fresh, limit, jnp.minimum(limit, bad))
        done = done | taken | (limit == 0)
        state = jax.lax.cond(taken, lambda new, _: new, lambda _, old: old, state, now.lane.state)
        over = all_lanes(done)
        diverged_at = jnp.where(over & alive & (limit < count), begin + limit, now.lane.diverged_at)
        chunk = jnp.where(over, now.chunk + most, now.chunk)
        more = (chunk < chunks) & (steps[jnp.minimum(chunk, chunks - 1), 0] < total) & ~all_lanes(diverged_at >= 0)
        seen = jnp.arange(most) * every <= limit  # chunks that began before the step that spoiled the state, or with it

        def put(log: Array, new: Array) -> Array:
            old = jax.lax.dynamic_slice_in_dim(log, now.chunk, most)
            found = jnp.where(seen[:, None], jnp.where(fresh & alive, new, old), jnp.full((), jnp.nan, log.dtype))
            return jax.lax.dynamic_update_slice_in_dim(log, found, now.chunk, 0)

        log = jax.tree.map(put, now.log, rows)
        return _Going(Lane(state, diverged_at), chunk, jnp.where(over, 0, now.tries + 1), limit, done, more, log)

    zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    nothing = blank(lane.state, chunks + most - 1)
    more = (steps[0, 0] < total) & ~all_lanes(lane.diverged_at >= 0)
    end = jax.lax.while_loop(lambda now: now.more, again, _Going(lane, zero, zero, zero, no, more, nothing))
    log = jax.tree.map(lambda a: a[:chunks], end.log)
    return _settled(learner, end.lane, key, data, indices, total - steps[0, 0]), log


def _settled(learner: Learner, lane: Lane, key: Array, data: Batch, indices: Array, left: Array) -> Lane:
    """Let the learner ready itself with the last batches of a segment that had `left` steps to take at most."""
    if learner.settle is None:
        return lane
    rows = indices.reshape(-1, indices.shape[-1])
    count = min(SETTLE, len(rows))
    last = jax.lax.dynamic_slice_in_dim(rows, jnp.maximum(jnp.clip(left, 0, len(rows)) - count, 0), count)
    batches = jax.tree.map(lambda array: array[last], data)
    return lane._replace(state=learner.settle(lane.state, batches, stream(key, "settle")))


def _attempts(
    learner: Learner,
    probe: Probe,
    key: Array,
    data: Batch,
    indices: Array,
    steps: Array,
    all_lanes: Callable[[Array], Array],
) -> tuple[Callable[[PyTree, Array, Array, Array], tuple[PyTree, Array, Rows]], Callable[[PyTree, int], Rows]]:
    """Make attempt(state, chunk, goal, watched), which takes the first `goal` steps of the stretch from `chunk` on.

    It gives the state, the first bad step (only an upper bound of it unless `watched`), and the stretch's log. Beside
    it stands blank(state, count): the log of so many chunks of which nothing is known.
    """
    steps_key = stream(key, STEP)
    chunks, every = steps.shape

    def advance(state: PyTree, step: Array, index: Array) -> tuple[PyTree, Info, Array]:
        batch = jax.tree.map(lambda array: array[index], data)
        state, info = learner.step(state, batch, fold_in(steps_key, step))
        finite = jnp.isfinite(info.loss)
        return state, info, finite & sums_finite(info.grads) if learner.hides else finite  # else the state tells

    @jax.jit  # traced once, for its shapes and for the loop
    def first(state: PyTree, step: Array, index: Array) -> tuple[PyTree, Array, Array, Mapping[str, PyTree]]:
        state, info, finite = advance(state, step[0], index[0])
        return state, info.loss, finite, dict(probe(info._replace(start=lambda: learner.init(key).params)))

    def blank(state: PyTree, count: int) -> Rows:
        _, loss, _, log = jax.eval_shape(first, state, steps[0], indices[0])
        row = jax.eval_shape(pack, {**log, "train_loss": loss})
        return jax.tree.map(lambda a: jnp.full((count, *a.shape), jnp.nan, a.dtype), row)

    def attempt(begun: PyTree, chunk: Array, goal: Array, watched: Array) -> tuple[PyTree, Array, Rows]:
        def lost(state: PyTree, look: Array) -> Array:
            spoiled = lambda *both: ~stayed_finite(*both)
            return jax.lax.cond(look, spoiled, lambda *_: jnp.zeros((), bool), begun, state)

        def one_chunk(number: Array, carry: tuple[PyTree, Array, Rows]) -> tuple[PyTree, Array, Rows]:
            state, bad, rows = carry
            step, index, before = steps[chunk + number], indices[chunk + number], number * every
            state, loss, finite, log = first(state, step, index)
            bad = jnp.where(finite & ~lost(state, watched), bad, jnp.minimum(bad, before))

            def body(i: Array, carry: tuple[PyTree, Array, Array]) -> tuple[PyTree, Array, Array]:
                state, losses, bad = carry
                state, info, finite = advance(state, step[i], index[i])
                bad = jnp.where(finite & ~lost(state, watched), bad, jnp.minimum(bad, before + i))
                return state, losses + info.loss, bad

            count = jnp.minimum(goal - before, every)
            state, losses, bad = jax.lax.fori_loop(1, count, body, (state, loss, bad))
            row = pack({**log, "train_loss": losses / count})
            return state, bad, jax.tree.map(lambda a, new: a.at[number].set(new), rows, row)

        most = min(STRETCH, chunks)
        begin = (begun, jnp.int32(most * every), blank(begun, most))
        state, bad, rows = jax.lax.fori_loop(0, -(-goal // every), one_chunk, begin)
        last = lost(state, ~all_lanes(sums_finite(state)))  # a sum may overflow where no value does
        return state, jnp.where(last, jnp.minimum(bad, goal - 1), bad), rows

    return attempt, blank
