"""Randomness as a pure function of (seed, stream, step): nothing to save but integers.

Every random number of a run is drawn from here, so paired lanes (equal seed) see the same initial weights, the same
batches and the same noise in every arm. No key is ever stored in a state.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import optax

from deepprinciples.kernels.keys import bits, fold_in, stream
from deepprinciples.types import Array, PyTree


def lane_key(seed: Array | int) -> Array:
    """Return the key of a lane: threefry, since `rbg` under vmap draws from the first key only."""
    return jax.random.key(seed, impl="threefry2x32")


def batch_indices(seed: int, start: int, *, steps: int, size: int, batch_size: int) -> np.ndarray:
    """Draw which examples each step sees: epoch by epoch without replacement, each epoch in a new order.

    Step t belongs to epoch e = t // (size // batch_size); its batch is a slice of the permutation drawn from
    (key, "order", e). The ragged rest of an epoch is left out; another epoch's order brings those examples back.

    Args:
        seed: the lane's.
        start: the first step.
        steps: how many steps.
        size: number of training examples.
        batch_size: examples a step sees, at most `size`.

    Returns:
        int32 [steps, batch_size], row t for step start + t; it depends on the step alone, not on how a run is cut.
    """
    per_epoch = size // batch_size
    first = start // per_epoch
    epochs = first + np.arange((steps - 1) // per_epoch + 2, dtype=np.int32)
    # Sorting random bits is a permutation; a tie of 32-bit draws is broken by position and harms nothing. The position
    # is the low half of what is sorted, on the host, where numpy sorts ten times as fast as XLA.
    orders = np.asarray(_draws(np.uint32(seed), epochs, size=size)).astype(np.uint64)
    orders <<= np.uint64(32)
    orders |= np.arange(size, dtype=np.uint64)
    orders.sort(axis=1)
    batches = orders[:, : per_epoch * batch_size].astype(np.uint32).view(np.int32).reshape(-1, batch_size)
    return batches[start - first * per_epoch :][:steps]


@functools.partial(jax.jit, static_argnames="size")
def _draws(seed: Array, epochs: Array, *, size: int) -> Array:
    key = stream(lane_key(seed), "order")
    return jax.vmap(lambda epoch: bits(fold_in(key, epoch), (size,)))(epochs)


def with_own_stream(name: str, link: optax.GradientTransformation) -> optax.GradientTransformation:
    """Give a link of a chain a stream of its own: two with the key of the step would draw the same numbers."""
    inner = optax.with_extra_args_support(link)

    def update(grads: PyTree, state: PyTree, params: PyTree = None, *, key: Array | None = None, **extra: Any) -> tuple:
        own = {} if key is None else {"key": stream(key, name)}
        return inner.update(grads, state, params, **own, **extra)

    return optax.GradientTransformationExtraArgs(inner.init, update)
