"""Numbers that theory gives for single parts: the tanh critical line, the lasso, and two faces of ridge."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from deepprinciples.parts import augment, initializers, optimizers, regularizers
from deepprinciples.parts.initializers.mean_field import critical_variance, settled_variance, susceptibility
from deepprinciples.types import Batch


def average(function, q: float) -> float:
    """Integrate against the normal density by adaptive quadrature, which shares nothing with the grid in src."""
    return integrate.quad(lambda z: function(np.sqrt(q) * z) * stats.norm.pdf(z), -12, 12, epsabs=1e-12)[0]


def test_tanh_critical_line() -> None:
    """Lost: the variance at which a deep tanh network passes signals on: 1.76095 at 0.05, 1.42421 at 0.01, 1 at 0."""
    variances = jax.vmap(critical_variance)(jnp.array([0.05, 0.01, 0.0]))
    np.testing.assert_allclose(variances, [1.76095, 1.42421, 1.0], atol=2e-5)
    for bias_variance, found in ((0.05, variances[0]), (3.0, critical_variance(3.0)), (30.0, critical_variance(30.0))):

        def off(q, bias_variance=bias_variance):
            slope = average(lambda u: (1 - np.tanh(u) ** 2) ** 2, q)
            return q - average(lambda u: np.tanh(u) ** 2, q) / slope - bias_variance

        q = optimize.brentq(off, 1e-3, 100.0)
        slope = average(lambda u: (1 - np.tanh(u) ** 2) ** 2, q)
        assert float(found) == pytest.approx(1 / slope, rel=1e-4)


def test_susceptibility_off_and_on_the_line() -> None:
    """Lost: chi1 = 1.0477 at (2, 0.05), and 1 on the line."""
    assert float(susceptibility(2.0, 0.05)) == pytest.approx(1.0477, abs=5e-5)
    for bias_variance in (0.01, 0.05, 1.0):
        assert float(susceptibility(critical_variance(bias_variance), bias_variance)) == pytest.approx(1.0, abs=1e-4)


def test_critical_networks_settle_where_theory_says() -> None:
    """Lost: a real network, 1000 wide and 30 deep, has the variance and the slopes of the theory."""
    width, bias_variance = 1000, 0.05
    init = initializers.critical_tanh(bias_variance=bias_variance)

    def layer(carry, key):
        u, tangent = carry
        key_kernel, key_bias = jax.random.split(key)
        kernel = init(key_kernel, (width, width), jnp.float32)
        bias = jnp.sqrt(bias_variance) * jax.random.normal(key_bias, (width,))
        onward = lambda u: jnp.tanh(u) @ kernel + bias
        u, after = jax.jvp(onward, (u,), (tangent,))
        gain = jnp.sum(after**2) / jnp.sum(tangent**2)
        return (u, after / jnp.sqrt(jnp.sum(after**2))), (jnp.mean(u**2), gain)

    key_start, key_tangent, key_layers = jax.random.split(jax.random.key(3, impl="threefry2x32"), 3)
    start = jax.random.normal(key_start, (width,)), jax.random.normal(key_tangent, (width,))
    variances, gains = jax.lax.scan(layer, start, jax.random.split(key_layers, 30))[1]
    theory = float(settled_variance(critical_variance(bias_variance), bias_variance))
    np.testing.assert_allclose(np.mean(variances[5:]), theory, rtol=0.05)
    np.testing.assert_allclose(np.mean(gains[5:]), 1.0, atol=0.05)


def descent(part, gradient, w, steps: int):
    def step(carry, _):
        w, state = carry
        updates, state = part.update(gradient(w), state, w)
        return (w + updates, state), None

    return jax.lax.scan(step, (w, part.init(w)), None, length=steps)[0][0]


def test_lasso_on_an_orthonormal_design_is_a_soft_threshold() -> None:
    """Lost: exact zeros where the correlation is below the strength; subgradient steps of l1 leave none."""
    rng = np.random.default_rng(0)
    x = np.linalg.qr(rng.normal(size=(40, 10)))[0].astype(np.float32)
    y = rng.normal(size=(40, 1)).astype(np.float32)
    correlation, strength = x.T @ y, 0.7
    threshold = np.sign(correlation) * np.maximum(np.abs(correlation) - strength, 0.0)
    assert 2 <= np.sum(threshold == 0) <= 8
    gradient = lambda w: x.T @ (x @ w - y)
    found = descent(optimizers.proximal_sgd(learning_rate=0.3, strength=strength), gradient, jnp.zeros((10, 1)), 100)
    np.testing.assert_allclose(found, threshold, atol=1e-5)
    np.testing.assert_array_equal(found == 0, threshold == 0)
    penalty = regularizers.l1(strength=strength)
    penalized = lambda w: gradient(w) + jax.grad(penalty)(w)
    plain = descent(optimizers.sgd(learning_rate=0.3), penalized, jnp.full((10, 1), 0.05), 100)
    assert not np.any(plain == 0)
    assert np.abs(plain - threshold).max() > 0.01  # and they swing around it


def test_dropout_on_linear_regression_is_its_ridge() -> None:
    """Lost: the mean gradient under input dropout is 0 at (X'X + r / (1 - r) diag(X'X))^-1 X'y, and only there."""
    rng, rate = np.random.default_rng(1), 0.3
    x, y = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(50, 1)).astype(np.float32)
    gram = x.T @ x
    ridge = np.linalg.solve(gram + rate / (1 - rate) * np.diag(np.diag(gram)), x.T @ y)
    least_squares = np.linalg.solve(gram, x.T @ y)
    drop = augment.dropout(rate=rate)

    def gradient(w, key):
        dropped = drop.apply(key, Batch(jnp.asarray(x), None)).inputs
        return jax.grad(lambda w: jnp.mean(jnp.square(dropped @ w - y)))(w)[:, 0]

    keys = jax.random.split(jax.random.key(5, impl="threefry2x32"), 4000)
    for w, zero in ((ridge, True), (least_squares, False)):
        drawn = np.asarray(jax.jit(jax.vmap(gradient, (None, 0)))(jnp.asarray(w, jnp.float32), keys))
        errors = np.abs(drawn.mean(axis=0)) / (drawn.std(axis=0) / 4000**0.5)
        assert (errors.max() < 4) == zero


def test_early_stopping_filters_directions() -> None:
    """Lost: after t steps a direction of curvature c has come 1 - (1 - rate c)^t of the way."""
    curvatures, rate, steps = jnp.array([[0.1], [1.0], [5.0]]), 0.1, 20
    found = descent(optimizers.sgd(learning_rate=rate), lambda w: curvatures * (w - 1.0), jnp.zeros((3, 1)), steps)
    np.testing.assert_allclose(found, 1 - (1 - rate * np.asarray(curvatures)) ** steps, rtol=1e-5)
