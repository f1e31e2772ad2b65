"""Programs kept in a process: what is kept is what would be compiled again, to the letter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.engine import compile_cache
from deepprinciples.learners import TABLES
from deepprinciples.learners.assembly import from_config
from deepprinciples.study.planning import groups, prepared_group, program_cache
from deepprinciples.types import Batch

HASH_SEEDS = os.environ.get("HASH_SEEDS", "1 20").split()  # "1 2 ... 10" takes a minute


class Nothing:
    """Stands for what XLA makes: these tests ask what is traced."""

    def memory_analysis(self):
        return None


@pytest.fixture(autouse=True)
def _no_xla(monkeypatch):
    monkeypatch.setattr(compile_cache, "compiled", lambda *args: Nothing())
    monkeypatch.setattr(program_cache, "_kept", OrderedDict())


def config(**changes):
    given = {
        "data": {"name": "wine", "batch_size": 16},
        "model": {"name": "mlp", "depth": 1, "width": 4},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"steps": 4, "probes": []},
    }
    return configs.resolve(configs.changes(given, changes), from_config.KINDS)


def compiles(resolved, data=None):
    group = groups.group_arms([groups.arm_of("run", resolved)])[0]
    data = data or from_config.dataset(resolved)
    return prepared_group.set_up(group, data, Train(**resolved["train"]), [1]).program.compiles


def test_a_program_is_compiled_once():
    """Every run of a notebook would wait for the compiler."""
    assert [compiles(config()), compiles(config())] == [1, 0]


def test_a_program_of_a_users_function_is_not_kept():
    """A notebook that changes a global, a closure or a default would show the results of the old value."""
    power = 2.0

    def own():
        return lambda outputs, targets: jnp.sum(jnp.abs(outputs), axis=-1) ** power

    own.direction = "min"
    for change in (
        {"loss": {"factory": own}},
        {"study.metric": {"factory": own}},
        {"model.activation": ACTIVATION},
    ):
        found = [compiles(config(**change)) for _ in range(2)]
        assert found == [1, 1], change


ACTIVATION = {"factory": lambda: jnp.tanh}


def test_a_part_from_a_file_is_not_kept(monkeypatch):
    """A file given with --plugin that changed would train what it said before."""
    monkeypatch.setitem(TABLES["loss"], "mine", lambda: lambda outputs, targets: jnp.sum(outputs, axis=-1))
    assert [compiles(config(loss="mine")) for _ in range(2)] == [1, 1]


def test_a_start_that_is_fitted_to_data_is_kept_for_these_data_alone():
    """With lsuv a second data set of the same shapes would start from weights that were fitted to the first."""
    resolved = config(**{"model.lsuv": True})
    data = from_config.dataset(resolved)
    inputs = np.array(data.train.inputs)
    inputs[8] *= 3.0  # the first example, which every start sees, is the same
    other = data._replace(train=data.train._replace(inputs=inputs))
    assert [compiles(resolved, one) for one in (data, data, other)] == [1, 0, 1]


def test_a_keyword_of_a_probe_is_part_of_the_key():
    """A study would show the sharpness of another number of iterations."""
    some = [{"train.probes": [{"name": "sharpness", "iterations": count}]} for count in (2, 3, 2)]
    assert [compiles(config(**change)) for change in some] == [1, 1, 0]
    assert compiles(config(**{"train.probes": ["sharpness"]})) == 1
    assert compiles(config(**{"train.probes": [{"name": "sharpness", "iterations": 16}]})) == 0  # the default


def test_a_setting_of_jax_is_part_of_the_key():
    """A program traced under one setting of JAX would run under another."""
    assert compiles(config()) == 1
    with jax.default_matmul_precision("float32"):
        assert compiles(config()) == 1


IDENTITY = """
import hashlib
import jax
jax.config.update("jax_num_cpu_devices", 1)
from deepprinciples import config as configs
from deepprinciples.engine import compile_cache
from deepprinciples.study.planning import groups
from deepprinciples.study.planning import prepared_group
from deepprinciples.learners.assembly import from_config
from deepprinciples.config.settings import Train
compile_cache.compiled = lambda *args: type("Nothing", (), {"memory_analysis": lambda self: None})()
resolved = configs.resolve({
    "data": {"name": "wine", "batch_size": 16}, "model": {"name": "mlp", "depth": 3, "width": 4},
    "loss": {"name": "softmax_cross_entropy"}, "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "augment": {"dropout": {}}, "regularizers": {"l2": {}}, "transforms": {"noise": {}, "clip_by_global_norm": {}},
    "train": {"steps": 4, "probes": ["standard"]},
}, from_config.KINDS)
group = groups.group_arms([groups.arm_of("run", resolved)])[0]
made = prepared_group.set_up(group, from_config.dataset(resolved), Train(**resolved["train"]), [1]).program
print(made.identity, hashlib.sha256(made.key.encode()).hexdigest())
"""


def test_processes_with_other_hash_seeds_make_one_program():
    """A run could not be resumed or extended by another process: the order of a set would be in its program.

    Nor would another process find the program on disk: its key would hold the address of an object.
    """
    ask = [sys.executable, "-c", IDENTITY]
    running = [
        subprocess.Popen(ask, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in HASH_SEEDS
    ]
    found = {one.communicate()[0].strip() for one in running}
    assert len(found) == 1 and len(found.pop().split()) == 2


def test_what_probes_give_is_in_the_order_of_layers():
    """A probe that gives its layers in the order of a set makes another program in every process."""
    resolved = config(**{"model.depth": 6, "train.probes": ["full"]})
    parts = from_config.dataset(resolved)
    learner, key = from_config.learner(resolved, parts), jax.random.key(0, impl="threefry2x32")
    batch = Batch(*(np.asarray(array[:16]) for array in parts.train))
    seen = {}

    def look(batch):
        seen.update(from_config.probe(resolved)(learner.step(learner.init(key), batch, key)[1]))

    jax.eval_shape(look, batch)
    for name, table in seen.items():
        layers = [layer for layer in table if layer.startswith("layer_")] if isinstance(table, dict) else []
        assert layers == sorted(layers), name


def test_a_run_with_more_seeds_keeps_the_devices_it_had():
    """A run of one seed could not be extended: on a second device its program would be another."""
    resolved = config()
    group = groups.group_arms([groups.arm_of("run", resolved)])[0]
    shape = {"mode": "map", "blocks": 1, "chunks": 1}
    for recorded, expected in (({}, 2), ({"devices": 1}, 1), ({"devices": 99}, 2)):
        settings = Train(**resolved["train"])._replace(layouts={"run": {**shape, **recorded}})
        made = prepared_group.set_up(group, from_config.dataset(resolved), settings, [2])
        assert made.program.layout.devices == expected
