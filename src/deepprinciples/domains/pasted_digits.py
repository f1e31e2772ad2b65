"""Handwritten digits and photographs that pictures are made of: each part has drawings and columns of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}  # of the digits, and of the columns of the photographs


def ink_and_photographs(precision: type) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Return digits in [0, 1] cut to their ink, their labels, and two gray photographs at half their size."""
    from sklearn.datasets import load_digits, load_sample_images

    data = load_digits()
    photographs = [np.asarray(one, precision).mean(axis=-1) / 255 for one in load_sample_images().images]
    even = (one[: one.shape[0] // 2 * 2, : one.shape[1] // 2 * 2] for one in photographs)
    halved = [one.reshape(one.shape[0] // 2, 2, one.shape[1] // 2, 2).mean(axis=(1, 3)) for one in even]
    return [_cut(one / 16) for one in data.images], np.asarray(data.target, np.int32), halved


def _cut(ink: np.ndarray) -> np.ndarray:
    """Cut a digit to the rows and columns that hold ink."""
    rows, columns = (np.flatnonzero((ink > 0.2).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def of_each_part(
    order: np.ndarray, photographs: list[np.ndarray]
) -> Iterator[tuple[str, np.ndarray, list[np.ndarray]]]:
    """Yield the name of each part, its own digits out of shuffled ones, and its own columns of the photographs."""
    ends = np.cumsum((0.0, *SHARES.values()))
    for name, begin, end in zip(SHARES, ends, ends[1:], strict=False):
        columns = [one[:, round(begin * one.shape[1]) : round(end * one.shape[1])] for one in photographs]
        yield name, order[round(begin * len(order)) : round(end * len(order))], columns


def resized(ink: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a digit by linear interpolation between the centers of its pixels, to values in [0, 1]."""
    return np.clip(_between(height, ink.shape[0]) @ ink @ _between(width, ink.shape[1]).T, 0.0, 1.0)


def _between(size: int, given: int) -> np.ndarray:
    """Return the weights [size, given] of an interpolation along one axis."""
    places = np.clip((np.arange(size) + 0.5) * given / size - 0.5, 0, given - 1)
    return np.maximum(1.0 - np.abs(places[:, None] - np.arange(given)[None, :]), 0.0)
