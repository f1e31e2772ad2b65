"""What the scores of a search depend on: the setting or the seed, and which of the tuned hyper-parameters.

The first is plain arithmetic on a crossed table (every setting was run with the same tuning seeds) and can be trusted
with few trials. The second needs a model of the scores, a Gaussian process, and is not told below 16 trials. Both speak of
the range that was searched: a wide range makes its hyper-parameter important. Numpy and scikit-learn, no jax.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats
from scipy.stats import qmc

from deepprinciples.study.tuning import Space

ENOUGH = 16  # trials from which hyper-parameters are told apart
GRID, INNER = 12, 32  # values of one hyper-parameter, and settings of the others at each
POSTERIOR = 99  # draws of the function that is left uncertain
MOST = 256  # trials that the model takes: its time grows with their third power
DECADES = 2.0  # a loss that spans more is looked at in its logarithm


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
    """Give the share of the variance that the setting decides, in [0, 1]; nan where nothing varies.

    Args:
        scores: [..., T, S].
    """
    parts = [np.maximum(part, 0.0) for part in components(scores)]
    total = parts[0] + parts[1] + parts[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, parts[0] / total, np.nan)


def share_interval(scores: NDArray[np.float64], *, confidence: float = 0.95) -> tuple[float, float]:
    """Give the interval of `setting_share`, from F distributions with Satterthwaite's degrees of freedom.

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
    a = k * share / (n * (1 - share))
    b = 1 + k * share * (n - 1) / (n * (1 - share))
    degrees = (a * columns + b * left) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * left) ** 2 / ((n - 1) * (k - 1)))
    others = k * columns + (k * n - k - n) * left
    above = float(stats.f.ppf((1 + confidence) / 2, n - 1, degrees))
    below = float(stats.f.ppf((1 + confidence) / 2, degrees, n - 1))
    low = n * (rows - above * left) / (above * others + n * rows)
    high = n * (below * rows - left) / (others + n * below * rows)
    return min(max(low, 0.0), share), max(min(high, 1.0), share)


def main_effects(
    units: NDArray[np.float64], values: NDArray[np.float64], *, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the share of the variance over the search space that each hyper-parameter explains alone (functional ANOVA).

    V_j = variance over x_j of the mean over all others, over the variance of all; of a Gaussian process fitted to the
    scores. At 16 to 64 trials it finds planted shares, where a random forest gives nearly all to the strongest.

    Args:
        units: settings in [0, 1] [T, D]; values: their scores [T], not all equal; seed: of fit and draws.
    Returns:
        The shares [D] of the fitted mean, and those of functions drawn from the posterior [draws, D].
    References: Hutter, Hoos and Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter Importance.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels

    units, values = units[:MOST], values[:MOST]  # the first of a Sobol sequence lie evenly, too
    count = units.shape[1]
    signal = kernels.ConstantKernel(1.0, (0.05, 50.0)) * kernels.Matern([0.5] * count, (0.05, 20.0), nu=2.5)
    model = GaussianProcessRegressor(
        signal + kernels.WhiteKernel(0.05, (1e-5, 1.0)), normalize_y=True, n_restarts_optimizer=1, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length at its bound: the hyper-parameter does nothing
        model.fit(units, values)
    signal = model.kernel_.k1
    points = qmc.Sobol(count, scramble=True, rng=np.random.default_rng(seed)).random(INNER)
    shares = []
    for j in range(count):
        moved = np.repeat(points[None], GRID, axis=0)
        moved[:, :, j] = ((np.arange(GRID) + 0.5) / GRID)[:, None]
        flat = moved.reshape(-1, count)
        across = signal(flat, units)
        known = linalg.solve_triangular(model.L_, across.T, lower=True)
        size, turn = np.linalg.eigh(signal(flat) - known.T @ known)
        noise = np.random.default_rng(seed).normal(size=(len(flat), POSTERIOR))
        mean = (across @ model.alpha_.reshape(-1))[:, None]
        drawn = np.concatenate([mean, mean + turn @ (np.sqrt(np.maximum(size, 0.0))[:, None] * noise)], axis=1)
        table = drawn.T.reshape(-1, GRID, INNER)
        shares.append(table.mean(axis=2).var(axis=1) / np.maximum(table.var(axis=(1, 2)), 1e-30))
    found = np.stack(shares, axis=1)
    return found[0], found[1:]


def rows(
    scores: Mapping[str, NDArray[np.float64]],
    points: Mapping[str, Sequence[Mapping[str, float]]],
    axes: Mapping[str, Space],
    *,
    higher_is_better: bool,
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """Tell for each arm what the scores of its trials depend on.

    Args:
        scores: name -> [trials, tuning seeds], diverged trials at the worst value.
        points: name -> settings tried; axes: name -> the space they were drawn from.
        higher_is_better: direction of the metric; confidence: of the intervals.

    Returns:
        Rows of name, trials, seeds, log (whether the logarithm of the score was looked at), setting, interval, seed
        (shares of the variance), parameters (rows of path, share, interval: of what the setting
        decides), jointly, note.
    """
    return [
        _row(name, values, points[name], axes[name], higher_is_better, confidence) for name, values in scores.items()
    ]


def _row(
    name: str,
    scores: NDArray[np.float64],
    points: Sequence[Mapping[str, float]],
    axes: Space,
    higher_is_better: bool,
    confidence: float,
) -> dict[str, Any]:
    trials, seeds = scores.shape
    row: dict[str, Any] = {"name": name, "trials": trials, "seeds": seeds, "log": False, "setting": None}
    row |= {"interval": None, "seed": None, "parameters": [], "jointly": None, "note": ""}
    if trials < 2 or seeds < 2:
        return row | {"note": f"{trials} trials x {seeds} tuning seeds: too few to tell settings from seeds"}
    if not np.ptp(scores):
        return row | {"note": "all trials have the same score"}
    values, row["log"] = _on_a_scale(scores, higher_is_better)
    share = float(setting_share(values))
    row |= {"setting": share, "seed": 1.0 - share}
    row["interval"] = list(share_interval(values, confidence=confidence))
    if len(axes) < 2:
        return row
    if trials < ENOUGH:
        return row | {"note": f"{trials} trials: too few to tell {len(axes)} hyper-parameters apart (from {ENOUGH} on)"}
    units = np.array([[axis.unit(point[path]) for path, axis in axes.items()] for point in points])
    means = values.mean(axis=1)
    if np.ptp(means) <= 1e-9 * np.abs(means).max():
        return row | {"note": "all settings have the same score"}
    alone, drawn = main_effects(units, means)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    row["parameters"] = [
        {
            "path": path,
            "share": float(alone[j]),
            "interval": [float(min(low[j], alone[j])), float(max(high[j], alone[j]))],
        }
        for j, path in enumerate(axes)
    ]
    return row | {"jointly": max(0.0, 1.0 - float(alone.sum()))}


def _on_a_scale(scores: NDArray[np.float64], higher_is_better: bool) -> tuple[NDArray[np.float64], bool]:
    """Take the logarithm of losses that span decades: else the worst trial would be all there is to explain."""
    low, high = float(scores.min()), float(scores.max())
    if not higher_is_better and low > 0 and high / low >= 10**DECADES:
        return np.log10(scores), True
    unit = max(abs(low), abs(high))
    return scores / unit, False  # so that no square overflows
