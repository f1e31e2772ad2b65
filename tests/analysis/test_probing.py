"""A saved run under the probes: whatever a rule or a normalization does with a batch."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.analysis import probing
from deepprinciples.engine import population
from deepprinciples.errors import ConfigError
from deepprinciples.interop import parameters
from deepprinciples.learners.assembly import factories, from_config
from deepprinciples.parts import gradient_rules

BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
NORMALIZATIONS = ("batch", "layer", "group", "rms", "ghost", "weight_standardized")


def subject(examples=512, **changes):
    """Give what `probe` looks at, from the weights a run starts with."""
    config = configs.resolve(configs.changes(BASE, changes), from_config.KINDS)
    parts = from_config.dataset(config)
    params = factories.model_of(config, parts).init(jax.random.key(0), np.asarray(parts.train.inputs[:16]))[0]
    kept = {"seed-0": parameters.table_of(jax.tree.map(lambda a: np.asarray(a)[None], params), 0)}
    return probing._cut(probing._subject(config, parts, kept, examples), parts)


@pytest.mark.parametrize("name", gradient_rules.TABLE)
def test_every_rule_can_be_probed(name):
    """A run whose rule takes the batch apart would end `probe` in a traceback."""
    shares = {"microbatches": {"count": 4}, "pcgrad": {"tasks": 4}, "gradvac": {"tasks": 4}}
    found = subject(gradient={"name": name, **shares.get(name, {})})
    assert len(found.batch.targets) % (4 if name in shares else 1) == 0
    assert bool(found.notes) == (name in shares)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_every_normalization_can_be_probed(name):
    """A run with ghost batch norm would end `probe` in a traceback."""
    found = subject(**{"model.normalization": name, "model.ghost_size": 8, "model.width": 8})
    assert len(found.batch.targets) % 8 == 0 or name != "ghost"


@pytest.mark.parametrize("normalization", ["batch", "spectral"])
def test_the_state_that_was_kept_is_the_one_that_is_probed(normalization):
    """Lost: layers as they are with other statistics, or kernels divided by another number than in the run."""
    config = configs.resolve(configs.changes(BASE, {"model.normalization": normalization}), from_config.KINDS)
    parts = from_config.dataset(config)
    model, x = factories.model_of(config, parts), np.asarray(parts.train.inputs[:16])
    params, state = model.init(jax.random.key(0), x)
    state = jax.tree.map(lambda a: a + np.arange(1.0, 1 + a.size, dtype=np.float32).reshape(a.shape), state)
    table = lambda tree: parameters.table_of(jax.tree.map(lambda a: np.asarray(a)[None], tree), 0)
    kept = {"seed-7": table(params), "state-7": table(state)}
    found = probing._subject(config, parts, kept, 16)
    seen = probing._seen(found, params, np.uint32(7)).forward(params, x)[1]["layer_00"]
    expected = model.apply(params, state, x, key=None, train=False)[2]["layer_00"]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def test_layers_of_activations_that_are_none_of_parameters_are_probed(tmp_path):
    """Lost: `probe` of a model of Equinox, NNX or two functions, whose one activation is the output."""

    def pair(*, outputs):
        return lambda key, x: jax.random.normal(key, (13, outputs)), lambda params, x: x @ params

    config = {**BASE, "model": {"factory": pair}, "train": {"steps": 2, "seeds": 2, "probes": []}}
    run = dp.train(config, tmp_path / "run")
    found = dp.probe(run, tmp_path / "probed", config=config, examples=16).results
    assert 0.0 < float(found.similarity.sel(layer="output", other_layer="output").squeeze()) <= 1.0001


def test_a_probe_that_does_not_fit_the_run_is_left_out_with_a_note(monkeypatch):
    """Gradients of single examples, which not every normalization has, would end `probe` in a traceback."""

    def odd():
        def look(info):
            raise ValueError("ghost: a batch of 1 does not come in parts of 8")

        return look

    monkeypatch.setattr(probing, "PROBES", {"gradient_norm": {}, "odd": {}})
    monkeypatch.setitem(probing.probes.TABLE, "odd", odd)
    fitting, notes = probing._fitting(subject())
    assert list(fitting) == ["gradient_norm"]
    assert notes == ["odd is left out: ghost: a batch of 1 does not come in parts of 8"]


def test_fewer_examples_than_a_batch_become_a_batch():
    """`--examples 10` of a run in shares would end in a traceback."""
    found = subject(10, gradient={"name": "microbatches", "count": 4})
    assert len(found.batch.targets) == 16 and found.notes[0].startswith("16 examples are used in place of 10")


@pytest.mark.parametrize("switch", ["jax_disable_jit", "jax_debug_nans", "jax_debug_infs"])
def test_a_debug_switch_of_jax_is_one_line_before_the_run(switch, monkeypatch):
    """A run would end in a traceback of JAX, after it had begun."""
    monkeypatch.setattr(jax.config, "_value_holders", {**jax.config._value_holders, switch: _On()})
    with pytest.raises(ConfigError, match=f"^{switch.upper()}: is on, but .*; unset it$"):
        population.use_all_cores()


class _On:
    value = True
