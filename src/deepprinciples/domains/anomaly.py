"""Anomaly detection after training: a score for every example, larger for what was not seen, and how well it tells.

Numpy and scikit-learn only; the trained networks whose answers are scores are those of finished runs.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepprinciples.errors import DataError

Floats = NDArray[np.floating]
MADE = 2000  # examples of a generator, to which the nearest is looked for
SIDE = 12  # pixels of a patch of texture
TRAIN_STRIDE, TEST_STRIDE = 3, 6  # pixels from one patch to the next
FOLIAGE = (slice(345, 427), slice(385, 565))  # rows and columns of the bush in scikit-learn's "china.jpg"
PETALS = (slice(140, 300), slice(215, 395))  # and of the blossom in "flower.jpg"


class Task(NamedTuple):
    """Normal examples to learn from [N, D], and a test set [M, D] with `strange` [M] saying which are not normal."""

    train: Floats
    test: Floats
    strange: NDArray[np.bool_]

    def data(self, **more: Any) -> dict[str, Any]:
        """Return the normal examples as the [data] section of a config."""
        targets = np.zeros(len(self.train))
        section = {"name": "arrays", "inputs": self.train, "targets": targets, "task": "regression"}
        return {**section, "standardize": False, **more}


def tasks() -> dict[str, Task]:
    """Return four tasks: malignant tissue among benign, the digit nine among the others, and two of textures.

    "foliage" learns from patches of a bush and is tested with patches of a blossom among them, "petals" the other way
    round; both are cut from scikit-learn's photographs, see `texture_task`.
    """
    from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images

    tissue, digits = load_breast_cancer(), load_digits()
    china, flower = (picture.mean(axis=-1) / 255.0 for picture in load_sample_images().images)
    bush, blossom = china[FOLIAGE], flower[PETALS]
    return {
        "tissue": task(tissue.data, tissue.target == 0),
        "digits": task(digits.data, digits.target == 9),
        "foliage": texture_task(bush, blossom),
        "petals": texture_task(blossom, bush),
    }


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
    return _scaled(flat[kept], flat[held], flat[strange])


def texture_task(normal: Floats, strange: Floats) -> Task:
    """Cut two textures into patches: one to learn from and to test with, the other to be found.

    y = (x - mean x) / max(std x, 0.01) for each patch x, so that only its pattern is left: neither brightness nor
    contrast tells the two apart. Training patches are those of the first two thirds of the columns, normal test patches
    those of the last third: they share no pixel.

    Args:
        normal: gray values [H, W] in [0, 1], at least 12 rows and 36 columns.
        strange: gray values [H', W'], of at least 12 rows and columns.

    Returns:
        A task with D = 144: patches of 12 x 12 pixels, 3 pixels apart in training and 6 in the test set.
    """
    cut = 2 * normal.shape[1] // 3
    parts = ((normal[:, :cut], TRAIN_STRIDE), (normal[:, cut:], TEST_STRIDE), (strange, TEST_STRIDE))
    return _scaled(*(_patches(pixels, stride) for pixels, stride in parts))


def _patches(pixels: Floats, stride: int) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE, SIDE))[::stride, ::stride]
    flat = windows.reshape(-1, SIDE**2)
    return (flat - flat.mean(axis=1, keepdims=True)) / np.maximum(flat.std(axis=1, keepdims=True), 0.01)


def _scaled(train: Floats, held: Floats, strange: Floats) -> Task:
    """Scale all by the mean and the standard deviation of what is learned from."""
    mean, std = train.mean(axis=0), train.std(axis=0)
    scale = lambda x: ((x - mean) / np.where(std > 0, std, 1)).astype(np.float32)
    test = np.concatenate([held, strange])
    return Task(scale(train), scale(test), np.arange(len(test)) >= len(held))


def roc_auc(scores: Floats, strange: NDArray[np.bool_]) -> float:
    """Return the chance that a strange example scores above a normal one, ties half: the area under the ROC curve.

    Raises:
        DataError: a score is not finite.
    """
    from sklearn.metrics import roc_auc_score

    if not np.all(np.isfinite(scores)):
        raise DataError(f"scores: {int(np.sum(~np.isfinite(scores)))} of {len(scores)} are not finite")
    return float(roc_auc_score(strange, scores))


def nearest(examples: Floats, references: Floats) -> Floats:
    """Return each example's Euclidean distance to the nearest of the references, [M, D] and [N, D] -> [M]."""
    from sklearn.neighbors import NearestNeighbors

    return np.asarray(NearestNeighbors(n_neighbors=1).fit(references).kneighbors(examples)[0][:, 0])


def isolation(train: Floats, test: Floats, *, seed: int) -> Floats:
    """Score by an isolation forest of 100 trees: how few cuts set an example apart. Liu et al. 2008."""
    from sklearn.ensemble import IsolationForest

    return -np.asarray(IsolationForest(random_state=seed).fit(train).score_samples(test))


def areas(given: Task, gan: Any, autoencoder: Any) -> dict[str, Floats]:
    """Score the test examples of a task in five ways, and give the area under the ROC curve of each for every seed.

    Args:
        given: the task.
        gan: a `dp.Run` of `train` on its normal examples, its players without state; all of its seeds are scored.
        autoencoder: likewise, with as many seeds.

    Returns:
        Areas [seed] of the autoencoder (reconstruction), the discriminator (its logit), the nearest of 2,000 made
        examples, the distance in the discriminator's last hidden layer to the nearest normal example, and an isolation
        forest.
    """
    seeds = [int(seed) for seed in gan.results.seed.values]
    judge, maker, copier = gan.model(player="discriminator")[0], gan.model()[0], autoencoder.model()[0]
    found: dict[str, list[float]] = {}
    for seed in seeds:
        params = gan.model(seed=seed, player="discriminator")[1]
        logits, seen = judge.apply(params, given.test)
        hidden = max(name for name in seen if re.fullmatch(r"layer_\d+", name))
        normal = judge.apply(params, given.train)[1][hidden]
        made = maker.predict(gan.model(seed=seed)[1], _noise(gan, seed))
        copied = copier.predict(autoencoder.model(seed=seed)[1], given.test)
        scores = {
            "autoencoder": np.mean((np.asarray(copied) - given.test) ** 2, axis=1),
            "discriminator": -np.asarray(logits)[:, 0],
            "nearest_made": nearest(given.test, np.asarray(made)),
            "feature_distance": nearest(np.asarray(seen[hidden]), np.asarray(normal)),
            "isolation_forest": isolation(given.train, given.test, seed=seed),
        }
        for name, score in scores.items():
            found.setdefault(name, []).append(roc_auc(score, given.strange))
    return {name: np.array(one) for name, one in found.items()}


def _noise(gan: Any, seed: int) -> Any:
    import jax  # what needs no network starts without it

    latent = tomllib.loads(gan.config)["learner"]["latent"]
    return jax.random.normal(jax.random.key(seed), (MADE, latent))
