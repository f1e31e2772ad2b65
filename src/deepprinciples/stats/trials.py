"""Equal-budget search: the same number of trials for every arm, chosen on validation data, edges flagged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Axis(NamedTuple):
    """One tuned hyper-parameter: its range, its scale, and the interval that its part allows, such as "[0, 1)"."""

    low: float
    high: float
    log: bool
    allowed: str = "(-inf, inf)"

    def at(self, unit: np.ndarray) -> np.ndarray:
        """Map [0, 1] onto the range: low + u (high - low), or low (high / low)^u on a log scale."""
        if self.log:
            return self.low * (self.high / self.low) ** unit
        return self.low + unit * (self.high - self.low)

    def unit(self, value: float) -> float:
        """Map the range onto [0, 1]: the inverse of `at`."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def widened(self, *, down: bool, up: bool) -> Axis:
        """Move an end outward by the length of the range on the axis's own scale, but never out of what is allowed.

        An end that is not allowed itself, such as the 1 of "[0, 1)", is approached by half of what is left.
        """
        if self.log:
            low, high = self.low * self.low / self.high, self.high * self.high / self.low
        else:
            low, high = 2 * self.low - self.high, 2 * self.high - self.low
        least, most = (float(end) for end in self.allowed[1:-1].split(","))
        if low < least or (low == least and self.allowed[0] == "("):
            low = least if self.allowed[0] == "[" and not self.log else (self.low + least) / 2
        if high > most or (high == most and self.allowed[-1] == ")"):
            high = most if self.allowed[-1] == "]" else (self.high + most) / 2
        return self._replace(low=low if down else self.low, high=high if up else self.high)


Space = dict[str, Axis]
_ANY = "(-inf, inf)"


def space(tune: Mapping[str, Any], allowed: Mapping[str, str] | None = None) -> Space:
    """Read a search space from a config's `tune` table; `allowed` maps a path to the interval its part accepts."""
    return {
        path: Axis(
            float(one["low"]), float(one["high"]), one.get("scale", "linear") == "log", (allowed or {}).get(path, _ANY)
        )
        for path, one in tune.items()
    }


def settings(axes: Space, places: np.ndarray) -> list[dict[str, float]]:
    """Map places of the unit cube [N, d] onto the space: one setting each, path -> value, rounded to float32."""
    columns = {path: axis.at(places[:, i]) for i, (path, axis) in enumerate(axes.items())}
    return [{path: float(np.float32(column[t])) for path, column in columns.items()} for t in range(len(places))]


def places(axes: Space, points: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Map settings back to places [N, d] of the unit cube: the inverse of `settings`."""
    found = [[axis.unit(point[path]) for path, axis in axes.items()] for point in points]
    return np.array(found, float).reshape(len(points), len(axes))


def select(scores: np.ndarray, *, higher_is_better: bool) -> int:
    """Return the trial whose mean over the tuning seeds is best, the first of equals.

    Args:
        scores: [trials, tuning seeds], diverged lanes already at the worst value.
    """
    means = scores.mean(axis=1)
    return int(np.argmax(means) if higher_is_better else np.argmin(means))


def edges(points: Sequence[Mapping[str, float]], best: int, axes: Space) -> dict[str, tuple[bool, bool]]:
    """Find the hyper-parameters whose best value is the smallest or the largest tried: path -> (lowest, highest)."""
    found = {}
    for path in axes:
        values = [point[path] for point in points]
        low, high = points[best][path] <= min(values), points[best][path] >= max(values)
        if (low or high) and len(values) > 1:
            found[path] = (low, high)
    return found
