"""Random numbers drawn quickly inside a step: uniform, normal, and coins.

On CPU, JAX's own draws run threefry as a loop, which takes 3 to 8 times as long and 3 times as long to compile.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from deepprinciples.kernels.keys import bits
from deepprinciples.types import Array, Scalar

_ABOVE_MINUS_ONE = np.nextafter(np.float32(-1), np.float32(0))
# erfinv(u) = u p(z): for w = -log(1 - u^2) below 5 with z = w - 2.5, beyond with z = sqrt(w) - 3; highest power first.
_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)  # fmt: skip
_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)  # fmt: skip


def uniform(
    key: Array, shape: Sequence[int] = (), dtype: DTypeLike | None = None, minval: Scalar = 0.0, maxval: Scalar = 1.0
) -> Array:
    """Compute jax.random.uniform(key, shape, dtype, minval, maxval), to the bit.

    Args:
        key: a single key.
        shape: of the result.
        dtype: of the result, JAX's default where None. Only float32 is quick; others go through JAX.
        minval: least number.
        maxval: numbers stay below it.

    Returns:
        [*shape], uniform in [minval, maxval).
    """
    if not _is_quick(dtype):
        return jax.random.uniform(key, shape, dtype, minval, maxval)
    return _between(bits(key, shape), jnp.asarray(minval, jnp.float32), jnp.asarray(maxval, jnp.float32))


def normal(key: Array, shape: Sequence[int] = (), dtype: DTypeLike | None = None) -> Array:
    """Draw standard normal numbers from the bits of jax.random.normal(key, shape, dtype).

    x = sqrt(2) erfinv(u), u uniform in (-1, 1). The relative error is below 4e-7; JAX's, which asks for log1p where
    1 - u^2 = (1 - u) (1 + u) has an exact logarithm already, is 6e-6 at its largest and takes twice as long.

    Args:
        key: a single key.
        shape: of the result.
        dtype: of the result, JAX's default where None. Only float32 is quick; others go through JAX.

    Returns:
        [*shape].

    References:
        M. Giles, "Approximating the erfinv function" (GPU Computing Gems, Jade Edition, 2011).
    """
    if not _is_quick(dtype):
        return jax.random.normal(key, shape, dtype)
    return _bell(uniform(key, shape, jnp.float32, _ABOVE_MINUS_ONE, 1.0))


def bernoulli(key: Array, p: Scalar = 0.5, shape: Sequence[int] | None = None) -> Array:
    """Compute jax.random.bernoulli(key, p, shape), to the bit: True with probability p.

    Args:
        key: a single key.
        p: a probability, or an array of them that broadcasts to `shape`.
        shape: of the result; that of p where None.

    Returns:
        bool [*shape].
    """
    p = jnp.asarray(p)
    return uniform(key, p.shape if shape is None else shape, p.dtype) < p


@jax.jit  # as below: traced once for all layers of a shape
def _between(bits: Array, low: Array, high: Array) -> Array:
    """Spread random bits evenly over [low, high): 23 of them behind the exponent of 1 are a number in [1, 2)."""
    ones = jax.lax.bitcast_convert_type(bits >> np.uint32(9) | np.uint32(0x3F800000), jnp.float32)
    return jnp.maximum(low, (ones - np.float32(1)) * (high - low) + low)


@jax.jit
def _bell(u: Array) -> Array:
    """Compute sqrt(2) erfinv(u), for -1 < u < 1."""
    w = -jnp.log((1 - u) * (1 + u))
    near = w < 5
    z = jnp.where(near, w - np.float32(2.5), jnp.sqrt(w) - np.float32(3))
    p = jnp.zeros_like(u)
    for a, b in zip(_NEAR, _FAR, strict=True):
        p = p * z + jnp.where(near, np.float32(a), np.float32(b))
    return np.float32(np.sqrt(2)) * (p * u)


def _is_quick(dtype: DTypeLike | None) -> bool:
    return jnp.dtype(jnp.result_type(float) if dtype is None else dtype) == jnp.float32
