"""Penalties on activations and on the slope of a model, against numbers by hand and exact Jacobians."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts import regularizers
from deepprinciples.parts.models import lstm, mlp
from deepprinciples.types import ACTIVATION_DERIVATIVE

KEY = jax.random.key(3, impl="threefry2x32")
HIDDEN = jnp.array([[[1.0, 2.0], [3.0, 2.0], [0.0, -1.0]]])  # [1, 3, 2]
SEEN = {
    "embedding": 9 * HIDDEN,
    "layer_00": 7 * HIDDEN,
    "layer_01": HIDDEN,
    "layer_01" + ACTIVATION_DERIVATIVE: HIDDEN,
    "output": 5.0,
}


def test_activation_penalties_by_hand() -> None:
    """Lost: which layer is meant, and that a mean is taken, so that the strength does not depend on the size."""
    assert float(regularizers.activation_l2(strength=2.0).apply(SEEN)) == pytest.approx(2 * 19 / 6)
    steps = 4 + 0 + 9 + 9
    assert float(regularizers.temporal_activation_l2(strength=2.0).apply(SEEN)) == pytest.approx(2 * steps / 4)
    own = {"Dense_0": HIDDEN[0], "Dense_1": 2 * HIDDEN[0]}
    assert float(regularizers.activation_l2(strength=1.0).apply(own)) == pytest.approx(4 * 19 / 6)


def test_activation_penalties_say_what_they_lack() -> None:
    """Lost: the reason, where a model has no hidden layer or no time."""
    with pytest.raises(ValueError, match="activation_l2: the model tells no activation of a hidden layer"):
        regularizers.activation_l2().apply({"output": HIDDEN})
    for hidden in (HIDDEN[0], HIDDEN[:, :1]):
        with pytest.raises(ValueError, match=r"temporal_activation_l2: .* expected \[batch, time, units\]"):
            regularizers.temporal_activation_l2().apply({"layer_00": hidden})


@pytest.mark.parametrize("name", ["activation_l2", "temporal_activation_l2", "jacobian"])
def test_off_means_off_where_squares_overflow(name: str) -> None:
    """Lost: a lane without the trick would turn into NaN by way of 0 * inf."""
    part = regularizers.TABLE[name](strength=jnp.float32(0.0))
    if name == "jacobian":
        penalty = lambda x: part.apply(lambda x: 1e30 * x, x, KEY)
    else:
        penalty = lambda x: part.apply({"layer_00": 1e30 * x})
    value, slope = jax.value_and_grad(penalty)(HIDDEN)
    assert float(value) == 0.0 and not np.asarray(slope).any()


def test_jacobian_of_one_output_is_exact() -> None:
    """Lost: the factor of the penalty: with one output every direction is the gradient, up to its sign."""
    w, x = jnp.array([[1.0], [2.0], [-3.0]]), jax.random.normal(KEY, (5, 3))
    linear = regularizers.jacobian(strength=0.5).apply(lambda x: x @ w, x, KEY)
    assert float(linear) == pytest.approx(0.25 * 14, rel=1e-5)
    curved = regularizers.jacobian(strength=2.0, projections=3).apply(lambda x: jnp.sum(x**3, axis=1), x, KEY)
    assert float(curved) == pytest.approx(float(jnp.mean(jnp.sum(9 * x**4, axis=1))), rel=1e-5)


@pytest.mark.parametrize("projections", [1, 4])
def test_jacobian_is_the_frobenius_norm_on_average(projections: int) -> None:
    """Lost: an estimate without bias, of value and of gradient; directions that are drawn anew for each example."""
    model = mlp(outputs=3, depth=1, width=4, activation="tanh")
    x = jax.random.normal(KEY, (2, 5))
    params, _ = jax.jit(model.init)(KEY, x)
    function = lambda params: lambda x: model.apply(params, {}, x, key=None, train=True)[0]

    def exact(params):
        jacobians = jax.vmap(jax.jacobian(lambda one: function(params)(one[None])[0]))(x)
        return 0.5 * jnp.mean(jnp.sum(jacobians**2, axis=(1, 2)))

    part = regularizers.jacobian(strength=1.0, projections=projections)
    kernel = lambda tree: tree["layer_00"]["linear"]["kernel"]

    @jax.jit
    def both():
        estimate = lambda key: jax.value_and_grad(lambda p: part.apply(function(p), x, key))(params)
        values, grads = jax.vmap(estimate)(jax.random.split(KEY, 1500))
        return values, kernel(grads), jax.value_and_grad(exact)(params)

    values, grads, (value, grad) = jax.device_get(both())
    error = values.std() / 1500**0.5
    assert 0 < error < 0.02 * value and abs(values.mean() - value) < 4 * error
    errors = grads.std(axis=0) / 1500**0.5
    assert (np.abs(grads.mean(axis=0) - kernel(grad)) < 4.5 * errors).all()


def test_jacobian_of_a_recurrent_network() -> None:
    """Lost: the quick kernels cannot be differentiated twice: the penalty would be refused, or its gradient wrong."""
    x = jax.random.normal(KEY, (2, 4, 3))
    part = regularizers.jacobian(strength=1.0)
    found = []
    for kernels in ("auto", "stock"):
        model = lstm(outputs=2, width=3, readout="every", kernels=kernels)
        params, state = jax.jit(model.init)(KEY, x)

        def penalty(params, model=model, state=state):
            return part.apply(lambda x: model.apply(params, state, x, key=None, train=True)[0], x, KEY)

        found.append(jax.device_get(jax.jit(jax.grad(penalty))(params)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *found)
    assert np.abs(found[0]["layer_00"]["forward"]["recurrent"]["kernel"]).max() > 1e-4


def test_jacobian_refuses_tokens_and_triples_in_words() -> None:
    """Lost: the reason, in place of a traceback from inside a derivative."""
    with pytest.raises(ValueError, match="jacobian: the model puts out tuple, expected one array"):
        regularizers.jacobian().apply(lambda x: (x, x), jnp.zeros((2, 3)), KEY)
    with pytest.raises(ValueError, match="jacobian: inputs are int32 .* remove regularizers.jacobian"):
        regularizers.jacobian().apply(lambda x: x, jnp.zeros((2, 3), jnp.int32), KEY)
