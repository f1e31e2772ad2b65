"""Supervised training: a model, a loss of its outputs and the targets, and all that a config combines with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optax

from deepprinciples.learners.assembly import checks
from deepprinciples.learners.grouping import Apart
from deepprinciples.learners.objective import minimize, objective_of
from deepprinciples.learners.reparameterized import reparameterized
from deepprinciples.types import (
    Array,
    Average,
    Batch,
    BatchTransform,
    Dataset,
    Learner,
    Metric,
    Model,
    PyTree,
    Reparameterization,
    traits,
)


@traits(problems=checks.problems)
def supervised(
    *,
    data: Dataset,
    model: Model,
    weights: Mapping[str, Reparameterization],
    loss: Callable[[Any, PyTree], Array],
    loss_targets: Callable[[Batch], PyTree],
    optimizer: optax.GradientTransformation,
    trainable: Apart | None,
    gradient: Callable[..., Any],
    example: Batch,
    augment: Sequence[BatchTransform],
    regularizers: Sequence[Any],
    metrics: Mapping[str, Metric],
    weight_averaging: Average | None,
    evaluations: int,
    steps: int,
    splits: bool,
) -> Learner:
    """Make the learner of supervised training.

    objective(params) = mean_i loss(model(x_i), y_i) + sum of penalties; the rule takes its gradient, the
    optimizer (transforms included) turns it into updates.

    All of it is supplied from the sections of these names.

    Args:
        data: not read here; batches come from the engine.
        model: see `types.Model`.
        weights: reparameterizations by name, in order; regularizers and transforms act on the stored weights.
        loss: (outputs, targets) -> [B].
        loss_targets: (batch) -> the targets of the loss: those of the batch, or with those of a teacher.
        augment: what is done to a batch, in order.
        regularizers: penalties.
        optimizer, trainable, gradient, example, metrics, weight_averaging, evaluations, steps, splits: see
            `objective.minimize`.

    Returns:
        A `Learner`.
    """
    del data
    return minimize(
        objective_of(reparameterized(model, weights), loss, loss_targets),
        optimizer=optimizer,
        trainable=trainable,
        example=example,
        gradient=gradient,
        penalties=regularizers,
        augment=augment,
        metrics=metrics,
        evaluations=evaluations,
        weight_averaging=weight_averaging,
        steps=steps,
        splits=splits,
    )
