"""Attention over sequences whose features stand before their positions: [..., features, positions].

Norms, biases and softmax then run along rows that are contiguous over positions, which is what a CPU does fast, and no
product needs a transposed copy.
"""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.kernels.sequences.stock_attention import stock_attend
from deepprinciples.types import Array, Scalar

MASKED = -1e30  # a score that no softmax sees; finite, so that a row without any key has no NaN


def attend(
    q: Array,
    k: Array,
    v: Array,
    bias: Array | None,
    cap: Scalar = math.inf,
    factors: Array | None = None,
    kernels: Literal["auto", "stock"] = "auto",
) -> Array:
    """Let every query read the values of the keys.

    softmax over keys of (capped(q k / sqrt(d)) + bias), times v; capped(s) = cap tanh(s / cap), s where cap is inf

    Args:
        q: queries [B, H, d, Q].
        k: keys [B, G, d, K]; H / G neighboring heads share the keys and values of one group.
        v: values [B, G, d, K].
        bias: [B or 1, H or 1, K, Q], added to the scores; None for none.
        cap: limit of the scores. *Sweepable.* *Neutral: inf.*
        factors: [B, H, K, Q], of the weights, those of dropout; None for none.
        kernels: "stock" is JAX's own, which "auto" takes on a GPU; with a cap or factors, both are ours.

    Returns:
        [B, H, d, Q].
    """
    plain = factors is None and isinstance(cap, float) and math.isinf(cap)
    if plain and (kernels == "stock" or jax.default_backend() == "gpu"):
        return stock_attend(q, k, v, bias)
    heads, groups = q.shape[1], k.shape[1]
    if groups < heads:
        k, v = (jnp.repeat(one, heads // groups, axis=1) for one in (k, v))
    scores = capped(jnp.einsum("bhdk,bhdq->bhkq", k, q * q.shape[2] ** -0.5), cap)
    scores = scores if bias is None else scores + bias
    # Divided after the product: d numbers a query instead of one for each key, on the way back too.
    weights = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=2, keepdims=True)))
    total = jnp.sum(weights, axis=2, keepdims=True)
    return jnp.einsum("bhdk,bhkq->bhdq", v, weights if factors is None else weights * factors) / total


def capped(scores: Array, cap: Scalar) -> Array:
    """Keep scores within -cap and cap, smoothly: cap tanh(scores / cap); as they are where cap is inf."""
    if isinstance(cap, float) and math.isinf(cap):
        return scores
    limit = jnp.where(jnp.isinf(cap), 1.0, cap)
    return jnp.where(jnp.isinf(cap), scores, limit * jnp.tanh(scores / limit))


@jax.custom_vjp
def columns(table: Array, ids: Array) -> Array:
    """Return the rows of a table [V, D] that ids [N] name, as columns [D, N]."""
    return table[ids].T


def _columns(table: Array, ids: Array) -> tuple[Array, tuple[Array, Array]]:
    return table[ids].T, (table, ids)


def _of_table(kept: tuple[Array, Array], grad: Array) -> tuple[Array, None]:
    """Return the gradient of the table.

    The product with the identity is a transposed copy. XLA would fuse a plain one with all that the gradient is made
    of, and compute that in an order that the cache does not bear: a tenth of a step.
    """
    table, ids = kept
    rows = jnp.einsum("dn,de->ne", grad, jnp.eye(len(grad), dtype=grad.dtype))
    return jnp.zeros_like(table).at[ids].add(rows), None


columns.defvjp(_columns, _of_table)


def rotated(x: Array, places: Array, base: float = 10_000.0) -> Array:
    """Turn pairs of features by angles that grow with the position, so that products depend on distances alone.

    Feature i and i + d / 2 are turned by p base^(-2 i / d).

    Args:
        x: [..., d, T], d even.
        places: [T], positions p.
        base: of the frequencies.

    Returns:
        An array like x.

    References:
        arXiv:2104.09864, with the pairs of GPT-NeoX.
    """
    half = x.shape[-2] // 2
    angles = base ** (-jnp.arange(half) / half)[:, None] * places[None, :]  # [d / 2, T]
    shape = (1,) * (x.ndim - 2) + angles.shape
    cos, sin = (f(angles).astype(x.dtype).reshape(shape) for f in (jnp.cos, jnp.sin))
    a, b = x[..., :half, :], x[..., half:, :]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-2)


def distance_slopes(heads: int) -> np.ndarray:
    """Return how fast the scores of each head fall with the distance, [H]: 2^(-8 h / H), h = 1 to H (ALiBi).

    References:
        arXiv:2108.12409.
    """
    return 2.0 ** (-8.0 * np.arange(1, heads + 1, dtype=np.float32) / heads)


def waves(places: Array, width: int, base: float = 10_000.0) -> Array:
    """Return a code of positions, [width, T]: sines in the first half of the features and cosines in the second.

    References:
        arXiv:1706.03762, which puts sines and cosines in turn.
    """
    half = (width + 1) // 2
    angles = base ** (-jnp.arange(half) / half)[:, None] * places[None, :]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])[:width]
