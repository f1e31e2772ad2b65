"""What the searches of a study chose, what they promised, and how much of the spread of the scores is their luck.

Numpy and scipy only, no jax. Whether two arms differ is decided in `verdicts`; here each arm stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepprinciples.stats import paired_tests
from deepprinciples.stats.searches import Judge, Search, judged_scores
from deepprinciples.stats.verdicts import block_means

REGIONS = 5  # equal parts of a tuned range, on its own scale
MOST_BLOCKS = 0.5  # share of the blocks whose optimum lies on an edge from which the range counts as too narrow


def chosen(searches: Sequence[Search]) -> dict[str, Any]:
    """Describe the settings that the searches of an arm chose.

    Returns:
        `points`: the point of each block; `typical`: the median of each hyper-parameter; `regions`: rows of path, ends
        [REGIONS + 1] and counts [REGIONS], how many blocks chose a value in each part of the range; `edges`: the
        hyper-parameters whose optimum lies on the edge of what was tried in most blocks.
    """
    points = [one.chosen for one in searches]
    typical, regions, edges = {}, [], []
    for path in searches[0].axes if searches else ():
        values = np.array([point[path] for point in points])
        typical[path] = float(np.median(values))
        axes = [one.axes[path] for one in searches]  # some may have been widened
        axis = axes[0]._replace(low=min(axis.low for axis in axes), high=max(axis.high for axis in axes))
        ends = axis.at(np.linspace(0, 1, REGIONS + 1))
        units = np.array([axis.unit(value) for value in values])
        counts = np.bincount(np.clip((units * REGIONS).astype(int), 0, REGIONS - 1), minlength=REGIONS)
        regions.append({"path": path, "ends": ends.tolist(), "counts": counts.tolist(), "log": axis.log})
        at_edge = sum(path in one.edges for one in searches)
        tried = min(len(one.points) for one in searches)
        if at_edge > MOST_BLOCKS * len(searches) and tried > 4:  # of 4 trials, 2 lie on an edge whatever the scores
            edges.append(path)
    return {"points": points, "typical": typical, "regions": regions, "edges": edges}


def promises(searches: Sequence[Search], judge: Judge) -> NDArray[np.float64]:
    """Return the validation score that made each block's setting win [blocks]."""
    return np.array([judged_scores(one.scores, one.diverged_at, judge)[one.best].mean() for one in searches], float)


def winners_curse(
    promised: NDArray[np.float64], fresh: NDArray[np.float64], *, higher_is_better: bool, confidence: float = 0.95
) -> dict[str, Any]:
    """Compare what the searches of an arm promised with what fresh seeds gave, both on validation data.

    The best of many noisy scores is too good to be true; how much too good is the mean of promised - fresh.

    Args:
        promised: the winner's score of each block [blocks]; fresh: the mean of its report runs [blocks].
        higher_is_better: direction of the metric; confidence: of the interval.
    Returns:
        promised, fresh (means), drop (above 0 where fresh runs are worse), interval, and `broken`: fresh scores fall
        out of what was promised, i.e. the drop is above 0 beyond doubt and larger than two standard deviations of what
        the searches promised.
    References:
        Cawley and Talbot 2010, On Over-fitting in Model Selection.
    """
    drop = (promised - fresh) * (1 if higher_is_better else -1)
    found = paired_tests.mean_interval(drop, confidence=confidence)
    spread = float(promised.std(ddof=1)) if promised.size > 1 else math.inf
    known = math.isfinite(found.low)
    return {
        "promised": float(promised.mean()),
        "fresh": float(fresh.mean()),
        "drop": found.value,
        "interval": [found.low, found.high] if known else [None, None],
        "broken": bool(known and found.low > 0 and found.value > 2 * spread),
    }


def variance_shares(scores: NDArray[np.float64], blocks: Sequence[int], tuned: Sequence[bool]) -> list[dict[str, Any]]:
    """Take the variance of each arm's scores apart: search, seed, rest.

    With S runs in each of B blocks, mean squares MB between and MW within blocks: search = (MB - MW) / S, not below 0.
    seed = the mean covariance, within blocks, with the other arms: what a seed does to all arms alike, which pairing
    takes out of a difference. rest = MW - seed. An arm that was not tuned is one block.

    Args:
        scores: [arm, seed], finite; blocks: the block of each seed; tuned: whether each arm searched.
    Returns:
        For each arm search, seed and rest, shares that add up to 1; None where nothing varies or where blocks of one
        run cannot tell them apart.
    References: Searle, Casella and McCulloch 1992, Variance Components; Bouthillier et al. 2021, arXiv:2103.03098.
    """
    number = np.asarray(blocks)
    rows: list[dict[str, float | None]] = []
    for k, searched in enumerate(tuned):
        one = number if searched else np.zeros_like(number)
        count = len(np.unique(one))
        free = number.size - count
        shares: dict[str, float | None] = {"search": None, "seed": None, "rest": None}
        if free < 1:
            rows.append(shares)
            continue
        means = block_means(scores, one)
        left = scores - means[:, np.unique(one, return_inverse=True)[1]]
        within = float(left[k] @ left[k]) / free
        each = number.size / count
        between = each * float(means[k].var(ddof=1)) if count > 1 else within
        search = max(0.0, (between - within) / each)
        others = [float(left[k] @ left[j]) / free for j in range(len(scores)) if j != k]
        seed = min(max(float(np.mean(others)), 0.0), within) if others else 0.0
        total = search + within
        if total > 0:
            shares = {"search": search / total, "seed": seed / total, "rest": (within - seed) / total}
        rows.append(shares)
    return rows


def never_acted(rates: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Name the transforms of an arm whose trigger rate is 0 in every run and at every probed step.

    Args:
        rates: transform -> trigger rates, NaN where the arm does not have it or a run had diverged.
    """
    return [name for name, values in rates.items() if np.isfinite(values).any() and not np.nan_to_num(values).any()]
