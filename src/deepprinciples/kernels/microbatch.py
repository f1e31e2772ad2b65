"""A batch in shares, one after another: what a pass through a share leaves behind still lies in the cache.

The gradient of a mean over examples is the mean of its gradients over equal shares, up to rounding, where each example
goes its own way. A large map of activations that is written whole and read again later comes from slow memory; the same
map of few examples does not.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, PyTree

LEAST = 32  # examples of a share: fewer do not fill vectors
LEAST_MAPS = 16  # ... of maps, as half of a small batch; shares of a large one keep 32, which two cores can divide
POSITIONS = 512  # of a share, where every product takes all of them at once
CACHE = 2**19  # bytes of activations that a core's cache holds beside what else is needed
READS = 4  # shares read and write the weights' gradients; activations must be as many times larger to outweigh that


def count_of(size: int, activations: PyTree, params: PyTree, per_position: bool = False) -> int:
    """Choose in how many shares a batch is worked through: 1 but on CPU, and where all of it fits the cache.

    Args:
        size: examples of the batch.
        activations: what a pass over all of it leaves behind, arrays or shapes.
        params: the weights, arrays or shapes.
        per_position: see `Model`; the activations are then [B, T, ...]. A share reads the weights once for so many
            positions that it does not matter how many weights there are.

    Returns:
        The largest divisor of `size` that leaves a share 32 examples, or 512 positions; 2 for 32 to 63 examples that
        mostly leave maps behind; else 1.
    """
    behind, least, weights = _bytes(activations), LEAST, READS * _bytes(params)
    if 2 * _bytes([leaf for leaf in jax.tree.leaves(activations) if leaf.ndim == 4]) > behind:
        least = min(LEAST, max(LEAST_MAPS, size // 2))
    if per_position:
        length = max(leaf.shape[1] for leaf in jax.tree.leaves(activations))
        least, weights = -(-POSITIONS // length), 0
    if jax.default_backend() != "cpu" or behind <= max(CACHE, weights):
        return 1
    return max(count for count in range(1, max(1, size // least) + 1) if size % count == 0)


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def cut(batch: PyTree, count: int) -> PyTree:
    """Cut a batch into equal shares of consecutive examples: [B, ...] -> [count, B / count, ...]."""
    return jax.tree.map(lambda a: a.reshape(count, a.shape[0] // count, *a.shape[1:]), batch)


def accumulate(
    take: Callable[[PyTree, Array], tuple[PyTree, PyTree]], batch: PyTree, count: int, whole: PyTree, params: PyTree
) -> tuple[PyTree, PyTree]:
    """Take gradients share by share, and return the values of the whole batch and the mean gradient.

    Args:
        take: (share, its number) -> (values, gradients).
        batch: arrays [B, ...]; `count` divides B.
        count: shares.
        whole: shapes of the values of the whole batch.
        params: arrays of the shapes of the gradients.

    Returns:
        The values, along the axis of examples where there is one, or else as a mean; and the gradients.
    """

    def add(total: PyTree, given: tuple[PyTree, Array]) -> tuple[PyTree, PyTree]:
        values, grads = take(*given)
        return jax.tree.map(jnp.add, total, grads), values

    zeros = jax.tree.map(jnp.zeros_like, params)
    total, values = jax.lax.scan(add, zeros, (cut(batch, count), jnp.arange(count)))
    return jax.tree.map(_joined, values, whole), jax.tree.map(lambda g: g / count, total)


def _joined(parts: Array, whole: jax.ShapeDtypeStruct) -> Array:
    axis = next((i for i, size in enumerate(whole.shape) if parts.shape[1 + i] != size), None)
    if axis is not None:
        return jnp.concatenate(list(parts), axis)
    return jnp.mean(parts, axis=0) if jnp.issubdtype(parts.dtype, jnp.inexact) else parts[0]
