"""Products of rows with a kernel, and decompositions inside vmapped programs, one matrix after another.

On CPU a batched LAPACK call of XLA shares its matrices out to the threads of a pool and waits. Where every thread of
the pool is in such a call, as when each device runs one, all of them wait for ever. A single matrix is never shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from deepprinciples.types import Array


def one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of arrays that vmap runs in a loop on CPU, and as ever elsewhere. It has no reverse gradient."""
    alone = jax.custom_batching.sequential_vmap(function)
    return lambda *arrays: alone(*arrays) if jax.default_backend() == "cpu" else function(*arrays)


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Return eigenvalues [n], ascending, and eigenvectors [n, n] of a symmetric matrix [n, n]."""
    return _eigh(matrix)


def svd(matrix: Array) -> tuple[Array, Array, Array]:
    """Return u [m, k], s [k] and v [k, n] of a matrix [m, n], k the smaller of m and n."""
    return _svd(matrix)


def singular_values(matrix: Array) -> Array:
    """Return the singular values of a matrix [m, n], descending."""
    return _values(matrix)


def multiply_rows(x: Array, kernel: Array) -> Array:
    """Multiply x [B, in] and a kernel [in, out]: [B, out], with a gradient of x that is quick on CPU.

    The gradient is dy times the transposed kernel. With two or three outputs Eigen is six times slower where it reads
    the kernel along its rows, and a step of an MLP of two classes takes 1.2 to 1.5 times as long; so the transpose is
    written out first.
    """
    slow = jax.default_backend() == "cpu" and kernel.shape[1] in (2, 3)
    return _multiply_rows(x, kernel) if slow else x @ kernel


@jax.custom_jvp
def _multiply_rows(x: Array, kernel: Array) -> Array:
    return x @ kernel


@_multiply_rows.defjvp
def _multiply_rows_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (x, kernel), (dx, d_kernel) = primals, tangents
    by_columns = lax.optimization_barrier(kernel.T).T  # without the barrier XLA would drop both transposes
    return x @ kernel, dx @ by_columns + x @ d_kernel


_eigh = one_at_a_time(lambda a: tuple(jnp.linalg.eigh(a)))
_svd = one_at_a_time(lambda a: tuple(jnp.linalg.svd(a, full_matrices=False)))
_values = one_at_a_time(lambda a: jnp.linalg.svd(a, compute_uv=False))
