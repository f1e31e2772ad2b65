"""Losses against numpy, scikit-learn and optax twins, and their theory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats
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
    "confidence_penalty": (
        {"strength": 0.3},
        Y,
        -np.log(Q[np.arange(6), Y]) - 0.3 * stats.entropy(Q, axis=1),
    ),
    "weighted_cross_entropy": (
        {"priors": (6.0, 2.0, 1.0, 1.0)},
        Y,
        -np.log(Q[np.arange(6), Y]) * np.array([1 / 2.4, 5 / 4, 5 / 2, 5 / 2])[Y],  # 1 / (4 share)
    ),
    "dice": (  # one position: TP + FP = Q, TP + FN = ONE
        {"share": 0.25, "smooth": 1.0},
        Y,
        -0.75 * np.log(Q[np.arange(6), Y]) + 0.25 * (1 - np.mean((2 * ONE * Q + 2) / (ONE + Q + 2), axis=1)),
    ),
    "tversky": (
        {"alpha": 0.2, "beta": 0.9, "smooth": 1.0},
        Y,
        1 - np.mean((ONE * Q + 1) / (ONE * Q + 1 + 0.2 * (1 - ONE) * Q + 0.9 * ONE * (1 - Q)), axis=1),
    ),
    "logit_adjusted_cross_entropy": (
        {"strength": 0.8, "priors": (6.0, 2.0, 1.0, 1.0)},
        Y,
        -np.log(special.softmax(X + 0.8 * np.log([0.6, 0.2, 0.1, 0.1]), axis=1)[np.arange(6), Y]),
    ),
    "distillation": (
        {"temperature": 3.0, "share": 1.0},
        P,
        9.0 * np.sum(special.rel_entr(special.softmax(T / 3, axis=1), special.softmax(X / 3, axis=1)), axis=1),
    ),
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
    for name in (
        "softmax_cross_entropy",
        "poly_loss",
        "focal",
        "generalized_cross_entropy",
        "kl_divergence",
        "distillation",
    ):
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


def test_logit_adjustment_is_fair_to_a_rare_class() -> None:
    """Lost: trained on 9 to 1, the outputs of the best constant are even, where cross-entropy's favor the frequent."""
    labels = jnp.array([0] * 9 + [1])

    def best(loss):
        step = lambda _, x: x - 2.0 * jax.grad(lambda x: jnp.mean(loss(jnp.tile(x, (10, 1)), labels)))(x)
        return jax.lax.fori_loop(0, 500, step, jnp.zeros((1, 2)))[0]

    adjusted = best(losses.logit_adjusted_cross_entropy(priors=(0.9, 0.1)))
    assert float(adjusted[0] - adjusted[1]) == pytest.approx(0.0, abs=1e-3)
    plain = best(losses.softmax_cross_entropy())
    assert float(plain[0] - plain[1]) == pytest.approx(np.log(9), abs=1e-2)


def test_priors_are_refused_in_words() -> None:
    """Lost: a class that is never there, or priors of another data set, give NaN or a traceback of shapes."""
    for name in ("logit_adjusted_cross_entropy", "weighted_cross_entropy"):
        with pytest.raises(ValueError, match=rf"{name}: found priors \[0.5, 0.0\]; expected numbers above 0"):
            losses.TABLE[name](priors=(0.5, 0.0))
        loss = losses.TABLE[name](priors=(0.5, 0.5))
        with pytest.raises(ValueError, match=f"{name}: found 2 priors for 4 classes; give one for each"):
            loss(jnp.asarray(X), jnp.asarray(Y))


def test_distillation_lanes_and_certain_teachers() -> None:
    """Lost: the temperature as a float of a sweep; NaN where a teacher is certain."""
    temperatures = jnp.array([0.5, 1.0, 4.0])
    value = lambda t: losses.distillation(temperature=t, share=1.0)(jnp.asarray(X), jnp.asarray(P))
    lanes = jax.vmap(value)(temperatures)
    for lane, temperature in zip(lanes, temperatures, strict=True):
        np.testing.assert_allclose(lane, value(temperature), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(lanes[1], losses.kl_divergence()(jnp.asarray(X), jnp.asarray(P)), rtol=1e-4, atol=1e-6)
    certain = jax.grad(lambda x: jnp.sum(losses.distillation()(x, jnp.asarray(ONE))))(jnp.asarray(X))
    assert np.isfinite(certain).all()


def test_z_loss_by_hand() -> None:
    """Lost: the term that holds the level of the outputs, or its sign: the sums of e^outputs are 4 and 1."""
    outputs = jnp.log(jnp.array([[1.0, 3.0], [0.25, 0.75]]))
    labels = jnp.array([0, 1])
    plain, with_z = (losses.TABLE["softmax_cross_entropy"](z_loss=z)(outputs, labels) for z in (0.0, 0.5))
    np.testing.assert_allclose(plain, np.log([4.0, 4 / 3]), rtol=1e-6)
    np.testing.assert_allclose(with_z, plain + 0.5 * np.log([4.0, 1.0]) ** 2, rtol=1e-6, atol=1e-7)
    grad = jax.grad(lambda x: jnp.sum(losses.TABLE["softmax_cross_entropy"](z_loss=0.5)(x, labels)))(outputs)
    # softmax - onehot + 2 z log(Z) softmax, softmax = (1/4, 3/4) in both rows
    expected = np.array([[-0.75, 0.75], [0.25, -0.25]]) + np.log([[4.0], [1.0]]) * np.array([0.25, 0.75])
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-6)
    swept = jax.jit(jax.vmap(lambda z: losses.TABLE["softmax_cross_entropy"](z_loss=z)(outputs, labels)))
    np.testing.assert_allclose(swept(jnp.array([0.0, 0.5])), [plain, with_z], rtol=1e-6)
