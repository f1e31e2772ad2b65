"""What is dropped in training is dropped as often as asked, scaled up, and drawn anew where it should be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.layers.design import Step
from deepprinciples.parts.layers.noise import drop_branch, drop_weights
from deepprinciples.parts.models import cnn, mlp

KEY = jax.random.key(0)
KERNEL = {"outputs": 8, "depth": 0, "bias_initializer": "zeros"}


@pytest.mark.parametrize(("number", "rate"), [(1, 0.2), (3, 0.6)])
def test_branches_are_dropped_linearly_in_depth(number, rate):
    """Lost: early layers, which all others rest on, would be dropped as often as late ones; or the mean would move."""
    step = Step(KEY, True, stochastic_depth=jnp.float32(0.6), last=3)
    branch = jnp.ones((4000, 2, 3))
    dropped = np.asarray(jax.jit(lambda x: drop_branch(x, step, number))(branch))
    rows = dropped.reshape(4000, -1)
    np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], 6, axis=1))  # whole branches of one example
    np.testing.assert_allclose(np.unique(rows), [0.0, 1 / (1 - rate)], rtol=1e-5)
    assert abs((rows[:, 0] == 0).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / 4000)


def test_a_dropped_layer_is_gone_past():
    """Lost: a dropped layer would be left out of the sum with its input, or of the first layer, which has no skip."""
    x = jax.random.normal(KEY, (64, 5))
    sizes = {"outputs": 3, "depth": 3, "width": 4, "activation": "tanh", "skip": "residual"}
    model = mlp(**sizes, stochastic_depth=jnp.float32(0.8), branch_scale=0.5)

    @jax.jit
    def call(x):
        params, state = model.init(KEY, x)
        return params, *(model.apply(params, state, x, key=KEY, train=t)[2] for t in (True, False))

    params, drawn, plain = jax.device_get(call(x))
    gone = {}
    for number, rate in ((1, 0.4), (2, 0.8)):
        below, above = drawn[f"layer_0{number - 1}"], drawn[f"layer_0{number}"]
        branch = 0.5 * np.tanh(below) @ params[f"layer_0{number}"]["linear"]["kernel"] / (1 - rate)
        gone[number] = np.all(above == below, axis=1)
        np.testing.assert_allclose(above, below + branch * ~gone[number][:, None], atol=1e-5)
        expected = plain[f"layer_0{number - 1}"]
        expected = expected + 0.5 * np.tanh(expected) @ params[f"layer_0{number}"]["linear"]["kernel"]
        np.testing.assert_allclose(plain[f"layer_0{number}"], expected, atol=1e-5)
    np.testing.assert_allclose(drawn["layer_00"], plain["layer_00"], atol=1e-6)
    assert 10 < gone[1].sum() < gone[2].sum() < 64 and (gone[1] & ~gone[2]).any()


def test_weights_are_dropped_one_by_one():
    """Lost: whole units would be dropped, other weights for each example, or the mean of the outputs would move."""
    model = mlp(**KERNEL, drop_connect=jnp.float32(0.25))
    eyes = jnp.concatenate([jnp.eye(200), jnp.eye(200)])

    @jax.jit
    def call(x):
        params, state = model.init(KEY, x)
        return params, *(model.apply(params, state, x, key=KEY, train=t)[0] for t in (True, False))

    params, drawn, plain = jax.device_get(call(eyes))
    kernel = params["output"]["kernel"]
    np.testing.assert_array_equal(drawn[:200], drawn[200:])
    kept = drawn[:200] != 0
    np.testing.assert_allclose(drawn[:200], np.where(kept, kernel / 0.75, 0), rtol=1e-5)
    np.testing.assert_allclose(plain[:200], kernel, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / 1600)


def test_dropped_weights_of_linear_regression_are_a_ridge():
    """Lost: the strength of the trick: E (x W')^2 = (x W)^2 + rate / (1 - rate) sum x^2 W^2."""
    model, x = mlp(**KERNEL, drop_connect=jnp.float32(0.3)), jax.random.normal(KEY, (1, 6))
    params, state = jax.jit(model.init)(KEY, x)
    one = lambda key: model.apply(params, state, x, key=key, train=True)[0]
    outputs = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, 4000)))[:, 0]
    kernel = np.asarray(params["output"]["kernel"])
    ridge = 0.3 / 0.7 * (np.asarray(x[0])[:, None] ** 2 * kernel**2).sum(axis=0)
    np.testing.assert_allclose(outputs.mean(axis=0), (np.asarray(x) @ kernel)[0], atol=4 * np.sqrt(ridge.max() / 4000))
    np.testing.assert_allclose(outputs.var(axis=0), ridge, rtol=0.15)


def test_kernels_of_one_shape_lose_other_weights():
    """Lost: as many masks as kernels; a step of its own for each."""
    draw = lambda key, place: drop_weights(jnp.ones((20, 20)), Step(key, True, drop_connect=0.5), place)
    other = jax.random.key(1)
    first, again, elsewhere, later = (
        np.asarray(draw(key, place)) for key, place in ((KEY, ("a", "b")), (KEY, ("a", "b")), (KEY, ("a", "c")),
                                                        (other, ("a", "b")))
    )  # fmt: skip
    np.testing.assert_array_equal(first, again)
    assert 0.4 < (first != elsewhere).mean() < 0.6 and 0.4 < (first != later).mean() < 0.6


def test_convolutions_drop_weights_in_both_forms():
    """Lost: the quick convolution would apply the whole kernel."""
    x = jnp.zeros((2, 7, 1)).at[:, 3].set(1.0)  # an impulse

    @jax.jit
    def call(x):
        seen = []
        for kernels in ("auto", "stock"):
            model = cnn(outputs=2, depth=1, width=3, stages=0, kernel=5, activation="identity", initializer="ones",
                        drop_connect=0.4, kernels=kernels)  # fmt: skip
            params, state = model.init(KEY, x)
            seen.append(model.apply(params, state, x, key=KEY, train=True)[2]["layer_00"])
        return seen

    auto, stock = jax.device_get(call(x))
    np.testing.assert_allclose(auto, stock, atol=1e-6)
    np.testing.assert_array_equal(auto[0], auto[1])
    np.testing.assert_allclose(np.unique(auto[0, 1:6]), [0.0, 1 / 0.6], rtol=1e-6)


@pytest.mark.parametrize("trick", ["drop_connect", "stochastic_depth"])
def test_a_missing_key_is_named(trick):
    """Lost: the reason for a failure inside a hand-written loop."""
    model = mlp(outputs=2, depth=2, width=3, skip="residual", **{trick: 0.5})
    x = jnp.ones((2, 3))
    params, state = jax.eval_shape(model.init, KEY, x)
    with pytest.raises(ValueError, match=f"{trick}: key is None in training"):
        jax.eval_shape(lambda p, s: model.apply(p, s, x, key=None, train=True), params, state)
