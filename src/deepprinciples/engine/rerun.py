"""One lane run again with its program, and its last steps inspected one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from deepprinciples.engine import compile_cache
from deepprinciples.engine.batching import Feed
from deepprinciples.engine.divergence import CAUSES, causes
from deepprinciples.engine.lane.fit import STEP, Lane
from deepprinciples.engine.population import MakeLearner, Program, place
from deepprinciples.engine.run import Block, Padded, nonfinite_batch
from deepprinciples.engine.segments import Plan
from deepprinciples.engine.streams import lane_key
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.types import AUXILIARY, Array, Batch, Info, PyTree


class Look(NamedTuple):
    """What one step was: norms over all parameters, and the first array of it that holds no finite number."""

    step: int
    loss: float
    gradient_norm: float
    update_norm: float
    parameter_norm: float  # before the step
    first_bad: str  # such as "gradient layer_00.linear.kernel"; empty where all is finite


class Rerun(NamedTuple):
    """A lane run again: the step at which it diverged (-1: it did not), why, and its last steps.

    The first look with a `first_bad` is the answer: the weights may have been lost a step before the loss, or more.
    """

    diverged_at: int
    cause: str  # as `causes` tells the run
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
    curve: Padded,
    known: Known | None = None,
    last: int = 8,
    progress: Callable[[int], None] = lambda steps: None,
) -> Rerun:
    """Run one lane as it was run, with the other lanes of the call asleep, and look at its last steps.

    The program is the run's, so the states are those of the run, to the bit; each step that is inspected is taken once
    more from its state by itself, which may differ from it in the last bits. A state that is not finite cannot be had
    from the program: from the first one on, each step starts where the one before it led.

    Args:
        program: the group's.
        plan: how steps are cut.
        feed: where minibatches come from.
        block: the lane's seed and its neighbors' settings.
        index: the lane's place in the block.
        make_learner: builds the learner from the traced hyper-parameters.
        curve: the split evaluated after every segment.
        known: where to start.
        last: how many steps to look at; where the state was lost before them, the step that lost it is inspected too.
        progress: called with the steps done.
    """
    call = _Call(program, plan, feed, block, index)
    lane, start = call.begun(known)
    failed = call.diverged_at(lane)
    starts: dict[int, Lane] = {}  # of the last segments, on the host
    if failed >= 0:
        starts[plan.segment_of(failed)] = call.awake(lane)
    reach = math.ceil(last / plan.span) + (plan.pieces > 1)  # the last piece of a row may be short
    for segment in range(start, plan.segments if failed < 0 else start):
        starts = {at: kept for at, kept in starts.items() if at >= segment - reach}
        starts[segment] = jax.device_get(lane)
        lane = call.segment(starts[segment], segment, plan.steps)
        failed = call.diverged_at(lane)
        progress(plan.end(segment) - plan.begin(segment))
        if failed >= 0:
            break
    end = failed if failed >= 0 else plan.steps - 1
    looks = _looks(call, _stepper(make_learner), starts, max(end - last + 1, plan.begin(min(starts))), end)
    initial = lambda: call.initial_loss(curve)
    batches = lambda row, step: nonfinite_batch(feed, plan, [block.seed], row, step)
    return Rerun(failed, CAUSES[causes(np.array([[failed]]), initial, batches).item()], looks)


def _looks(call: _Call, take: Stepper, starts: Mapping[int, Lane], first: int, end: int) -> list[Look]:
    """Look at the steps from `first` to `end`, and at an earlier one that lost the state."""

    def reached(step: int) -> PyTree | None:
        """Return the state with which a step starts; None where it is not finite."""
        number = call.plan.segment_of(step)
        lane = starts[number]
        if step > call.plan.begin(number):
            lane = call.segment(lane, number, step)
        return call.state(lane) if call.diverged_at(lane) < 0 else None

    lost = first
    if reached(first) is None:
        good, bad = call.plan.begin(call.plan.segment_of(first)), first
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (good, middle) if reached(middle) is None else (middle, bad)
        lost = good
    looks: list[Look] = []
    state = after = None
    for step in range(lost, end + 1):
        state = reached(step) if step == lost or state is not None else None
        look, after = _looked(call, take, after if state is None else state, step)
        looks += [look] if step == lost or step >= first else []
    return looks


class _Call(NamedTuple):
    """A call of a program in which every block is the same one."""

    program: Program
    plan: Plan
    feed: Feed
    block: Block
    number: int  # of the lane in the block

    @property
    def wide(self) -> int:
        return self.program.layout.devices * self.program.layout.blocks

    @property
    def seeds(self) -> list[int]:
        return [self.block.seed] * self.wide

    def point(self) -> Any:
        return self.program.points(self.seeds, [self.block.points] * self.wide)

    def seed(self) -> Any:
        return place(np.array(self.seeds, np.uint32), self.program.mesh, shared=False)

    def begun(self, known: Known | None) -> tuple[Lane, int]:
        """Return the lanes to start with, all asleep but one, and the first segment."""
        if known is None:
            lane, start = jax.device_get(self.program.init(self.point(), self.seed())), 0
        else:
            pick = lambda a: np.repeat(np.asarray(a)[known.row : known.row + 1], self.wide, axis=0)
            lane, start = jax.tree.map(pick, known.lane), known.segments
        return self.awake(lane, self.diverged_at(lane)), start

    def awake(self, lane: Lane, diverged_at: int = -1) -> Lane:
        """Set the step at which the lane diverged, and put all others to sleep."""
        asleep: Any = np.zeros(lane.diverged_at.shape, np.int32)
        asleep[0, self.number] = diverged_at
        return lane._replace(diverged_at=asleep)

    def diverged_at(self, lane: Lane) -> int:
        return int(np.asarray(lane.diverged_at)[0, self.number])

    def state(self, lane: Lane) -> PyTree:
        return jax.tree.map(lambda a: np.asarray(a)[0, self.number], lane.state)

    def initial_loss(self, curve: Padded) -> np.ndarray:
        """Return the held-out loss of the lane's initial weights [1, 1]."""
        point, mesh = self.point(), self.program.mesh
        split = place(curve, mesh, shared=True)
        found = self.program.evaluate(self.program.init(point, self.seed()), point, split)["loss"]
        return np.asarray(found)[:1, self.number : self.number + 1]

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


def _looked(call: _Call, take: Stepper, state: PyTree, step: int) -> tuple[Look, PyTree]:
    """Take one step from a state, and look at all that is in it; also return the state after it."""
    hyper = {name: np.float32(value) for name, value in call.block.points[call.number].items()}
    names, (*values, after) = take(hyper, state, call.batch(step), np.uint32(call.block.seed), np.int32(step))
    finite, loss, gradient, update, parameter = jax.device_get(values)
    bad = [name for name, fine in zip(names, finite, strict=True) if not fine]
    return Look(step, float(loss), float(gradient), float(update), float(parameter), bad[0] if bad else ""), after


def _stepper(make_learner: MakeLearner) -> Stepper:
    """Make the function that takes one step and returns names and finiteness of its arrays, loss, norms and state."""
    names: list[str] = []

    def take(hyper: Mapping[str, Array], state: PyTree, batch: Batch, seed: Array, step: Array) -> Any:
        key = fold_in(stream(lane_key(seed), STEP), step)
        after, info = make_learner(hyper).step(state, batch, key)
        found = list(_arrays(batch, info, after))
        names[:] = [name for name, _ in found]
        finite = [jnp.all(jnp.isfinite(array)) for _, array in found]
        norms = [optax.tree.norm(tree) for tree in (info.grads, info.updates, info.params)]
        return finite, info.loss, *norms, after

    made: list[Any] = []

    def call(*given: Any) -> Any:
        if not made:
            lowered = jax.jit(take).lower(*given)
            made.append(compile_cache.compiled(lowered, lowered.as_text(), {}, jax.devices()[:1]))
        return names, made[0](*given)

    return call


def _arrays(batch: Batch, info: Info, after: PyTree) -> Iterator[tuple[str, Array]]:
    """Name all arrays of a step, in the order in which a step makes them; whole numbers are left out."""
    activations = {name: a for name, a in info.activations.items() if not name.endswith(AUXILIARY)}
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
