"""Anomaly detection after training: a score for every example, larger for what was not seen, and how well it tells.

Numpy and scikit-learn only. What makes the scores (a discriminator, a reconstruction, features) is the caller's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepprinciples.errors import DataError

Floats = NDArray[np.floating]


class Task(NamedTuple):
    """Normal examples to learn from [N, D], and a test set [M, D] with `strange` [M] saying which are not normal."""

    train: Floats
    test: Floats
    strange: NDArray[np.bool_]


def task(inputs: Floats, strange: NDArray[np.bool_], *, seed: int = 0) -> Task:
    """Hold out every strange example and as many normal ones (at most half), scaled by what is learned from.

    Args:
        inputs: [N, ...], flattened.
        strange: [N].
        seed: of the split.

    Raises:
        DataError: all examples or none are strange.
    """
    flat = np.asarray(inputs, np.float32).reshape(len(inputs), -1)
    normal = np.flatnonzero(~strange)
    if normal.size < 2 or normal.size == len(strange):
        raise DataError(f"strange: found {int(strange.sum())} of {len(strange)} examples, expected some and not all")
    order = np.random.RandomState(seed).permutation(normal)
    held = order[: min(int(strange.sum()), len(order) // 2)]
    kept = order[len(held) :]
    mean, std = flat[kept].mean(axis=0), flat[kept].std(axis=0)
    scale = lambda x: ((x - mean) / np.where(std > 0, std, 1)).astype(np.float32)
    test = np.concatenate([flat[held], flat[strange]])
    labels = np.arange(len(test)) >= len(held)
    return Task(scale(flat[kept]), scale(test), labels)


def roc_auc(scores: Floats, strange: NDArray[np.bool_]) -> float:
    """Give the chance that a strange example scores above a normal one, ties half: the area under the ROC curve.

    Raises:
        DataError: a score is not finite.
    """
    from sklearn.metrics import roc_auc_score

    if not np.all(np.isfinite(scores)):
        raise DataError(f"scores: {int(np.sum(~np.isfinite(scores)))} of {len(scores)} are not finite")
    return float(roc_auc_score(strange, scores))


def nearest(examples: Floats, references: Floats) -> Floats:
    """Give each example's Euclidean distance to the nearest of the references, [M, D] and [N, D] -> [M]."""
    from sklearn.neighbors import NearestNeighbors

    return np.asarray(NearestNeighbors(n_neighbors=1).fit(references).kneighbors(examples)[0][:, 0])


def isolation(train: Floats, test: Floats, *, seed: int) -> Floats:
    """Score by an isolation forest of 100 trees: how few cuts set an example apart. Liu et al. 2008."""
    from sklearn.ensemble import IsolationForest

    return -np.asarray(IsolationForest(random_state=seed).fit(train).score_samples(test))
