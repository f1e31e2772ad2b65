"""The protocol of a comparison: equal budgets, selection on validation data, fresh seeds, one look at the test split.

Everything here is in terms of arms, trials and seeds; how lanes run is the engine's, what the numbers allow to be said
is `verdicts`'.
"""

from __future__ import annotations

import collections
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax

from deepprinciples.engine.population import Program
from deepprinciples.engine.run import Outcome
from deepprinciples.errors import ConfigError
from deepprinciples.learners import measured
from deepprinciples.study import bench, build, tuning
from deepprinciples.study.groups import Group, group_arms
from deepprinciples.study.hyper_search import Budget, Judge, Row, Search, run_searches
from deepprinciples.study.ledger import Ledger, nothing_kept
from deepprinciples.study.memory import UnderWay
from deepprinciples.study.results import BY_TRANSFORM
from deepprinciples.study.settings import Study, Train, report_seeds
from deepprinciples.types import Dataset

TUNING_OFFSET = 2**31  # tuning seeds lie half the range of seeds away from the seeds that report
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

    Example:
        dp.compare(config, progress=dp.Progress(phase=print))
    """

    begin: Callable[[int], None] = lambda total: None
    phase: Callable[[str], None] = lambda text: None
    advance: Callable[[int], None] = lambda steps: None
    say: Callable[[str], None] = lambda line: None


class Course(NamedTuple):
    """What a study will do, before anything is compiled."""

    train: Train
    study: Study
    report_seeds: list[int]
    block: list[int]  # of each report seed
    search_seeds: list[list[int]]  # [searches][tuning seeds]
    spaces: dict[str, tuning.Space]
    groups: list[Group]

    def trials(self, group: Group) -> int:
        """Give the trials of a round for each arm of a group; none where nothing is tuned."""
        return self.study.trials if any(self.spaces[a] for a in group.arms) else 0

    def counts(self, group: Group) -> list[int]:
        """Give the rows of each phase of a group."""
        searched = [self.trials(group) * sum(map(len, self.search_seeds))]
        return [len(self.report_seeds)] + searched * (self.trials(group) > 0)

    def most_lanes(self, group: Group) -> int:
        """Give the lanes of a group if every search is extended."""
        searched = self.trials(group) * sum(map(len, self.search_seeds)) * (1 + self.study.extend)
        return len(group.arms) * (searched + len(self.report_seeds))


def course_of(arms: Mapping[str, build.Config], tune: Mapping[str, Mapping[str, Any]]) -> Course:
    """Plan a study: its settings, its seeds, what each arm searches, and which arms share a program."""
    config = next(iter(arms.values()))
    train, study = Train(**config["train"]), Study(**config["study"])
    spaces = {name: tuning.space(tune.get(name, {}), build.allowed(arms[name])) for name in arms}
    report, block, search = seeds_of(train, study, arms=len(arms), tuned=any(spaces.values()))
    groups = group_arms(arms, {name: list(axes) for name, axes in spaces.items()})
    return Course(train, study, report, block, search, spaces, groups)


def seeds_of(train: Train, study: Study, *, arms: int, tuned: bool) -> tuple[list[int], list[int], list[list[int]]]:
    """Choose the seeds that report, the block of each, and the seeds that tune in each search.

    Seeds that report and seeds that tune are disjoint, and functions of `train.seed` alone. More searches add seeds at
    the end and leave those before them as they are.
    """
    count = report_seeds(study, tuned=tuned) if arms > 1 else train.seeds
    report = [(train.seed + k) % 2**32 for k in range(count)]
    if not tuned:
        return report, list(range(count)), []
    each = count // study.searches
    first = train.seed + TUNING_OFFSET
    search = [
        [(first + b * study.tuning_seeds + k) % 2**32 for k in range(study.tuning_seeds)] for b in range(study.searches)
    ]
    return report, [k // each for k in range(count)], search


def run_study(
    arms: Mapping[str, build.Config],
    data: Mapping[str, Dataset],
    tune: Mapping[str, Mapping[str, Any]],
    *,
    progress: Progress,
    keep: int = 0,
    ledger: Ledger | None = None,
) -> Finished:
    """Tune every arm with the same budget in independent searches, then train what each chose on fresh seeds.

    Args:
        arms: name -> resolved config; more than one makes a comparison.
        data: name -> data set.
        tune: name -> the arm's search space; empty where nothing is tuned.
        progress: hears how far it is.
        keep: of how many report seeds the final states of learners are kept.
        ledger: keeps what is done, and knows what was done before.

    Returns:
        Everything measured.
    """
    begun = time.monotonic()
    ledger = ledger or nothing_kept()
    course = course_of(arms, tune)
    train, groups = course.train, course.groups
    progress.begin(train.steps * sum(map(course.most_lanes, groups)))
    searches: dict[str, list[Search]] = {}
    outcomes: dict[str, Outcome] = {}
    programs = []
    cost = None

    narrow = {arm: one["shape"] for arm, one in ledger.narrowed.items()}

    def needs(group: Group) -> tuple[Dataset, Train, list[int]]:
        return (
            data[group.arms[0]],
            train._replace(shapes={**ledger.shapes, **train.shapes, **narrow}),
            course.counts(group),
        )

    for number, (group, made) in enumerate(_compiled(groups, needs, progress)):
        shape = {**shape_of(made), "devices": made.program.layout.devices}
        ledger.enter(UnderWay(group.arms[0], shape, len(group.arms), *_facts(made.program)))
        if made.measured:
            ledger.measured[group.arms[0]] = [one.told() for one in made.measured]
        ledger.repeats[group.arms[0]] = bench.repeats_itself(made) if data[group.arms[0]].stream is None else None
        entry = Entry(ledger, made, str(number))
        found, searched = search(entry, course, group, progress)
        progress.phase(f"training {', '.join(group.arms)} on fresh seeds")
        rows = report_rows(found, course, group)
        outcome = entry.train("report", rows, judged=True, progress=progress.advance, keep=keep)
        searches |= found
        outcomes |= {a: _of_arm(outcome, i, build.transform_names(arms[a])) for i, a in enumerate(group.arms)}
        programs.append(_program_row(number, made, found, searched, outcome, ledger))
        if train.time_probes and number == 0:
            progress.phase("timing the probes")
            cost = bench.probe_cost(made, data[group.arms[0]], train)
    return Finished(
        searches={name: searches[name] for name in arms},
        outcomes={name: outcomes[name] for name in arms},
        programs=programs,
        probe_steps=made.plan.probe_steps(),
        evaluation_steps=made.plan.evaluation_steps(),
        seeds=course.report_seeds,
        block=course.block,
        tuning_seeds=course.search_seeds,
        probe_cost=cost,
        seconds=time.monotonic() - begun,
    )


def _facts(program: Program) -> tuple[int, str]:
    return program.memory_bytes, program.identity


def search(entry: Entry, course: Course, group: Group, progress: Progress) -> tuple[dict[str, list[Search]], float]:
    """Search for each arm of a group; returns each arm's searches and the seconds spent."""
    own = {a: course.spaces[a] for a in group.arms}
    trials = course.trials(group)
    if not trials:
        return {a: [] for a in group.arms}, 0.0
    metric = build.metric_name(group.config)
    judge = Judge(metric, build.higher_is_better(group.config), measured.worst(group.config))
    budget = Budget(trials, course.study.extend, course.search_seeds, course.train.seed)

    def train(name: str, rows: list[Row]) -> Outcome:
        progress.phase(f"tuning {', '.join(group.arms)}")
        return entry.train(name, rows, judged=False, progress=progress.advance)

    skipped = lambda runs: progress.advance(runs * entry.made.plan.steps)
    found, seconds = run_searches(train, own, budget, judge, skipped)
    return {a: found[a] if own[a] else [] for a in group.arms}, seconds


def report_rows(found: Mapping[str, list[Search]], course: Course, group: Group) -> list[Row]:
    """List the runs that report: every seed with the points that its block's searches chose."""
    return [
        (seed, [found[a][block].chosen if found[a] else {} for a in group.arms])
        for seed, block in zip(course.report_seeds, course.block, strict=True)
    ]


def _compiled(
    groups: Sequence[Group], needs: Callable[[Group], tuple[Dataset, Train, list[int]]], progress: Progress
) -> Iterator[tuple[Group, bench.Bench]]:
    """Yield the groups with their programs; the next ones compile meanwhile, and each is measured alone."""
    workers = min(len(os.sched_getaffinity(0)), AHEAD)  # tracing and most of compiling keep one core busy
    pool = ThreadPoolExecutor(workers)
    coming = collections.deque(groups)
    under_way: collections.deque[Future[bench.Bench]] = collections.deque()

    def fill(most: int) -> None:
        while coming and len(under_way) < most:
            group = coming.popleft()
            under_way.append(pool.submit(bench.set_up, group, *needs(group)))

    try:
        for number, group in enumerate(groups):
            fill(workers if number else max(1, workers // 2))  # the first has two cores, and lanes run the sooner
            progress.phase(f"compiling {', '.join(group.arms)}")
            made = under_way.popleft().result()
            made = bench.calibrated(made, *needs(group), alone=functools.partial(wait, under_way))
            fill(workers)
            yield group, made
    finally:  # whoever stops the study does not wait for a program that it will not run
        pool.shutdown(wait=False, cancel_futures=True)


class Entry(NamedTuple):
    """A group's runs in the ledger: what is done is not run again."""

    ledger: Ledger
    made: bench.Bench
    group: str
    known_only: bool = False  # nothing is run that is not known

    def train(self, name: str, *args: Any, keep: int = 0, **options: Any) -> Outcome:
        """Run `bench.train`, or take its outcome from the ledger; the states are those of the first `keep` rows."""
        label, keep_states = f"{self.group}-{name}", keep > 0
        known = self.ledger.outcome(label, bench.outcome_like(self.made, keep_states=keep_states))
        if known is not None:
            options["progress"](known.diverged_at.size * self.made.plan.steps)
            return known
        if self.known_only:
            raise ConfigError(f"the run was stopped before {label} was done; resume it first")
        with self.ledger.running(label) as keeper:
            outcome = bench.train(self.made, *args, keep_states=keep_states, keeper=keeper, **options)
            outcome = outcome._replace(states=jax.tree.map(lambda a: a[:keep], outcome.states))
            self.ledger.close(label, outcome)
        return outcome


def _of_arm(outcome: Outcome, index: int, transforms: Sequence[str]) -> Outcome:
    """Take one arm out of a group's report, [seeds, arms, ...] -> [seeds, ...], less what it only carried along."""
    one = jax.tree.map(lambda a: a[:, index], outcome._replace(seconds=None))
    logs = {
        name: {key: value for key, value in log.items() if key in transforms} if name in BY_TRANSFORM else log
        for name, log in one.logs.items()
    }
    return one._replace(logs=logs, seconds=outcome.seconds)


def shape_of(made: bench.Bench) -> dict[str, Any]:
    """Give the shape of a group's program as the config records it."""
    layout = made.program.layout
    return {"mode": layout.mode, "blocks": layout.blocks, "chunks": made.plan.chunks}


def _program_row(
    number: int, made: bench.Bench, found: Mapping[str, list[Search]], searched: float, outcome: Outcome, ledger: Ledger
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
        "mode": program.layout.mode,
        "compiles": program.compiles,
        "compile_seconds": round(program.compile_seconds, 3),
        "run_seconds": round(searched + outcome.seconds, 3),
        "memory_bytes": program.memory_bytes,
        "shape": shape_of(made),
        "repeats_itself": ledger.repeats[arms[0]],
        "measured": ledger.measured.get(arms[0], []),
        "gradient_evaluations_per_step": made.evaluations,
    }
