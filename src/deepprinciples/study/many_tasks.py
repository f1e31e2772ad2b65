"""Numbers over several tasks: one aggregate with its interval, ranks of methods, screening of many p-values.

Verdicts are given on one task and do not use this room; a benchmark of several tasks is summed up here. The usual tools
truncate the interquartile mean or draw too narrow an interval at 3 to 5 runs. Numpy and scipy only: no jax, no words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from deepprinciples.errors import DataError
from deepprinciples.study.statistics import Estimate


class Friedman(NamedTuple):
    """Friedman's test: chi-square statistic, p-value, mean rank of each method (1 is best)."""

    statistic: float
    p: float
    ranks: NDArray[np.float64]


def iqm(values: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Average the middle half, with fractional weights at its edges (interquartile mean).

    sum_i w_i x_(i) / sum_i w_i, w_i = overlap of [(i - 1) / n, i / n] with [1/4, 3/4]. Truncating would jump with n.

    Args:
        values: numbers, n along `axis`.
    Returns:
        `values` without `axis`.
    References: Agarwal et al. 2021, arXiv:2108.13264.
    """
    x = np.sort(np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1), axis=-1)
    edges = np.clip(np.linspace(0.0, 1.0, x.shape[-1] + 1), 0.25, 0.75)
    return np.asarray(x @ np.diff(edges) / 0.5)


def stratified_bootstrap(
    scores: ArrayLike,
    *,
    statistic: Callable[..., NDArray[np.float64]] = iqm,
    confidence: float = 0.95,
    draws: int = 5_000,
    seed: int = 0,
) -> Estimate:
    """Estimate one number over several tasks, resampling runs inside each task.

    Draws runs - 1 of the runs of each task (Rao and Wu), then takes percentiles: drawing all would make the interval
    sqrt((runs - 1) / runs) too narrow, much at 3 or 5 runs.

    Args:
        scores: [runs, tasks], comparable between tasks; statistic: f(values, axis=-1), over runs and tasks pooled.
    Returns:
        Estimate(statistic, low, high); the interval is (-inf, inf) for a single run.
    References: Rao and Wu 1988; Agarwal et al. 2021, arXiv:2108.13264.
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise DataError(f"scores: found shape {x.shape}; expected [runs, tasks], not empty; add the missing axis")
    runs, tasks = x.shape
    value = float(statistic(x.reshape(-1), axis=-1))
    if runs == 1:
        return Estimate(value, -math.inf, math.inf)
    rows = np.random.default_rng(seed).integers(0, runs, size=(draws, runs - 1, tasks))
    drawn = statistic(x[rows, np.arange(tasks)].reshape(draws, -1), axis=-1)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))


def friedman(scores: ArrayLike, *, higher_is_better: bool = True) -> Friedman:
    """Test whether methods rank alike over many tasks.

    Args:
        scores: [tasks, methods], at least 3 methods; higher_is_better: direction of the metric.
    Returns:
        Friedman(statistic, p, ranks [methods]); p = 1 when every task is a tie.
    Raises:
        DataError: fewer than 3 methods or 2 tasks.
    References: Demsar 2006.
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 3:
        raise DataError(f"scores: found shape {x.shape}; expected [tasks >= 2, methods >= 3]; compare two as pairs")
    ranks = stats.rankdata(-x if higher_is_better else x, axis=1).mean(axis=0)
    if (np.ptp(x, axis=1) == 0.0).all():
        return Friedman(0.0, 1.0, ranks)
    found = stats.friedmanchisquare(*x.T)
    return Friedman(float(found.statistic), float(found.pvalue), ranks)


def nemenyi_distance(k: int, n: int, *, alpha: float = 0.05) -> float:
    """Give the difference of mean ranks that two of k methods need over n tasks.

    q_{alpha, k, inf} / sqrt(2) * sqrt(k (k + 1) / (6 n)), q the studentized range.

    Args:
        k: methods; n: tasks; alpha: familywise error.
    Returns:
        The critical distance, in ranks.
    References: Demsar 2006.
    """
    return float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) * math.sqrt(k * (k + 1) / (12 * n))


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values so that the expected share of false claims stays at its level: for screening, not for claims.

    In rising order: p'_(i) = min_{j >= i} min(1, m p_(j) / j).

    Args:
        p: p-values [m].
    Returns:
        Adjusted p-values [m], in the order given.
    """
    values = np.asarray(p, dtype=np.float64)
    return np.asarray(stats.false_discovery_control(values)) if values.size else values
