"""Ranking metrics: what depends on how all examples of a split are ordered by an output, such as the AUC.

Every factory returns a `Metric` that gathers the log-odds of all classes. Outputs, labels and what is undefined are as
in split_metrics; an output that holds NaN ranks as the worst of its kind: a negative above all others, a positive
below. They run on the device with one sort a class, because a search evaluates hundreds of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.parts.metrics.split_metrics import class_scores
from deepprinciples.types import Array, Metric, Share, better, traits

Rows = Mapping[str, Array]


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def roc_auc() -> Metric:
    """Measure how often an example of a class is ranked above one of another class: the area under the ROC curve.

    mean over (positive, negative) pairs of [s+ > s-] + [s+ = s-] / 2, s the log-odds of the class, which do not
    saturate as probabilities do; with more than two classes, the mean over classes of each against the rest

    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1, 0.5 for a constant answer; also the value
      of each class against the rest. Undefined for a class with no example, or with all of them.
    Raises: ValueError where the shapes do not pair.
    References: Hanley, McNeil 1982, The meaning and use of the area under a ROC curve; Fawcett 2006, An introduction to
      ROC analysis.
    """

    def area(curve: Curve) -> Array:
        ahead = 0.5 * (curve.met + curve.reached) / curve.positives
        return jnp.sum(jnp.where(curve.negative, ahead, 0.0)) / curve.negatives

    return _of_ranks("roc_auc", area)


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def average_precision() -> Metric:
    """Measure the mean precision over all thresholds at which recall grows: the area under the precision-recall curve.

    sum over thresholds k of (R_k - R_(k-1)) P_k, with recall R and precision P of the examples whose log-odds reach the
    threshold; with more than two classes, the mean over classes of each against the rest

    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1, the share of positives for a constant
      answer; also the value of each class. Undefined for a class without an example.
    Raises: ValueError where the shapes do not pair.
    References: Davis, Goadrich 2006, The relationship between precision-recall and ROC curves.
    """

    def area(curve: Curve) -> Array:
        precision = curve.reached / (curve.reached + curve.false)
        return jnp.sum(jnp.where(curve.positive, precision, 0.0)) / curve.positives

    return _of_ranks("average_precision", area)


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def sensitivity_at_specificity(*, specificity: Share = 0.95) -> Metric:
    """Measure the share of positives that are found at a threshold which passes at most so many negatives.

    max over thresholds of TP / (TP + FN) where TN / (TN + FP) >= specificity; with more than two classes, the mean over
    classes of each against the rest

    Args:
      specificity: share of negatives that must be recognized, in [0, 1]. *Sweepable.*
    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1; also the value of each class. Undefined
      for a class with no example, or with all of them.
    Raises: ValueError where the shapes do not pair.
    References: Fawcett 2006, An introduction to ROC analysis.
    """

    def best(curve: Curve) -> Array:
        few = curve.false / curve.negatives <= 1.0 - specificity + 1e-6  # 1 - 0.8 rounds to less than 1 / 5
        found = jnp.max(jnp.where(curve.positive & few, curve.met, 0)) / curve.positives
        return jnp.where(curve.negatives > 0, found, jnp.nan)

    return _of_ranks("sensitivity_at_specificity", best)


class Curve(NamedTuple):
    """The examples [N] in the order of falling log-odds, among equals negatives first, and what lies before each.

    Padding is neither positive nor negative, and nor is a positive whose output holds NaN: no threshold finds it.
    """

    positive: Array
    negative: Array
    met: Array  # positives up to here: for a negative, those above it
    reached: Array  # positives at this threshold or above
    false: Array  # negatives up to here: for a positive, those at this threshold or above
    positives: Array  # all of them, a number
    negatives: Array


@jax.jit  # outside a program, one compilation in place of hundreds
def _curve(odds: Array, positive: Array, kept: Array) -> Curve:
    lost = jnp.isnan(odds)
    kind = jnp.where(kept & ~(lost & positive), positive.astype(jnp.int32), 2)
    key = jnp.where(kind == 2, jnp.inf, jnp.where(lost, -jnp.inf, -odds))
    falling, kind = jax.lax.sort((key, kind), num_keys=2)
    met = jnp.cumsum(kind == 1, dtype=jnp.int32)
    last = jnp.append(falling[1:] != falling[:-1], True)
    reached = jax.lax.cummin(jnp.where(last, met, met[-1]), reverse=True)
    positives, negatives = (jnp.sum(kept & one, dtype=jnp.int32) for one in (positive, ~positive))
    return Curve(kind == 1, kind == 0, met, reached, jnp.arange(1, len(met) + 1) - met, positives, negatives)


def _of_ranks(name: str, score: Callable[[Curve], Array]) -> Metric:
    """Make a metric of score(curve) of a class against the rest: that of class 1 of two, or the mean over classes."""

    def statistics(outputs: Array, targets: Array) -> Rows:
        scores, labels = class_scores(name, outputs, targets)
        return {"odds": _log_odds(scores), "labels": labels}

    def per_class(rows: Rows, weights: Array) -> Array:
        classes = rows["odds"].shape[-1]
        odds, labels = rows["odds"].reshape(-1, classes), rows["labels"].reshape(-1)
        kept = ((weights > 0)[:, None] & (rows["labels"] >= 0)).reshape(-1)
        return jax.vmap(lambda c, odds: score(_curve(odds, labels == c, kept)))(jnp.arange(classes), odds.T)

    def compute(rows: Rows, weights: Array) -> Array:
        values = per_class(rows, weights)
        return values[1] if len(values) == 2 else jnp.nanmean(values)

    return Metric(statistics, compute, per_class, reduce="gather")


@jax.jit
def _log_odds(scores: Array) -> Array:
    """Turn class scores x [..., C] into log p_c / (1 - p_c), p = softmax(x); all NaN where one of them is.

    x_c - log sum_(j != c) exp x_j, where no exponential of the largest score hides the others.
    """
    top = jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1], dtype=bool)
    highest = jnp.max(scores, axis=-1, keepdims=True)
    others = jax.nn.logsumexp(jnp.where(top, -jnp.inf, scores), axis=-1, keepdims=True)
    rest = jnp.maximum(jnp.exp(others - highest) - jnp.exp(scores - highest), 0.0)
    return jnp.where(top, highest - others, scores - highest - jnp.log1p(rest))


TABLE = {f.__name__: f for f in (roc_auc, average_precision, sensitivity_at_specificity)}
