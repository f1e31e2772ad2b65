"""Independent searches for the arms of one group: Sobol trials in rounds, one search per block of the statistics.

Search b has its own scramble and its own tuning seeds, the same for every arm, so the luck of a search is part of what
the blocks differ in. How runs are trained is the engine's business, what the blocks say is in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.stats import trials
from deepprinciples.stats.paired_tests import worst_case

Row = tuple[int, list[dict[str, float]]]  # a seed, and the point of each arm of the group


class Search(NamedTuple):
    """One search of one arm."""

    axes: trials.Space  # as widened last
    points: list[dict[str, float]]  # one per trial
    scores: np.ndarray  # validation metric [trials, tuning seeds], as measured
    diverged_at: np.ndarray  # [trials, tuning seeds]
    best: int
    edges: dict[str, tuple[bool, bool]]

    @property
    def chosen(self) -> dict[str, float]:
        """The point that the arm reports at in this block."""
        return self.points[self.best]


class Budget(NamedTuple):
    """What each search may spend: trials a round, rounds of widening, and the seeds of each search's trials."""

    trials: int
    widen_rounds: int
    seeds: list[list[int]]  # [searches][tuning seeds]
    scramble: int


class Judge(NamedTuple):
    """How trials are compared: the validation metric, its direction and its worst value."""

    metric: str
    higher_is_better: bool
    worst: float | None


def run_searches(
    train: Callable[[str, list[Row]], Any],
    spaces: Mapping[str, trials.Space],
    budget: Budget,
    judge: Judge,
    skipped: Callable[[int], Any] = lambda runs: None,
) -> tuple[dict[str, list[Search]], float]:
    """Run the searches of all arms of a group, their trials side by side.

    After the first round a search goes on only in blocks where some arm's best setting lay on the edge of its space.

    Args:
        train: (label, rows) -> outcome with leading axes [rows, arms].
        spaces: arm -> its search space; an arm without one runs along as it is.
        budget: what each search may spend.
        judge: how trials are compared.
        skipped: called with the runs that a round did not need.

    Returns:
        The searches of each arm, and the seconds that training took.
    """
    arms, count = list(spaces), len(budget.seeds)
    width = len(budget.seeds[0]) if budget.seeds else 0
    empty = np.zeros((0, width))
    found = {a: [Search(spaces[a], [], empty, empty.astype(int), 0, {})] * count for a in arms}
    seconds = 0.0
    for number in range(1 + budget.widen_rounds):
        blocks = [b for b in range(count) if not number or any(found[a][b].edges for a in arms)]
        skipped((count - len(blocks)) * budget.trials * width * len(arms))
        if not blocks:
            continue
        wider = {a: {b: _widened(found[a][b]) for b in blocks} for a in arms}
        drawn = {
            a: {b: trials.sobol(wider[a][b], budget.trials, seed=(budget.scramble, b, number)) for b in blocks}
            for a in arms
        }
        rows = [
            (seed, [drawn[a][b][t] for a in arms])
            for b in blocks
            for t in range(budget.trials)
            for seed in budget.seeds[b]
        ]
        outcome = train(f"tune-{number}", rows)
        seconds += outcome.seconds
        shape = (len(blocks), budget.trials, width, len(arms))
        scores, lost = (a.reshape(shape) for a in (outcome.final[judge.metric], outcome.diverged_at))
        for i, arm in enumerate(arms):
            found[arm] = list(found[arm])
            for k, b in enumerate(blocks):
                before = found[arm][b]._replace(axes=wider[arm][b])
                found[arm][b] = _extended(before, drawn[arm][b], scores[k, :, :, i], lost[k, :, :, i], judge)
    return found, seconds


def _extended(
    before: Search, points: Sequence[dict[str, float]], scores: np.ndarray, diverged_at: np.ndarray, judge: Judge
) -> Search:
    points = [*before.points, *points]
    scores = np.concatenate([before.scores, scores])
    diverged_at = np.concatenate([before.diverged_at, diverged_at])
    held = judged_scores(scores, diverged_at, judge)
    best = trials.select(held, higher_is_better=judge.higher_is_better)
    return Search(before.axes, points, scores, diverged_at, best, trials.edges(points, best, before.axes))


def judged_scores(scores: np.ndarray, diverged_at: np.ndarray, judge: Judge) -> np.ndarray:
    """Return the scores with diverged runs at the worst value."""
    return worst_case(scores, diverged_at >= 0, higher_is_better=judge.higher_is_better, bound=judge.worst)


def _widened(one: Search) -> trials.Space:
    return {
        path: axis.widened(down=one.edges[path][0], up=one.edges[path][1]) if path in one.edges else axis
        for path, axis in one.axes.items()
    }
