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
import numpy as np

from deepprinciples.engine.population import Program
from deepprinciples.engine.run import Outcome
from deepprinciples.errors import ConfigError
from deepprinciples.study import bench, build, tuning
from deepprinciples.study.groups import Group, group_arms
from deepprinciples.study.ledger import Ledger, nothing_kept
from deepprinciples.study.memory import UnderWay
from deepprinciples.study.results import BY_TRANSFORM
from deepprinciples.study.settings import Study, Train
from deepprinciples.study.statistics import worst_case
from deepprinciples.types import Dataset

TUNING_OFFSET = 2**31  # tuning seeds lie half the range of seeds away from the seeds that report
AHEAD = 4  # most programs that compile at a time


class Tuned(NamedTuple):
    """What an arm's search gave."""

    axes: tuning.Space
    points: list[dict[str, float]]  # one per trial
    scores: np.ndarray  # validation metric [trials, tuning seeds], as measured
    diverged_at: np.ndarray  # [trials, tuning seeds]
    best: int
    edges: dict[str, tuple[bool, bool]]


class Finished(NamedTuple):
    """All that a study measured, arm by arm."""

    tuned: dict[str, Tuned]
    outcomes: dict[str, Outcome]  # leading axis: seed
    programs: list[dict[str, Any]]
    probe_steps: list[int]
    evaluation_steps: list[int]
    seeds: list[int]
    tuning_seeds: list[int]
    probe_cost: float | None  # (time with probes - time without) / time without, where it was asked for
    seconds: float


class Progress(NamedTuple):
    """How the host hears of a study: `begin(total model-steps)`, `phase(text)`, `advance(model-steps)`."""

    begin: Callable[[int], None] = lambda total: None
    phase: Callable[[str], None] = lambda text: None
    advance: Callable[[int], None] = lambda steps: None


class Course(NamedTuple):
    """What a study will do, before anything is compiled."""

    train: Train
    study: Study
    report_seeds: list[int]
    search_seeds: list[int]
    spaces: dict[str, tuning.Space]
    groups: list[Group]

    def trials(self, group: Group) -> int:
        """Give the trials of a round for each arm of a group; none where nothing is tuned."""
        return self.study.trials if any(self.spaces[a] for a in group.arms) else 0

    def counts(self, group: Group) -> list[int]:
        """Give the blocks of each phase of a group."""
        searched = [self.trials(group) * len(self.search_seeds)]
        return [len(self.report_seeds)] + searched * (self.trials(group) > 0)

    def most_lanes(self, group: Group) -> int:
        """Give the lanes of a group if every search is extended."""
        searched = self.trials(group) * self.study.tuning_seeds * (1 + self.study.extend)
        return len(group.arms) * (searched + len(self.report_seeds))


def course_of(arms: Mapping[str, build.Config], tune: Mapping[str, Mapping[str, Any]]) -> Course:
    """Plan a study: its settings, its seeds, what each arm searches, and which arms share a program."""
    config = next(iter(arms.values()))
    train, study = Train(**config["train"]), Study(**config["study"])
    report_seeds, search_seeds = seeds_of(train, study, arms=len(arms))
    spaces = {name: tuning.space(tune.get(name, {})) for name in arms}
    groups = group_arms(arms, {name: list(axes) for name, axes in spaces.items()})
    return Course(train, study, report_seeds, search_seeds, spaces, groups)


def seeds_of(train: Train, study: Study, *, arms: int) -> tuple[list[int], list[int]]:
    """Choose the seeds that report and the seeds that tune: disjoint, and functions of `train.seed` alone."""
    count = study.seeds if arms > 1 else train.seeds
    report = [(train.seed + k) % 2**32 for k in range(count)]
    search = [(train.seed + TUNING_OFFSET + k) % 2**32 for k in range(study.tuning_seeds)]
    return report, search


def run_study(
    arms: Mapping[str, build.Config],
    data: Mapping[str, Dataset],
    tune: Mapping[str, Mapping[str, Any]],
    *,
    progress: Progress,
    keep_states: bool = False,
    ledger: Ledger | None = None,
) -> Finished:
    """Tune every arm with the same budget, then train each arm's best point on fresh seeds.

    Args:
        arms: name -> resolved config; more than one makes a comparison.
        data: name -> data set.
        tune: name -> the arm's search space; empty where nothing is tuned.
        progress: hears how far it is.
        keep_states: bring the final states of the reporting lanes to the host.
        ledger: keeps what is done, and knows what was done before.

    Returns:
        Everything measured.
    """
    begun = time.monotonic()
    ledger = ledger or nothing_kept()
    course = course_of(arms, tune)
    train, spaces, groups = course.train, course.spaces, course.groups
    progress.begin(train.steps * sum(map(course.most_lanes, groups)))
    tuned: dict[str, Tuned] = {}
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
        best = [best_points(found, spaces)]
        outcome = entry.train(
            "report", course.report_seeds, best, judged=True, progress=progress.advance, keep_states=keep_states
        )
        tuned |= found
        outcomes |= {a: _of_arm(outcome, i, build.transform_names(arms[a])) for i, a in enumerate(group.arms)}
        programs.append(_program_row(number, made, found, searched, outcome, ledger))
        if train.time_probes and number == 0:
            progress.phase("timing the probes")
            cost = bench.probe_cost(made, data[group.arms[0]], train)
    return Finished(
        tuned={name: tuned[name] for name in arms},
        outcomes={name: outcomes[name] for name in arms},
        programs=programs,
        probe_steps=made.plan.probe_steps(),
        evaluation_steps=made.plan.evaluation_steps(),
        seeds=course.report_seeds,
        tuning_seeds=course.search_seeds,
        probe_cost=cost,
        seconds=time.monotonic() - begun,
    )


def _facts(program: Program) -> tuple[int, str]:
    return program.memory_bytes, program.identity


def search(entry: Entry, course: Course, group: Group, progress: Progress) -> tuple[dict[str, Tuned], float]:
    """Search for each arm of a group; returns what was found and the seconds spent."""
    own = {a: course.spaces[a] for a in group.arms}
    higher = build.higher_is_better(group.config)
    return _Search(entry, own, course.study, course.search_seeds, higher).run(course.trials(group), progress)


def best_points(found: Mapping[str, Tuned], spaces: Mapping[str, tuning.Space]) -> list[dict[str, float]]:
    """Give the point that each arm reports at."""
    return [one.points[one.best] if spaces[a] else {} for a, one in found.items()]


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

    def train(self, name: str, *args: Any, keep_states: bool = False, **options: Any) -> Outcome:
        """Run `bench.train`, or take its outcome from the ledger."""
        label = f"{self.group}-{name}"
        known = self.ledger.outcome(label, bench.outcome_like(self.made, keep_states=keep_states))
        if known is not None:
            options["progress"](known.diverged_at.size * self.made.plan.steps)
            return known
        if self.known_only:
            raise ConfigError(f"the run was stopped before {label} was done; resume it first")
        with self.ledger.running(label) as keeper:
            outcome = bench.train(self.made, *args, keep_states=keep_states, keeper=keeper, **options)
            self.ledger.close(label, outcome)
        return outcome


class _Search(NamedTuple):
    """The search of one group: rounds of trials, each arm's points side by side in a block."""

    entry: Entry
    spaces: dict[str, tuning.Space]
    study: Study
    seeds: list[int]
    higher: bool

    def run(self, trials: int, progress: Progress) -> tuple[dict[str, Tuned], float]:
        """Run all rounds; returns each arm's search and the seconds spent."""
        arms = list(self.spaces)
        empty = np.zeros((0, len(self.seeds)))
        found = {a: Tuned(self.spaces[a], [], empty, empty.astype(int), 0, {}) for a in arms}
        seconds = 0.0
        for number in range(1 + self.study.extend if trials else 0):
            if number and not any(one.edges for one in found.values()):
                progress.advance(trials * len(self.seeds) * len(arms) * self.entry.made.plan.steps)
                continue
            progress.phase(f"tuning {', '.join(arms)}")
            wider = {a: _widened(one) for a, one in found.items()}
            drawn = {a: tuning.sobol(axes, trials, seed=number) for a, axes in wider.items()}
            points = [[drawn[a][t] for a in arms] for t in range(trials)]
            outcome = self.entry.train(f"tune-{number}", self.seeds, points, judged=False, progress=progress.advance)
            seconds += outcome.seconds
            found = {a: self._joined(found[a], wider[a], drawn[a], outcome, i) for i, a in enumerate(arms)}
        return found, seconds

    def _joined(
        self, before: Tuned, axes: tuning.Space, points: list[dict[str, float]], outcome: Outcome, index: int
    ) -> Tuned:
        metric = build.metric_name(self.entry.made.group.config)
        points = before.points + points
        scores = np.concatenate([before.scores, outcome.final[metric][:, :, index]])
        diverged_at = np.concatenate([before.diverged_at, outcome.diverged_at[:, :, index]])
        bound = build.worst(self.entry.made.group.config)
        judged = worst_case(scores, diverged_at >= 0, higher_is_better=self.higher, bound=bound)
        best = tuning.select(judged, higher_is_better=self.higher)
        return Tuned(axes, points, scores, diverged_at, best, tuning.edges(points, best, axes))


def _widened(one: Tuned) -> tuning.Space:
    return {
        path: axis.widened(down=one.edges[path][0], up=one.edges[path][1]) if path in one.edges else axis
        for path, axis in one.axes.items()
    }


def _of_arm(outcome: Outcome, index: int, transforms: Sequence[str]) -> Outcome:
    """Take one arm out of a group's report, [1, seeds, arms, ...] -> [seeds, ...], less what it only carried along."""
    one = jax.tree.map(lambda a: a[0, :, index], outcome._replace(seconds=None))
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
    number: int, made: bench.Bench, found: Mapping[str, Tuned], searched: float, outcome: Outcome, ledger: Ledger
) -> dict[str, Any]:
    program, arms = made.program, made.group.arms
    return {
        "group": number,
        "arms": list(arms),
        "traced": list(made.group.names),
        "lanes": sum(one.diverged_at.size for one in found.values()) + outcome.diverged_at.size,
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
