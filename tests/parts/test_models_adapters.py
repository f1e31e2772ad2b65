"""Strangers' models give through the adapter the numbers they give alone."""

import sys

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import deepprinciples as dp
from deepprinciples.engine.streams import lane_key
from deepprinciples.errors import ConfigError, ResourceError
from deepprinciples.kernels.keys import stream
from deepprinciples.learners import averaging
from deepprinciples.parts.models import adapters, mlp
from deepprinciples.types import Batch

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


class EquinoxState(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    drop: eqx.nn.Dropout
    last: eqx.nn.SpectralNorm

    def __init__(self, key, axis="examples", mode="batch", momentum=0.9, rate=0.5):
        keys = jax.random.split(key, 3)
        self.first, last = (eqx.nn.Linear(*sizes, key=k) for sizes, k in zip(((3, 16), (16, 2)), keys, strict=False))
        self.norm, self.drop = eqx.nn.BatchNorm(16, axis, mode=mode, momentum=momentum), eqx.nn.Dropout(rate)
        self.last = eqx.nn.SpectralNorm(last, "weight", key=keys[2])

    def __call__(self, x, state, key=None):
        y, state = self.norm(self.first(x), state)
        return self.last(self.drop(jax.nn.relu(y), key=key), state)


def pair():
    return lambda key, x: jax.random.normal(key, (x.shape[-1], 2)), lambda params, x: x @ params


ADAPTED = {
    "linen": adapters.linen(LinenNet()),
    "linen_sown": adapters.linen(LinenNet(), sown=True),
    "nnx": adapters.nnx_model(NnxNet),
    "equinox": adapters.equinox(EquinoxNet),
    "equinox_state": adapters.equinox(eqx.nn.make_with_state(EquinoxState)),
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
    assert model.takes_perturbations and not ADAPTED["linen_sown"].takes_perturbations

    def loss(perturbations):
        return model.apply(params, {**state, "perturbations": perturbations}, X, key=None, train=False)[0].sum()

    perturbations = {"norm": jnp.zeros((4, 16)), "last": jnp.zeros((4, 2)), "output": jnp.zeros((4, 2))}
    grads = jax.jit(jax.grad(loss))(perturbations)
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


def test_an_equinox_module_with_state_trains_as_it_does_alone():
    """Lost: running statistics, or the vector of a spectral norm, other than those of a loop of one's own."""
    data = {"name": "arrays", "inputs": np.asarray(jax.random.normal(KEY, (80, 3))), "targets": np.arange(80) % 2}
    run = dp.train({
        "data": {**data, "batch_size": 48, "test": 0.2, "validation": 0.2},
        "model": {"factory": lambda *, outputs: adapters.equinox(lambda key: EquinoxState(key, rate=0.0))},
        "loss": "softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.3},
        "train": {"steps": 6, "probes": []},
    })  # fmt: skip
    model, params = run.model(seed=0)
    x, y = (np.asarray(a) for a in (model.data.train.inputs, model.data.train.targets))
    assert len(x) == 48, "every step takes all examples, so that their order makes no difference"
    module, state = eqx.filter_jit(eqx.nn.make_with_state(EquinoxState))(stream(lane_key(0), "init"), rate=0.0)

    @eqx.filter_jit
    def step(module, state):
        def loss(module):
            outputs, after = jax.vmap(module, axis_name="examples", in_axes=(0, None), out_axes=(0, None))(x, state)
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean(), after

        grads, after = eqx.filter_grad(loss, has_aux=True)(module)
        return eqx.apply_updates(module, jax.tree.map(lambda g: -0.3 * g, grads)), after

    for _ in range(6):
        module, state = step(module, state)
    np.testing.assert_allclose(params["first"]["weight"], module.first.weight, atol=1e-5)
    np.testing.assert_allclose(params["norm"]["bias"], module.norm.bias, atol=1e-5)
    still = jax.vmap(eqx.nn.inference_mode(module), axis_name="examples", in_axes=(0, None), out_axes=(0, None))
    inputs = np.asarray(model.data.test.inputs)
    expected, _ = jax.jit(lambda x, state: still(x, state))(inputs, state)
    np.testing.assert_allclose(model.predict(params, inputs), expected, atol=1e-5)
    mean, var = state.get(module.norm.batch_state_index)
    kept = model.state["norm"]
    np.testing.assert_allclose(kept["mean"] * (1 - 0.9**6), mean, atol=1e-5)
    np.testing.assert_allclose(kept["var"] * (1 - 0.9**6), var, atol=1e-5)
    assert kept["count"] == 6 and np.ptp(mean) > 0.01
    for found, expected in zip(model.state["last.uv_index"], state.get(module.last.uv_index), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_statistics_of_an_equinox_module_are_measured_anew_for_averaged_weights():
    """Lost: averaged weights that are judged with the statistics of others."""
    model = adapters.equinox(lambda key: eqx.nn.Sequential([eqx.nn.BatchNorm(3, "b", mode="batch"), eqx.nn.Identity()]))
    params, state = model.init(KEY, X)
    batches = Batch(jax.random.normal(KEY, (5, 4, 3)), jnp.zeros((5, 4)), None)
    passed = lambda params, state, batch: model.apply(params, state, batch.inputs, key=None, train=True)[1]
    for count in (0, 3):
        for _ in range(count):
            state = passed(params, state, jax.tree.map(lambda a: a[0] + 7.0, batches))
        found = averaging.statistics(passed, params, state, batches)
        mean, var = np.asarray(batches.inputs).mean((0, 1)), np.asarray(batches.inputs).var(1).mean(0)
        np.testing.assert_allclose(found["layers.0"]["mean"], mean, atol=1e-4)
        outputs = model.apply(params, found, X, key=None, train=False)[0]
        np.testing.assert_allclose(outputs, (np.asarray(X) - mean) / np.sqrt(var + 1e-5), atol=1e-3)


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


def names_of(flag):
    """Build a Linen module with dropout and batch normalization, switched by a keyword of that name."""
    body = """
def __call__(self, x, {0}: bool = {1}):
    off = {0} if {0!r} in ("deterministic", "use_running_average", "inference") else not {0}
    x = nn.BatchNorm(use_running_average=off)(nn.Dense(4)(x))
    return nn.Dropout(0.5, deterministic=off)(x)
"""
    space = {"nn": nn}
    exec(body.format(flag, "train" not in flag and flag != "is_training"), space)
    return type("Named", (nn.Module,), {"__call__": nn.compact(space["__call__"]), "__module__": __name__})


FLAGS = ("train", "training", "is_training", "deterministic", "use_running_average", "inference")


def switches(model):
    """Tell whether dropout draws and statistics move in training, and neither does in evaluation."""
    params, state = jax.jit(model.init)(KEY, X)
    call = jax.jit(lambda key, train: model.apply(params, state, X, key=key, train=train)[:2], static_argnums=1)
    (one, new), (other, _) = call(KEY, True), call(jax.random.key(5), True)
    still = call(None, False)[1]
    jax.tree.map(np.testing.assert_array_equal, still, state)
    moved = [not np.allclose(a, b) for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(state), strict=True)]
    return not np.allclose(one, other) and all(moved)


@pytest.mark.parametrize("flag", FLAGS)
def test_linen_modules_are_switched_by_every_usual_name(flag):
    """Lost: dropout that is off, and statistics that stand still, in a module written as Flax's examples are."""
    module = names_of(flag)()
    assert switches(adapters.linen(module))
    type(module).__call__.__signature__ = None  # a decorator may hide it
    assert switches(adapters.linen(module))


class Attributed(nn.Module):
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=self.deterministic)(nn.Dense(4)(x))
        return nn.Dropout(0.5, deterministic=self.deterministic)(x)


class Merged(nn.Module):
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, x, deterministic: bool | None = None):
        off = nn.merge_param("deterministic", self.deterministic, deterministic)
        return nn.Dropout(0.5, deterministic=off)(nn.BatchNorm(use_running_average=off)(nn.Dense(4)(x)))


@pytest.mark.parametrize("module", [Attributed(), Attributed(True), Merged()])
def test_linen_modules_are_switched_by_their_attributes(module):
    """Lost: Flax's other idiom, where a module is told at construction."""
    assert switches(adapters.linen(module))


class Stuck(nn.Module):
    layer: str

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        if self.layer == "own":  # batch statistics without Flax's layer
            return x - self.variable("batch_stats", "mean", jnp.zeros, 4).value[None]
        return nn.Dropout(0.5)(x, True) if self.layer == "drop" else nn.BatchNorm(use_running_average=True)(x)


class NnxStuck(nnx.Module):
    def __init__(self, rngs, layer):
        self.first, self.layer = nnx.Linear(3, 4, rngs=rngs), layer
        self.drop, self.norm = nnx.Dropout(0.5, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)

    def __call__(self, x):
        x = self.norm(self.first(x), use_running_average=True if self.layer == "norm" else None)
        return self.drop(x, deterministic=True if self.layer == "drop" else None)


class EquinoxStuck(EquinoxNet):
    def __call__(self, x, key=None):
        return self.last(self.drop(jax.nn.relu(self.first(x)), key=key, inference=True))


class EquinoxStateStuck(EquinoxState):
    layer: str

    def __init__(self, key, layer):
        super().__init__(key)
        self.layer = layer

    def __call__(self, x, state, key=None, inference: bool = False):
        y, state = self.norm(self.first(x), state, inference=self.layer == "norm" or inference)
        return self.last(self.drop(jax.nn.relu(y), key=key, inference=self.layer == "drop" or inference), state)


STUCK = {
    "linen_drop": (lambda: adapters.linen(Stuck("drop")), "Dropout Dropout_0 stays off"),
    "linen_norm": (lambda: adapters.linen(Stuck("norm")), "BatchNorm BatchNorm_0 stays off"),
    "linen_own": (lambda: adapters.linen(Stuck("own")), "batch_stats stays off"),
    "nnx_drop": (lambda: adapters.nnx_model(lambda rngs: NnxStuck(rngs, "drop")), "Dropout stays off"),
    "nnx_norm": (lambda: adapters.nnx_model(lambda rngs: NnxStuck(rngs, "norm")), "BatchNorm stays off"),
    "equinox": (lambda: adapters.equinox(EquinoxStuck), "Dropout stays off"),
    "equinox_drop": (lambda: adapters.equinox(lambda key: EquinoxStateStuck(key, "drop")), "Dropout stays off"),
    "equinox_norm": (lambda: adapters.equinox(lambda key: EquinoxStateStuck(key, "norm")), "BatchNorm stays off"),
}


@pytest.mark.parametrize("name", sorted(STUCK))
def test_what_is_never_switched_on_is_refused(name):
    """Lost: an arm with dropout that is the arm without it, to the bit."""
    make, words = STUCK[name]
    model = make()

    def first(key):
        params, state = model.init(key, X)
        return model.apply(params, state, X, key=key, train=True)[0]

    with pytest.raises(ValueError, match=f"{words} in training; expected a module whose __call__ takes one of train, "):
        jax.eval_shape(first, KEY)


class NnxFlag(nnx.Module):
    def __init__(self, rngs):
        self.norm, self.drop = nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, training: bool = False):
        x = self.norm(x, use_running_average=not training)
        return self.drop(x, deterministic=not training)


def test_nnx_modules_are_switched_by_their_keywords():
    """Lost: an NNX module whose call, and not its mode, says that it trains."""
    assert switches(adapters.nnx_model(NnxFlag))


class EquinoxTwoAxes(EquinoxState):
    other: eqx.nn.BatchNorm

    def __init__(self, key):
        super().__init__(key)
        self.other = eqx.nn.BatchNorm(16, "others", mode="batch")


UNFIT = {
    "another mode": (lambda key: EquinoxState(key, mode="ema"), 'found BatchNorm with mode="ema", .*expected mode="b'),
    "two axes": (lambda key: EquinoxState(key, axis=("a", "b")), "over the axes .'a', 'b'.; expected one axis_name"),
    "two names": (EquinoxTwoAxes, "over the axes 'examples', 'others'; expected one axis_name, the same in all"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_equinox_modules_whose_state_does_not_fit_are_refused_in_one_line(name):
    """Lost: statistics that are not those of the batch, or an error from deep within JAX."""
    make, words = UNFIT[name]
    with pytest.raises(ValueError, match=f"^equinox: .*{words}") as caught:
        jax.eval_shape(adapters.equinox(make).init, KEY, X)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("examples", [1, 2])
@pytest.mark.parametrize("name", ["linen", "nnx", "equinox_state"])
def test_statistics_of_too_few_examples_are_refused(name, examples):
    """Lost: a module of one's own whose layers before the norm get no gradient."""
    model = ADAPTED[name]
    few = lambda key: model.apply(*model.init(key, X), X[:examples], key=key, train=True)[0]
    with pytest.raises(ValueError, match=f"BatchNorm.* over {examples} example"):
        jax.eval_shape(few, KEY)


def test_every_array_of_the_outputs_can_be_tapped():
    """Lost: a model with two outputs, or the gradient of one of them."""
    apply = lambda params, x: {"logits": x @ params, "both": (x.sum(axis=1), jnp.argmax(x, axis=1))}
    model = adapters.functions(lambda key, x: jnp.ones((3, 2)), apply)
    outputs, _, seen = model.apply(jnp.ones((3, 2)), {}, X, key=None, train=True)
    assert set(seen) == {"output.logits", "output.both.0"} and set(outputs) == {"logits", "both"}
    perturbations = {"perturbations": {"output.logits": jnp.ones((4, 2))}}
    takes_perturbations = model.apply(jnp.ones((3, 2)), perturbations, X, key=None, train=True)[0]
    np.testing.assert_allclose(takes_perturbations["logits"], outputs["logits"] + 1.0)


def test_a_module_of_pytorch_is_told_where_it_can_go() -> None:
    """Lost: the way on for who comes from PyTorch; NNX and Equinox adapters do not help them."""
    import torch

    with pytest.raises(ConfigError, match=r"found Linear, a module of PyTorch, .*its weights can be a start"):
        adapters.coerce(torch.nn.Linear(2, 3))
