"""Metrics against scikit-learn, and where naive ones lie."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as oracle

from deepprinciples.parts import metrics

RNG = np.random.default_rng(5)
X = RNG.normal(size=(200, 7)).astype(np.float32)
Y = RNG.integers(0, 7, 200)


def test_accuracies_are_scikit_learns() -> None:
    """Lost: the number in the verdict."""
    x, y = jnp.asarray(X), jnp.asarray(Y)
    assert float(metrics.accuracy()(x, y).mean()) == pytest.approx(oracle.accuracy_score(Y, X.argmax(1)))
    assert float(metrics.error_rate()(x, y).mean()) == pytest.approx(1 - oracle.accuracy_score(Y, X.argmax(1)))
    for k in (1, 3, 7):
        expected = oracle.top_k_accuracy_score(Y, X, k=k, labels=range(7)) if k < 7 else 1.0
        assert float(metrics.top_k_accuracy(k=k)(x, y).mean()) == pytest.approx(expected)


def test_a_broken_model_is_wrong() -> None:
    """Lost: a diverged model whose outputs are NaN is right on every example of class 0."""
    nan, zero = jnp.full((5, 3), jnp.nan), jnp.zeros(5, jnp.int32)
    assert float(metrics.accuracy()(nan, zero).sum()) == 0
    assert float(metrics.top_k_accuracy(k=2)(nan, zero).sum()) == 0
    assert float(metrics.error_rate()(nan, zero).sum()) == 5
    assert float(metrics.accuracy()(nan[:, 0], zero).sum()) == 0


def test_a_constant_model_gets_no_credit_from_ties() -> None:
    """Lost: a model that gives every class the same score has a top-k accuracy of 1."""
    x, y = jnp.zeros((7, 7)), jnp.arange(7)
    assert float(metrics.top_k_accuracy(k=2)(x, y).mean()) == pytest.approx(2 / 7)


def test_binary_and_probability_targets() -> None:
    """Lost: accuracy of a single log-odds output, or of smoothed labels."""
    x, t = jnp.array([[0.3], [-0.1], [2.0], [-4.0]]), jnp.array([1, 1, 0, 0])
    np.testing.assert_array_equal(metrics.accuracy()(x, t), [1, 0, 0, 1])
    np.testing.assert_array_equal(metrics.accuracy()(x[:, 0], t.astype(jnp.float32)), [1, 0, 0, 1])
    rows = 0.9 * jnp.eye(7)[Y] + 0.1 / 7
    np.testing.assert_array_equal(metrics.accuracy()(jnp.asarray(X), rows), X.argmax(1) == Y)


def test_steps_are_averaged_per_example() -> None:
    """Lost: sequence accuracy with one value per sequence."""
    x = jnp.eye(3)[jnp.array([[0, 1], [2, 2]])]  # [2, 2, 3]
    np.testing.assert_allclose(metrics.accuracy()(x, jnp.array([[0, 2], [2, 2]])), [0.5, 1.0])


def test_brier_and_its_worst() -> None:
    """Lost: the value a diverged lane is given is not the worst."""
    confident = jnp.array([[50.0, -50.0, 0.0]])
    np.testing.assert_allclose(metrics.brier()(confident, jnp.array([1])), [metrics.brier.worst], rtol=1e-6)
    np.testing.assert_allclose(metrics.brier()(jnp.zeros((1, 4)), jnp.array([1])), [0.75], rtol=1e-6)


def test_impossible_k_is_refused() -> None:
    """Lost: top-5 of three classes reads 1.0."""
    with pytest.raises(ValueError, match="k = 5 with 3 classes; expected k from 1 to 3"):
        metrics.top_k_accuracy()(jnp.zeros((2, 3)), jnp.array([0, 1]))
