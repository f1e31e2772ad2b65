"""Features of a whole batch beside each example, so that a model can see the batch as a whole.

With these a model is no longer a function of one example: its outputs change with the company the example keeps, in
evaluation too. What rescales signals by the batch's statistics is `normalization`.
"""

from __future__ import annotations

import chex
import jax.numpy as jnp

from deepprinciples.types import Array

EPS = 1e-8  # under the root, whose slope at 0 is infinite


def with_deviation(x: Array) -> Array:
    """Append how much the examples of a batch differ, as one more feature.

    s = mean over features j of sqrt(var over the batch of x_j + 1e-8), the same for every example.

    Args:
        x: [B, F].

    Returns:
        [B, F + 1].

    References:
        arXiv:1710.10196.
    """
    chex.assert_rank(x, 2)
    deviation = jnp.mean(jnp.sqrt(jnp.var(x, axis=0) + EPS))
    return jnp.concatenate([x, jnp.broadcast_to(deviation, (x.shape[0], 1))], axis=1)
