"""Metrics: what a trained model is evaluated by; nothing is trained on them, so they need no gradient.

Every factory returns `(outputs, targets) -> [B]`, one value per example, so that the statistics can average,
resample and compare as they like. What is no mean over examples (F1, AUC) is in split_metrics. An answer that holds
NaN counts as wrong: argmax alone would call it class 0. Every factory carries `direction`, "max" or "min", `worst` and
`best`; see `types.better`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.parts import losses
from deepprinciples.types import Array, Count, better, traits

Metric = Callable[[Array, Array], Array]


def is_classes(outputs: Array, targets: Array) -> bool:
    """Distinguish class scores [B, ..., C] from single log-odds [B, ...] or [B, ..., 1] by their static shapes."""
    labels = targets.shape == outputs.shape[:-1] and outputs.shape[-1] > 1
    rows = targets.shape == outputs.shape and outputs.shape[-1] > 1 and jnp.issubdtype(targets.dtype, jnp.floating)
    return outputs.ndim >= 2 and (labels or rows)


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def accuracy() -> Metric:
    """Count right answers.

    a = 1 where argmax_c outputs_c is the label, else 0; single outputs answer yes above 0; averaged over positions

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]; or log-odds [B], [B, 1] with
      targets 0 or 1) -> [B].
    Raises: ValueError where the shapes do not pair.
    """

    def metric(outputs: Array, targets: Array) -> Array:
        if is_classes(outputs, targets):
            right = jnp.argmax(outputs, axis=-1) == labels_of("accuracy", outputs, targets)
            right &= ~jnp.any(jnp.isnan(outputs), axis=-1)
        else:
            x, t = losses.as_values("accuracy", outputs, targets)
            right = ((x > 0) == (t > 0.5)) & ~jnp.isnan(x)
        return losses.per_example(right.astype(jnp.float32), targets)

    return metric


@better("min", worst=1.0, best=0.0)
@traits(targets="classes or binary")
def error_rate() -> Metric:
    """Count wrong answers.

    e = 1 - accuracy

    Returns: function (outputs, targets) -> [B], shapes as for accuracy.
    Raises: ValueError where the shapes do not pair.
    """
    right = accuracy()
    return lambda outputs, targets: 1.0 - right(outputs, targets)


@better("max", worst=0.0, best=1.0)
@traits(targets="classes")
def top_k_accuracy(*, k: Count = 5) -> Metric:
    """Count answers that hold the label among the k highest outputs.

    a = 1 where fewer than k outputs come before the label's; equal outputs come in the order of their index

    Args:
      k: how many guesses, from 1 to the number of classes.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair, or k is not between 1 and C.
    """

    def metric(outputs: Array, targets: Array) -> Array:
        labels = labels_of("top_k_accuracy", outputs, targets)[..., None]  # [B, ..., 1]
        classes = outputs.shape[-1]
        if not 1 <= k <= classes:
            raise ValueError(f"top_k_accuracy: k = {k} with {classes} classes; expected k from 1 to {classes}")
        index = jnp.arange(classes).reshape((1,) * (outputs.ndim - 1) + (classes,))
        score = jnp.sum(jnp.where(index == labels, outputs, 0.0), axis=-1, keepdims=True)
        before = (outputs > score) | ((outputs == score) & (index < labels))
        right = (jnp.sum(before, axis=-1) < k) & ~jnp.any(jnp.isnan(outputs), axis=-1)
        return losses.per_example(right.astype(jnp.float32), targets)

    return metric


def labels_of(name: str, outputs: Array, targets: Array) -> Array:
    """Return integer labels [B, ...] of class scores [B, ..., C]: those given, or the likeliest of probabilities.

    Raises: ValueError where the shapes do not pair.
    """
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return losses.as_labels(name, outputs, targets)
    return jnp.argmax(losses.as_probabilities(name, outputs, targets), axis=-1)


@better("min", best=0.0)
@traits(targets="classes")
def cross_entropy() -> Metric:
    """Score the probability given to the right class, in nats.

    -sum_c p_c log softmax(outputs)_c

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    """
    return losses.softmax_cross_entropy()


@better("min", worst=2.0, best=0.0)
@traits(targets="classes")
def brier() -> Metric:
    """Score probabilities by their squared distance from the truth.

    sum_c (softmax(outputs)_c - p_c)^2, from 0 to 2

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Brier 1950, Verification of forecasts expressed in terms of probability.
    """

    def metric(outputs: Array, targets: Array) -> Array:
        p = losses.as_probabilities("brier", outputs, targets)
        return losses.per_example(jnp.sum(jnp.square(jax.nn.softmax(outputs) - p), axis=-1), targets)

    return metric


@better("min", best=0.0)
def mse() -> Metric:
    """Square the error.

    mean of (outputs - targets)^2

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    """
    return losses.mse()


@better("min", best=0.0)
def mae() -> Metric:
    """Take the absolute error.

    mean of |outputs - targets|

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    """
    return losses.mae()


TABLE = {f.__name__: f for f in (accuracy, error_rate, top_k_accuracy, cross_entropy, brier, mse, mae)}
