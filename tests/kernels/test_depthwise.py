"""Depthwise convolution on CPU against XLA's: other numbers would train another network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from deepprinciples.kernels.convolution import convolve


@pytest.mark.parametrize(("window", "stride", "padding", "dilation"), [
    (3, 1, "SAME", 1), (5, 2, "SAME", 1), (2, 1, "VALID", 2), (3, 2, ((0, 1), (2, 0)), 1),
])  # fmt: skip
def test_a_depthwise_convolution_and_its_gradients_are_those_of_xla(window, stride, padding, dilation):
    """Lost: the trunk of every network for small machines."""
    keys = jax.random.split(jax.random.key(0), 2)
    x, kernel = jax.random.normal(keys[0], (2, 6, 7, 5)), jax.random.normal(keys[1], (window, window, 1, 5))
    given = {"feature_group_count": 5, "rhs_dilation": (dilation, dilation)}
    order = ("NHWC", "HWIO", "NHWC")

    def outcome(apply):
        value = lambda x, kernel: jnp.sum(jnp.sin(apply(x, kernel)))
        return apply(x, kernel), *jax.grad(value, (0, 1))(x, kernel)

    ours = outcome(lambda x, kernel: convolve(x, kernel, (stride, stride), padding, **given))
    stock = lambda x, k: lax.conv_general_dilated(x, k, (stride,) * 2, padding, dimension_numbers=order, **given)
    for found, expected in zip(ours, outcome(stock), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_lanes_and_pools_keep_their_numbers():
    """Lost: a study of lanes, or the pool behind the convolution."""
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    kernels = jax.random.normal(jax.random.key(1), (2, 3, 3, 1, 3))
    one = lambda kernel: convolve(x, kernel, (1, 1), "SAME", feature_group_count=3, pool_window=(2, 2))
    plain = convolve(x, kernels[1], (1, 1), "SAME", feature_group_count=3).reshape(2, 2, 2, 2, 2, 3)
    np.testing.assert_allclose(jax.vmap(one)(kernels)[1], plain.max(axis=(2, 4)), rtol=1e-5, atol=1e-5)
