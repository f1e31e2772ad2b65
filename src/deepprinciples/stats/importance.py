"""What the scores of a search depend on: the setting or the seed, and which of the tuned hyper-parameters.

The first is plain arithmetic on crossed tables (in a search every setting runs with the same tuning seeds) and can be
trusted with few trials. The second needs a model of the scores, a Gaussian process, and 16 trials or more. Both speak
of the range that was searched: a wide range makes its hyper-parameter important. Numpy and scipy, no jax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats
from scipy.stats import qmc

from deepprinciples.stats.paired_tests import mean_interval
from deepprinciples.stats.searches import Search
from deepprinciples.stats.sentences import plural

ENOUGH = 16  # trials from which hyper-parameters can be distinguished
GRID, INNER = 8, 16  # values of one hyper-parameter, and settings of the others at each
TRIED, DRAWS = 512, 64  # lengths and noises that are weighed, and functions drawn
MOST = 256  # trials that the model takes: its time grows with their third power
DECADES = 2.0  # a loss that spans more is analyzed in its logarithm


class Components(NamedTuple):
    """Variance of one score, by where it comes from; the sum is that of a random setting with a random seed."""

    setting: NDArray[np.float64]
    seed: NDArray[np.float64]  # the same luck at every setting
    rest: NDArray[np.float64]  # luck that differs from setting to setting


def components(scores: NDArray[np.float64]) -> Components:
    """Take the variance of a crossed table apart, without bias.

    With mean squares MA (settings), MB (seeds), ME (what is left) of T settings and S seeds:
    setting = (MA - ME) / S, seed = (MB - ME) / T, rest = ME. Seeds are shared by all settings, so that what a seed
    gives to all of them does not count against the setting.

    Args:
        scores: [..., T, S], T and S at least 2, finite.
    Returns:
        Three arrays [...]; single ones may be below 0, as unbiased estimates near 0 are.
    References: Searle, Casella and McCulloch 1992, Variance Components.
    """
    trials, seeds = scores.shape[-2:]
    whole = scores.mean(axis=(-2, -1), keepdims=True)
    rows, columns = scores.mean(axis=-1, keepdims=True), scores.mean(axis=-2, keepdims=True)
    between_rows = seeds * ((rows - whole) ** 2).sum(axis=(-2, -1)) / (trials - 1)
    between_columns = trials * ((columns - whole) ** 2).sum(axis=(-2, -1)) / (seeds - 1)
    left = ((scores - rows - columns + whole) ** 2).sum(axis=(-2, -1)) / ((trials - 1) * (seeds - 1))
    return Components((between_rows - left) / seeds, (between_columns - left) / trials, left)


def setting_share(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the variance that the setting decides, in [0, 1]; nan where nothing varies.

    Args:
        scores: [..., T, S].
    """
    parts = [np.maximum(part, 0.0) for part in components(scores)]
    total = parts[0] + parts[1] + parts[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, parts[0] / total, np.nan)


def share_interval(scores: NDArray[np.float64], *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of `setting_share`, from F distributions with Satterthwaite's degrees of freedom.

    With three tuning seeds it is wide, for what a seed does to all settings was seen three times only; resampling
    trials would not know that.

    Args:
        scores: [T, S], T and S at least 2; confidence: coverage asked.
    Returns:
        (low, high) in [0, 1].
    References: McGraw and Wong 1996, Forming inferences about some intraclass correlation coefficients, ICC(A,1).
    """
    n, k = scores.shape
    parts = components(scores)
    left = float(parts.rest)
    rows, columns = k * float(parts.setting) + left, n * float(parts.seed) + left  # mean squares
    share = float(setting_share(scores))
    if columns <= 0 and left <= 0 or share >= 1:
        return 1.0, 1.0
    if share <= 0 and left <= 0:  # the seeds decide all, and the formula below would be 0 / 0
        return 0.0, 0.0
    a = k * share / (n * (1 - share))
    b = 1 + k * share * (n - 1) / (n * (1 - share))
    degrees = (a * columns + b * left) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * left) ** 2 / ((n - 1) * (k - 1)))
    others = k * columns + (k * n - k - n) * left
    above = float(stats.f.ppf((1 + confidence) / 2, n - 1, degrees))
    below = float(stats.f.ppf((1 + confidence) / 2, degrees, n - 1))
    low = n * (rows - above * left) / (above * others + n * rows)
    high = n * (below * rows - left) / (others + n * below * rows)
    return min(max(low, 0.0), share), max(min(high, 1.0), share)


def main_effects(units: NDArray[np.float64], values: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Return the share of the variance that each hyper-parameter explains alone (functional ANOVA).

    V_j / V: variance over x_j of the mean over all others, over the variance of all, of functions drawn from a Gaussian
    process that knows the scores; the lengths on which it varies and its noise are drawn too, by their likelihood. At
    16 to 64 trials it finds planted shares, where a random forest gives nearly all to the strongest.

    Args:
        units: settings in [0, 1] [T, D]; values: their scores [T], not all equal; seed: of the draws.
    Returns:
        [draws, D]: their spread is what T trials leave open.
    References: Hutter, Hoos and Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter Importance;
        Oakley and O'Hagan 2004, Probabilistic sensitivity analysis of complex models.
    """
    from threadpoolctl import threadpool_limits  # scikit-learn brings it

    with threadpool_limits(1, user_api="blas"):  # matrices are small: threads would only wait for each other
        # The first of a Sobol sequence lie evenly, too.
        return _effects(units[:MOST], values[:MOST], np.random.default_rng(seed))


def _effects(units: NDArray[np.float64], values: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    trials, count = units.shape
    scores = (values - values.mean()) / values.std()
    prior = qmc.Sobol(count + 1, scramble=True, rng=draw).random(TRIED)
    lengths, noise = 0.1 * 100 ** prior[:, :count], 1e-4 * 1e4 ** prior[:, count]
    known = [_whitened(units / one, level, scores) for one, level in zip(lengths, noise, strict=True)]
    fits = np.array([-trials * np.log(z @ z / trials) / 2 - np.log(np.diag(root)).sum() for root, z in known])
    weights = np.exp(fits - fits.max())
    chosen = draw.choice(TRIED, DRAWS, p=weights / weights.sum())
    points = qmc.Sobol(count, scramble=True, rng=draw).random(INNER)
    found = np.empty((DRAWS, count))
    for number in np.unique(chosen):
        places = np.flatnonzero(chosen == number)
        for j in range(count):
            at = np.repeat(points[None], GRID, axis=0)  # [grid, inner, D]
            at[:, :, j] = ((np.arange(GRID) + 0.5) / GRID)[:, None]
            at = at.reshape(-1, count) / lengths[number]
            root, z = known[number]
            drawn = _drawn(at, units / lengths[number], root, z, draw.normal(size=(len(at), places.size)))
            table = drawn.T.reshape(-1, GRID, INNER)
            found[places, j] = table.mean(axis=2).var(axis=1) / np.maximum(table.var(axis=(1, 2)), 1e-30)
    return found


def _matern(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of values at a and b that lie this many lengths apart (Matern 5/2)."""
    apart = np.sqrt(5 * ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=-1))
    return np.asarray((1 + apart + apart**2 / 3) * np.exp(-apart))


def _whitened(
    at: NDArray[np.float64], noise: float, scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the root of the scores' covariance, and the scores in its units."""
    root = np.asarray(np.linalg.cholesky(_matern(at, at) + noise * np.eye(len(at))), np.float64)
    return root, np.asarray(linalg.solve_triangular(root, scores, lower=True))


def _drawn(
    at: NDArray[np.float64],
    trials: NDArray[np.float64],
    root: NDArray[np.float64],
    scores: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Draw functions that know the scores, at other places."""
    across = linalg.solve_triangular(root, _matern(trials, at), lower=True)
    sizes, turn = np.linalg.eigh(_matern(at, at) - across.T @ across)
    scale = np.sqrt(scores @ scores / len(scores))
    drawn = scale * (turn @ (np.sqrt(np.maximum(sizes, 0.0))[:, None] * normal))
    return np.asarray((across.T @ scores)[:, None] + drawn)


def rows(
    scores: Mapping[str, Sequence[NDArray[np.float64]]],
    searched: Mapping[str, Sequence[Search]],
    *,
    higher_is_better: bool,
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """Describe for each arm what the scores of its trials depend on.

    Args:
        scores: arm -> for each search [trials, tuning seeds], diverged trials at the worst value.
        searched: arm -> its searches.
        higher_is_better: direction of the metric; confidence: of the intervals.

    Returns:
        Rows of name, trials (of all searches), seeds, log (whether the logarithm of the score was analyzed), setting,
        interval, seed (shares of the variance), parameters (rows of path, share, interval: of what the setting
        decides), jointly, note.
    """
    return [_row(name, parts, searched[name], higher_is_better, confidence) for name, parts in scores.items()]


def _row(
    name: str,
    parts: Sequence[NDArray[np.float64]],
    searches: Sequence[Search],
    higher_is_better: bool,
    confidence: float,
) -> dict[str, Any]:
    trials, seeds = sum(map(len, parts)), parts[0].shape[1]
    row: dict[str, Any] = {"name": name, "trials": trials, "seeds": seeds, "log": False, "setting": None}
    row |= {"interval": None, "seed": None, "parameters": [], "jointly": None, "note": ""}
    pooled = np.concatenate(parts)
    if not np.ptp(pooled):
        return row | {"note": "all trials have the same score"}
    values, row["log"] = _on_a_scale(pooled, higher_is_better)
    crossed = [one for one in np.split(values, np.cumsum([len(one) for one in parts])[:-1]) if len(one) > 1]
    if seeds < 2 or not crossed:
        row["note"] = f"{trials} trials x {seeds} tuning {plural('seed', seeds)}: too few to tell settings from seeds"
    else:
        share, row["interval"] = _setting(crossed, confidence)
        row |= {"setting": share, "seed": 1.0 - share}
    points = [point for one in searches for point in one.points]
    paths = list(searches[0].axes)
    if len(paths) < 2:
        return row
    if trials < ENOUGH:
        few = f"{trials} trials: too few to tell {len(paths)} hyper-parameters apart (from {ENOUGH} on)"
        return row | {"note": few}
    units = np.array([[searches[0].axes[path].unit(point[path]) for path in paths] for point in points])
    means = values.mean(axis=1)
    if np.ptp(means) <= 1e-9 * np.abs(means).max():
        return row | {"note": "all settings have the same score"}
    drawn = main_effects(units, means)
    alone = drawn.mean(axis=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    row["parameters"] = [
        {
            "path": path,
            "share": float(alone[j]),
            "interval": [float(low[j]), float(high[j])],
        }
        for j, path in enumerate(paths)
    ]
    return row | {"jointly": max(0.0, 1.0 - float(alone.sum()))}


def _setting(crossed: Sequence[NDArray[np.float64]], confidence: float) -> tuple[float, list[float]]:
    """Return the share that the setting decides, averaged over searches, and its interval.

    Several searches give the interval by how they differ; one alone by its F distributions.
    """
    shares = np.array([float(setting_share(one)) for one in crossed])
    shares = shares[np.isfinite(shares)]  # a search whose scores do not vary says nothing
    if len(shares) < 2:
        one = next(one for one in crossed if np.ptp(one))
        return float(setting_share(one)), list(share_interval(one, confidence=confidence))
    found = mean_interval(shares, confidence=confidence)
    return found.value, [max(0.0, found.low), min(1.0, found.high)]


def _on_a_scale(scores: NDArray[np.float64], higher_is_better: bool) -> tuple[NDArray[np.float64], bool]:
    """Take the logarithm of losses that span decades: else the worst trial would be all there is to explain."""
    low, high = float(scores.min()), float(scores.max())
    if not higher_is_better and low > 0 and high / low >= 10**DECADES:
        return np.log10(scores), True
    unit = max(abs(low), abs(high))
    return scores / unit, False  # so that no square overflows
