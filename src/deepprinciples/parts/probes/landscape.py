"""The loss around trained weights, and how alike two trained networks are: slices, lines between solutions, CKA."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.types import Array, PyTree

Objective = Callable[[PyTree], Array]
TINY = 1e-30


def filter_normalized(key: Array, params: PyTree) -> PyTree:
    """Draw a random direction in which every unit is as long as the unit itself.

    Formula: d_u <- d_u |w_u| / |d_u|, d normal, u a slice along the last axis of a kernel; biases and scales stay put.

    Args:
        key: decides the direction.
        params: where it starts from.

    Returns:
        A direction shaped as params.

    References:
        arXiv:1712.09913.
    """
    leaves, treedef = jax.tree.flatten(params)

    def one(key: Array, w: Array) -> Array:
        if w.ndim < 2:
            return jnp.zeros_like(w)
        d = random.normal(key, w.shape, w.dtype)
        lengths = [jnp.sqrt(jnp.sum(a * a, axis=tuple(range(w.ndim - 1)), keepdims=True)) for a in (w, d)]
        return d * (lengths[0] / jnp.maximum(lengths[1], TINY))

    return jax.tree.unflatten(
        treedef, [one(k, w) for k, w in zip(jax.random.split(key, len(leaves)), leaves, strict=True)]
    )


def along(objective: Objective, params: PyTree, direction: PyTree, places: Array) -> Array:
    """Return the loss at params + place * direction, for each place [P] -> [P]."""
    return jax.lax.map(lambda t: objective(jax.tree.map(lambda p, d: p + t * d, params, direction)), places)


def barrier(losses: Array) -> Array:
    """Measure how far the loss rises above the straight line between the two ends of a way.

    Formula: max_k L_k - ((1 - t_k) L_0 + t_k L_1), t_k evenly from 0 to 1.

    Args:
        losses: [..., P] along the way.

    Returns:
        [...]; 0 where it never rises above the line.

    References:
        arXiv:1912.05671 (linear mode connectivity).
    """
    t = jnp.linspace(0.0, 1.0, losses.shape[-1]).reshape((1,) * (losses.ndim - 1) + (-1,))
    line = (1.0 - t) * losses[..., :1] + t * losses[..., -1:]
    return jnp.max(losses - line, axis=-1)


def cka(x: Array, y: Array) -> Array:
    """Measure how alike two representations of the same examples are, whatever basis each has.

    Formula: |Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F), both centered.

    Args:
        x: [N, ...]; y: [N, ...]: features of the same N examples, flattened.

    Returns:
        Scalar in [0, 1], 1 for equal up to rotation and scale.

    References:
        arXiv:1905.00414.
    """
    flat = [a.reshape(len(a), -1) for a in (x, y)]
    x, y = (a - jnp.mean(a, axis=0, keepdims=True) for a in flat)
    # By the Gram matrices [N, N]: a layer may have more features than there are examples.
    kx, ky = x @ x.T, y @ y.T
    norms = jnp.linalg.norm(kx) * jnp.linalg.norm(ky)
    return jnp.sum(kx * ky) / jnp.maximum(norms, TINY)
