"""The compiled fit of one lane: scan over steps, in segments; the host lives only between segments.

A segment is a scan over chunks; a chunk is one probed step and a scan of plain steps. Nothing here calls back to the
host, and a lane that turns non-finite is frozen at its last finite state without touching any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.engine.streams import stream
from deepprinciples.types import Array, Batch, Info, Learner, PyTree

SETTLE = 16  # batches that a learner readies itself with after a segment
STEP = "step"  # the stream that a step draws from, folded with its number
Probe = Callable[[Info], Mapping[str, PyTree]]


class Lane(NamedTuple):
    """One training run under way."""

    state: PyTree
    diverged_at: Array  # int32: the first step whose result was not finite, -1 while none was


class _Attempt(NamedTuple):
    """A chunk run from its start: `done`, or to be run again for the first `limit` steps only."""

    state: PyTree
    limit: Array  # int32
    done: Array  # bool
    log: dict[str, PyTree]


class Plan(NamedTuple):
    """How `steps` are cut: segments of `chunks` chunks of `every` steps. The last may run over; the guard masks it.

    Every `stride`-th segment ends in an evaluation, and so does the last.
    """

    steps: int
    every: int
    chunks: int
    segments: int
    stride: int = 1

    @property
    def span(self) -> int:
        """Steps in a segment."""
        return self.every * self.chunks

    def probe_steps(self) -> list[int]:
        """Return the steps at which probes look, counted from 0."""
        return [c * self.every for c in range(math.ceil(self.steps / self.every))]

    def evaluation_steps(self) -> list[int]:
        """Return the numbers of steps done at each evaluation."""
        ends = [min((s + 1) * self.span, self.steps) for s in range(self.segments)]
        return [end for s, end in enumerate(ends) if self.evaluates(s)]

    def evaluates(self, segment: int) -> bool:
        """Tell whether a segment ends in an evaluation."""
        return (segment + 1) % self.stride == 0 or segment + 1 == self.segments

    def shortened(self, most: int) -> Plan:
        """Cut into segments of at most `most` chunks, with evaluations where they were."""
        apart = self.chunks * self.stride
        chunks = max(n for n in range(1, min(max(most, 1), apart) + 1) if apart % n == 0)
        return self._replace(
            chunks=chunks, segments=math.ceil(math.ceil(self.steps / self.every) / chunks), stride=apart // chunks
        )


def plan(steps: int, *, probe_every: int = 0, evaluate_every: int = 0) -> Plan:
    """Cut a run into segments: 10 to 50 probed steps, one in 25 at most, and 10 evaluations, unless told otherwise."""
    every = min(probe_every or max(math.ceil(steps / 50), min(25, math.ceil(steps / 10))), steps)
    total = math.ceil(steps / every)
    chunks = min(math.ceil(evaluate_every / every), total) if evaluate_every else math.ceil(total / 10)
    return Plan(steps, every, chunks, math.ceil(total / chunks))


def start(learner: Learner, key: Array) -> Lane:
    """Make a lane at step 0."""
    return Lane(learner.init(key), jnp.full((), -1, jnp.int32))


def sums_finite(tree: PyTree) -> Array:
    """Tell whether the sum of every column is finite; a sum that overflows counts as not finite.

    A product with ones, which reads an array about as fast as memory gives it; a plain sum takes several times as long.
    """
    columns = [a.reshape(-1, a.shape[-1] if a.ndim > 1 else 1) for a in jax.tree.leaves(tree)]
    # Stacked: XLA would copy a chain of scalar sums into the fusion of every leaf, and compiling grow quadratically.
    return jnp.all(jnp.isfinite(jnp.stack([jnp.sum(jnp.ones((1, c.shape[0]), c.dtype) @ c) for c in columns])))


def stayed_finite(before: PyTree, after: PyTree) -> Array:
    """Tell whether every value that was finite before still is."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    lost = [jnp.any(jnp.isfinite(old) & ~jnp.isfinite(new)) for old, new in pairs if _is_float(new)]
    return ~jnp.any(jnp.stack([jnp.zeros((), bool), *lost]))


def _is_float(array: Array) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.inexact))


def segment(
    learner: Learner, probe: Probe, lane: Lane, key: Array, data: Batch, indices: Array, steps: Array, total: Array
) -> tuple[Lane, dict[str, PyTree]]:
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

    Returns:
        The lane, and per chunk `train_loss` (mean over its steps) beside what the probe gave; NaN where the lane had
        diverged.
    """
    steps_key = stream(key, STEP)

    def advance(state: PyTree, step: Array, index: Array) -> tuple[PyTree, Info, Array]:
        batch = jax.tree.map(lambda array: array[index], data)
        state, info = learner.step(state, batch, jax.random.fold_in(steps_key, step))
        finite = jnp.isfinite(info.loss)
        return state, info, finite & sums_finite(info.grads) if learner.hides else finite  # else the state tells

    def chunk(lane: Lane, xs: tuple[Array, Array]) -> tuple[Lane, dict[str, PyTree]]:
        step, index = xs  # [every], [every, B]
        alive = lane.diverged_at < 0
        count = jnp.clip(total - step[0], 0, len(step))

        @jax.jit  # traced once, for its shapes and for the loop
        def attempt(limit: Array, watched: Array) -> _Attempt:
            def watch(finite: Array, state: PyTree) -> Array:
                return finite & jax.lax.cond(watched, stayed_finite, lambda *_: jnp.ones((), bool), lane.state, state)

            state, info, finite = advance(lane.state, step[0], index[0])
            log = dict(probe(info._replace(start=lambda: learner.init(key).params)))

            def body(i: Array, carry: tuple[PyTree, Array, Array]) -> tuple[PyTree, Array, Array]:
                state, losses, bad = carry
                state, info, finite = advance(state, step[i], index[i])
                return state, losses + info.loss, jnp.where(watch(finite, state), bad, jnp.minimum(bad, i))

            first = (state, info.loss, jnp.where(watch(finite, state), len(step), 0))
            state, losses, bad = jax.lax.fori_loop(1, limit, body, first)
            good = (bad >= limit) & stayed_finite(lane.state, state)
            state = jax.tree.map(lambda new, old: jnp.where(bad > 0, new, old), state, lane.state)
            log["train_loss"] = losses / jnp.maximum(count, 1)
            return _Attempt(state, jnp.minimum(limit, bad), good | (watched & (bad == 0)), log)

        def again(before: tuple[Array, _Attempt]) -> tuple[Array, _Attempt]:
            tries, last = before
            # The second attempt looks for the step, the third stops before it.
            now = attempt(jnp.where(tries == 1, limit, last.limit), tries > 0)
            log = jax.tree.map(lambda new, old: jnp.where(tries == 0, new, old), now.log, last.log)
            return tries + 1, now._replace(log=log)

        # Looking at the whole state, or freezing it, at every step would read it once more. So a chunk runs freely,
        # and only if a gradient in it or its last state was not finite is it run again, watched at every step.
        limit = jnp.where(alive, count, 0)
        nothing = jax.tree.map(lambda a: jnp.full(a.shape, jnp.nan, a.dtype), jax.eval_shape(attempt, limit, alive).log)
        begun = (jnp.zeros((), jnp.int32), _Attempt(lane.state, limit, limit == 0, nothing))
        _, end = jax.lax.while_loop(lambda tried: ~tried[1].done, again, begun)
        diverged = alive & (end.limit < count)
        return Lane(end.state, jnp.where(diverged, step[0] + end.limit, lane.diverged_at)), end.log

    lane, log = jax.lax.scan(chunk, lane, (steps, indices))
    if learner.settle is None:
        return lane, log
    rows = indices.reshape(-1, indices.shape[-1])
    done = jnp.clip(total - steps[0, 0], 0, len(rows))
    count = min(SETTLE, len(rows))
    last = jax.lax.dynamic_slice_in_dim(rows, jnp.maximum(done - count, 0), count)
    batches = jax.tree.map(lambda array: array[last], data)
    return lane._replace(state=learner.settle(lane.state, batches, stream(key, "settle"))), log


def evaluate(learner: Learner, lane: Lane, batches: Batch, weights: Array) -> dict[str, Array]:
    """Judge a split: batches [K, E, ...], weights [K, E] (0 for padding) -> {metric: scalar}.

    The learner's metrics are averaged over examples, unless it judges whole splits itself.
    """
    if learner.score is not None:
        return dict(learner.score(lane.state, batches, weights))

    def one(xs: tuple[Batch, Array]) -> dict[str, Array]:
        batch, weight = xs
        values = learner.evaluate(lane.state, batch)
        return {name: jnp.sum(jnp.where(weight > 0, value, 0.0)) for name, value in values.items()}

    sums = jax.lax.map(one, (batches, weights))
    return {name: jnp.sum(value) / jnp.sum(weights) for name, value in sums.items()}
