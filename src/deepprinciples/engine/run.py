"""Send lanes through a compiled program: chunks of fixed, padded width, segment by segment, results as numpy arrays."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from deepprinciples.engine.feed import Feed
from deepprinciples.engine.fit import Lane, Plan
from deepprinciples.engine.population import Point, Program, place
from deepprinciples.types import Batch

Padded = tuple[Batch, np.ndarray]


class Block(NamedTuple):
    """Lanes of one seed: one setting of the traced hyper-parameters for each."""

    seed: int
    points: tuple[dict[str, float], ...]


class Outcome(NamedTuple):
    """What lanes gave, leading axes [blocks, points]."""

    logs: dict[str, Any]  # nested dicts of [blocks, points, chunks]
    curves: dict[str, np.ndarray]  # validation metrics [blocks, points, segments]
    final: dict[str, np.ndarray]  # metrics of the judged split at the end [blocks, points]
    diverged_at: np.ndarray  # int32 [blocks, points], -1 = never
    states: Any  # final learner states, or None
    seconds: Any  # wall time, float


def run(
    program: Program,
    blocks: Sequence[Block],
    *,
    plan: Plan,
    feed: Feed,
    curve: Padded,
    judge: Padded | None = None,
    keep_states: bool = False,
    progress: Callable[[int], None] = lambda steps: None,
) -> Outcome:
    """Train every lane of `blocks` from its first step to its last.

    Args:
        program: the group's compiled functions.
        blocks: what to run; short ones are padded, padding is thrown away.
        plan: how steps are cut.
        feed: where minibatches come from.
        curve: the split evaluated after every segment.
        judge: the split evaluated once, at the end; None takes the last value of the curve.
        keep_states: bring the final states to the host.
        progress: told the model-steps done since it was last told.
    """
    begun = time.monotonic()
    wide = program.layout.devices * program.layout.blocks
    curve_on_device = place(curve, program.mesh, shared=True)
    judge_on_device = place(judge, program.mesh, shared=True) if judge is not None else None
    parts = []
    for first in range(0, len(blocks), wide):
        chunk = list(blocks[first : first + wide])
        count = len(chunk)
        padded = chunk + [chunk[-1]] * (wide - count)
        part = _run_chunk(program, padded, count, plan, feed, curve_on_device, judge_on_device, keep_states, progress)
        parts.append(jax.tree.map(lambda a, n=count: a[:n], part))
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    logs, curves, final, diverged_at, states = joined
    return Outcome(logs, curves, final, diverged_at, states, time.monotonic() - begun)


def _run_chunk(
    program: Program,
    blocks: Sequence[Block],
    count: int,
    plan: Plan,
    feed: Feed,
    curve: Padded,
    judge: Padded | None,
    keep_states: bool,
    progress: Callable[[int], None],
) -> tuple:
    points = program.layout.points
    seeds = [block.seed for block in blocks]
    names = blocks[0].points[0]
    hyper = {n: np.array([[p[n] for p in b.points] for b in blocks], np.float32) for n in names}
    number = np.broadcast_to(np.arange(points, dtype=np.int32), (len(blocks), points))
    point = place(Point(number, hyper), program.mesh, shared=False)
    seed = place(np.array(seeds, np.uint32), program.mesh, shared=False)
    lane: Lane = program.init(point, seed)
    logs, curves = [], []
    for segment in range(plan.segments):
        data, indices = feed.get(seeds, segment)
        begin = segment * plan.span
        steps = np.arange(begin, begin + plan.span, dtype=np.int32).reshape(plan.chunks, plan.every)
        steps, total = place((steps, np.int32(plan.steps)), program.mesh, shared=True)
        lane, log = program.segment(lane, point, seed, place(indices, program.mesh, shared=False), data, steps, total)
        if plan.evaluates(segment):
            curves.append(program.evaluate(lane, point, curve))
        logs.append(jax.device_get(log))
        progress(count * points * (min(begin + plan.span, plan.steps) - begin))
        if segment + 1 < plan.segments and bool(np.all(np.asarray(lane.diverged_at) >= 0)):
            logs.extend([jax.tree.map(lambda a: np.full_like(a, np.nan), logs[-1])] * (plan.segments - segment - 1))
            last = program.evaluate(lane, point, curve)
            curves.extend([last] * (len(plan.evaluation_steps()) - len(curves)))
            progress(count * points * (plan.steps - begin - plan.span))
            break
    kept = math.ceil(plan.steps / plan.every)
    log = jax.tree.map(lambda *a: np.concatenate(a, axis=2)[:, :, :kept], *logs)
    curve_values = jax.tree.map(lambda *a: np.stack(a, axis=2), *jax.device_get(curves))
    final = (
        jax.device_get(program.evaluate(lane, point, judge))
        if judge is not None
        else {name: values[:, :, -1] for name, values in curve_values.items()}
    )
    states = jax.device_get(lane.state) if keep_states else None
    return log, curve_values, final, np.asarray(lane.diverged_at), states
