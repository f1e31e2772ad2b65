"""How much a study can show, before or after it is run: seeds needed, differences visible, trials worth making.

These formulas compare no arms; they say what a comparison could show. Arms are compared in paired_tests.py;
what pools several tasks in many_tasks.py. Numpy and scipy only, as there.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from deepprinciples.errors import ConfigError
from deepprinciples.stats.paired_tests import vector

MIN_BLOCKS = 6  # fewer cannot give a p of 0.05: the smallest is 2 / 2^n


def noether_n(probability: float, *, alpha: float = 0.05, power: float = 0.95, two_sided: bool = True) -> int:
    """Return the seeds per arm needed to detect P(A > B) = probability.

    n = (z_{1 - alpha (or alpha / 2)} + z_{power})^2 / (6 (probability - 1/2)^2).

    Args:
        probability: P(A > B) worth detecting; alpha: false-positive rate; power: chance to detect it.
    Returns:
        Seeds per arm, rounded up.
    Raises:
        ConfigError: probability is 0.5 or outside [0, 1].
    References: Noether 1987; Bouthillier et al. 2021, arXiv:2103.03098.
    """
    if not 0 <= probability <= 1 or probability == 0.5:
        raise ConfigError(f"probability: found {probability}; expected in [0, 1] and not 0.5, which no n can detect")
    z = stats.norm.ppf(1 - alpha / (2 if two_sided else 1)) + stats.norm.ppf(power)
    return math.ceil(float(z) ** 2 / (6 * (probability - 0.5) ** 2))


@lru_cache(maxsize=256)
def _noncentrality(n: int, alpha: float, power: float) -> float:
    critical = float(stats.t.ppf(1 - alpha / 2, n - 1))

    def lacking(shift: float) -> float:
        wrong_side = np.nan_to_num(stats.nct.cdf(-critical, n - 1, shift))  # scipy gives nan where it underflows
        return float(stats.nct.sf(critical, n - 1, shift) + wrong_side) - power

    high = critical
    while lacking(high) < 0:
        high *= 2
    return float(optimize.brentq(lacking, 0.0, high))


def minimum_detectable(sd: float, n: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest mean paired difference that n pairs show with the given power (two-sided t test).

    delta = c sd / sqrt(n), c the noncentrality at which Student's t passes its critical value with chance `power`.

    Args:
        sd: standard deviation of the differences; n: pairs; alpha: false-positive rate; power: chance to see it.
    Returns:
        The difference, in the unit of sd; inf for fewer than two pairs.
    """
    return math.inf if n < 2 else _noncentrality(n, alpha, power) * sd / math.sqrt(n)


def can_show(blocks: int, comparisons: int, confidence: float = 0.95) -> dict[str, Any]:
    """Return what a study of so many blocks can show at best, whatever its scores.

    Args:
        blocks: pairs of every comparison; comparisons: the family that Holm corrects for.
        confidence: 1 - confidence is the level of the family.
    Returns:
        `p`: the smallest p-value after Holm, comparisons 2 / 2^blocks; `needed`: blocks from which it reaches the
        level; `difference`: the smallest mean difference found 4 times in 5, in standard deviations of the differences
        between blocks (None below 2 blocks).
    """
    family, alpha = max(1, comparisons), 1 - confidence
    seen = minimum_detectable(1.0, blocks, alpha=alpha / family)
    return {
        "p": min(1.0, family * 2.0 ** (1 - blocks)),
        "needed": max(MIN_BLOCKS, math.ceil(1 - 1e-9 + math.log2(family / alpha))),
        "difference": seen if math.isfinite(seen) else None,
    }


def expected_validation_performance(scores: ArrayLike, n: int, *, higher_is_better: bool = True) -> float:
    """Return the expected best of n trials, from the N trials made.

    Mean of the best over all subsets of n of the N scores: sum_i C(i - 1, n - 1) / C(N, n) x_(i). Unbiased, unlike
    drawing with replacement.

    Args:
        scores: trials [N], finite; n: budget, 1 <= n <= N.
    Returns:
        The expected best score.
    Raises:
        ConfigError: n outside 1 ... N.
    References: Dodge et al. 2019, arXiv:1909.03004; Tang et al. 2020 (the unbiased form).
    """
    x = _ranked(scores, n, higher_is_better)
    best = float(_weights(x.size, n) @ x[n - 1 :])
    return best if higher_is_better else -best


def spread_of_best(scores: ArrayLike, n: int, *, higher_is_better: bool = True) -> float:
    """Return the standard deviation of the best of n trials, over all subsets of n of the N trials made.

    sqrt(sum_i w_i (x_(i) - m)^2), w_i and m as in `expected_validation_performance`. It is the luck of which trials
    were drawn, exact for these N and 0 at n = N; it knows nothing of trials that were never made.

    Args:
        scores: trials [N], finite; n: budget, 1 <= n <= N.
    Returns:
        In the unit of the scores.
    Raises:
        ConfigError: n outside 1 ... N.
    """
    x = _ranked(scores, n, higher_is_better)
    unit = float(np.abs(x).max()) or 1.0  # squares of large losses would overflow
    weights, best = _weights(x.size, n), x[n - 1 :] / unit
    return unit * math.sqrt(float(weights @ (best - weights @ best) ** 2))


def quartiles_of_best(scores: ArrayLike, n: int, *, higher_is_better: bool = True) -> tuple[float, float]:
    """Return the lower and the upper quartile of the best of n trials, over all subsets of n of the N trials made.

    Args:
        scores, n, higher_is_better: as for `spread_of_best`.
    Returns:
        (low, high), two of the scores.
    Raises:
        ConfigError: n outside 1 ... N.
    """
    x = _ranked(scores, n, higher_is_better)
    places = np.searchsorted(np.cumsum(_weights(x.size, n)), [0.25 - 1e-12, 0.75 - 1e-12])
    found = x[n - 1 :][places] * (1 if higher_is_better else -1)
    return float(found.min()), float(found.max())


def _ranked(scores: ArrayLike, n: int, higher_is_better: bool) -> NDArray[np.float64]:
    """Sort scores so that the best is last."""
    x = np.sort(vector(scores, "scores") * (1 if higher_is_better else -1))
    if not 1 <= n <= x.size:
        raise ConfigError(f"n: found {n}; expected 1 to {x.size}, the number of scores; lower n or make more trials")
    return x


def _weights(size: int, n: int) -> NDArray[np.float64]:
    """Return the chance of each rank from n up to be the best of n out of `size`: C(i - 1, n - 1) / C(size, n)."""
    rank = np.arange(n, size + 1)
    log_weight = special.gammaln(rank) - special.gammaln(n) - special.gammaln(rank - n + 1)
    log_total = special.gammaln(size + 1) - special.gammaln(n + 1) - special.gammaln(size - n + 1)
    return np.asarray(np.exp(log_weight - log_total), np.float64)
