"""Mean and standard deviation of large arrays, and arrays brought to mean 0 and standard deviation 1 with them."""

from __future__ import annotations

import numpy as np

CHUNK = 4096  # rows summed at a time: float64 copies of a whole image set would not fit small machines


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation over examples (and positions), leaving out what is not finite.

    Args:
      x: floats [N, D], or [N, ..., C] for images and sequences.

    Returns:
      (mean, std), float64, shape [D] or [C]; std is 1 where a feature is constant.
    """
    features = x.shape[-1]
    flat = x.reshape(-1, features)  # [M, D]
    count, total, square = np.zeros(features), np.zeros(features), np.zeros(features)
    low, high = np.full(features, np.inf), np.full(features, -np.inf)
    for start in range(0, len(flat), CHUNK):
        rows = flat[start : start + CHUNK].astype(np.float64)
        good = np.isfinite(rows)
        count += good.sum(0)
        total += np.sum(rows, axis=0, where=good)
        low = np.minimum(low, np.min(rows, axis=0, where=good, initial=np.inf))
        high = np.maximum(high, np.max(rows, axis=0, where=good, initial=-np.inf))
    mean = total / np.maximum(count, 1)
    for start in range(0, len(flat), CHUNK):
        rows = flat[start : start + CHUNK].astype(np.float64)
        square += np.sum((rows - mean[None, :]) ** 2, axis=0, where=np.isfinite(rows))
    std = np.sqrt(square / np.maximum(count, 1))
    return mean, np.where((high > low) & (std > 0), std, 1.0)


def scale(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return (x - mean) / std, over the last axis."""
    shape = (1,) * (x.ndim - 1) + mean.shape
    return (x - mean.reshape(shape).astype(x.dtype)) / std.reshape(shape).astype(x.dtype)
