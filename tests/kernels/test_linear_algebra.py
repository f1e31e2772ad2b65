"""Decompositions in vmapped programs: the right numbers, and never a batch for LAPACK to share out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.kernels import linear_algebra
from deepprinciples.parts.initializers import isometries
from deepprinciples.parts.probes.hessian import lanczos

DRAWN = np.random.RandomState(0).randn(4, 5, 5).astype(np.float32)
SYMMETRIC = jnp.asarray(DRAWN + DRAWN.transpose(0, 2, 1))


def test_numbers_are_numpys_alone_and_vmapped() -> None:
    """Lost: a spectrum of another lane."""
    values, vectors = jax.jit(jax.vmap(linear_algebra.eigh))(SYMMETRIC)
    u, s, v = jax.jit(jax.vmap(linear_algebra.svd))(jnp.asarray(DRAWN))
    for k in range(4):
        np.testing.assert_allclose(values[k], np.linalg.eigvalsh(SYMMETRIC[k]), atol=1e-4)
        np.testing.assert_allclose((vectors[k] * values[k][None]) @ vectors[k].T, SYMMETRIC[k], atol=1e-4)
        np.testing.assert_allclose((u[k] * s[k][None]) @ v[k], DRAWN[k], atol=1e-5)
        np.testing.assert_allclose(linear_algebra.singular_values(jnp.asarray(DRAWN[k])), s[k], rtol=1e-5)


def test_no_batch_reaches_lapack() -> None:
    """Lost: two devices whose threads all wait in a batched LAPACK call wait for ever; seen in a study on two cores."""
    start = jnp.ones((4, 5))
    programs = [
        jax.vmap(lambda m, s: lanczos(lambda v: m @ v, s, iterations=3).values),
        jax.vmap(lambda m, s: linear_algebra.singular_values(m) + linear_algebra.svd(m)[1] + 0 * s),
    ]
    texts = [jax.jit(one).lower(SYMMETRIC, start).as_text() for one in programs]
    keys = jax.random.split(jax.random.key(0, impl="threefry2x32"), 4)
    draw = isometries.orthogonal()
    texts.append(jax.jit(jax.vmap(lambda k: draw(k, (5, 5), jnp.float32))).lower(keys).as_text())
    for text in texts:
        calls = [line for line in text.splitlines() if "lapack" in line]
        assert calls and not [line for line in calls if "tensor<4x5" in line or "tensor<4x3" in line]
    bare = jax.jit(jax.vmap(lambda m: jnp.linalg.eigh(m)[0])).lower(SYMMETRIC).as_text()
    assert [line for line in bare.splitlines() if "lapack" in line and "tensor<4x5x5" in line]  # what must not be
