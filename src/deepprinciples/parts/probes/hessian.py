"""Curvature by Hessian-vector products: eigenvalues by Lanczos, the trace by Hutchinson, their density by both.

Nothing here ever holds a Hessian. A product is a function of a vector; all vectors are flat, float32, of length n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from deepprinciples.kernels.linear_algebra import eigh
from deepprinciples.types import Array, PyTree

Product = Callable[[Array], Array]
TINY = 1e-30


class Ritz(NamedTuple):
    """What Lanczos found: values [m], ascending; how much of the start each has [m], summing to 1; and how good."""

    values: Array
    weights: Array
    residual: Array  # |H v - value v| for the largest value
    vector: Array  # its vector [n]


def hessian_product(gradient: Callable[[PyTree], PyTree], params: PyTree) -> tuple[Product, int]:
    """Make v -> H v, H the derivative of a gradient at `params`, as the derivative of the gradient along v.

    Args:
        gradient: params -> gradient, shaped as params.
        params: where.

    Returns:
        The product, and n, the number of parameters.

    References:
        Pearlmutter 1994 (Neural Computation 6).
    """
    flat, shaped = ravel_pytree(params)

    def product(vector: Array) -> Array:
        _, turned = jax.jvp(gradient, (params,), (shaped(vector),))
        return ravel_pytree(turned)[0]

    return product, flat.size


def lanczos(product: Product, start: Array, *, iterations: int) -> Ritz:
    """Find the outer eigenvalues of a symmetric matrix by Lanczos, each vector made orthogonal to all before, twice.

    Args:
        product: v -> H v.
        start: a vector that is not 0, such as a normal one [n].
        iterations: products taken, at most n; the largest and smallest values converge first.

    Returns:
        `Ritz`. Where the start spans a smaller invariant space, the values beyond it are 0 and have no weight.

    References:
        Golub and Van Loan, "Matrix Computations"; Ghorbani et al. 2019, arXiv:1901.10159.
    """
    steps = min(iterations, start.size)
    scale = jnp.linalg.norm(start)

    def step(carry: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        basis, vector = carry  # rows beyond k are 0
        basis = basis.at[k].set(vector)
        turned = product(vector)
        alpha = jnp.vdot(vector, turned)
        for _ in range(2):  # once leaves what rounding brought back
            turned = turned - basis.T @ (basis @ turned)
        beta = jnp.linalg.norm(turned)
        worth = beta > 1e-6 * jnp.maximum(jnp.abs(alpha), TINY)  # else the space is complete
        return (basis, jnp.where(worth, turned / jnp.maximum(beta, TINY), 0.0)), (alpha, jnp.where(worth, beta, 0.0))

    first = (jnp.zeros((steps, start.size), start.dtype), start / jnp.maximum(scale, TINY))
    (basis, _), (alphas, betas) = jax.lax.scan(step, first, jnp.arange(steps))
    off = jnp.diag(betas[:-1], 1)
    values, vectors = eigh(jnp.diag(alphas) + off + off.T)
    top = basis.T @ vectors[:, -1]
    residual = jnp.linalg.norm(product(top) - values[-1] * top)
    return Ritz(values, jnp.square(vectors[0]), residual, top)


def hutchinson(product: Product, key: Array, *, size: int, samples: int) -> tuple[Array, Array]:
    """Estimate the trace of a symmetric matrix: the mean of z^T H z over random signs z.

    Its variance is 2 (|H|_F^2 - sum of H_ii^2) / samples.

    Args:
        product: v -> H v.
        key: decides the signs.
        size: n.
        samples: products taken, 2 or more.

    Returns:
        (estimate, its standard error).

    References:
        Hutchinson 1989 (Communications in Statistics 18).
    """

    def one(key: Array) -> Array:
        signs = jax.random.rademacher(key, (size,), jnp.float32)
        return jnp.vdot(signs, product(signs))

    found = jax.lax.map(one, jax.random.split(key, samples))
    return jnp.mean(found), jnp.std(found, ddof=1) / jnp.sqrt(samples)
