"""Layer normalization of features that stand before their positions, [features, positions], with its gradient."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from deepprinciples.types import Array

EPS = 1e-6


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize(x: Array, scale: Array, bias: Array, centered: bool) -> Array:
    """Normalize the features of each position.

    y = scale (x - m) r + bias, m = mean x, r = 1 / sqrt(mean (x - m)^2 + 1e-6); m = 0 unless `centered`

    Where all features are alike, r = 1: the slope of the formula there is 1000, and a few layers of that are more than
    float32 holds.

    Args:
        x: [D, N].
        scale, bias: [D].
        centered: True is layer normalization, False root-mean-square normalization.

    Returns:
        [D, N].

    References:
        arXiv:1607.06450 (layer), arXiv:1910.07467 (root mean square).
    """
    return _forward(x, scale, bias, centered)[0]


def _forward(x: Array, scale: Array, bias: Array, centered: bool) -> tuple[Array, tuple[Array, ...]]:
    mean = jnp.mean(x, axis=0, keepdims=True) if centered else jnp.zeros((1, x.shape[1]), x.dtype)
    squares = jnp.mean((x - mean) ** 2, axis=0, keepdims=True)
    factor = jnp.where(squares > 0, jax.lax.rsqrt(squares + EPS), 1.0)
    return (x - mean) * factor * scale[:, None] + bias[:, None], (x, mean, factor, scale)


def _backward(centered: bool, kept: tuple[Array, ...], grad: Array) -> tuple[Array, Array, Array]:
    """Return the gradients; x is kept, which is stored anyway, and the two sums over features are one product each."""
    x, mean, factor, scale = kept
    normal = (x - mean) * factor
    turned = grad * normal
    share = (scale / len(x))[None]
    dx = grad * scale[:, None] - normal * (share @ turned)
    if centered:
        dx = dx - share @ grad
    return factor * dx, jnp.sum(turned, axis=1), jnp.sum(grad, axis=1)


normalize.defvjp(_forward, _backward)
