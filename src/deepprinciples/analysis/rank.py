"""Methods ranked over several tasks: the same arms compared on each, summed up as Demsar asks of several data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.results.finished_run import Run
from deepprinciples.stats.many_tasks import friedman, nemenyi_distance

if TYPE_CHECKING:
    from deepprinciples.report.figures.mpl_style import Plot


class Ranking(NamedTuple):
    """Mean ranks of methods over tasks.

    Attributes:
        names: of the arms, in the order of the runs.
        ranks: mean rank of each, 1 is best.
        p: of Friedman's test that all rank alike.
        distance: mean ranks that lie further apart differ (Nemenyi, 5 %).
        tasks: how many.
    """

    names: list[str]
    ranks: np.ndarray
    p: float
    distance: float
    tasks: int

    def __str__(self) -> str:
        order = np.argsort(self.ranks, kind="stable")
        return (
            f"Friedman over {self.tasks} tasks: p = {self.p:.2g}; ranks differ where more than {self.distance:.2f} "
            f"apart\n{', '.join(f'{self.names[k]} {self.ranks[k]:.2f}' for k in order)}"
        )

    def diagram(self) -> Plot:
        """Draw mean ranks on a line, with bars that join what cannot be distinguished; `.figure` is matplotlib's."""
        from deepprinciples.report.figures import ranking

        return ranking.critical_difference(self.names, self.ranks.tolist(), self.distance)

    def save(self, folder: Path | str) -> list[Path]:
        """Write the diagram as .svg and .png into a folder; returns the two paths."""
        from deepprinciples.report.figures import plots

        return plots.save_all([self.diagram()], folder)


def rank(runs: Sequence[Run]) -> Ranking:
    """Rank the arms of several comparisons by their mean scores: one comparison for each task, the same arms in all.

    Args:
        runs: finished comparisons, two or more; an arm without a mean (all seeds diverged) comes last.

    Returns:
        A `Ranking`; printed, it says what the tasks allow to be said.

    Raises:
        DataError: the runs have other arms, or there are fewer than two tasks or three arms.

    Example:
        arms = {"adam": {}, "sgd": {"optimizer.name": "sgd"}, "lion": {"optimizer.name": "lion"}}
        tasks = ({"name": "wine"}, {"name": "breast_cancer"})
        runs = [dp.compare({**config, "data": data, "arms": arms}) for data in tasks]
        print(dp.rank(runs))
    """
    names = [[str(row["name"]) for row in run.summary["arms"]] for run in runs]
    for one in names:
        if one != names[0]:
            raise DataError(f"runs: found arms {', '.join(one)} and {', '.join(names[0])}; expected the same in all")
    scores = [[_higher(row["mean"], run.summary["direction"]) for row in run.summary["arms"]] for run in runs]
    found = friedman(np.array(scores))
    distance = nemenyi_distance(len(names[0]), len(runs))
    return Ranking(names[0], found.ranks, found.p, distance, len(runs))


def _higher(mean: float | None, direction: str) -> float:
    """Return a mean of which a larger one is better."""
    if mean is None:
        return -math.inf
    return mean if direction == "max" else -mean
