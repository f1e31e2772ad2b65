"""Products of rows, and decompositions in vmapped programs, of which LAPACK never gets a batch to share out."""

from __future__ import annotations

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def test_products_of_rows_have_the_gradients_of_a_plain_product() -> None:
    """Lost: another gradient, or forward mode, by which curvature is measured."""
    x, kernel = jnp.asarray(DRAWN[0, :3]), jnp.asarray(DRAWN[1, :, :2])
    ours = lambda x, kernel: jnp.sum(jnp.sin(linear_algebra.multiply_rows(x, kernel)))
    plain = lambda x, kernel: jnp.sum(jnp.sin(x @ kernel))
    for derive in (jax.grad, jax.jacfwd, jax.hessian, lambda f, at: jax.jacrev(jax.grad(f, at), at)):
        for found, expected in zip(*(jax.jit(derive(f, (0, 1)))(x, kernel) for f in (ours, plain)), strict=True):
            chex.assert_trees_all_close(found, expected, atol=1e-5)
    many, each = jnp.asarray(DRAWN), jnp.asarray(DRAWN[:, :, :2])
    for axes in ((0, 0), (0, None)):
        found, expected = (
            jax.vmap(jax.grad(f, (0, 1)), axes)(many, each if axes[1] == 0 else kernel) for f in (ours, plain)
        )
        chex.assert_trees_all_close(found, expected, atol=1e-5)


@pytest.mark.parametrize(("outputs", "read"), [(2, ["0", "0"]), (3, ["0", "0"]), (4, ["0", "1"])])
def test_the_way_back_reads_a_kernel_of_few_outputs_as_it_was_written(outputs, read) -> None:
    """Lost: a third of the time of a network of two classes; else a copy for nothing."""
    grad = jax.grad(lambda x, kernel: jnp.sum(jnp.sin(linear_algebra.multiply_rows(x, kernel))))
    x, kernel = jnp.zeros((64, 32)), jnp.zeros((32, outputs))
    eigens = {"xla_cpu_experimental_ynn_fusion_type": ""}
    text = jax.jit(grad).lower(x, kernel).compile(eigens).as_text()
    assert re.findall(r" dot\(.*lhs_contracting_dims=.1., rhs_contracting_dims={(.)}", text) == read
