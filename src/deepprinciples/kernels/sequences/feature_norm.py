"""Layer normalization, with its gradient, of features that stand before their positions or after them."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from deepprinciples.types import Array

EPS = 1e-6


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize(x: Array, scale: Array, bias: Array, centered: bool, axis: int = 0) -> Array:
    """Normalize the features of each position.

    y = scale (x - m) r + bias, m = mean x, r = 1 / sqrt(mean (x - m)^2 + 1e-6); m = 0 unless `centered`

    Where all features are alike, r = 1: the slope of the formula there is 1000, and a few layers of that are more than
    float32 holds.

    Args:
        x: [D, N], or [N, D] with axis 1.
        scale, bias: [D].
        centered: True is layer normalization, False root-mean-square normalization.
        axis: of the features.

    Returns:
        An array like x.

    References:
        arXiv:1607.06450 (layer), arXiv:1910.07467 (root mean square).
    """
    return _forward(x, scale, bias, centered, axis)[0]


def _forward(x: Array, scale: Array, bias: Array, centered: bool, axis: int) -> tuple[Array, tuple[Array, ...]]:
    one = jnp.ones_like(scale) / len(scale)
    mean = _product(one, x, axis) if centered else jnp.zeros((), x.dtype)
    squares = _product(one, (x - mean) ** 2, axis)
    factor = jnp.where(squares > 0, jax.lax.rsqrt(squares + EPS), 1.0)
    y = (x - mean) * factor * jnp.expand_dims(scale, 1 - axis) + jnp.expand_dims(bias, 1 - axis)
    return y, (x, mean, factor, scale)


def _product(row: Array, x: Array, axis: int) -> Array:
    """Sum x over its features by their weights in `row`, as one product: [1, N] or [N, 1]."""
    return x @ row[:, None] if axis else row[None] @ x


def _backward(centered: bool, axis: int, kept: tuple[Array, ...], grad: Array) -> tuple[Array, Array, Array]:
    """Return the gradients; x is kept, which is stored anyway, and the two sums over features are one product each."""
    x, mean, factor, scale = kept
    normal = (x - mean) * factor
    turned = grad * normal
    share = scale / len(scale)
    dx = grad * jnp.expand_dims(scale, 1 - axis) - normal * _product(share, turned, axis)
    if centered:
        dx = dx - _product(share, grad, axis)
    return factor * dx, jnp.sum(turned, axis=1 - axis), jnp.sum(grad, axis=1 - axis)


normalize.defvjp(_forward, _backward)
