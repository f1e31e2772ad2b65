"""The protocol of a comparison: equal budgets, selection on validation data, fresh seeds, one look at the test split.

Everything here is in terms of arms, trials and seeds; how lanes run is the engine's, what the numbers allow to be said
is `verdicts`'.
"""

from __future__ import annotations

import collections
import functools
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax

from deepprinciples.config.settings import Train
from deepprinciples.engine.run import Outcome
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import from_config, measured
from deepprinciples.results.layout import BY_TRANSFORM
from deepprinciples.stats.searches import Judge, Row, Search, run_searches
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.groups import Group
from deepprinciples.study.planning.plan import StudyPlan
from deepprinciples.study.progress_store import ProgressStore, UnderWay
from deepprinciples.types import Dataset

AHEAD = 4  # most programs that compile at a time


class Finished(NamedTuple):
    """All that a study measured, arm by arm."""

    searches: dict[str, list[Search]]  # one per block; none where the arm tuned nothing
    outcomes: dict[str, Outcome]  # leading axis: seed
    programs: list[dict[str, Any]]
    probe_steps: list[int]
    evaluation_steps: list[int]
    seeds: list[int]
    block: list[int]  # the search whose setting each seed reports; every seed is its own where nothing is tuned
    tuning_seeds: list[list[int]]  # [searches][tuning seeds]
    probe_cost: float | None  # (time with probes - time without) / time without, where it was asked for
    seconds: float


class Progress(NamedTuple):
    """Callbacks of a study: `begin(total model-steps)`, `phase(text)`, `advance(model-steps)`, `say(line)`.

    `skip(model-steps)` is called for steps that are done without training now: known from before a resume, or of runs
    that need no more. Where it is None they go to `advance`; either way all steps add up to the total.

    Example:
        dp.compare(config, progress=dp.Progress(phase=print))
    """

    begin: Callable[[int], None] = lambda total: None
    phase: Callable[[str], None] = lambda text: None
    advance: Callable[[int], None] = lambda steps: None
    say: Callable[[str], None] = lambda line: None
    skip: Callable[[int], None] | None = None

    @property
    def skipped(self) -> Callable[[int], None]:
        """Whom to call for steps that are not trained."""
        return self.skip or self.advance


class Executor(NamedTuple):
    """Who trains the rows of phases: `train` takes the number of a group, then what `prepared_group.train` takes."""

    machines: int
    train: Callable[..., Outcome]


IN_THIS_PROCESS = Executor(1, lambda number, *args, **options: prepared_group.train(*args, **options))


def run_study(
    plan: StudyPlan,
    *,
    progress: Progress,
    keep: int = 0,
    store: ProgressStore | None = None,
    executor: Executor = IN_THIS_PROCESS,
) -> Finished:
    """Tune every arm with the same budget in independent searches, then train what each chose on fresh seeds.

    Args:
        plan: what is to be done; more than one arm makes a comparison.
        progress: called with how far it is.
        keep: of how many report seeds the final states of learners are kept.
        store: keeps what is done, and knows what was done before.
        executor: who trains; of several machines, each gets calls as wide as its share.

    Returns:
        Everything measured.
    """
    begun = time.monotonic()
    store = store or ProgressStore()
    train, groups, data = plan.train, plan.groups, plan.data
    progress.begin(train.steps * sum(map(plan.most_lanes, groups)))
    searches: dict[str, list[Search]] = {}
    outcomes: dict[str, Outcome] = {}
    programs = []
    cost = None

    def needs(group: Group) -> tuple[Dataset, Train, list[int]]:
        settings = train._replace(layouts={**store.shapes, **train.layouts})
        return data[group.arms[0]], settings, rows_of_a_machine(plan.counts(group), executor.machines)

    for number, (group, made) in enumerate(_compiled(groups, needs, progress)):
        shape = {**shape_of(made), "devices": made.program.layout.devices}
        needed, identity = made.program.memory_bytes, made.program.identity
        store.enter(UnderWay(group.arms[0], shape, len(group.arms), needed, identity))
        if made.measured:
            store.measured[group.arms[0]] = [one.described() for one in made.measured]
        store.repeats[group.arms[0]] = (
            prepared_group.repeats_itself(made) if data[group.arms[0]].stream is None else None
        )
        phase = CachedPhase(store, made, str(number), functools.partial(executor.train, number))
        found, searched = search(phase, plan, group, progress)
        progress.phase(f"training {', '.join(group.arms)} on fresh seeds")
        rows = report_rows(found, plan, group)
        outcome = phase.train("report", rows, on_test=True, progress=progress.advance, skip=progress.skipped, keep=keep)
        searches |= found
        for index, arm in enumerate(group.arms):
            outcomes[arm] = _of_arm(outcome, index, from_config.transform_names(plan.arms[arm].config))
        programs.append(_program_row(number, made, found, searched, outcome, store, executor.machines))
        store.program = None
        if train.time_probes and number == 0:
            progress.phase("timing the probes")
            cost = prepared_group.probe_cost(made, data[group.arms[0]], train)
    return Finished(
        searches={name: searches[name] for name in plan.arms},
        outcomes={name: outcomes[name] for name in plan.arms},
        programs=programs,
        probe_steps=made.plan.probe_steps(),
        evaluation_steps=made.plan.evaluation_steps(),
        seeds=plan.report_seeds,
        block=plan.block,
        tuning_seeds=plan.search_seeds,
        probe_cost=cost,
        seconds=time.monotonic() - begun,
    )


def rows_of_a_machine(rows: Sequence[int], machines: int) -> list[int]:
    """Return the rows of each phase that one of `machines` trains: at least one a device where there are as many."""
    return [max(math.ceil(count / machines), min(count, len(jax.devices()))) for count in rows]


def search(
    phase: CachedPhase, plan: StudyPlan, group: Group, progress: Progress
) -> tuple[dict[str, list[Search]], float]:
    """Search for each arm of a group; returns each arm's searches and the seconds spent."""
    own = {a: plan.arms[a].space for a in group.arms}
    trials = plan.trials(group)
    if not trials:
        return {a: [] for a in group.arms}, 0.0
    metric = from_config.metric_name(group.config)
    judge = Judge(metric, from_config.higher_is_better(group.config), measured.worst(group.config))

    def train(name: str, rows: list[Row], share: float) -> Outcome:
        progress.phase(f"tuning {', '.join(group.arms)}")
        until = phase.made.plan.reached(share)
        return phase.train(name, rows, on_test=False, until=until, progress=progress.advance, skip=progress.skipped)

    skipped = lambda runs: progress.skipped(round(runs * phase.made.plan.steps))
    found, seconds = run_searches(train, own, plan.budget(trials), judge, skipped)
    return {a: found[a] if own[a] else [] for a in group.arms}, seconds


def report_rows(found: Mapping[str, list[Search]], plan: StudyPlan, group: Group) -> list[Row]:
    """List the runs that report: every seed with the points that its block's searches chose."""
    return [
        (seed, [found[a][block].chosen if found[a] else {} for a in group.arms])
        for seed, block in zip(plan.report_seeds, plan.block, strict=True)
    ]


def _compiled(
    groups: Sequence[Group], needs: Callable[[Group], tuple[Dataset, Train, list[int]]], progress: Progress
) -> Iterator[tuple[Group, prepared_group.Bench]]:
    """Yield the groups with their programs; the next ones compile meanwhile, and each is measured alone."""
    workers = min(len(os.sched_getaffinity(0)), AHEAD)  # tracing and most of compiling keep one core busy
    pool = ThreadPoolExecutor(workers)
    coming = collections.deque(groups)
    under_way: collections.deque[Future[prepared_group.Bench]] = collections.deque()

    def fill(most: int) -> None:
        while coming and len(under_way) < most:
            group = coming.popleft()
            under_way.append(pool.submit(prepared_group.set_up, group, *needs(group)))

    try:
        for number, group in enumerate(groups):
            fill(workers if number else max(1, workers // 2))  # the first has two cores, and lanes run the sooner
            progress.phase(f"compiling {', '.join(group.arms)}")
            made = under_way.popleft().result()
            made = prepared_group.calibrated(made, *needs(group), alone=functools.partial(wait, under_way))
            fill(workers)
            yield group, made
    finally:  # whoever stops the study does not wait for a program that it will not run
        pool.shutdown(wait=False, cancel_futures=True)


class CachedPhase(NamedTuple):
    """A group's runs in the store: what is done is not run again. `run` stands for `prepared_group.train`."""

    store: ProgressStore
    made: prepared_group.Bench
    group: str
    run: Callable[..., Outcome] = prepared_group.train
    known_only: bool = False  # nothing is run that is not known

    def train(self, name: str, *args: Any, on_test: bool, keep: int = 0, **options: Any) -> Outcome:
        """Run `prepared_group.train`, or load its outcome; the states are those of the first `keep` rows."""
        label, keep_states = f"{self.group}-{name}", keep > 0
        known = self.store.outcome(
            label, prepared_group.outcome_like(self.made, on_test=on_test, keep_states=keep_states)
        )
        if known is not None:
            plan = self.made.plan
            options["skip"](known.diverged_at.size * plan.end((options.get("until") or plan.segments) - 1))
            return known
        if self.known_only:
            raise ConfigError(f"the run was stopped before {label} was done; resume it first")
        with self.store.running(label) as keeper:
            outcome = self.run(self.made, *args, on_test=on_test, keep_states=keep_states, keeper=keeper, **options)
            outcome = outcome._replace(states=jax.tree.map(lambda a: a[:keep], outcome.states))
            self.store.close(label, outcome)
        return outcome


def _of_arm(outcome: Outcome, index: int, transforms: Sequence[str]) -> Outcome:
    """Take one arm out of a group's report, [seeds, arms, ...] -> [seeds, ...], less what it only carried along."""
    one: Outcome = jax.tree.map(lambda a: a[:, index], outcome._replace(seconds=None))
    logs = {
        name: {key: value for key, value in log.items() if key in transforms} if name in BY_TRANSFORM else log
        for name, log in one.logs.items()
    }
    return one._replace(logs=logs, seconds=outcome.seconds)


def shape_of(made: prepared_group.Bench) -> dict[str, Any]:
    """Return the shape of a group's program as the config records it."""
    layout = made.program.layout
    return {"mode": layout.mode, "blocks": layout.blocks, "chunks": made.plan.chunks}


def _program_row(
    number: int,
    made: prepared_group.Bench,
    found: Mapping[str, list[Search]],
    searched: float,
    outcome: Outcome,
    store: ProgressStore,
    machines: int,
) -> dict[str, Any]:
    program, arms = made.program, made.group.arms
    tried = sum(one.diverged_at.size for one in next((searches for searches in found.values() if searches), []))
    return {
        "group": number,
        "arms": list(arms),
        "traced": list(made.group.names),
        "lanes": tried * len(arms) + outcome.diverged_at.size,
        "width": program.layout.width,
        "devices": program.layout.devices,
        "machines": machines,
        "mode": program.layout.mode,
        "compiles": program.compiles,
        "compile_seconds": round(program.compile_seconds, 3),
        "run_seconds": round(searched + outcome.seconds, 3),
        "memory_bytes": program.memory_bytes,
        "shape": shape_of(made),
        "repeats_itself": store.repeats[arms[0]],
        "measured": store.measured.get(arms[0], []),
        "gradient_evaluations_per_step": program.evaluations,
    }
