"""Numbers for the figures: taken from the results by name, in a fixed order of dimensions, or not at all.

A diverged seed counts as the worst outcome in every median and quartile here; it is never dropped. Drawing does not
belong here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepprinciples.report import formatting

MOST = 500  # marks of one arm that a figure draws: more overlap, and make a page of megabytes
_WORST = 1e300  # finite, so that quartiles between it and a number are huge and not NaN


def take(results: xr.Dataset, name: str, dims: Sequence[str]) -> np.ndarray | None:
    """Return a variable as float array with these dimensions in this order, or None where it is absent or empty."""
    if name not in results.variables:
        return None
    variable = results[name]
    if set(variable.dims) != set(dims) or variable.size == 0 or variable.dtype.kind not in "fiub":
        return None
    values = np.asarray(variable.transpose(*dims).values, dtype=float)
    return values if np.isfinite(values).any() else None


def words(results: xr.Dataset, name: str, dims: Sequence[str]) -> np.ndarray | None:
    """Return a variable of texts with these dimensions in this order, or None where it is absent."""
    if name not in results.variables or set(results[name].dims) != set(dims):
        return None
    return results[name].transpose(*dims).values.astype(str)


def own_probes(summary: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return title and meaning of each variable of the user's own probes, in the user's words where there are some."""
    found = {}
    for name, one in formatting.table(summary.get("own_probes")).items():
        known = formatting.table(one)
        probe, what = formatting.name(known.get("probe")), str(known.get("what") or "").rstrip(". ")
        title = formatting.name(name)
        found[name] = title, formatting.name(what or f"What the probe {probe} measures")
    return found


def labels(results: xr.Dataset, dim: str) -> list[str]:
    """Return the raw labels of a dimension, numbered where it has no coordinate."""
    if dim in results.coords:
        return [str(value) for value in np.atleast_1d(results[dim].values)]
    return [str(index) for index in range(results.sizes.get(dim, 0))]


def steps(results: xr.Dataset, dim: str) -> np.ndarray:
    """Return the steps of a dimension as floats, numbered where it has no coordinate."""
    if dim in results.coords and results[dim].dtype.kind in "fiu":
        return np.asarray(results[dim].values, dtype=float)
    return np.arange(results.sizes.get(dim, 0), dtype=float)


def diverged(results: xr.Dataset) -> np.ndarray | None:
    """Return the step at which each lane diverged [arm, seed], NaN where it did not; None where not recorded."""
    values = take(results, "diverged_at", ("arm", "seed"))
    return None if values is None else np.where(values >= 0, values, np.nan)


def with_worst(values: np.ndarray, at: np.ndarray | None, when: np.ndarray, *, maximize: bool) -> np.ndarray:
    """Put the worst outcome at every step after a lane diverged.

    Args:
      values: [arm, seed, step].
      at: the step a lane diverged [arm, seed], NaN where it did not.
      when: the steps [step].
      maximize: whether large values are good.

    Returns:
      [arm, seed, step]; infinite values count as the worst outcome too.
    """
    worst = -_WORST if maximize else _WORST
    filled = np.where(np.isinf(values), worst, values)
    if at is None:
        return filled
    return np.where(when[None, None, :] >= at[:, :, None], worst, filled)


def thinned(count: int, most: int = MOST) -> np.ndarray:
    """Return the places of at most `most` of `count` equal things, evenly spaced; all of them where they are few."""
    return np.arange(count) if count <= most else np.arange(most) * count // most


def left_out(count: int, things: str, most: int = MOST) -> str:
    """Return what a caption adds where `thinned` left some of `count` seeds or searches out, and "" otherwise."""
    return f" Of {count:,} {things}, {most} evenly spaced ones are drawn." if count > most else ""


def quartiles(values: np.ndarray, axis: int) -> np.ndarray:
    """Return lower quartile, median and upper quartile [3, ...]; NaN where the worst outcome reaches them."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        found = np.nanquantile(values, (0.25, 0.5, 0.75), axis=axis)
    return np.where(np.abs(found) < _WORST / 1e6, found, np.nan)


def median(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the median of the values that are there, NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(np.where(np.isfinite(values), values, np.nan), axis=axis))


def mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of the values that are there, NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=axis))


def spans_decades(values: np.ndarray, decades: float = 2.0) -> bool:
    """Return whether the finite values are all positive and at least this many decades apart."""
    held = values[np.isfinite(values)]
    return bool(held.size and held.min() > 0 and held.max() / held.min() >= 10**decades * (1 - 1e-9))
