"""A group made ready to run: its data on the devices, its plan, its compiled program."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from deepprinciples.config.settings import Train
from deepprinciples.engine import autotune, compile_cache
from deepprinciples.engine.batching import Feed, bounded, evaluated_at_once, pad_split, resident, streamed
from deepprinciples.engine.early_stopping import Choice, held_bytes
from deepprinciples.engine.population import Layout, Program, choose_layout, make_mesh, place
from deepprinciples.engine.run import Block, Outcome, Padded, run
from deepprinciples.engine.segments import Plan, plan
from deepprinciples.engine.serialization import NOBODY, Keeper
from deepprinciples.learners.assembly import from_config
from deepprinciples.study.planning import program_cache
from deepprinciples.study.planning.groups import Group
from deepprinciples.types import Batch, Dataset


class Bench(NamedTuple):
    """All that running a group's lanes takes."""

    group: Group
    plan: Plan
    program: Program
    feed: Feed
    validation: Padded
    judges: Mapping[str, Padded]  # "test", and the further test sets by name
    measured: tuple[autotune.Measured, ...] = ()  # the shapes that were tried, where it was worth it


def set_up(group: Group, dataset: Dataset, settings: Train, block_counts: Sequence[int]) -> Bench:
    """Compile a group's program for the phases to come, as recorded in `settings.layouts`, or as is known to do well.

    Args:
        group: arms that share the program.
        dataset: their data.
        settings: the [train] section.
        block_counts: blocks each phase will run, to choose the width by.
    """
    cut = plan(settings.steps, probe_every=settings.probe_every, evaluate_every=settings.evaluate_every)
    devices = jax.devices()
    mode = settings.parallel if settings.parallel != "auto" else ("map" if devices[0].platform == "cpu" else "vmap")
    used = min(len(devices), max(block_counts))  # a device without a lane of its own would only run a copy
    layout = choose_layout(block_counts, len(group.arms), devices=used, mode=mode, limit=settings.max_parallel)
    recorded = settings.layouts.get(group.arms[0])
    if recorded:
        # A run with more seeds than before goes on with the devices it had: on more of them it is another program.
        used = min(recorded.get("devices", used), len(devices))
        layout = layout._replace(mode=recorded["mode"], blocks=recorded["blocks"], devices=used)
        cut = cut.shortened(recorded["chunks"])
    else:
        layout, cut = autotune.shortened(layout, cut, dataset.batch_size)
    return _built(group, dataset, layout, cut)


def _built(group: Group, dataset: Dataset, layout: Layout, cut: Plan) -> Bench:
    mesh = make_mesh(layout.devices)
    parts = from_config.splits(dataset)
    splits = {"validation": parts["validation"], "test": parts["test"]}
    splits |= {name: dataset.batch(name) for name in dataset.test_sets}
    size = max(len(jax.tree.leaves(one.targets)[0]) for one in splits.values())
    cut_split = functools.partial(pad_split, size=size, batch=evaluated_at_once(splits["validation"]))
    padded = {name: place(cut_split(one), mesh, shared=True) for name, one in splits.items()}
    validation = padded.pop("validation")
    if dataset.stream is None:
        feed = resident(parts["train"], batch_size=dataset.batch_size, plan=cut, mesh=mesh)
    else:
        stream = dataset.stream
        cut = bounded(cut, parts["train"])
        feed = streamed(
            lambda: (Batch(*pair) for pair in stream),
            batch_size=dataset.batch_size,
            plan=cut,
            mesh=mesh,
            first=parts["train"],
        )

    def make(layout: Layout) -> Program:
        made = program_cache.program(group, dataset, layout, cut, feed, validation)
        more = held_bytes(made) if _choice(group) else 0
        return made._replace(memory_bytes=made.memory_bytes + more)

    program = autotune.fitted(make, layout, autotune.memory_limit(layout.devices))
    return Bench(group, cut, program, feed, validation, padded)


def calibrated(
    bench: Bench, dataset: Dataset, settings: Train, block_counts: Sequence[int], *, alone: Callable[[], Any]
) -> Bench:
    """Measure other shapes of the program and take the fastest, where the run is long against compiling them.

    A shape that the settings name, or a stream of batches, is left as it is. `alone` is called before anything is
    measured in earnest, and returns when nothing else runs. What was found is kept on disk: a second run of a config
    measures nothing, and takes the shape of the first.
    """
    if settings.parallel != "auto" or settings.max_parallel or dataset.stream is not None:
        return bench
    if bench.group.arms[0] in settings.layouts:
        return bench
    devices = list(bench.program.mesh.devices.flat)
    key = bench.program.key and json.dumps(["shape", bench.program.key, list(block_counts), bench.plan.steps])
    if key and (known := compile_cache.read_note(key, devices)):
        tried = [autotune.Measured(Layout(*layout), *rest) for layout, *rest in known["measured"]]
        best, layout, cut = bench.program, Layout(*known["layout"]), bench.plan.shortened(known["chunks"])
    else:
        best, layout, cut, tried = _fastest(bench, dataset, block_counts, alone)
        if key:
            compile_cache.write_note(key, devices, {"layout": layout, "chunks": cut.chunks, "measured": tried})
    if (layout, cut) == (best.layout, bench.plan):
        return bench._replace(program=best, measured=tuple(tried))
    return _built(bench.group, dataset, layout, cut)._replace(measured=tuple(tried))


def _fastest(
    bench: Bench, dataset: Dataset, block_counts: Sequence[int], alone: Callable[[], Any]
) -> tuple[Program, Layout, Plan, list[autotune.Measured]]:
    """Measure shapes of the program, where it is worth it.

    Returns:
        The fastest program, the layout and the cut of steps that suit it, and all that was measured.
    """
    program, cut, size = bench.program, bench.plan, dataset.batch_size
    data, _ = bench.feed.get([0], 0)
    cost = functools.partial(autotune.measure, plan=cut, data=data, hyper=bench.group.values[0], batch_size=size)
    guess = cost(program, count=min(2, cut.every))
    work = guess.seconds * sum(block_counts) * len(bench.group.arms) * cut.steps
    if work < autotune.WORTH * max(guess.compile_seconds, autotune.COMPILE_SECONDS):
        return program, program.layout, cut, []
    alone()
    most = math.ceil(max(block_counts) / program.layout.devices)
    make = lambda layout: _built(bench.group, dataset, layout, cut).program
    best, tried = autotune.choose(program, make, functools.partial(cost, count=cut.every), most)
    fastest = next(one for one in tried if one.layout == best.layout)
    return best, *autotune.shortened(best.layout, cut, size, fastest.seconds), tried


def repeats_itself(bench: Bench) -> bool:
    """Check whether the program, started twice, takes its first step to the same bits."""
    data, _ = bench.feed.get([0], 0)
    values = bench.group.values[0]
    return autotune.repeats_itself(bench.program, bench.plan, data, values, bench.feed.batch_size)


def train(
    bench: Bench,
    rows: Sequence[tuple[int, Sequence[Mapping[str, float]]]],
    *,
    on_test: bool,
    progress: Callable[[int], None],
    skip: Callable[[int], None] | None = None,
    until: int | None = None,
    keep_states: bool = False,
    keeper: Keeper = NOBODY,
) -> Outcome:
    """Run rows of a group, one lane for each arm in each.

    Args:
        bench: the group.
        rows: (seed, [arm]: settings of the tuned hyper-parameters).
        on_test: evaluate the test split and the further test sets at the end; else the validation split stands.
        progress: called with the model-steps done.
        skip: called in its place with those that are done but were not trained now.
        until: segments to train, where not all; see `Plan.reached`.
        keep_states: bring the states that are judged to the host.
        keeper: keeps the run's progress.

    Returns:
        The outcome, leading axes [rows, arms].
    """
    blocks = [
        Block(seed, tuple({**own, **point} for own, point in zip(bench.group.values, points, strict=True)))
        for seed, points in rows
    ]
    return run(
        bench.program,
        blocks,
        plan=bench.plan,
        feed=bench.feed,
        curve=bench.validation,
        judges=bench.judges if on_test else {},
        until=until,
        keep_states=keep_states,
        choice=_choice(bench.group),
        progress=progress,
        skip=skip,
        keeper=keeper,
    )


def _choice(group: Group) -> Choice | None:
    """Return which state each arm of a group is judged by; None where it is the last in all."""
    if not any(best for best, _ in group.keeps):
        return None
    metric, higher = from_config.metric_name(group.config), from_config.higher_is_better(group.config)
    best, patience = zip(*group.keeps, strict=True)
    return Choice(metric, higher, best, patience)


def outcome_like(bench: Bench, *, on_test: bool, keep_states: bool) -> Outcome:
    """Return the structure of the outcomes of `train`, whatever stands in it."""
    lanes, log, metrics = bench.program.shapes
    further = {name: metrics for name in bench.judges if name != "test"} if on_test else {}
    state = lanes.state if keep_states else None
    kept_step = np.zeros(()) if _choice(bench.group) else None
    return Outcome(log, metrics, metrics, further, np.zeros(()), np.zeros(()), kept_step, state, None)


def probe_cost(bench: Bench, dataset: Dataset, settings: Train) -> float:
    """Measure what the probes cost: the median over five pairs of (time with - time without) / time without.

    Compiles the group once more without probes; every call trains all lanes of one full width from start to end.
    """
    bare_config = from_config.replaced(bench.group.config, {"train.probes": ()})
    seeds = range(bench.program.layout.devices * bench.program.layout.blocks)
    bare = set_up(bench.group._replace(config=bare_config), dataset, settings, [len(seeds)])
    rows: list[tuple[int, list[dict[str, float]]]] = [(seed, [{} for _ in bench.group.arms]) for seed in seeds]

    def seconds(one: Bench) -> float:
        return train(one, rows, on_test=False, progress=lambda steps: None).seconds

    seconds(bare), seconds(bench)  # warm
    pairs = [(seconds(bench), seconds(bare)) for _ in range(5)]
    return float(np.median([probed / plain - 1 for probed, plain in pairs]))
