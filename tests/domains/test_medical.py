"""Rare tumors: which of them are where, and that a config finds the set."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from deepprinciples.domains.medical import rare_tumors
from deepprinciples.domains.registry import TABLES
from deepprinciples.errors import DataError


def parts_of(source):
    return {"train": (source.inputs, source.targets), "validation": source.validation, "test": source.test}


def test_the_disease_is_class_1_and_rare_only_where_one_learns() -> None:
    """Lost: a sensitivity that is the specificity, or a test set with too few of the ill to tell arms apart."""
    counts = {name: np.bincount(targets).tolist() for name, (_, targets) in parts_of(rare_tumors()).items()}
    assert counts == {"train": [119, 12], "validation": [60, 35], "test": [178, 106]}
    inputs, targets = load_breast_cancer(return_X_y=True)
    known = {row.tobytes(): target for row, target in zip(inputs, targets, strict=True)}
    assert all(known[row.tobytes()] == 1 - t for rows, ts in parts_of(rare_tumors()).values()
               for row, t in zip(rows, ts, strict=True))  # fmt: skip


def test_no_tumor_is_in_two_parts_and_the_seed_decides() -> None:
    """Lost: a test on what was learned by heart, or one draw of parts for all."""
    found = parts_of(rare_tumors(malignant=0))
    rows = np.concatenate([inputs for inputs, _ in found.values()])
    assert rows.shape == (569, 30) == np.unique(rows, axis=0).shape
    other = rare_tumors(malignant=0, split_seed=1).inputs
    assert other.shape == (190, 30) and not np.array_equal(np.sort(other, axis=0), np.sort(found["train"][0], axis=0))
    np.testing.assert_array_equal(rare_tumors().inputs, rare_tumors().inputs)
    mixed = rare_tumors().targets
    assert 0 < np.flatnonzero(mixed).mean() < 118  # not all at the end


def test_more_than_there_are_is_refused() -> None:
    """Lost: a set that is less rare than it says."""
    with pytest.raises(DataError, match="data.malignant: found 72, expected at most 71, all there are for training"):
        rare_tumors(malignant=72)
    assert TABLES["data"]["rare_tumors"] is rare_tumors
