"""Losses against numpy, scikit-learn and optax twins, and their theory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special
from sklearn import metrics as oracle

from deepprinciples.parts import losses

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 4)).astype(np.float32) * 2
Y = RNG.integers(0, 4, 6)
T = RNG.normal(size=(6, 4)).astype(np.float32)
B = (T > 0).astype(np.float32)
P = special.softmax(T, axis=1)
ONE = np.eye(4, dtype=np.float32)[Y]
Q = special.softmax(X, axis=1)
S = special.expit(X)

# Independent numpy versions: (loss, targets) -> [6].
TWINS = {
    "softmax_cross_entropy": ({}, Y, -np.log(Q[np.arange(6), Y])),
    "poly_loss": ({"epsilon": 1.5}, Y, optax.losses.poly_loss_cross_entropy(X, ONE, epsilon=1.5)),
    "focal": ({"gamma": 3.0}, Y, -((1 - Q[np.arange(6), Y]) ** 3) * np.log(Q[np.arange(6), Y])),
    "generalized_cross_entropy": ({"q": 0.4}, Y, (1 - Q[np.arange(6), Y] ** 0.4) / 0.4),
    "kl_divergence": ({}, P, np.sum(special.rel_entr(P, Q), axis=1)),
    "one_hot_mse": ({}, Y, np.mean((X - ONE) ** 2, axis=1)),
    "multiclass_hinge": ({}, Y, optax.losses.multiclass_hinge_loss(X, Y)),
    "sigmoid_binary_cross_entropy": ({}, B, np.mean(-B * np.log(S) - (1 - B) * np.log(1 - S), axis=1)),
    "sigmoid_focal": ({"gamma": 2.0}, B, np.mean(optax.losses.sigmoid_focal_loss(X, B, gamma=2.0), axis=1)),
    "hinge": ({}, B, np.mean(np.maximum(0, 1 - (2 * B - 1) * X), axis=1)),
    "squared_hinge": ({}, B, np.mean(np.maximum(0, 1 - (2 * B - 1) * X) ** 2, axis=1)),
    "mse": ({}, T, np.mean((X - T) ** 2, axis=1)),
    "mae": ({}, T, np.mean(np.abs(X - T), axis=1)),
    "huber": ({"delta": 0.7}, T, np.mean(special.huber(0.7, X - T), axis=1)),
    "log_cosh": ({}, T, np.mean(np.log(np.cosh((X - T).astype(np.float64))), axis=1)),
    "quantile": ({"level": 0.9}, T, [oracle.mean_pinball_loss(t, x, alpha=0.9) for t, x in zip(T, X, strict=True)]),
    "cosine_distance": ({}, T, optax.losses.cosine_distance(X, T)),
}


def test_cases_cover_the_table() -> None:
    """Lost: a loss nobody checked."""
    assert set(TWINS) == set(losses.TABLE)


@pytest.mark.parametrize("name", list(TWINS))
def test_value_of_an_independent_twin(name: str) -> None:
    """Lost: the loss is not the one its name says."""
    hypers, targets, expected = TWINS[name]
    loss = losses.TABLE[name](**hypers)
    np.testing.assert_allclose(loss(jnp.asarray(X), jnp.asarray(targets)), expected, rtol=2e-5, atol=1e-6)


def test_labels_and_one_hot_rows_give_the_same_bits() -> None:
    """Lost: label smoothing at 0 is not plain cross-entropy."""
    for name in ("softmax_cross_entropy", "poly_loss", "focal", "generalized_cross_entropy", "kl_divergence"):
        loss = losses.TABLE[name]()
        np.testing.assert_array_equal(loss(jnp.asarray(X), jnp.asarray(Y)), loss(jnp.asarray(X), jnp.asarray(ONE)))


def test_gradient_of_cross_entropy_is_softmax_minus_label() -> None:
    """Lost: the gradient every comparison rests on."""
    grads = jax.grad(lambda x: jnp.sum(losses.softmax_cross_entropy()(x, jnp.asarray(Y))))(jnp.asarray(X))
    np.testing.assert_allclose(grads, Q - ONE, atol=1e-6)


def test_column_outputs_pair_with_flat_targets() -> None:
    """Lost: outputs [B, 1] against targets [B] broadcast to [B, B], the classic silent error."""
    for name in ("mse", "mae", "sigmoid_binary_cross_entropy"):
        loss = losses.TABLE[name]()
        flat = loss(jnp.asarray(X[:, 0]), jnp.asarray(B[:, 0]))
        assert flat.shape == (6,)
        np.testing.assert_array_equal(loss(jnp.asarray(X[:, :1]), jnp.asarray(B[:, 0])), flat)
        np.testing.assert_array_equal(loss(jnp.asarray(X[:, 0]), jnp.asarray(B[:, :1])), flat)


def test_integer_targets_of_a_regression_loss() -> None:
    """Lost: whole-number regression targets are refused or truncated."""
    np.testing.assert_allclose(losses.mse()(jnp.array([1.5, 2.0]), jnp.array([1, 3])), [0.25, 1.0])


def test_wrong_pair_is_one_line() -> None:
    """Lost: the user sees a traceback of shapes instead of a sentence."""
    with pytest.raises(ValueError) as error:
        losses.softmax_cross_entropy()(jnp.zeros((8, 10)), jnp.zeros((8,)))
    assert str(error.value) == (
        "softmax_cross_entropy: outputs float32[8, 10] and targets float32[8] do not pair; "
        "expected outputs [B, ..., C] with integer labels [B, ...] or probabilities [B, ..., C]"
    )
