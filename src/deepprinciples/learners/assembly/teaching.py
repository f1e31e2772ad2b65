"""What a loss learns from: the targets of a batch, and beside them the answers of a teacher, where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np

from deepprinciples.learners.assembly.factories import Config, name_of, trait
from deepprinciples.types import Batch, Dataset, PyTree

PATH = "data.teacher"


def loss_targets_of(config: Config, parts: Dataset) -> Callable[[Batch], PyTree]:
    """Return what the loss of a config is given of a batch.

    A loss with the trait `teacher` is given {"labels", "teacher"} where the data have a teacher: the targets, and the
    outputs of the network of the lane's seed, or of the first where no network has that seed.
    """
    if parts.teacher is None or not trait("loss", config["loss"], "teacher"):
        return lambda batch: batch.targets
    number = config["data"]["teacher"].get("number", 0)

    def taught(batch: Batch) -> PyTree:
        if batch.teacher is None:
            raise ValueError(
                "the answers of the teacher were lost: an augmentation makes a new Batch; let it return "
                "batch._replace(inputs=...)"
            )
        return {"labels": batch.targets, "teacher": jax.numpy.take(batch.teacher, number, axis=1)}

    return taught


def problems(config: Config, parts: Dataset) -> Iterator[str]:
    """Describe where a loss that learns from a teacher has none."""
    labels = parts.task == "classification" and np.issubdtype(np.asarray(parts.train.targets).dtype, np.integer)
    if labels and parts.teacher is None and trait("loss", config["loss"], "teacher"):
        name = name_of(config["loss"])
        yield f"loss.name: {name} has no teacher; set {PATH} = {{ path = RUN }}, or use softmax_cross_entropy"
