"""One lane run again with its program, and its last steps looked at one by one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from deepprinciples.engine.causes import CAUSES, DATA, INIT, UPDATE
from deepprinciples.engine.cuts import Plan
from deepprinciples.engine.feed import Feed
from deepprinciples.engine.fit import STEP, Lane
from deepprinciples.engine.population import MakeLearner, Point, Program, place
from deepprinciples.engine.run import Block
from deepprinciples.engine.streams import lane_key
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.types import ASIDE, Array, Batch, Info, PyTree


class Look(NamedTuple):
    """What one step was: norms over all parameters, and the first array of it that holds no finite number."""

    step: int
    loss: float
    gradient_norm: float
    update_norm: float
    parameter_norm: float  # before the step
    first_bad: str  # such as "gradient layer_00.linear.kernel"; empty where all is finite


class Rerun(NamedTuple):
    """A lane run again: the step at which it failed (-1: it did not), why, and its last steps."""

    diverged_at: int
    cause: str  # see `causes`
    looks: list[Look]


class Known(NamedTuple):
    """Where to start, if not at the first step: the lanes of a call [blocks, points], the lane's row, segments done."""

    lane: Lane
    row: int
    segments: int


def rerun(
    program: Program,
    plan: Plan,
    feed: Feed,
    block: Block,
    index: int,
    make_learner: MakeLearner,
    *,
    known: Known | None = None,
    last: int = 8,
    progress: Callable[[int], None] = lambda steps: None,
) -> Rerun:
    """Run one lane as it was run, with the other lanes of the call asleep, and look at its last steps.

    The program is the run's, so the states are those of the run, to the bit; each step that is looked at is taken once
    more from its state by itself, which may differ from it in the last bits.

    Args:
        program: the group's.
        plan: how steps are cut.
        feed: where minibatches come from.
        block: the lane's seed and its neighbors' settings.
        index: the lane's place in the block.
        make_learner: builds the learner from the traced hyper-parameters.
        known: where to start.
        last: how many steps to look at.
        progress: told the steps done.
    """
    call = _Call(program, plan, feed, block)
    lane, start = call.begun(index, known)
    failed = int(np.asarray(lane.diverged_at)[0, index])
    reach = math.ceil(last / plan.span) + (plan.pieces > 1)  # the last piece of a row may be short
    starts: dict[int, Lane] = {}  # of the last segments, on the host
    for segment in range(start, plan.segments if failed < 0 else start):
        starts = {at: kept for at, kept in starts.items() if at >= segment - reach}
        starts[segment] = jax.device_get(lane)
        lane = call.segment(starts[segment], segment, plan.steps)
        failed = int(np.asarray(lane.diverged_at)[0, index])
        progress(plan.end(segment) - plan.begin(segment))
        if failed >= 0:
            break
    end = failed if failed >= 0 else plan.steps - 1
    see = functools.partial(_looked, call, _stepper(make_learner), index)
    looks = [
        see(call.segment(starts[plan.segment_of(step)], plan.segment_of(step), step), step)
        for step in range(max(end - last + 1, 0), end)
        if plan.segment_of(step) in starts
    ]
    number = plan.segment_of(end)
    looks.append(see(lane if failed >= 0 else call.segment(starts[number], number, end), end))
    return Rerun(failed, _cause(failed, looks), looks)


class _Call(NamedTuple):
    """A call of a program in which every block is the same one."""

    program: Program
    plan: Plan
    feed: Feed
    block: Block

    @property
    def wide(self) -> int:
        return self.program.layout.devices * self.program.layout.blocks

    @property
    def seeds(self) -> list[int]:
        return [self.block.seed] * self.wide

    def point(self) -> Any:
        names, points = self.block.points[0], self.block.points
        hyper = {n: np.array([[p[n] for p in points]] * self.wide, np.float32) for n in names}
        number = np.broadcast_to(np.arange(len(points), dtype=np.int32), (self.wide, len(points)))
        return place(Point(number, hyper), self.program.mesh, shared=False)

    def seed(self) -> Any:
        return place(np.array(self.seeds, np.uint32), self.program.mesh, shared=False)

    def begun(self, index: int, known: Known | None) -> tuple[Lane, int]:
        """Give the lanes to start with, all asleep but one, and the first segment."""
        if known is None:
            lane, start = jax.device_get(self.program.init(self.point(), self.seed())), 0
        else:
            pick = lambda a: np.repeat(np.asarray(a)[known.row : known.row + 1], self.wide, axis=0)
            lane, start = jax.tree.map(pick, known.lane), known.segments
        awake = np.zeros_like(lane.diverged_at, dtype=bool)
        awake[0, index] = True
        return lane._replace(diverged_at=np.where(awake, lane.diverged_at, 0).astype(np.int32)), start

    def segment(self, lane: Lane, number: int, total: int) -> Lane:
        """Run a segment up to step `total`."""
        data, indices = self.feed.get(self.seeds, number)
        mesh, plan = self.program.mesh, self.plan
        begin = plan.begin(number)
        steps = np.arange(begin, begin + plan.span, dtype=np.int32).reshape(plan.chunks, plan.every)
        shared = place((steps, np.int32(min(total, plan.end(number)))), mesh, shared=True)
        placed, order = place((lane, indices), mesh, shared=False)
        after, _ = self.program.segment(placed, self.point(), self.seed(), order, data, *shared)
        return after

    def batch(self, step: int) -> Batch:
        number = self.plan.segment_of(step)
        data, indices = self.feed.get(self.seeds[:1], number)
        chosen = indices.reshape(-1, self.feed.batch_size)[step - self.plan.begin(number)]
        return jax.tree.map(lambda a: np.asarray(a)[chosen], data)


Stepper = Callable[..., tuple[list[str], Any]]


def _looked(call: _Call, take: Stepper, index: int, lane: Lane, step: int) -> Look:
    """Take one step from where a lane stands, and look at all that is in it."""
    state = jax.tree.map(lambda a: np.asarray(a)[0, index], lane.state)
    hyper = {name: np.float32(value) for name, value in call.block.points[index].items()}
    names, values = take(hyper, state, call.batch(step), np.uint32(call.block.seed), np.int32(step))
    finite, loss, gradient, update, parameter = jax.device_get(values)
    bad = [name for name, fine in zip(names, finite, strict=True) if not fine]
    return Look(step, float(loss), float(gradient), float(update), float(parameter), bad[0] if bad else "")


def _stepper(make_learner: MakeLearner) -> Stepper:
    """Make the function that takes one step and tells names and finiteness of its arrays, loss and norms."""
    names: list[str] = []

    @jax.jit
    def take(hyper: Mapping[str, Array], state: PyTree, batch: Batch, seed: Array, step: Array) -> Any:
        key = fold_in(stream(lane_key(seed), STEP), step)
        after, info = make_learner(hyper).step(state, batch, key)
        found = list(_arrays(batch, info, after))
        names[:] = [name for name, _ in found]
        finite = [jnp.all(jnp.isfinite(array)) for _, array in found]
        norms = [optax.tree.norm(tree) for tree in (info.grads, info.updates, info.params)]
        return finite, info.loss, *norms

    return lambda *given: (values := take(*given), (names, values))[1]


def _arrays(batch: Batch, info: Info, after: PyTree) -> Iterator[tuple[str, Array]]:
    """Name all arrays of a step, in the order in which a step makes them; whole numbers are left out."""
    activations = {name: a for name, a in info.activations.items() if not name.endswith(ASIDE)}
    parts = (
        ("batch", batch._asdict()), ("parameter", info.params), ("activation", activations),
        ("loss", info.loss), ("gradient", info.grads), ("update", info.updates), ("state", after),
    )  # fmt: skip
    for kind, tree in parts:
        ordered = activations.items() if kind == "activation" else jax.tree_util.tree_flatten_with_path(tree)[0]
        for path, array in ordered:
            where = path if isinstance(path, str) else jax.tree_util.keystr(path, simple=True, separator=".")
            if jnp.issubdtype(jnp.asarray(array).dtype, jnp.inexact):
                yield f"{kind} {where}".strip(), array


def _cause(failed: int, looks: list[Look]) -> str:
    """Tell `causes` from the first bad array; it is the same rule, seen from nearby."""
    if failed < 0:
        return ""
    kind = looks[-1].first_bad.partition(" ")[0]
    if kind == "batch":
        return CAUSES[DATA]
    early = failed == 0 and kind in ("parameter", "activation", "loss")
    return CAUSES[INIT] if early else CAUSES[UPDATE]
