"""Numbers that theory gives for single parts: the tanh critical line and the lasso."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from deepprinciples.parts import initializers
from deepprinciples.parts.mean_field import critical_variance, settled_variance, susceptibility


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
        onward = lambda u: jnp.tanh(u) @ kernel + bias  # noqa: E731
        u, after = jax.jvp(onward, (u,), (tangent,))
        gain = jnp.sum(after**2) / jnp.sum(tangent**2)
        return (u, after / jnp.sqrt(jnp.sum(after**2))), (jnp.mean(u**2), gain)

    key_start, key_tangent, key_layers = jax.random.split(jax.random.key(3, impl="threefry2x32"), 3)
    start = jax.random.normal(key_start, (width,)), jax.random.normal(key_tangent, (width,))
    variances, gains = jax.lax.scan(layer, start, jax.random.split(key_layers, 30))[1]
    theory = float(settled_variance(critical_variance(bias_variance), bias_variance))
    np.testing.assert_allclose(np.mean(variances[5:]), theory, rtol=0.05)
    np.testing.assert_allclose(np.mean(gains[5:]), 1.0, atol=0.05)
