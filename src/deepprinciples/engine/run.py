"""Send lanes through a compiled program: chunks of fixed, padded width, segment by segment, results as numpy arrays."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from deepprinciples.engine import early_stopping
from deepprinciples.engine.batching import Feed
from deepprinciples.engine.divergence import causes
from deepprinciples.engine.early_stopping import Choice, Kept
from deepprinciples.engine.lane.evaluation import on_host
from deepprinciples.engine.lane.fit import Lane
from deepprinciples.engine.lane.packed_log import unpack
from deepprinciples.engine.population import Program, place
from deepprinciples.engine.segments import Plan
from deepprinciples.engine.serialization import NOBODY, Arrays, Keeper, packed, same_shapes, unpacked
from deepprinciples.errors import IntegrityError
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
    final: dict[str, np.ndarray]  # metrics of the test split, or of the validation split, at the end [blocks, points]
    test_sets: dict[str, dict[str, np.ndarray]]  # the same of further test sets, by their names
    diverged_at: np.ndarray  # the first step whose loss is not finite, int32 [blocks, points]; -1 = never
    cause: np.ndarray  # index of `causes.CAUSES`, int8 [blocks, points]
    kept_step: Any  # steps done in the state that is judged, int32 [blocks, points]; -1 = diverged; None = the last
    states: Any  # final learner states, or None
    seconds: Any  # wall time, float


def run(
    program: Program,
    blocks: Sequence[Block],
    *,
    plan: Plan,
    feed: Feed,
    curve: Padded,
    judges: Mapping[str, Padded] = MappingProxyType({}),
    until: int | None = None,
    keep_states: bool = False,
    choice: Choice | None = None,
    progress: Callable[[int], None] = lambda steps: None,
    skip: Callable[[int], None] | None = None,
    keeper: Keeper = NOBODY,
) -> Outcome:
    """Train every lane of `blocks` from its first step to its last.

    Args:
        program: the group's compiled functions.
        blocks: what to run; short ones are padded, padding is thrown away.
        plan: how steps are cut.
        feed: where minibatches come from.
        curve: the split evaluated after every segment.
        judges: what is evaluated once, at the end: "test", and further sets by name. Without them the last value of the
            curve stands.
        until: segments after which lanes are left as they are, where not after all; the last has an evaluation.
        keep_states: bring the states that are judged to the host.
        choice: which lanes are judged by the best state of their evaluations; None for the last state of all.
        progress: called with the model-steps done since its last call.
        skip: called in its place with those that are not trained now: known from before, or of a run that has diverged.
        keeper: keeps the run's progress; a run that goes on from there ends in the same bits.
    """
    begun, skip = time.monotonic(), skip or progress
    wide = program.layout.devices * program.layout.blocks
    placed = lambda split: place(split, program.mesh, shared=True)
    ends = plan.segments if until is None else until
    call = _Call(program, plan, ends, feed, placed(curve), placed(dict(judges)), keep_states, choice)
    parts, start, under_way = _restored(call, keeper.begun)
    skip(len(blocks[:start]) * program.layout.points * plan.end(ends - 1))
    for first in range(start, len(blocks), wide):
        chunk = list(blocks[first : first + wide])
        count = len(chunk)
        padded = chunk + [chunk[-1]] * (wide - count)

        def offer(tell: Callable[[], dict[str, np.ndarray]], first: int = first) -> None:
            done = lambda: packed("parts", _joined(parts)) if parts else {}
            keeper.offer(lambda: {"at": np.array(first), **done(), **tell()})

        part = _run_chunk(call, padded, count, under_way, offer, progress, skip)
        parts.append(jax.tree.map(lambda a, n=count: a[:n], part))
        under_way = {}
    return Outcome._make((*_joined(parts), time.monotonic() - begun))


class _Call(NamedTuple):
    """What all calls of a run share; the splits lie on the devices."""

    program: Program
    plan: Plan
    ends: int  # segments that are trained
    feed: Feed
    curve: Padded
    judges: Mapping[str, Padded]
    keep_states: bool
    choice: Choice | None


def _joined(parts: Sequence[tuple]) -> tuple:
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _restored(call: _Call, begun: Arrays) -> tuple[list[tuple], int, Arrays]:
    """Return the parts that were done, the block to go on with, and what is known of the call under way."""
    if not begun:
        return [], 0, {}
    under_way = begun if "segments" in begun else {}  # else only whole calls are known
    lanes, log, metrics = call.program.shapes
    first = int(begun["at"])
    further = {name: metrics for name in call.judges if name != "test"}
    kept_step = 0 if call.choice else None
    part = (log, metrics, metrics, further, 0, 0, kept_step, lanes.state if call.keep_states else None)
    return [unpacked("parts", part, begun)] if first else [], first, under_way


def _run_chunk(
    call: _Call,
    blocks: Sequence[Block],
    count: int,
    under_way: Arrays,
    offer: Callable[[Callable[[], dict[str, np.ndarray]]], None],
    progress: Callable[[int], None],
    skip: Callable[[int], None],
) -> tuple:
    program, plan, mesh = call.program, call.plan, call.program.mesh
    points = program.layout.points
    seeds = [block.seed for block in blocks]
    point = program.points(seeds, [block.points for block in blocks])
    seed = place(np.array(seeds, np.uint32), mesh, shared=False)
    if under_way:
        lane, logs, curves, kept, start = _taken_up(call, under_way)
    else:
        lane, logs, curves, start = program.init(point, seed), [], [], 0
        kept = early_stopping.begin(lane) if call.choice else None
    skip(count * points * min(plan.begin(start), plan.steps))
    for segment in range(start, call.ends):
        data, indices = call.feed.get(seeds, segment)
        begin, end = plan.begin(segment), plan.end(segment)
        steps = np.arange(begin, begin + plan.span, dtype=np.int32).reshape(plan.chunks, plan.every)
        steps, total = place((steps, np.int32(end)), mesh, shared=True)
        lane, log = program.segment(lane, point, seed, place(indices, mesh, shared=False), data, steps, total)
        if plan.evaluates(segment):
            curves.append(_evaluated(program, lane, point, call.curve))
            if call.choice and kept:
                values = curves[-1][call.choice.metric]
                kept = early_stopping.update(call.choice, kept, lane, len(curves) - 1, values, mesh)
        if done := begin % plan.apart:
            logs[-1] = _longer(logs[-1], done, unpack(log), end - begin)
        else:
            logs.append(unpack(log))
        progress(count * points * (end - begin))
        if segment + 1 < call.ends and bool(np.all(np.asarray(lane.diverged_at) >= 0)):
            rows = math.ceil((call.ends - segment - 1) / plan.pieces)
            logs.extend([jax.tree.map(lambda a: np.full_like(a, np.nan), logs[-1])] * rows)
            last = _evaluated(program, lane, point, call.curve)
            curves.extend([last] * (sum(map(plan.evaluates, range(call.ends))) - len(curves)))
            skip(count * points * (plan.end(call.ends - 1) - end))
            break
        offer(functools.partial(_as_arrays, lane, logs, curves, kept, segment + 1))
    rows = math.ceil(plan.steps / plan.apart)
    log = jax.tree.map(lambda *a: np.concatenate(a, axis=2)[:, :, :rows], *logs)
    curve_values = jax.tree.map(lambda *a: np.stack(a, axis=2), *jax.device_get(curves))
    diverged_at, kept_step = np.asarray(lane.diverged_at), None
    final = {name: values[:, :, -1] for name, values in curve_values.items()}
    if call.choice and kept:
        at = plan.evaluation_steps()[: len(curves)]
        state, number, diverged_at, kept_step = early_stopping.judged(call.choice, kept, lane, at, mesh)
        lane = lane._replace(state=state)
        final = {name: early_stopping.values_at(values, number) for name, values in curve_values.items()}
    further = {name: jax.device_get(_evaluated(program, lane, point, one)) for name, one in call.judges.items()}
    final = further.pop("test", final)
    states = jax.device_get(lane.state) if call.keep_states else None
    initial_loss = lambda: np.asarray(_evaluated(program, program.init(point, seed), point, call.curve)["loss"])
    cause = causes(diverged_at, initial_loss, functools.partial(nonfinite_batch, call.feed, plan, seeds))
    return log, curve_values, final, further, diverged_at, cause, kept_step, states


def _evaluated(program: Program, lane: Lane, point: Any, split: Padded) -> dict[str, Any]:
    return on_host(program.hosted, program.evaluate(lane, point, split))


def _longer(log: dict[str, Any], done: int, piece: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Add the next piece of the last row to a log: its mean loss counts, its probes, which read in between, do not."""
    losses = np.array(log["train_loss"])
    losses[:, :, -1] = (done * losses[:, :, -1] + steps * piece["train_loss"][:, :, 0]) / (done + steps)
    return {**log, "train_loss": losses}


def nonfinite_batch(feed: Feed, plan: Plan, seeds: Sequence[int], block: int, step: int) -> bool:
    """Check whether the minibatch of a block's step holds an example that is not finite."""
    if feed.nonfinite is None:
        return False
    number = plan.segment_of(step)
    _, indices = feed.get([seeds[block]], number)
    return bool(feed.nonfinite[indices.reshape(-1, feed.batch_size)[step - plan.begin(number)]].any())


def _as_arrays(
    lane: Lane, logs: Sequence[Any], curves: Sequence[Any], kept: Kept | None, segments: int
) -> dict[str, np.ndarray]:
    """Return a call under way, `segments` of which are done, as arrays."""
    found = {"segments": np.array(segments), **packed("lane", lane), **packed("kept", kept)}
    found |= packed("logs", jax.tree.map(lambda *a: np.concatenate(a, axis=2), *logs))
    if curves:
        found |= packed("curves", jax.tree.map(lambda *a: np.stack(a, axis=2), *jax.device_get(list(curves))))
    return found


def begun_lane(program: Program, under_way: Arrays) -> tuple[Lane, int]:
    """Return the lanes of a call under way, on the host, and its next segment.

    Raises:
        IntegrityError: they are of another program.
    """
    lane: Lane = unpacked("lane", program.shapes[0], under_way)
    if not same_shapes(lane, program.shapes[0]):
        raise IntegrityError("checkpoint: its lanes have other shapes than this program's; it is of another program")
    return lane, int(under_way["segments"])


def _taken_up(call: _Call, under_way: Arrays) -> tuple[Lane, list[Any], list[Any], Kept | None, int]:
    """Return the lanes, logs, curves and best states of a call under way, and its next segment."""
    lane, segments = begun_lane(call.program, under_way)
    _, log, metrics = call.program.shapes
    curves: list[Any] = []
    if any(name.startswith("curves/") for name in under_way):
        stacked = unpacked("curves", metrics, under_way)
        count = jax.tree.leaves(stacked)[0].shape[2]
        curves = [jax.tree.map(lambda a, k=k: a[:, :, k], stacked) for k in range(count)]
    logs = [unpacked("logs", log, under_way)]
    put = functools.partial(place, mesh=call.program.mesh, shared=False)
    kept: Kept | None = unpacked("kept", early_stopping.like(lane) if call.choice else None, under_way)
    return put(lane), logs, curves, kept._replace(state=put(kept.state)) if kept else None, segments
