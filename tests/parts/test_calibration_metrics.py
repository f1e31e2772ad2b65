"""Calibration after temperature scaling, against scipy's optimizer and scikit-learn's curve."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special
from sklearn.calibration import calibration_curve

from deepprinciples.domains.registry import TABLES
from deepprinciples.parts.metrics.calibration_metrics import temperature_scaled_calibration_error as scaled_error
from deepprinciples.parts.metrics.split_metrics import expected_calibration_error

RNG = np.random.default_rng(4)
Y = RNG.integers(0, 3, 400)
TRUE = (np.eye(3)[Y] + RNG.normal(size=(400, 3))).astype(np.float32)  # log-odds of Gaussians: calibrated
SURE = 6 * TRUE


def value(outputs: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, bins: int = 5) -> float:
    """Evaluate a split as one batch."""
    metric = scaled_error(bins=bins)
    weights = np.ones(len(labels)) if weights is None else weights

    @jax.jit
    def one(x: jax.Array, y: jax.Array, w: jax.Array) -> jax.Array:
        return metric.compute(metric.statistics(x, y), w)

    return float(one(jnp.asarray(outputs, jnp.float32), jnp.asarray(labels), jnp.asarray(weights, jnp.float32)))


def twin(x: np.ndarray, y: np.ndarray, bins: int = 5) -> float:
    """Scale each half by the temperature that scipy finds for the other, and compute the error of both together."""
    x, scaled = x.astype(np.float64), np.zeros(x.shape)
    for half in (0, 1):
        other = np.arange(len(y)) % 2 != half
        loss = lambda log_t, o=other: -np.mean(special.log_softmax(x[o] / np.exp(log_t), 1)[np.arange(o.sum()), y[o]])
        best = optimize.minimize_scalar(loss, bounds=(-6.9, 6.9), method="bounded", options={"xatol": 1e-9}).x
        scaled[~other] = x[~other] / np.exp(best)
    p = special.softmax(scaled, axis=1)
    share, mean = calibration_curve(p.argmax(1) == y, p.max(1), n_bins=bins)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p.max(1)), minlength=bins)
    return float(np.sum(np.abs(share - mean) * counts[counts > 0]) / len(y))


@pytest.mark.parametrize("factor", [0.2, 1.0, 6.0])
def test_temperatures_are_scipys(factor: float) -> None:
    """Lost: a temperature that is not the best, or one found on the examples that it is tried on."""
    assert value(factor * TRUE, Y) == pytest.approx(twin(TRUE, Y), abs=2e-4)  # the factor is undone
    x = TRUE * np.where(np.arange(400) < 250, factor, 2)[:, None].astype(np.float32)
    assert value(x, Y) == pytest.approx(twin(x, Y), abs=2e-4)


def test_scaling_calibrates_an_overconfident_model() -> None:
    """Lost: what the metric is for."""
    plain = expected_calibration_error(bins=5)
    rows = {k: jnp.sum(v, axis=0) for k, v in plain.statistics(jnp.asarray(SURE), jnp.asarray(Y)).items()}
    assert float(plain.compute(rows, 400)) > 0.25 > 0.08 > value(SURE, Y)


def test_what_is_padding_or_has_no_label_counts_nowhere() -> None:
    """Lost: the last batch, or the edge of a mask, decides the temperature."""
    expected = value(SURE, Y)
    x, y = np.repeat(SURE, 2, axis=0), np.repeat(Y, 2)
    x[1::2], y[1::2] = np.nan, -1
    assert value(x, y) == pytest.approx(expected, abs=1e-6)
    weights = np.arange(800) % 2 == 0
    assert value(x, np.abs(y), weights) == pytest.approx(expected, abs=1e-6)
    assert value(SURE.reshape(20, 20, 3), Y.reshape(20, 20)) == pytest.approx(expected, abs=1e-6)
    assert np.isnan(value(SURE, 0 * Y - 1))


def test_the_worst_and_the_best() -> None:
    """Lost: a broken model with a good calibration; a model that is always right with a bad one."""
    assert value(np.full((8, 2), np.nan), np.arange(8) % 2) == 1.0 == scaled_error.worst
    assert value(np.eye(2)[np.arange(8) % 2], np.arange(8) % 2) == pytest.approx(0.0, abs=1e-6)
    some = SURE.copy()
    some[::7] = np.nan
    assert value(some, Y) > 0.1 > value(SURE, Y)


def test_two_classes_are_log_odds_and_lanes_agree() -> None:
    """Lost: another number for a model with one output, or in a sweep."""
    y, x = np.minimum(Y, 1), SURE[:, :2]
    assert value(x[:, 1] - x[:, 0], y) == pytest.approx(value(x, y), abs=1e-6)
    metric = scaled_error()
    rows = lambda x: metric.compute(metric.statistics(x, jnp.asarray(Y)), jnp.ones(400))
    lanes = jax.jit(jax.vmap(rows))(jnp.stack([jnp.asarray(TRUE), jnp.asarray(SURE)]))
    np.testing.assert_allclose(lanes, [value(TRUE, Y, bins=15), value(SURE, Y, bins=15)], atol=1e-5)


def test_the_card() -> None:
    """Lost: a metric that no config can name."""
    assert TABLES["metric"]["temperature_scaled_calibration_error"] is scaled_error
    card = inspect.cleandoc(scaled_error.__doc__ or "")
    assert scaled_error.direction == "min" and "\n  bins: " in card and "Returns: Metric" in card
