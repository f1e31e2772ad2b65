"""The minibatch deviation is what its formula says, and both networks that offer it read it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.layers.batchwise import with_deviation
from deepprinciples.parts.models import cnn, mlp

KEY = jax.random.key(0)


def test_deviation_by_hand():
    """The discriminator would be told something else than how much its examples differ."""
    x = jnp.array([[1.0, 0.0], [3.0, 0.0], [1.0, 4.0], [3.0, 4.0]])  # deviations 1 and 2
    told = with_deviation(x)
    np.testing.assert_array_equal(told[:, :2], x)
    np.testing.assert_allclose(told[:, 2], [1.5] * 4, rtol=1e-6)


def test_equal_examples_have_a_finite_gradient():
    """A collapsed generator would turn all weights into NaN at the very moment it should be told."""
    grads = jax.grad(lambda x: jnp.sum(with_deviation(x)[:, -1]))(jnp.ones((3, 2)))
    np.testing.assert_array_equal(grads, np.zeros((3, 2)))
    np.testing.assert_allclose(with_deviation(jnp.ones((1, 2)))[:, -1], 1e-4, rtol=1e-6)


@pytest.mark.parametrize(("factory", "shape"), [(mlp, (4, 5)), (cnn, (4, 6, 2))])
def test_the_outputs_read_it_with_a_weight_of_their_own(factory, shape):
    """The keyword would do nothing, or change the network where it is off."""
    x = jax.random.normal(KEY, shape)
    model = factory(outputs=3, width=4, minibatch_deviation=True)
    params, state = model.init(KEY, x)
    plain, _ = factory(outputs=3, width=4).init(KEY, x)
    kernel = np.asarray(params["output"]["kernel"])
    assert kernel.shape == (plain["output"]["kernel"].shape[0] + 1, 3)

    outputs, _, activations = model.apply(params, state, x, key=None, train=False)
    read = np.asarray(activations["layer_01"]).reshape(4, -1)
    deviation = np.sqrt(read.var(axis=0) + 1e-8).mean()
    np.testing.assert_allclose(outputs, read @ kernel[:-1] + deviation * kernel[-1], rtol=1e-4, atol=1e-5)
    assert deviation > 0.1
