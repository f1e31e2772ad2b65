"""Losses: how wrong one example is, as a number whose gradient is followed.

Every factory returns `(outputs, targets) -> [B]`: one value per example, further axes (steps, regression targets)
are averaged. Outputs are raw: no softmax or sigmoid before the loss. Class losses take integer labels or, where the
formula allows, probabilities; the static dtype decides. The modules: `classes` (one of many), `overlaps` (one of many,
all positions of an example together), `values` (each output on its own), and `pairing` below them. What is only
measured, never minimized, is a metric; what depends on the weights alone is a regularizer; losses of two players belong
to the game learner.
"""

from __future__ import annotations

from deepprinciples.parts.losses.classes import (
    confidence_penalty,
    distillation,
    focal,
    generalized_cross_entropy,
    kl_divergence,
    logit_adjusted_cross_entropy,
    multiclass_hinge,
    one_hot_mse,
    poly_loss,
    softmax_cross_entropy,
    weighted_cross_entropy,
)
from deepprinciples.parts.losses.overlaps import dice, tversky
from deepprinciples.parts.losses.pairing import as_labels, as_probabilities, as_values, per_example
from deepprinciples.parts.losses.values import (
    cosine_distance,
    hinge,
    huber,
    log_cosh,
    mae,
    mse,
    quantile,
    sigmoid_binary_cross_entropy,
    sigmoid_focal,
    squared_hinge,
)

__all__ = ["TABLE", "as_labels", "as_probabilities", "as_values", "per_example"]

TABLE = {
    f.__name__: f
    for f in (
        softmax_cross_entropy,
        poly_loss,
        focal,
        generalized_cross_entropy,
        kl_divergence,
        confidence_penalty,
        weighted_cross_entropy,
        logit_adjusted_cross_entropy,
        dice,
        tversky,
        distillation,
        one_hot_mse,
        multiclass_hinge,
        sigmoid_binary_cross_entropy,
        sigmoid_focal,
        hinge,
        squared_hinge,
        mse,
        mae,
        huber,
        log_cosh,
        quantile,
        cosine_distance,
    )
}
