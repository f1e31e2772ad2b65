"""What can be wrong with class labels that are valid one by one: no class 0, classes without examples, one-hot rows.

Single labels are checked in checks.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.types import Split

WORDS = {"train": "training", "validation": "validation", "test": "test"}


def refuse_labels_from_one(parts: Mapping[str, Split]) -> None:
    """Raise where labels seem to count from 1: the model would get an output for a class that never comes.

    Raises:
      DataError: if the smallest label of all parts is 1.
    """
    least = min(int(part.targets[part.targets >= 0].min(initial=2)) for part in parts.values())
    most = max(int(part.targets.max()) for part in parts.values())
    if least == 1 < most:
        raise DataError(
            f"data.targets: found labels from 1 to {most} and none of 0, expected labels from 0; subtract 1, or set "
            f"data.classes = {most + 1} where class 0 is only missing"
        )


def class_notes(parts: Mapping[str, Split], task: str, outputs: int, *, streamed: bool) -> tuple[str, ...]:
    """Return a note for each part that lacks a class, and for labels that could be one-hot rows.

    Args:
      parts: the three parts, checked.
      task: "classification" or "regression".
      outputs: number of classes.
      streamed: whether the training part is only the first batch of a stream, which may lack a class.
    """
    if task != "classification":
        return ()
    notes: tuple[str, ...] = ()
    for name, part in parts.items():
        present = np.unique(part.targets[part.targets >= 0])
        if name == "train" and streamed:
            continue
        if name == "train" and len(present) < 2:
            return (f"the training part has one class only (label {int(present[0])}); nothing can be learned",)
        if len(present) < outputs and part.targets.ndim == 1:
            missing, first = outputs - len(present), int(np.setdiff1d(np.arange(outputs), present)[0])
            verb = "has" if missing == 1 else "have"
            notes += (f"{missing} of {outputs} classes {verb} no {WORDS[name]} example, first {first}",)
    y = parts["train"].targets
    if y.ndim == 2 and y.max() == 1 and (y.sum(axis=1) == 1).all():
        notes += ("targets: rows with a single 1 were read as one label a step; use targets.argmax(axis=1) if one-hot",)
    return notes
