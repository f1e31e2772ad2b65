"""Which losses, metrics and augmentations mean something for which targets: decided on the task and on the targets.

The trait `targets` of a part says what it needs: "classes" for what chooses one class of many (labels, or rows of
probabilities), "binary" for what answers each output with yes or no (targets from 0 to 1, of the shape of the outputs),
"classes or binary" for what takes both, as regularizers do that share a target between two examples.

Shapes alone would let these parts pass: softmax cross-entropy of one real target is 0 everywhere, and label smoothing
of a real target only shifts it. Shapes that do not pair are found in `build`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deepprinciples.learners.assembly.factories import Config, name_of, named, trait
from deepprinciples.learners.assembly.measured import sections as sections_of
from deepprinciples.types import Dataset


def unfit_for_targets(config: Config, parts: Dataset, outputs: Any, where: str) -> list[str]:
    """List the parts of a config that mean nothing for its targets, one line each.

    Args:
        config: one arm's resolved config.
        parts: its data.
        outputs: shape and dtype of what the model makes of two examples.
        where: prefix of the messages.
    """
    source = config["data"].get("name", "data")
    metrics = [(path, "metric", section) for path, section in sections_of(config).values()]
    sections = [("loss", "loss", config["loss"]), *metrics]
    found = []
    for path, kind, section in sections:
        if why := _why_not(trait(kind, section, "targets"), parts, outputs):
            needs = "answers yes or no" if parts.task == "classification" else "needs class labels"
            head = "factory" if "factory" in section else "name"
            found.append(f"{where}{path}.{head}: {name_of(section)} {needs}, but data.name {source!r} has {why}")
    chained = [(kind, *one) for kind in ("augment", "regularizers") for one in named(config[kind])]
    for kind, key, section in chained:
        needed = trait(kind, section, "targets")
        if why := _why_not(needed, parts, outputs) or _unlabeled(needed, parts):
            has = f"data.name {source!r} has {why.split(';')[0]}"
            found.append(f"{where}{kind}.{key}: {name_of(section)} needs class labels, but {has}; remove it")
    return found


def _why_not(targets: str | None, parts: Dataset, outputs: Any) -> str:
    """Return what a data set has instead of the targets that a part needs, and what to do; "" where they fit."""
    if targets is None:
        return ""
    if parts.task == "structured":
        return "a tree of targets; use one of your own that reads it"
    y = np.asarray(parts.train.targets)
    if parts.task == "classification":
        shape: tuple[int, ...] = getattr(outputs, "shape", ())
        if targets == "binary" and len(shape) == y.ndim + 1 and shape[-1] > 1:
            return (
                f"{parts.outputs} classes, and the model {shape[-1]} outputs; use softmax_cross_entropy, or "
                'targets 0 and 1 with data.task = "regression" and data.standardize = false'
            )
        return ""
    inside = bool(np.min(y) >= 0 and np.max(y) <= 1)
    if inside and ("binary" in targets or _probabilities(y)):
        return ""
    if inside:
        return "targets from 0 to 1 that are no probabilities of classes; use sigmoid_binary_cross_entropy, mse or mae"
    if all(len(np.unique(column)) == 2 for column in y.reshape(len(y), -1).T[:16]):
        return "two target values that were standardized; set data.standardize = false if they are 0 and 1"
    return "real-valued targets; use mse or mae"


def _unlabeled(needed: str | None, parts: Dataset) -> str:
    """Describe where positions have no label, which a regularizer would turn into rows of probabilities and learn."""
    unlabeled = needed and parts.task == "classification" and bool((np.asarray(parts.train.targets) < 0).any())
    return "positions without a label" if unlabeled else ""


def _probabilities(y: np.ndarray) -> bool:
    return y.shape[-1] > 1 and bool(np.allclose(np.sum(y, axis=-1, dtype=np.float64), 1.0, atol=1e-3))


def only_padding(config: Config, parts: Dataset, where: str) -> list[str]:
    """List the parts in which a token sequence holds nothing but padding: it has no last state and no mean."""
    padding = config["model"].get("padding", -1)
    tokens = isinstance(parts.train.inputs, np.ndarray) and parts.vocabulary
    if not tokens or not isinstance(padding, int) or padding < 0:
        return []
    found = []
    for name in ("train", "validation", "test"):
        empty = np.all(np.asarray(getattr(parts, name).inputs) == padding, axis=1)
        if empty.any():
            found.append(
                f"{where}model.padding: {int(empty.sum())} sequences of the {name} part hold nothing but padding (id "
                f"{padding}), first number {int(np.argmax(empty))} of that part; drop them"
            )
    return found
