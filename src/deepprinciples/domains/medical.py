"""Medical diagnosis: data in which the disease is class 1, and rare where one learns, as in a screening.

What is general lives in parts: losses that weigh classes (`weighted_cross_entropy`, `logit_adjusted_cross_entropy`,
`focal`), and metrics such as `sensitivity_at_specificity` and `expected_calibration_error`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.data.bundled import breast_cancer
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.types import Range, Seed, Split

OF_SIX = {"test": 3, "validation": 1, "train": 2}  # sixths of each class


def rare_tumors(*, malignant: Annotated[int, Range("[0, 71]")] = 12, split_seed: Seed = 0) -> Source:
    """Load the breast tumors of `breast_cancer` with few malignant ones to learn from; 0 benign, 1 malignant.

    Half of each class is for tests, a sixth for validation and a third for training, of which only so many malignant
    ones are kept. Validation and test keep the shares of the full set (37 % malignant), so that few
    errors make a difference that can be seen; a threshold is not that of a screening. Nothing that is learned of 569
    fine needle aspirates of one hospital is a diagnosis. Source and license: see `breast_cancer`.

    Args:
      malignant: malignant tumors among the training examples, of which there are 71; 0 keeps all.
      split_seed: decides which tumors are in which part.

    Returns:
      Source with inputs [119 + malignant, 30] and targets alike; validation [95, 30], test [284, 30].

    Raises:
      DataError: if there are not so many malignant tumors.

    References: Street, Wolberg, Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", SPIE 1905 (1993).
    """
    whole = breast_cancer()
    inputs, targets = np.asarray(whole.inputs), 1 - np.asarray(whole.targets)
    rng = np.random.default_rng(split_seed)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in OF_SIX}
    for label in (0, 1):
        mixed = rng.permutation(np.flatnonzero(targets == label))
        ends = np.cumsum(list(OF_SIX.values()))[:-1] * len(mixed) // 6
        for name, part in zip(OF_SIX, np.split(mixed, ends), strict=True):
            rows[name].append(part)
    most = len(rows["train"][1])
    if malignant > most:
        raise DataError(f"data.malignant: found {malignant}, expected at most {most}, all there are for training")
    rows["train"][1] = rows["train"][1][: malignant or most]
    parts = {}
    for name, both in rows.items():
        chosen = rng.permutation(np.concatenate(both))
        parts[name] = Split(inputs[chosen], targets[chosen])
    return of_parts(parts, "classification", 2, class_names=("benign", "malignant"))


TABLES = {"data": {rare_tumors.__name__: rare_tumors}}
