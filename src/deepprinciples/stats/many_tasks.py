"""Numbers over several tasks: one aggregate with its interval, ranks of methods, screening of many p-values.

Verdicts are on one task and do not use this module; here a benchmark of several tasks is summarized. The usual tools
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
from deepprinciples.stats.paired_tests import Estimate


class Friedman(NamedTuple):
    """Friedman's test: chi-square statistic, p-value, mean rank of each method (1 is best), and the F form of it."""

    statistic: float
    p: float
    ranks: NDArray[np.float64]
    f: float
    f_p: float


def iqm(values: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Average the middle half, with fractional weights at its edges (interquartile mean).

    sum_i w_i x_(i) / sum_i w_i, w_i = overlap of [(i - 1) / n, i / n] with [1/4, 3/4]. Truncating would jump with n.

    Args:
        values: numbers, n along `axis`; infinite ones count as the lowest or highest; NaN among them gives NaN.
    Returns:
        `values` without `axis`.
    References: Agarwal et al. 2021, arXiv:2108.13264.
    """
    x = np.sort(np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1), axis=-1)
    weights = 2.0 * np.diff(np.clip(np.linspace(0.0, 1.0, x.shape[-1] + 1), 0.25, 0.75))
    middle = weights > 0  # what lies outside may be infinite
    return np.where(np.isnan(x[..., -1]), np.nan, x[..., middle] @ weights[middle])  # NaN is sorted to the end


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


def probability_of_improvement(
    a: ArrayLike, b: ArrayLike, *, confidence: float = 0.95, draws: int = 5_000, seed: int = 0
) -> Estimate:
    """Estimate the probability that a run of method a beats a run of method b, averaged over tasks.

    P = mean over tasks of the share of all pairs of a run of a and a run of b that a wins, ties counting half
    (Mann-Whitney U / n_a n_b). Only the order within a task counts, so tasks need no common scale. All pairs, whatever
    their seeds: where seeds are shared, `statistics.probability_of_superiority` of one task makes use of it.

    Args:
        a, b: scores [runs, tasks], higher is better; as many tasks, in one order.
        confidence, draws, seed: of the interval, by resampling runs as in `stratified_bootstrap`.
    Returns:
        Estimate(P, low, high), in [0, 1]; the interval is (0, 1) where a method has a single run, and a point where
        one wins all pairs of every task, which is too certain at few runs.
    Raises:
        DataError: the shapes do not fit.
    References: Agarwal et al. 2021, arXiv:2108.13264.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or not x.size or not y.size or x.shape[1] != y.shape[1]:
        raise DataError(f"scores: found shapes {x.shape} and {y.shape}; expected [runs, tasks] of the same tasks")
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])  # [runs of a, runs of b, tasks]
    value = float(wins.mean())
    if min(len(x), len(y)) == 1:
        return Estimate(value, 0.0, 1.0)
    rng = np.random.default_rng(seed)
    shares = []
    for runs in (len(x), len(y)):  # how often each run is drawn, [draws, tasks, runs]
        shares.append(rng.multinomial(runs - 1, np.full(runs, 1 / runs), size=(draws, x.shape[1])) / (runs - 1))
    drawn = np.einsum("dta,abt,dtb->d", shares[0], wins, shares[1], optimize=True) / x.shape[1]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))


def optimality_gap(values: ArrayLike, *, target: float = 1.0, axis: int = -1) -> NDArray[np.float64]:
    """Average by how much scores miss a target; scores beyond it count as the target.

    target - mean(min(x, target)): lower is better. A statistic for `stratified_bootstrap`.

    Args:
        values: scores, higher is better, n along `axis`; target: the score that is enough, such as 1 for human level.
    Returns:
        `values` without `axis`.
    References: Agarwal et al. 2021, arXiv:2108.13264.
    """
    return np.asarray(target - np.minimum(np.asarray(values, dtype=np.float64), target).mean(axis=axis))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """Count the share of runs whose score is above each threshold, every task with the same weight.

    F(t) = mean over tasks and runs of [x > t]. A method whose profile is above another's at every t is better at every
    quantile. The interval at one t is that of `stratified_bootstrap` with the statistic mean([x > t]).

    Args:
        scores: [runs, tasks], comparable between tasks; thresholds: t [m].
    Returns:
        F [m], in [0, 1], falling.
    References: Agarwal et al. 2021, arXiv:2108.13264; Dolan and More 2002.
    """
    x, t = np.asarray(scores, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    return np.asarray((x.reshape(1, -1) > t.reshape(-1, 1)).mean(axis=1))


def profile_band(
    scores: ArrayLike, thresholds: ArrayLike, *, confidence: float = 0.95, draws: int = 5_000, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate between which bounds `performance_profile` lies at each threshold, each for itself.

    Resamples runs - 1 of the runs of each task, as `stratified_bootstrap` does, and takes percentiles. Where all runs
    are above a threshold, or none, the bounds meet, which is too certain at few runs.

    Args:
        scores: [runs, tasks], comparable between tasks; thresholds: t [m].
        confidence, draws, seed: of the interval.
    Returns:
        (low [m], high [m]), in [0, 1]; 0 and 1 for a single run.
    References: Agarwal et al. 2021, arXiv:2108.13264.
    """
    x, t = np.asarray(scores, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    runs, tasks = x.shape
    if runs == 1:
        return np.zeros(len(t)), np.ones(len(t))
    drawn = np.random.default_rng(seed).multinomial(runs - 1, np.full(runs, 1 / runs), size=(draws, tasks))
    above = (x.T.reshape(tasks * runs, 1) > t).astype(np.float64)  # [tasks runs, m]
    shares = drawn.reshape(draws, tasks * runs) @ above / (tasks * (runs - 1))
    low, high = np.quantile(shares, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return np.asarray(low), np.asarray(high)


def friedman(scores: ArrayLike, *, higher_is_better: bool = True) -> Friedman:
    """Test whether methods rank alike over many tasks.

    statistic = 12 n / (k (k + 1)) sum_j (R_j - (k + 1) / 2)^2 / (1 - sum (t^3 - t) / (n k (k^2 - 1))), R_j the mean
    rank of a method, t the sizes of groups of ties; p from the chi-square with k - 1 degrees. The divisor corrects for
    ties, which share their mean rank; Demsar's formula lacks it, and would be smaller with ties.

    f = (n - 1) statistic / (n (k - 1) - statistic), f_p from F with k - 1 and (k - 1) (n - 1) degrees: the form of
    Iman and Davenport, which Demsar prefers because the chi-square finds too little at few tasks. Where all tasks rank
    alike f is inf, and f_p the chance that they do by accident, 1 / (k!)^(n - 1) without ties.

    Args:
        scores: [tasks, methods], at least 3 methods; higher_is_better: direction of the metric.
    Returns:
        Friedman(statistic, p, ranks [methods], f, f_p); both p are 1 when every task is a tie.
    Raises:
        DataError: fewer than 3 methods or 2 tasks.
    References: Friedman 1937; Iman and Davenport 1980; Conover 1999 (ties, and tasks that rank alike); Demsar 2006.
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 3:
        raise DataError(f"scores: found shape {x.shape}; expected [tasks >= 2, methods >= 3]; compare two as pairs")
    n, k = x.shape
    each = stats.rankdata(-x if higher_is_better else x, axis=1)
    ranks = each.mean(axis=0)
    if (each == each[:, :1]).all():
        return Friedman(0.0, 1.0, ranks, 0.0, 1.0)
    statistic, p = map(float, stats.friedmanchisquare(*x.T))
    if (each == each[0]).all():
        ties = np.unique(each[0], return_counts=True)[1]
        orders = math.factorial(k) / math.prod(math.factorial(int(size)) for size in ties)
        return Friedman(statistic, p, ranks, math.inf, orders ** (1.0 - n))
    f = (n - 1) * statistic / (n * (k - 1) - statistic)
    return Friedman(statistic, p, ranks, f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))))


def nemenyi_distance(k: int, n: int, *, alpha: float = 0.05) -> float:
    """Return the difference of mean ranks that two of k methods need over n tasks.

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
