"""What the scores of a search depend on: the setting or the seed, and which of the tuned hyper-parameters.

The first is plain arithmetic on a crossed table (every setting was run with the same tuning seeds) and can be trusted
with few trials. The second needs a model of the scores, a random forest, and is not told below 16 trials. Both speak of
the range that was searched: a wide range makes its hyper-parameter important. Numpy and scikit-learn, no jax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from deepprinciples.study.tuning import Space

ENOUGH = 16  # trials from which hyper-parameters are told apart
RESAMPLED = 6  # trials from which an interval is given
DRAWS = 999
TREES = 128
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


def share_interval(
    scores: NDArray[np.float64], *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """Give the interval of `setting_share` when the trials are drawn anew (percentile bootstrap over trials).

    Args:
        scores: [T, S]; confidence: coverage asked; seed: of the resampling.
    Returns:
        (low, high), or None for fewer than 6 trials.
    """
    if len(scores) < RESAMPLED:
        return None
    drawn = np.random.default_rng(seed).integers(len(scores), size=(DRAWS, len(scores)))
    shares = setting_share(scores[drawn])
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(shares, [tail, 100 - tail])
    return float(low), float(high)


def main_effects(units: NDArray[np.float64], values: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Give the share of the variance over the search space that each hyper-parameter explains alone (fANOVA).

    A random forest stands for the score; V_j = variance over x_j of the mean over all other hyper-parameters,
    divided by the variance over the whole space. What is left belongs to combinations.

    Args:
        units: settings in [0, 1] [T, D]; values: their scores [T]; seed: of the forest.
    Returns:
        [trees, D]: each tree saw another resampling of the trials, so their spread is the uncertainty.
    References: Hutter, Hoos and Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter Importance.
    """
    from sklearn.ensemble import RandomForestRegressor

    grid, inner = 32, 128
    count = units.shape[1]
    forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed).fit(units, values)
    points = qmc.Sobol(count, scramble=True, rng=np.random.default_rng(seed)).random(inner)
    moved = np.tile(points, (count, grid, 1, 1))  # [D, grid, inner, D]: in entry j, x_j has the values of a grid
    for j in range(count):
        moved[j, :, :, j] = ((np.arange(grid) + 0.5) / grid)[:, None]
    flat = moved.reshape(-1, count).astype(np.float32)
    told = np.stack([tree.predict(flat) for tree in forest.estimators_]).reshape(TREES, count, grid, inner)
    total = told.var(axis=(1, 2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total[:, None] > 0, told.mean(axis=3).var(axis=2) / total[:, None], np.nan)


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
        (shares of the variance), parameters (rows of path, share, interval: of what the setting decides), jointly, note.
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
    ends = share_interval(values, confidence=confidence)
    row |= {"setting": share, "seed": 1.0 - share, "interval": None if ends is None else list(ends)}
    if len(axes) < 2:
        return row
    if trials < ENOUGH:
        return row | {"note": f"{trials} trials: too few to tell {len(axes)} hyper-parameters apart (from {ENOUGH} on)"}
    units = np.array([[axis.unit(point[path]) for path, axis in axes.items()] for point in points])
    trees = main_effects(units, values.mean(axis=1))
    trees = trees[np.isfinite(trees).all(axis=1)]
    if not len(trees):
        return row | {"note": "all settings have the same score"}
    tail = (1 - confidence) / 2
    low, high = np.quantile(trees, [tail, 1 - tail], axis=0)
    alone = trees.mean(axis=0)
    row["parameters"] = [
        {"path": path, "share": float(alone[j]), "interval": [float(low[j]), float(high[j])]}
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
