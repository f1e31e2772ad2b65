"""Starts that look at data (LSUV) or at depth (Fixup): the scale of signals that they promise, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts.layers.hidden_layers import Window, unit_variance
from deepprinciples.parts.models import cnn, mlp, resnet

KEY = jax.random.key(0)
X = 3.0 * jax.random.normal(jax.random.key(1), (50, 20)) + 1.0


def run(model, x):
    @jax.jit
    def call(x):
        params, state = model.init(KEY, x)
        outputs, _, activations = model.apply(params, state, x, key=None, train=False)
        return params, outputs, activations

    return jax.device_get(call(x))


def test_every_layer_starts_at_unit_variance():
    """Lost: LSUV. Glorot in a deep relu network loses half of the variance a layer; here each has 1, on these data."""
    sizes = {"outputs": 4, "depth": 5, "width": 16, "initializer": "glorot_normal"}
    params, outputs, _ = run(mlp(**sizes, lsuv=True), X)
    plain, small, _ = run(mlp(**sizes), X)
    a = np.asarray(X)
    for number in range(5):
        kernel = params[f"layer_0{number}"]["linear"]["kernel"]
        ratio = kernel / plain[f"layer_0{number}"]["linear"]["kernel"]
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)  # the same draw, scaled
        z = a @ kernel
        assert z.std() == pytest.approx(1.0, rel=1e-4)
        a = np.maximum(z, 0)
    assert outputs.std() == pytest.approx(1.0, rel=1e-3) and abs(small.std() - 1.0) > 0.05


def test_convolutions_start_at_unit_variance():
    """Lost: LSUV of convolutions, before the pool and with strides."""
    x = 2.0 * jax.random.normal(KEY, (8, 7, 5, 3))
    _, outputs, activations = run(cnn(outputs=4, depth=2, width=6, stages=1, activation="identity", lsuv=True), x)
    assert activations["layer_00"].std() == pytest.approx(1.0, rel=1e-4)
    assert outputs.std() == pytest.approx(1.0, rel=1e-3)
    kernel = unit_variance(jax.nn.initializers.ones, x, Window(1, stride=2))(KEY, (1, 1, 3, 1))
    assert jnp.std(x[:, ::2, ::2].sum(axis=-1) * kernel[0, 0, 0, 0]) == pytest.approx(1.0, rel=1e-4)
    np.testing.assert_array_equal(unit_variance(jax.nn.initializers.zeros, x, Window(1))(KEY, (1, 1, 3, 1)), 0 * kernel)


def test_a_config_gives_lsuv_the_first_batch():
    """Lost: the scale would be that of one example, and differ from batch to batch."""
    config = configs.resolve({
        "data": {"name": "wine", "batch_size": 16, "standardize": False},
        "model": {"name": "mlp", "depth": 1, "width": 5, "lsuv": True},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }, from_config.KINDS)  # fmt: skip
    data = from_config.dataset(config)
    params = jax.jit(from_config.learner(config, data).init)(KEY).params
    z = data.train.inputs[:16] @ np.asarray(params["layer_00"]["linear"]["kernel"])
    assert z.std() == pytest.approx(1.0, rel=1e-3)


def test_fixup_starts_at_the_identity():
    """Lost: Fixup. A plain He block doubles the mean square of the stream; here blocks start at zero, scaled by L."""
    x = jax.random.normal(KEY, (4, 9, 2))
    sizes = {"outputs": 3, "blocks": 3, "stages": 1, "width": 4, "normalization": "none"}
    params, outputs, activations = run(resnet(**sizes, fixup=True), x)
    plain, _, grown = run(resnet(**sizes), x)
    assert not outputs.any() and np.mean(grown["layer_03"] ** 2) > 3 * np.mean(grown["layer_00"] ** 2)
    for name in ("layer_01", "layer_02", "layer_03"):
        np.testing.assert_array_equal(activations[name], activations["layer_00"])
        np.testing.assert_allclose(params[name]["first"]["kernel"], plain[name]["first"]["kernel"] / 3**0.5, rtol=1e-6)
        assert not params[name]["second"]["kernel"].any() and params[name]["multiplier"] == 1.0


def test_fixup_learns_and_its_multiplier_acts():
    """Lost: a network that starts at zero must not stay there, and the multiplier be no dead weight."""
    x, model = jax.random.normal(KEY, (4, 9, 2)), resnet(outputs=3, blocks=1, stages=2, width=4, fixup=True,
                                                         normalization="none")  # fmt: skip

    @jax.jit
    def trained():
        params, state = model.init(KEY, x)
        loss = lambda p: jnp.mean((model.apply(p, state, x, key=None, train=True)[0] - 1.0) ** 2)
        step = lambda p, _: (jax.tree.map(lambda w, g: w - 0.2 * g, p, jax.grad(loss)(p)), loss(p))
        after, losses = jax.lax.scan(step, params, None, length=6)
        return params, after, losses

    before, after, losses = jax.device_get(trained())
    assert (np.diff(losses) < 0).all() and losses[0] == pytest.approx(1.0)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, after)
    assert all(jax.tree.leaves(moved)), moved


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"skip": "rezero"}, 'skip = "rezero"'), ({"skip": "none"}, "none"), ({"lsuv": True}, "lsuv")],
)
def test_fixup_refuses_what_would_keep_it_from_learning(changes, found):
    """Lost: rezero's zero times Fixup's zero has no gradient at all; LSUV would scale what Fixup has scaled."""
    with pytest.raises(ConfigError, match=f"resnet.fixup: found .*{found}"):
        resnet(outputs=2, fixup=True, **changes)
