"""What a search would have found with fewer trials: the best score to expect of a budget, arm by arm.

Two methods that are level after 20 trials are not the same method if one of them is there after 2. Numbers only: they
are drawn and printed in the report. Numpy only, no jax.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepprinciples.study import planning
from deepprinciples.study.statistics import worst_case

MOST = 64  # budgets told of a long search


def trial_scores(
    tuned: Mapping[str, Any], *, higher_is_better: bool, bound: float | None
) -> dict[str, NDArray[np.float64]]:
    """Give each arm's scores of its search, diverged trials at the worst value of the whole study.

    Args:
        tuned: name -> `protocol.Tuned`; arms that tuned nothing are left out.
        higher_is_better: direction of the metric; bound: the worst value it can take, if there is one.

    Returns:
        name -> [trials, tuning seeds], finite.
    """
    arms = [name for name, one in tuned.items() if one.axes]
    if not arms:
        return {}
    flat = [np.asarray(tuned[name].scores, np.float64).reshape(-1) for name in arms]
    lost = [np.asarray(tuned[name].diverged_at).reshape(-1) >= 0 for name in arms]
    judged = worst_case(
        np.concatenate(flat), np.concatenate(lost), higher_is_better=higher_is_better, bound=bound
    ).astype(np.float64)
    ends = np.cumsum([one.size for one in flat])[:-1]
    return {
        name: part.reshape(tuned[name].scores.shape) for name, part in zip(arms, np.split(judged, ends), strict=True)
    }


def against_budget(scores: Mapping[str, NDArray[np.float64]], *, higher_is_better: bool) -> dict[str, Any]:
    """Tell the best validation score to expect of n trials, for each arm, and who leads at which n.

    A trial's score is its mean over the tuning seeds, as in the search itself.

    Args:
        scores: name -> [trials, tuning seeds], from `trial_scores`.
        higher_is_better: direction of the metric.

    Returns:
        `arms`: rows of name, trials [n], expected [n], spread [n] (standard deviation of the best of n), low and high
        [n] (its quartiles). `leaders`: rows of arms (more than one where they tie), first, last: budgets, up to the
        smallest search of all arms.

    References:
        Dodge et al. 2019, arXiv:1909.03004.
    """
    means = {name: values.mean(axis=1) for name, values in scores.items() if len(values)}
    rows = [_row(name, x, higher_is_better) for name, x in means.items()]
    return {"arms": rows, "leaders": _leaders(means, higher_is_better) if len(means) > 1 else []}


def _row(name: str, means: NDArray[np.float64], higher_is_better: bool) -> dict[str, Any]:
    counts = _budgets(means.size)
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


def _leaders(means: Mapping[str, NDArray[np.float64]], higher_is_better: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for n in _budgets(min(x.size for x in means.values())):
        best = {
            name: planning.expected_validation_performance(x, n, higher_is_better=higher_is_better)
            for name, x in means.items()
        }
        top = max(best.values()) if higher_is_better else min(best.values())
        arms = [name for name, value in best.items() if abs(value - top) <= 1e-9 * max(abs(value), abs(top))]
        if found and found[-1]["arms"] == arms:
            found[-1]["last"] = n
        else:
            found.append({"arms": arms, "first": n, "last": n})
    return found
