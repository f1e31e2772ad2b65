"""Randomness as a pure function of (seed, stream, step): nothing to save but integers.

Every random number of a run is drawn from here, so paired lanes (equal seed) see the same initial weights, the same
batches and the same noise in every arm. No key is ever stored in a state.
"""

from __future__ import annotations

import zlib

import jax
import jax.numpy as jnp

from deepprinciples.types import Array


def lane_key(seed: Array | int) -> Array:
    """Return the key of a lane: threefry, since `rbg` under vmap draws from the first key only."""
    return jax.random.key(seed, impl="threefry2x32")


def stream(key: Array, name: str) -> Array:
    """Return the key of a named stream: fold_in(key, crc32(name))."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def batch_indices(key: Array, start: Array, *, steps: int, size: int, batch_size: int) -> Array:
    """Draw which examples each step sees: epoch by epoch without replacement, each epoch in a new order.

    Step t belongs to epoch e = t // (size // batch_size); its batch is a slice of the permutation drawn from
    (key, "order", e). The ragged rest of an epoch is left out; another epoch's order brings those examples back.

    Args:
        key: the lane's key.
        start: the first step, int32; may be traced.
        steps: how many steps.
        size: number of training examples.
        batch_size: examples a step sees, at most `size`.

    Returns:
        int32 [steps, batch_size], row t for step start + t; it depends on the step alone, not on how a run is cut.
    """
    per_epoch = size // batch_size
    first = start // per_epoch
    epochs = first + jnp.arange((steps - 1) // per_epoch + 2)
    order_key = stream(key, "order")
    # Sorting random bits is a permutation; a tie of 32-bit draws is broken by position and harms nothing.
    draws = jax.vmap(lambda epoch: jax.random.bits(jax.random.fold_in(order_key, epoch), (size,)))(epochs)
    orders = jnp.argsort(draws, axis=1).astype(jnp.int32)  # [epochs, size]
    step = start + jnp.arange(steps)
    row = step // per_epoch - first
    column = (step % per_epoch)[:, None] * batch_size + jnp.arange(batch_size)[None, :]
    return orders[row[:, None], column]
