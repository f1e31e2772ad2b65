"""Attention by `jax.nn.dot_product_attention`, which has GPUs in mind, in the layout of `attention`."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deepprinciples.types import Array


def stock_attend(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    """Let every query read the values of the keys, as `attention.attend` does without a cap and without factors.

    Which of its implementations is taken is left to JAX.

    Args:
        q: queries [B, H, d, Q].
        k: keys [B, G, d, K], G a divisor of H.
        v: values [B, G, d, K].
        bias: [B or 1, H or 1, K, Q or 1], added to the scores; None for none.

    Returns:
        [B, H, d, Q].
    """
    q, k, v = (jnp.transpose(one, (0, 3, 1, 2)) for one in (q, k, v))  # [B, T, H, d]
    bias = None if bias is None else bias.swapaxes(2, 3)
    return jnp.transpose(jax.nn.dot_product_attention(q, k, v, bias), (0, 2, 3, 1))
