"""Independent searches for the arms of one group: trials in rounds, one search per block of the statistics.

Search b has its own seed of the search method and its own tuning seeds, the same for every arm, so the luck of a search
is part of what the blocks differ in. How runs train is the engine's business, what the blocks say is in `verdicts`.
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
    shares: np.ndarray  # of the steps of a run that each trial had, [trials]

    @property
    def chosen(self) -> dict[str, float]:
        """The point that the arm reports at in this block."""
        return self.points[self.best]


class Budget(NamedTuple):
    """What each search may spend, and how it looks: see `parts.search_methods` for `ask` and `rounds`."""

    trials: int  # before the space is widened, and after each time that it is
    widen_rounds: int
    seeds: list[list[int]]  # [searches][tuning seeds]
    seed: int
    ask: Callable[[int, tuple[int, ...], np.ndarray, np.ndarray], np.ndarray]
    rounds: int = 1
    rungs: Callable[[int], Sequence[tuple[int, float]]] = lambda trials: [(trials, 1.0)]  # trials, share of the steps

    @property
    def parts(self) -> list[int]:
        """Return the trials of each round, as equal as they can be."""
        return [len(part) for part in np.array_split(np.arange(self.trials), self.rounds) if len(part)]

    @property
    def runs(self) -> float:
        """Return what the trials of a search cost before its space is widened, in whole runs of one tuning seed."""
        return sum(count * share for part in self.parts for count, share in self.rungs(part))


class Judge(NamedTuple):
    """How trials are compared: the validation metric, its direction and its worst value."""

    metric: str
    higher_is_better: bool
    worst: float | None


def run_searches(
    train: Callable[[str, list[Row], float], Any],
    spaces: Mapping[str, trials.Space],
    budget: Budget,
    judge: Judge,
    skipped: Callable[[float], Any] = lambda runs: None,
) -> tuple[dict[str, list[Search]], float]:
    """Run the searches of all arms of a group, their trials side by side.

    After the first round a search goes on only in blocks where some arm's best setting lay on the edge of its space.

    Args:
        train: (label, rows, share of the steps) -> outcome with leading axes [rows, arms].
        spaces: arm -> its search space; an arm without one runs along as it is.
        budget: what each search may spend.
        judge: how trials are compared.
        skipped: called with the whole runs that a round did not need.

    Returns:
        The searches of each arm, and the seconds that training took.
    """
    arms, count = list(spaces), len(budget.seeds)
    width = len(budget.seeds[0]) if budget.seeds else 0
    empty = np.zeros((0, width))
    found = {a: [Search(spaces[a], [], empty, empty.astype(int), 0, {}, np.zeros(0))] * count for a in arms}
    seconds = 0.0
    for number in range(1 + budget.widen_rounds):
        blocks = [b for b in range(count) if not number or any(found[a][b].edges for a in arms)]
        skipped((count - len(blocks)) * budget.runs * width * len(arms))
        if not blocks:
            continue
        for a in arms:
            found[a] = [one._replace(axes=_widened(one)) if b in blocks else one for b, one in enumerate(found[a])]
        for part, each in enumerate(budget.parts):
            label = f"tune-{number}" if len(budget.parts) == 1 else f"tune-{number}-{part}"
            for a in arms:
                for b in blocks:
                    drawn = _proposed(found[a][b], each, budget, (budget.seed, b, number), judge)
                    found[a][b] = _with_room(found[a][b], drawn)
            alive = {(a, b): list(range(len(found[a][b].points)))[-each:] for a in arms for b in blocks}
            ladder = budget.rungs(each)
            for rung, (most, share) in enumerate(ladder):
                alive = {(a, b): _best(found[a][b], numbers, most, judge) for (a, b), numbers in alive.items()}
                rows = [
                    (seed, [found[a][b].points[alive[a, b][t]] for a in arms])
                    for b in blocks
                    for t in range(most)
                    for seed in budget.seeds[b]
                ]
                outcome = train(label if len(ladder) == 1 else f"{label}-rung-{rung}", rows, share)
                seconds += outcome.seconds
                shape = (len(blocks), most, width, len(arms))
                scores, lost = (a.reshape(shape) for a in (outcome.final[judge.metric], outcome.diverged_at))
                for i, a in enumerate(arms):
                    for k, b in enumerate(blocks):
                        _write(found[a][b], alive[a, b], scores[k, :, :, i], lost[k, :, :, i], share)
            found = {a: [_chosen(one, judge) if b in blocks else one for b, one in enumerate(found[a])] for a in arms}
    return found, seconds


def _proposed(one: Search, count: int, budget: Budget, seed: tuple[int, ...], judge: Judge) -> list[dict[str, float]]:
    """Ask where to look next; the same space, seed and scores give the same settings in every arm."""
    if not one.axes:
        return [{} for _ in range(count)]
    scores = judged_scores(one.scores, one.diverged_at, judge).mean(axis=1) if one.points else np.zeros(0)
    worth = scores if judge.higher_is_better else -scores
    return trials.settings(one.axes, budget.ask(count, seed, trials.places(one.axes, one.points), worth))


def _with_room(one: Search, points: Sequence[dict[str, float]]) -> Search:
    """Add settings that nothing is known of yet."""
    longer = lambda a, value: np.concatenate([a, np.full((len(points), *a.shape[1:]), value, a.dtype)])
    return one._replace(
        points=[*one.points, *points],
        scores=longer(one.scores, np.nan),
        diverged_at=longer(one.diverged_at, -1),
        shares=longer(one.shares, 0.0),
    )


def _best(one: Search, numbers: Sequence[int], most: int, judge: Judge) -> list[int]:
    """Keep the best of some trials, in their order; all of them before they were tried."""
    if most >= len(numbers):
        return list(numbers)
    means = judged_scores(one.scores, one.diverged_at, judge)[list(numbers)].mean(axis=1)
    order = np.argsort(-means if judge.higher_is_better else means, kind="stable")
    return [numbers[k] for k in sorted(order[:most])]


def _write(one: Search, numbers: Sequence[int], scores: np.ndarray, diverged_at: np.ndarray, share: float) -> None:
    """Write what some trials gave."""
    at = list(numbers)
    one.scores[at], one.diverged_at[at], one.shares[at] = scores, diverged_at, share


def _chosen(one: Search, judge: Judge) -> Search:
    """Choose among the trials that had all steps."""
    held = judged_scores(one.scores, one.diverged_at, judge)
    whole = np.flatnonzero(one.shares == one.shares.max())
    best = int(whole[trials.select(held[whole], higher_is_better=judge.higher_is_better)])
    return one._replace(best=best, edges=trials.edges(one.points, best, one.axes))


def judged_scores(scores: np.ndarray, diverged_at: np.ndarray, judge: Judge) -> np.ndarray:
    """Return the scores with diverged runs at the worst value."""
    return worst_case(scores, diverged_at >= 0, higher_is_better=judge.higher_is_better, bound=judge.worst)


def _widened(one: Search) -> trials.Space:
    return {
        path: axis.widened(down=one.edges[path][0], up=one.edges[path][1]) if path in one.edges else axis
        for path, axis in one.axes.items()
    }
