"""Keys and bits of random numbers, derived quickly inside a step."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.types import Array

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def stream(key: Array, name: str) -> Array:
    """Return the key of a named stream, fold_in(key, crc32(name)): a small number could be one that a layer uses."""
    return fold_in(key, zlib.crc32(name.encode()))


def fold_in(key: Array, data: Array | int) -> Array:
    """Compute jax.random.fold_in(key, data), to the bit.

    JAX writes the 20 rounds of threefry as a loop on CPU, which for one key takes longer than a small layer; a step of
    a game derives six. Here they are arithmetic that is fused. A key of another kind goes through JAX.

    Args:
        key: a single key.
        data: uint32, or a whole number below 2**32.

    References:
        J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): Threefry-2x32-20.
    """
    if not _is_threefry(key):
        return jax.random.fold_in(key, data)
    x, y = _threefry(jax.random.key_data(key), jnp.asarray(data, jnp.uint32))
    return jax.random.wrap_key_data(jnp.stack([x, y]), impl="threefry2x32")


def bits(key: Array, shape: Sequence[int]) -> Array:
    """Compute jax.random.bits(key, shape), uint32, to the bit; see `fold_in`."""
    count = math.prod(shape)
    if not (_is_threefry(key) and jax.config.values["jax_threefry_partitionable"] and count < 2**32):
        return jax.random.bits(key, shape)
    x, y = _threefry(jax.random.key_data(key), jnp.arange(count, dtype=jnp.uint32))
    return (x ^ y).reshape(shape)


def _is_threefry(key: Array) -> bool:
    return jax.random.key_data(key).shape == (2,) and "threefry" in str(jax.random.key_impl(key))


@jax.jit  # traced once for all keys of a step
def _threefry(words: Array, y: Array) -> tuple[Array, Array]:
    """Encrypt (0, y) with a key of two words."""
    keys = (words[0], words[1], words[0] ^ words[1] ^ _PARITY)
    x, y = jnp.broadcast_to(keys[0], y.shape), y + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ (y << np.uint32(rotation) | y >> np.uint32(32 - rotation))
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y
