"""The smallest values of an array, found without sorting it: a few passes that a compiler fuses."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deepprinciples.types import Array


def smallest(x: Array, count: Array) -> Array:
    """Mark exactly `count` elements, those of the smallest absolute value; of equal ones the first.

    A sort takes far longer than this on every backend, and both bounds are found in as many rounds whatever the values
    are, so that lanes do not wait for each other.

    Args:
        x: any shape; compared as float32.
        count: int32, how many, from 0 to the size of `x`; may be a tracer.

    Returns:
        bool, in the shape of `x`.
    """
    bits = jax.lax.bitcast_convert_type(jnp.abs(x.ravel()).astype(jnp.float32), jnp.uint32)  # in the order of values
    place = jnp.arange(x.size, dtype=jnp.uint32)
    number = lambda chosen: jnp.sum(chosen, dtype=jnp.int32)

    def value(round_: Array, bound: Array) -> Array:
        """Settle one bit of the value below which there are fewer than `count`."""
        trial = bound | jnp.uint32(1) << (30 - round_).astype(jnp.uint32)
        return jnp.where(number(bits < trial) < count, trial, bound)

    bound = jax.lax.fori_loop(0, 31, value, jnp.uint32(0))
    equal, rest = bits == bound, count - number(bits < bound)
    rounds = x.size.bit_length()

    def end(round_: Array, bound: Array) -> Array:
        """Settle one bit of the place before which there are at most `rest` of the equal ones."""
        trial = bound | jnp.uint32(1) << (rounds - 1 - round_).astype(jnp.uint32)
        return jnp.where(number(equal & (place < trial)) <= rest, trial, bound)

    last = jax.lax.fori_loop(0, rounds, end, jnp.uint32(0))
    return ((bits < bound) | (equal & (place < last))).reshape(x.shape)
