"""Time series of the UCR and UEA archives with their own test parts; fetched as published.py says."""

from __future__ import annotations

from typing import Literal

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Split

CLASSES = {
    "JapaneseVowels": tuple(f"speaker {number}" for number in range(1, 10)),
    "GunPoint": ("gun", "point"),
    "OSULeaf": (
        "Acer circinatum", "Acer glabrum", "Acer macrophyllum", "Acer negundo", "Quercus garryana", "Quercus kelloggii"
    ),
}  # fmt: skip


def series(
    *, set: Literal["JapaneseVowels", "GunPoint", "OSULeaf"] = "JapaneseVowels", path: str = "", download: bool = True
) -> Source:
    """Load time series of a published archive, with the archive's own training and test part.

    JapaneseVowels: 270 + 370 utterances of 12 features and 7 to 29 steps; which of nine men speaks. All of them are in
    both parts: nothing is said of other speakers. GunPoint: 50 + 150 movements of a hand, 150 steps; drawing a gun or
    pointing, by two actors. OSULeaf: 200 + 242 outlines of leaves, 427 steps; which of six trees. Validation is cut out
    of the training part, which leaves GunPoint 40 examples, so `batch_size` has to be 40 or less. Shorter series are
    filled up before their start, with the mean of each feature over the training part. Source: UCR and UEA archives, as
    the package aeon ships them. License: BSD-3-Clause (the package); cite the archive.

    Args:
      set: which one.
      path: folder with JapaneseVowels_TRAIN.ts and the five other files; "" looks in the usual places.
      download: fetch all three sets (4 MB, into the cache directory) where no folder has them.

    Returns:
      Source with inputs [N, T, features] and targets [N].

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Bagnall and others, arXiv:1811.00075; Kudo, Toyama, Shimbo, "Multidimensional curve classification using
      passing-through regions" (1999); Dau and others, arXiv:1810.07758.
    """
    if set not in CLASSES:
        raise DataError(f'data.set: found "{set}", expected {", ".join(CLASSES)}')
    folder = fetching.get("series", path, download)
    (train, targets), (test, test_targets) = (
        read_ts(fetching.read(folder, f"{set}_{part}.ts").decode(), f"{set}_{part}.ts") for part in ("TRAIN", "TEST")
    )
    steps = max(len(one) for one in train + test)
    mean = np.concatenate(train).mean(axis=0)  # [F]
    return Source(
        _filled(train, steps, mean),
        targets,
        "classification",
        len(CLASSES[set]),
        test=Split(_filled(test, steps, mean), test_targets),
        class_names=CLASSES[set],
    )


def _filled(found: list[np.ndarray], steps: int, mean: np.ndarray) -> np.ndarray:
    """Put series [T_n, F] at the end of [N, T, F]."""
    rows = np.tile(mean, (len(found), steps, 1))
    for row, one in zip(rows, found, strict=True):
        row[steps - len(one) :] = one
    return rows.astype(np.float32)


def read_ts(content: str, where: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Read the series [T_n, F] and the labels [N] of a file of the format .ts, in which features are parted by colons.

    Raises:
      DataError: for a file without data, a missing value, or features of different lengths.
    """
    head, mark, body = content.partition("@data\n")
    names: list[str] = []
    for line in head.splitlines():
        if line.lower().startswith("@classlabel true"):
            names = line.split()[2:]
    if not mark or not names:
        raise DataError(f"data.series: {where} has no @data or no @classLabel, expected a file of the format .ts")
    found, targets = [], []
    for number, line in enumerate(filter(None, body.splitlines())):
        *features, label = line.split(":")
        try:
            found.append(np.array([[float(value) for value in one.split(",")] for one in features]).T)
            targets.append(names.index(label.strip()))
        except ValueError as error:
            raise DataError(f"data.series: example {number} of {where} cannot be read ({str(error)[:80]})") from None
        if found[-1].shape[1] != found[0].shape[1] or not np.isfinite(found[-1]).all():
            raise DataError(f"data.series: example {number} of {where} lacks features or has values not finite")
    return found, np.array(targets, np.int32)


TABLE = {"series": series}
