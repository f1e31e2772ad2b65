"""What is usual to say of the returns of learners that act: interquartile means, profiles, chances to improve.

The definitions are those of `stats.many_tasks`, for the one task of a study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepprinciples.stats import many_tasks

POINTS = 101  # thresholds of a profile


def of_arms(
    scores: Mapping[str, NDArray[np.float64]],
    pairs: Sequence[tuple[str, str]],
    *,
    higher_is_better: bool,
    confidence: float,
) -> dict[str, Any]:
    """Describe the runs of each arm as a whole, and how often one of an arm is better than one of another.

    Args:
        scores: arm -> [runs]; runs that share a setting count once, as their mean.
        pairs: (first, second), those that are compared.
        higher_is_better: direction of the metric; the profile counts runs above a threshold, or below it.
        confidence: of the intervals.

    Returns:
        `thresholds` [m]; `arms`: rows of name, n, iqm, interval, profile, low and high [m]; `improvement`: rows of a,
        b, probability and interval. An interval is None for a single run.

    References:
        Agarwal et al. 2021, arXiv:2108.13264.
    """
    sign = 1.0 if higher_is_better else -1.0
    every = np.concatenate(list(scores.values()))
    space = 0.02 * np.ptp(every)
    thresholds = np.linspace(every.min() - space, every.max() + space, POINTS)
    arms = []
    for name, runs in scores.items():
        one, reached = runs[:, None], sign * thresholds
        middle = many_tasks.stratified_bootstrap(one, confidence=confidence)
        low, high = many_tasks.profile_band(sign * one, reached, confidence=confidence)
        arms.append({
            "name": name, "n": len(runs), "iqm": middle.value,
            "interval": [middle.low, middle.high] if len(runs) > 1 else None,
            "profile": many_tasks.performance_profile(sign * one, reached).tolist(),
            "low": low.tolist(), "high": high.tolist(),
        })  # fmt: skip
    improvement = []
    for a, b in pairs:
        found = many_tasks.probability_of_improvement(
            sign * scores[a][:, None], sign * scores[b][:, None], confidence=confidence
        )
        known = min(len(scores[a]), len(scores[b])) > 1
        interval = [found.low, found.high] if known else None
        improvement.append({"a": a, "b": b, "probability": found.value, "interval": interval})
    return {"thresholds": thresholds.tolist(), "arms": arms, "improvement": improvement}
