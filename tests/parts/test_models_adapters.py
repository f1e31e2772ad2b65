"""Strangers' models give through the adapter the numbers they give alone."""

import sys

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from deepprinciples.errors import ConfigError, ResourceError
from deepprinciples.parts.models import adapters, mlp

# compiling is most of the time here, so XLA optimizes little
KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 3))


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.BatchNorm(use_running_average=not train, name="norm")(nn.Dense(16, name="first")(x)))
        self.sow("intermediates", "hidden", x)
        x = nn.Dropout(0.5, deterministic=not train, name="drop")(x)
        return nn.Dense(2, name="last")(x)


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(16, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


class EquinoxNet(eqx.Module):
    first: eqx.nn.Linear
    drop: eqx.nn.Dropout
    last: eqx.nn.Linear

    def __init__(self, key):
        self.first, self.last = eqx.nn.Linear(3, 16, key=key), eqx.nn.Linear(16, 2, key=jax.random.fold_in(key, 1))
        self.drop = eqx.nn.Dropout(0.5)

    def __call__(self, x, key=None):
        return self.last(self.drop(jax.nn.relu(self.first(x)), key=key))


def pair():
    return lambda key, x: jax.random.normal(key, (x.shape[-1], 2)), lambda params, x: x @ params


ADAPTED = {
    "linen": adapters.linen(LinenNet()),
    "linen_sown": adapters.linen(LinenNet(), sown=True),
    "nnx": adapters.nnx_model(NnxNet),
    "equinox": adapters.equinox(EquinoxNet),
    "functions": adapters.functions(*pair()),
}


@pytest.mark.parametrize("name", sorted(ADAPTED))
def test_adapted_models_keep_the_contract(name):
    """A stranger's model would break inside jit, scan or vmap, or all its seeds share one start."""
    model = ADAPTED[name]
    params, state = jax.jit(model.init)(KEY, X)
    call = jax.jit(lambda key, train: model.apply(params, state, X, key=key, train=train), static_argnums=1)
    outputs, new_state, activations = call(KEY, True)
    assert outputs.shape == (4, 2) and activations["output"].shape == (4, 2)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert not any(isinstance(leaf, nn.Module | nnx.Module) for leaf in jax.tree.leaves((params, state)))
    jax.tree.map(np.testing.assert_array_equal, call(None, False)[1], state)
    many, _ = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(jax.random.split(KEY, 2), X)
    kernels = [k for k in jax.tree.leaves(many) if k.ndim > 2]
    assert kernels and all(not np.allclose(k[0], k[1]) for k in kernels)
    if name != "functions":
        assert not np.allclose(outputs, call(jax.random.key(5), True)[0])
        np.testing.assert_array_equal(outputs, call(KEY, True)[0])


def test_linen_gives_its_own_numbers():
    """The adapted Linen module would not be the user's."""
    model, module = ADAPTED["linen"], LinenNet()
    params, state = jax.jit(model.init)(KEY, X)
    variables = {"params": params, **state}

    @jax.jit
    def both():
        native = module.apply(variables, X, train=True, rngs={"dropout": KEY}, mutable=["batch_stats"])
        return model.apply(params, state, X, key=KEY, train=True), native

    (outputs, new_state, activations), (expected, changed) = both()
    np.testing.assert_array_equal(outputs, expected)
    jax.tree.map(np.testing.assert_array_equal, new_state, changed)
    still = model.apply(params, state, X, key=None, train=False)[0]
    np.testing.assert_array_equal(still, module.apply(variables, X, train=False))
    assert set(activations) == {"first", "norm", "drop", "last", "output"} and set(params) <= set(activations)
    sown = ADAPTED["linen_sown"].apply(params, state, X, key=KEY, train=True)[2]
    np.testing.assert_allclose(sown["hidden"], np.maximum(activations["norm"], 0.0), atol=1e-5)


def test_linen_layers_can_be_tapped():
    """The gradient flow of a stranger's network could not be read."""
    model = ADAPTED["linen"]
    params, state = jax.jit(model.init)(KEY, X)
    assert model.tapped and not ADAPTED["linen_sown"].tapped

    def loss(taps):
        return model.apply(params, {**state, "perturbations": taps}, X, key=None, train=False)[0].sum()

    taps = {"norm": jnp.zeros((4, 16)), "last": jnp.zeros((4, 2)), "output": jnp.zeros((4, 2))}
    grads = jax.jit(jax.grad(loss))(taps)
    norm = np.asarray(model.apply(params, state, X, key=None, train=False)[2]["norm"])
    np.testing.assert_allclose(grads["norm"], (norm > 0) * np.asarray(params["last"]["kernel"]).sum(1), atol=1e-6)
    np.testing.assert_array_equal(grads["output"], np.ones((4, 2)))


def test_nnx_gives_its_own_numbers():
    """The adapted NNX module would not be the user's, or never update its statistics."""
    model, module = ADAPTED["nnx"], NnxNet(nnx.Rngs(KEY))
    params, state = model.init(KEY, X)
    module.eval()
    np.testing.assert_allclose(model.apply(params, state, X, key=None, train=False)[0], module(X), atol=1e-6)
    module.train()
    module(X)
    new_state = model.apply(params, state, X, key=KEY, train=True)[1]
    np.testing.assert_allclose(new_state["norm"]["mean"], module.norm.mean[...], atol=1e-6)
    shifted = jax.tree.map(lambda leaf: leaf + 1.0, params)
    moved = model.apply(shifted, state, X, key=None, train=False)[0]
    assert not np.allclose(moved, model.apply(params, state, X, key=None, train=False)[0])


def test_equinox_gives_its_own_numbers():
    """The adapted Equinox module would not be the user's."""
    model, module = ADAPTED["equinox"], EquinoxNet(KEY)
    params, state = model.init(KEY, X)
    assert set(params) == {"first", "last"} and set(params["first"]) == {"weight", "bias"}
    outputs, _, _ = model.apply(params, state, X, key=None, train=False)
    np.testing.assert_allclose(outputs, jax.vmap(eqx.nn.inference_mode(module))(X), atol=1e-6)
    trained, _, _ = model.apply(params, state, X, key=KEY, train=True)
    np.testing.assert_allclose(trained, jax.vmap(module)(X, key=jax.random.split(KEY, 4)), atol=1e-6)


def test_equinox_missing_names_the_extra(monkeypatch):
    """A user without the optional package would read a bare ImportError."""
    monkeypatch.setitem(sys.modules, "equinox", None)
    with pytest.raises(ResourceError, match=r"deepprinciples\[equinox\]"):
        adapters.equinox(EquinoxNet)


def test_coerce_takes_what_a_factory_may_return():
    """A stranger's factory would have to know our types."""
    ours = mlp(outputs=2)
    assert adapters.coerce(ours) is ours
    for value in (LinenNet(), pair()):
        model = adapters.coerce(value)
        params, state = model.init(KEY, X)
        assert model.apply(params, state, X, key=None, train=False)[0].shape == (4, 2)
    with pytest.raises(ConfigError, match="found int; expected a Model, a Linen module or a pair"):
        adapters.coerce(3)
