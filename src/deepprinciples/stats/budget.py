"""What a search would have found with fewer trials: the best score to expect of a budget, arm by arm.

Two methods that are level after 20 trials are not the same method if one of them is there after 2. Numbers only: they
are drawn and printed in the report. Numpy only, no jax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepprinciples.stats import planning
from deepprinciples.stats.searches import Judge, Search, judged_scores

MOST = 64  # budgets listed for a long search


def trial_scores(searched: Mapping[str, Sequence[Search]], judge: Judge) -> dict[str, list[NDArray[np.float64]]]:
    """Return the scores of each arm's searches, diverged trials at the worst value of the whole study.

    Args:
        searched: arm -> its searches, one or more.
        judge: the metric, its direction and its worst value.

    Returns:
        arm -> for each search [trials, tuning seeds], finite.
    """
    every = [one for searches in searched.values() for one in searches]
    if not every:
        return {}
    flat = np.concatenate([one.scores.reshape(-1) for one in every]).astype(np.float64)
    judged = judged_scores(flat, np.concatenate([one.diverged_at.reshape(-1) for one in every]), judge)
    parts = iter(np.split(judged, np.cumsum([one.scores.size for one in every])[:-1]))
    return {arm: [next(parts).reshape(one.scores.shape) for one in searches] for arm, searches in searched.items()}


def against_budget(
    scores: Mapping[str, Sequence[NDArray[np.float64]]], most: int, *, higher_is_better: bool
) -> dict[str, Any]:
    """Compute the best validation score to expect of n trials, for each arm, and who leads at which n.

    A trial's score is its mean over the tuning seeds, as in the search itself; the trials of all searches are pooled.

    Args:
        scores: arm -> for each search [trials, tuning seeds], from `trial_scores`.
        most: the largest budget, a search's.
        higher_is_better: direction of the metric.

    Returns:
        `arms`: rows of name, trials [n], expected [n], spread [n] (standard deviation of the best of n), low and high
        [n] (its quartiles). `leaders`: rows of arms (more than one where they tie), first, last: budgets.

    References:
        Dodge et al. 2019, arXiv:1909.03004.
    """
    means = {name: np.concatenate([one.mean(axis=1) for one in parts]) for name, parts in scores.items()}
    rows = [_row(name, x, most, higher_is_better) for name, x in means.items()]
    return {"arms": rows, "leaders": _leaders(rows, higher_is_better) if len(rows) > 1 else []}


def _row(name: str, means: NDArray[np.float64], most: int, higher_is_better: bool) -> dict[str, Any]:
    counts = _budgets(most)
    way = {"higher_is_better": higher_is_better}
    quartiles = [planning.quartiles_of_best(means, n, **way) for n in counts]
    return {
        "name": name,
        "trials": counts,
        "expected": [planning.expected_validation_performance(means, n, **way) for n in counts],
        "spread": [planning.spread_of_best(means, n, **way) for n in counts],
        "low": [low for low, _ in quartiles],
        "high": [high for _, high in quartiles],
    }


def _budgets(trials: int) -> list[int]:
    if trials <= MOST:
        return list(range(1, trials + 1))
    return sorted({round(float(n)) for n in np.geomspace(1, trials, MOST)})


def _leaders(rows: Sequence[Mapping[str, Any]], higher_is_better: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for k, n in enumerate(rows[0]["trials"]):
        best = {row["name"]: row["expected"][k] for row in rows}
        top = max(best.values()) if higher_is_better else min(best.values())
        arms = [name for name, value in best.items() if abs(value - top) <= 1e-9 * max(abs(value), abs(top))]
        if found and found[-1]["arms"] == arms:
            found[-1]["last"] = n
        else:
            found.append({"arms": arms, "first": n, "last": n})
    return found
