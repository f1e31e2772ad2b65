"""Metrics of how far confidence can be believed once it has been calibrated.

Those of a model as it is, such as the expected calibration error, are in `split_metrics`, and so is what outputs and
labels are.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from deepprinciples.parts.metrics.split_metrics import class_scores, expected_calibration_error
from deepprinciples.types import Array, Count, Metric, better, traits

Rows = Mapping[str, Array]
COLDEST, HOTTEST = 1e-3, 1e3  # temperatures that are tried
HALVINGS = 40  # of the interval between their logarithms


@better("min", worst=1.0, best=0.0)
@traits(targets="classes or binary")
def temperature_scaled_calibration_error(*, bins: Count = 15) -> Metric:
    """Measure the expected calibration error that is left after temperature scaling.

    expected calibration error of outputs / T, where T in [0.001, 1000] minimizes the cross-entropy of outputs / T;
    the split is halved, every second example to one half, and each half is scaled by the T of the other

    So no example decides the temperature that it is scored at. Answers, accuracy and ranks stay as they are.

    Args:
      bins: number of bins of equal width.
    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1; biased upward where a bin has few answers.
    Raises: ValueError where the shapes do not pair.
    References: Guo, Pleiss, Sun, Weinberger, arXiv:1706.04599.
    """
    error = expected_calibration_error(bins=bins)

    def statistics(outputs: Array, targets: Array) -> Rows:
        scores, labels = class_scores("temperature_scaled_calibration_error", outputs, targets)
        return {"scores": scores, "labels": labels}

    def compute(rows: Rows, weights: Array) -> Array:
        scores = rows["scores"].reshape(-1, rows["scores"].shape[-1])  # [N M, C]
        labels = jnp.where((weights > 0)[:, None], rows["labels"], -1).reshape(-1)
        second = jnp.cumsum(labels >= 0) % 2 == 0
        factors = [_fitted(scores, jnp.where(half, labels, -1)) for half in (second, ~second)]
        scaled = scores * jnp.where(second, factors[1], factors[0])[:, None]
        sums = jax.tree.map(lambda row: jnp.sum(row, axis=0), error.statistics(scaled, labels))
        return error.compute(sums, None)

    return Metric(statistics, compute, reduce="gather")


def _fitted(scores: Array, labels: Array) -> Array:
    """Find the factor of scores [N, C] that minimizes their cross-entropy with labels [N], -1 where there is none.

    The slope in the factor, mean of E[s] - s_label, never falls: halving finds where it turns positive.
    """
    kept = (labels >= 0) & ~jnp.any(jnp.isnan(scores), axis=-1)
    right = jax.nn.one_hot(labels, scores.shape[-1], dtype=bool)

    def slope(factor: Array) -> Array:
        q = jax.nn.softmax(factor * scores)
        ahead = jnp.sum(jnp.where(q > 0, q * scores, 0.0), axis=-1) - jnp.sum(jnp.where(right, scores, 0.0), axis=-1)
        return jnp.sum(jnp.where(kept, ahead, 0.0))

    def halved(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        rises = slope(jnp.exp(middle)) > 0
        return jnp.where(rises, low, middle), jnp.where(rises, middle, high)

    ends = tuple(-jnp.log(jnp.asarray(t, jnp.float32)) for t in (HOTTEST, COLDEST))
    low, high = jax.lax.fori_loop(0, HALVINGS, halved, (ends[0], ends[1]))
    return jnp.exp(0.5 * (low + high))


TABLE = {temperature_scaled_calibration_error.__name__: temperature_scaled_calibration_error}
