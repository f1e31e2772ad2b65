"""When a curve gets where it should: the first step at a level, stages between levels, and what batches are worth.

Curves are variables of `run.results`, such as `validation` [arm, seed, eval_step]. Numpy and xarray only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from deepprinciples.errors import DataError


class Stage(NamedTuple):
    """A part of training that ends where a loss is reached: its first and last step and their distance, by arm."""

    target: float
    begin: NDArray[np.float64]
    end: NDArray[np.float64]  # NaN where the arm does not get there
    steps: NDArray[np.float64]


class BatchFit(NamedTuple):
    """The fit steps = fewest (1 + critical / batch size)."""

    fewest: float
    critical: float


def steps_to(curve: xr.DataArray, level: float, *, above: bool = True, dim: str = "eval_step") -> xr.DataArray:
    """Find the first step at which a curve is at a level or beyond it.

    Args:
        curve: over `dim` and any others.
        level: what is to be reached.
        above: whether larger values are beyond it.
        dim: the dimension of steps.

    Returns:
        The curve without `dim`; NaN where it never gets there.
    """
    there = curve >= level if above else curve <= level
    return curve[dim].where(there).min(dim)


def stages(loss: xr.DataArray, targets: Sequence[float]) -> list[Stage]:
    """Cut training into stages that end where the median seed of an arm first reaches a loss.

    Args:
        loss: [arm, seed, eval_step].
        targets: falling; a stage begins where the one before it ended, the first at step 0.

    Returns:
        One `Stage` for each target, its arrays over arms.
    """
    begin, found = np.zeros(loss.sizes["arm"]), []
    for target in targets:
        median = steps_to(loss, target, above=False).fillna(np.inf).median("seed").values
        end = np.where(np.isfinite(median), median, np.nan)
        found.append(Stage(target, begin, end, end - begin))
        begin = end
    return found


def critical_batch_size(sizes: ArrayLike, steps: ArrayLike) -> BatchFit:
    """Fit how the steps to a loss fall with the batch size.

    steps = fewest (1 + critical / size), least squares of relative errors

    Args:
        sizes: batch sizes [n].
        steps: that each took [n]; those that are NaN or 0 are left out.

    Returns:
        BatchFit(fewest, critical); NaN where fewer than three sizes got there.

    Raises:
        DataError: there are not as many steps as sizes.

    References: McCandlish et al. 2018, arXiv:1812.06162.
    """
    x, y = np.asarray(sizes, np.float64), np.asarray(steps, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"steps: found shape {y.shape}; expected that of sizes, {x.shape}; give one for each size")
    known = y > 0
    if known.sum() < 3:
        return BatchFit(np.nan, np.nan)
    slope, fewest = np.polyfit(1 / x[known], y[known], 1, w=1 / y[known])
    return BatchFit(float(fewest), float(slope / fewest))


def noise_scale(trace: xr.DataArray, signal: xr.DataArray, begin: float, end: float) -> float:
    """Compute the noise scale of the gradient over some steps: sum of trace / sum of signal.

    Args:
        trace, signal: estimates of the probe `gradient_noise` over `step`; single ones may be negative.
        begin, end: the first step, and the one after the last.

    Returns:
        The batch size at which noise and signal are equal.

    References: McCandlish et al. 2018, arXiv:1812.06162.
    """
    inside = (trace.step >= begin) & (trace.step < end)
    return float(trace.where(inside).sum() / signal.where(inside).sum())
