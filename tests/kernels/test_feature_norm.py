"""Norms of features before positions, and embeddings as columns, against PyTorch and autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.test_util import check_grads

from deepprinciples.kernels.sequences.attention import columns
from deepprinciples.kernels.sequences.feature_norm import normalize

RNG = np.random.default_rng(0)
X, SCALE, BIAS, GRAD = (RNG.normal(size=shape).astype(np.float32) for shape in ((6, 9), (6,), (6,), (6, 9)))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("centered", [True, False])
def test_value_and_gradients_are_those_of_pytorch(centered: bool, axis: int) -> None:
    """Lost: a transformer, or an MLP with layer normalization, that trains as it does elsewhere."""
    lies = lambda x: x.T if axis else x
    given = [torch.from_numpy(a.copy()).requires_grad_() for a in (X, SCALE, BIAS)]
    if centered:
        wanted = torch.nn.functional.layer_norm(given[0].T, (6,), given[1], given[2], eps=1e-6).T
    else:
        wanted = (torch.nn.functional.rms_norm(given[0].T, (6,), given[1], eps=1e-6) + given[2]).T
    wanted.backward(torch.from_numpy(GRAD))
    ours = lambda x, *rows: lies(normalize(lies(x), *rows, centered, axis))
    found, back = jax.vjp(ours, X, SCALE, BIAS)
    np.testing.assert_allclose(found, wanted.detach(), rtol=1e-5, atol=1e-6)
    for one, other in zip(back(jnp.asarray(GRAD)), given, strict=True):
        np.testing.assert_allclose(one, other.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("centered", [True, False])
def test_the_gradient_has_a_gradient(centered: bool) -> None:
    """Lost: probes of curvature on a transformer."""
    check_grads(lambda *a: normalize(*a, centered), (X, SCALE, BIAS), order=2, modes=["rev"], rtol=2e-2, atol=2e-2)


def test_features_that_are_alike_pass_with_slope_1() -> None:
    """Lost: padding multiplies gradients by 1000 in every layer."""
    x = jnp.full((4, 2), 3.0)
    found, back = jax.vjp(lambda x: normalize(x, jnp.ones(4), jnp.zeros(4), True), x)
    grad = jnp.asarray(GRAD[:4, :2])
    np.testing.assert_array_equal(found, jnp.zeros((4, 2)))
    np.testing.assert_allclose(back(grad)[0], grad - grad.mean(axis=0, keepdims=True), atol=1e-6)


def test_columns_have_the_gradient_of_rows() -> None:
    """Lost: tokens that occur twice learn from one of their places."""
    table, ids, grad = (
        jnp.asarray(RNG.normal(size=(5, 3))),
        jnp.array([4, 0, 4, 1]),
        jnp.asarray(RNG.normal(size=(3, 4))),
    )
    found, back = jax.vjp(lambda t: columns(t, ids), table)
    wanted, other = jax.vjp(lambda t: t[ids].T, table)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(back(grad)[0], other(grad)[0], rtol=1e-6)
