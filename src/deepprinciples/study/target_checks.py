"""Which losses, metrics and regularizers mean something for which targets: decided on the task and on the targets.

Shapes alone would let these parts pass: softmax cross-entropy of one real target is 0 everywhere, and label smoothing
of a real target only shifts it. Shapes that do not pair are found in `build`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deepprinciples.study.measured import sections as sections_of
from deepprinciples.study.pieces import Config, named
from deepprinciples.types import Dataset

# These choose one class of many: they need labels, or rows of probabilities.
ONE_OF_MANY = frozenset(
    {
        "softmax_cross_entropy",
        "focal",
        "poly_loss",
        "generalized_cross_entropy",
        "kl_divergence",
        "confidence_penalty",
        "logit_adjusted_cross_entropy",
        "distillation",
        "one_hot_mse",
        "multiclass_hinge",
        "top_k_accuracy",
        "brier",
        "cross_entropy",
        "perplexity",
        "label_smoothing",
    }
)
# These answer each output with yes or no: they need targets from 0 to 1, of the shape of the outputs.
YES_OR_NO = frozenset({"sigmoid_binary_cross_entropy", "sigmoid_focal", "hinge", "squared_hinge"})
# These take both, and so do regularizers that share a target between two examples.
EITHER = frozenset(
    {
        "accuracy",
        "error_rate",
        "f1",
        "balanced_accuracy",
        "mean_iou",
        "expected_calibration_error",
        "roc_auc",
        "average_precision",
        "sensitivity_at_specificity",
        "mixup",
        "cutmix",
    }
)


def unfit_for_targets(config: Config, parts: Dataset, outputs: Any, where: str) -> list[str]:
    """List the losses, metrics and regularizers of a config that mean nothing for its targets, one line each.

    Args:
        config: one arm's resolved config.
        parts: its data.
        outputs: shape and dtype of what the model makes of two examples.
        where: prefix of the messages.
    """
    source = config["data"].get("name", "data")
    sections = [("loss", config["loss"]), *sections_of(config).values()]
    found = []
    for path, section in sections:
        name = section.get("name")
        if why := _why_not(name, parts, outputs):
            needs = "answers yes or no" if parts.task == "classification" else "needs class labels"
            found.append(f"{where}{path}.name: {name} {needs}, but data.name {source!r} has {why}")
    for key, section in named(config["regularizers"]):
        name = section.get("name")
        if why := _why_not(name, parts, outputs):
            has = f"data.name {source!r} has {why.split(';')[0]}"
            found.append(f"{where}regularizers.{key}: {name} needs class labels, but {has}; remove it")
    return found


def _why_not(name: str | None, parts: Dataset, outputs: Any) -> str:
    """Say what a data set has instead of what a part needs, and what to do; "" where they fit."""
    if name not in ONE_OF_MANY | YES_OR_NO | EITHER:
        return ""
    y = np.asarray(parts.train.targets)
    if parts.task == "classification":
        shape: tuple[int, ...] = getattr(outputs, "shape", ())
        if name in YES_OR_NO and len(shape) == y.ndim + 1 and shape[-1] > 1:
            return (
                f"{parts.outputs} classes, and the model {shape[-1]} outputs; use softmax_cross_entropy, or "
                'targets 0 and 1 with data.task = "regression" and data.standardize = false'
            )
        return ""
    inside = bool(np.min(y) >= 0 and np.max(y) <= 1)
    if inside and (name in YES_OR_NO | EITHER or _probabilities(y)):
        return ""
    if inside:
        return "targets from 0 to 1 that are no probabilities of classes; use sigmoid_binary_cross_entropy, mse or mae"
    if all(len(np.unique(column)) == 2 for column in y.reshape(len(y), -1).T[:16]):
        return "two target values that were standardized; set data.standardize = false if they are 0 and 1"
    return "real-valued targets; use mse or mae"


def _probabilities(y: np.ndarray) -> bool:
    return y.shape[-1] > 1 and bool(np.allclose(np.sum(y, axis=-1, dtype=np.float64), 1.0, atol=1e-3))


def only_padding(config: Config, parts: Dataset, where: str) -> list[str]:
    """List the parts in which a token sequence holds nothing but padding: it has no last state and no mean."""
    padding = config["model"].get("padding", -1)
    if not parts.vocabulary or not isinstance(padding, int) or padding < 0:
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
