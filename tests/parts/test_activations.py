"""Activations against numbers worked by hand and their limits."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts import activations

# Value at x = 1 and at x = -1, from the formula on the card.
BY_HAND = {
    "identity": (1.0, -1.0),
    "relu": (1.0, 0.0),
    "leaky_relu": (1.0, -0.01),
    "elu": (1.0, math.exp(-1) - 1),
    "selu": (1.0507009873554805, 1.0507009873554805 * 1.6732632423543772 * (math.exp(-1) - 1)),
    "celu": (1.0, math.exp(-1) - 1),
    "gelu": (0.8413447461, -0.1586552539),
    "silu": (1 / (1 + math.exp(-1)), -1 / (1 + math.exp(1))),
    "mish": (math.tanh(math.log(1 + math.e)), -math.tanh(math.log(1 + math.exp(-1)))),
    "softplus": (math.log(1 + math.e), math.log(1 + math.exp(-1))),
    "squared_relu": (1.0, 0.0),
    "relu6": (1.0, 0.0),
    "sigmoid": (1 / (1 + math.exp(-1)), 1 / (1 + math.e)),
    "tanh": (math.tanh(1), -math.tanh(1)),
    "hard_tanh": (1.0, -1.0),
    "softsign": (0.5, -0.5),
    "sine": (math.sin(1), -math.sin(1)),
}


def test_cases_cover_the_table() -> None:
    """Lost: an activation nobody checked."""
    assert set(BY_HAND) == set(activations.TABLE)


@pytest.mark.parametrize("name", list(BY_HAND))
def test_value_by_hand(name: str) -> None:
    """Lost: the activation is not the one its name and card say."""
    np.testing.assert_allclose(activations.TABLE[name]()(jnp.array([1.0, -1.0])), BY_HAND[name], rtol=2e-6)


def test_hyper_parameters_act() -> None:
    """Lost: a swept slope, alpha, beta or frequency does nothing."""
    x = jnp.array([-2.0, 0.5])
    np.testing.assert_allclose(activations.leaky_relu(slope=0.5)(x), [-1.0, 0.5])
    np.testing.assert_allclose(activations.elu(alpha=2.0)(x), [2 * (math.exp(-2) - 1), 0.5], rtol=1e-6)
    np.testing.assert_allclose(activations.celu(alpha=2.0)(x), [2 * (math.exp(-1) - 1), 0.5], rtol=1e-6)
    np.testing.assert_allclose(activations.silu(beta=0.0)(x), x / 2)
    np.testing.assert_allclose(activations.sine(frequency=3.0)(x), np.sin([-6.0, 1.5]), rtol=1e-5)
    exact = 0.5 * 0.5 * (1 + math.erf(0.5 / math.sqrt(2)))
    np.testing.assert_allclose(activations.gelu()(x)[1], exact, rtol=1e-6)
    np.testing.assert_allclose(activations.gelu(approximate=True)(x)[1], 0.3457140, rtol=1e-6)


@pytest.mark.parametrize("name", list(BY_HAND))
def test_slopes_are_finite_everywhere(name: str) -> None:
    """Lost: one large or zero input turns all gradients into NaN."""
    x = jnp.array([-1e4, -1.0, 0.0, 1.0, 1e4])
    assert np.isfinite(jax.vmap(jax.grad(activations.TABLE[name]()))(x)).all()
