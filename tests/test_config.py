"""The config rooms: what a user writes is either understood exactly or refused with a line that mends it."""

from __future__ import annotations

import copy
import json
import math
import random
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pytest
import torch

from deepprinciples import config as configs
from deepprinciples.config import schema, settings
from deepprinciples.errors import ConfigError
from deepprinciples.parts.splitting.held_out import HeldOut
from deepprinciples.types import (
    Activation,
    Count,
    Decay,
    Depth,
    Epsilon,
    Initializer,
    LearningRate,
    Limit,
    NonNegative,
    Range,
    Rate,
    Repeats,
    Scalar,
    Seed,
    Strength,
)

INF = math.inf


def sgd(*, learning_rate: LearningRate = 0.1, momentum: Rate = 0.0, nesterov: bool = False) -> None: ...


def adam(*, learning_rate: LearningRate = 1e-3, b1: Decay = 0.9, b2: Decay = 0.999, eps: Epsilon = 1e-8) -> None: ...


def tanh() -> None: ...


def relu() -> None: ...


def leaky_relu(*, slope: Scalar = 0.01) -> None: ...


def normal(*, stddev: NonNegative = 0.05) -> None: ...


def glorot_normal(*, gain: NonNegative = 1.0) -> None: ...


def mlp(
    *,
    depth: Depth = 2,
    width: Count = 128,
    activation: Activation | str = "relu",
    initializer: Initializer | str | dict = {"name": "normal", "stddev": 0.1},  # noqa: B006
    skip: Literal["none", "residual"] = "none",
    dropout: Rate = 0.0,
    outputs: int,
) -> None: ...


def cnn(*, channels: tuple[int, ...] = (8, 16), outputs: int) -> None: ...


def plain() -> None: ...


def lanczos(*, iterations: Count = 16) -> None: ...


def digits() -> None: ...


def npz(*, path: str, target: str | int = "targets") -> None: ...


def arrays(*, inputs: Any, targets: Any) -> None: ...


def prepare(
    source: Any,
    *,
    batch_size: Count = 64,
    validation: HeldOut = 0.2,
    standardize: bool = True,
) -> None: ...


def clip_by_global_norm(*, max_norm: Limit = INF) -> None: ...


def noise(*, strength: Strength = 0.0) -> None: ...


class Train(NamedTuple):
    steps: Count = 1000
    seed: Seed = 0
    probes: tuple[Annotated[Callable[..., Any], "probe"] | str, ...] = ("norm",)


class Study(NamedTuple):
    metric: Annotated[Callable[..., Any], "metric"] | str = "accuracy"
    tune: Mapping[str, Any] = {}
    trials: Repeats = 20
    seeds: Repeats = 30
    confidence: Annotated[float, Range("(0, 1)", "0.95 is usual")] = 0.95


def halve(*, factor: Scalar = 0.5) -> None: ...


def limited(*, traced: Scalar = 0.1, fixed: float = 0.1, maybe: float | None = None, given: Any = None) -> None: ...


def anything(**more: Any) -> None: ...


# Read once, as factories of the package are: below thousands of configs are resolved.
for one in (sgd, adam, leaky_relu, normal, glorot_normal, mlp, cnn, prepare, clip_by_global_norm, noise, limited):
    one.__module__ = "deepprinciples.parts"
Train.__module__ = Study.__module__ = settings.__name__


KINDS = configs.Registry(
    tables={
        "data": {"digits": digits, "npz": npz, "arrays": arrays},
        "model": {"mlp": mlp, "cnn": cnn},
        "activation": {"tanh": tanh, "relu": relu, "leaky_relu": leaky_relu},
        "initializer": {"normal": normal, "glorot_normal": glorot_normal},
        "loss": {"mse": plain, "softmax_cross_entropy": plain},
        "metric": {"accuracy": plain},
        "probe": {"lanczos": lanczos, "norm": plain, "rank": plain},
        "gradient": {"plain": plain},
        "optimizer": {"sgd": sgd, "adam": adam},
        "schedule": {"constant": plain},
        "weight_averaging": {"none": plain},
        "augment": {},
        "regularizers": {"l2": noise},
        "transforms": {"clip_by_global_norm": clip_by_global_norm, "noise": noise},
    },
    functions={"train": Train, "study": Study},
    extras={"data": (prepare,)},
    provided={"model": {"outputs"}, "regularizers": {"outputs"}, "data": {"source"}},
)

BASE: dict[str, Any] = {
    "title": "a question",
    "data": {"name": "digits"},
    "model": {"name": "mlp", "depth": 3, "activation": "tanh"},
    "loss": "mse",
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "study": {"tune": {"optimizer.learning_rate": {"low": 1e-3, "high": 1}}},
    "arms": {
        "plain": {},
        "glorot": {"model.initializer": {"name": "glorot_normal"}},
        "clipping": {"transforms.clip_by_global_norm": {"max_norm": 1}},
        "adam": {
            "optimizer": {"name": "adam"},
            "tune": {"optimizer.b1": {"low": 0.5, "high": 0.99, "scale": "linear"}},
        },
    },
}


def problems(*settings: str, base: Mapping[str, Any] = BASE, command: Any = "compare") -> list[str]:
    """List what is wrong with the base config under the settings."""
    with pytest.raises(ConfigError) as caught:
        configs.resolve(configs.override(base, settings), KINDS, command=command)
    assert all("\n" not in line and line.isprintable() for line in caught.value.problems)
    return caught.value.problems


# --- what is understood


def test_every_default_is_written_out_in_the_order_of_the_signature() -> None:
    """Otherwise a stored config would mean something else once a default changes."""
    resolved = configs.resolve(BASE, KINDS, command="compare")
    assert list(resolved) == [
        "title", "data", "model", "loss", "gradient", "optimizer", "schedule", "weight_averaging", "test_sets",
        "augment",
        "regularizers",
        "transforms", "groups", "train", "study", "arms",
    ]  # fmt: skip
    assert resolved["data"] == {"name": "digits", "batch_size": 64, "validation": 0.2, "standardize": True}
    assert list(resolved["model"]) == ["name", "depth", "width", "activation", "initializer", "skip", "dropout"]
    assert resolved["model"]["activation"] == {"name": "tanh"}
    assert resolved["model"]["initializer"] == {"name": "normal", "stddev": 0.1}
    assert resolved["gradient"] == {"name": "plain"}
    assert resolved["train"] == {"steps": 1000, "seed": 0, "probes": ("norm",)}
    assert resolved["study"]["tune"] == {"optimizer.learning_rate": {"low": 0.001, "high": 1.0, "scale": "log"}}
    assert resolved["arms"]["clipping"] == {"transforms.clip_by_global_norm.max_norm": 1}


def test_a_resolved_config_resolves_to_itself_and_survives_the_disk(tmp_path: Path) -> None:
    """Otherwise the config stored with a run could not be run again as it is."""
    settings = [
        'title="a \\"quoted\\"\\ttitle ü"', "transforms.b={name='noise'}", "transforms.a=noise", "model=cnn",
        "transforms.clip_by_global_norm.max_norm=inf", "model.channels=[3, 5]",
    ]  # fmt: skip
    odd = configs.override(BASE, settings)
    odd["arms"] = {"x": {"transforms.c.name": "noise", "transforms.b.strength": 1}, "y ü.1": {}}
    for config in (BASE, odd):
        resolved = configs.resolve(config, KINDS, command="compare")
        assert configs.resolve(resolved, KINDS, command="compare") == resolved
        path = tmp_path / "config.toml"
        path.write_text(configs.dumps(resolved), encoding="utf-8")
        again = configs.resolve(configs.load(path), KINDS, command="compare")
        assert again == resolved
        assert json.dumps(again) == json.dumps(resolved), "the order of the keys changed"
        assert configs.resolve_each(again, KINDS) == configs.resolve_each(resolved, KINDS)


def test_an_arm_is_the_base_with_its_changes() -> None:
    """Otherwise two arms would differ in more than they declare."""
    resolved, found = configs.resolve_each(BASE, KINDS, command="compare")
    arms = {name: one.config for name, one in found.items()}
    base = {key: value for key, value in resolved.items() if key != "arms"}
    assert arms["plain"] == base
    assert arms["glorot"]["model"] == {**base["model"], "initializer": {"name": "glorot_normal", "gain": 1.0}}
    assert arms["clipping"]["transforms"] == {"clip_by_global_norm": {"name": "clip_by_global_norm", "max_norm": 1.0}}
    assert arms["adam"]["optimizer"] == {"name": "adam", "learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8}


def test_search_spaces_are_the_studys_where_the_arm_has_the_path_and_its_own() -> None:
    """Otherwise an arm would be tuned over hyper-parameters it does not have, or miss its own."""
    config = copy.deepcopy(BASE)
    config["study"]["tune"]["optimizer.momentum"] = {"low": 0.0, "high": 0.99, "scale": "linear"}
    spaces = {name: one.space for name, one in configs.resolve_each(config, KINDS)[1].items()}
    rate = {"low": 0.001, "high": 1.0, "scale": "log"}
    assert list(spaces["plain"]) == ["optimizer.learning_rate", "optimizer.momentum"]
    assert spaces["adam"] == {
        "optimizer.learning_rate": rate,
        "optimizer.b1": {"low": 0.5, "high": 0.99, "scale": "linear"},
    }


def test_only_scalars_are_sweepable() -> None:
    """Otherwise a static value would be swept and every trial would compile anew."""
    assert configs.sweepable(mlp) == {"dropout"}
    assert configs.sweepable(limited) == {"traced"}
    resolved = configs.resolve(configs.override(BASE, ["model.activation=leaky_relu"]), KINDS)
    assert tuple(configs.allowed_ranges(resolved, KINDS)) == (
        "model.activation.slope", "model.initializer.stddev", "model.dropout", "optimizer.learning_rate",
        "optimizer.momentum",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("optimizer.learning_rate=1e-3", "optimizer.learning_rate", 1e-3),
        ("optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("train.seed=0", "train.seed", 0),
        ("train.seed=4294967295", "train.seed", 2**32 - 1),
        ("transforms.clip_by_global_norm.max_norm=inf", "transforms.clip_by_global_norm.max_norm", INF),
        ("model.skip=residual", "model.skip", "residual"),
        ("model.initializer.stddev=0.3", "model.initializer.stddev", 0.3),
        ("model.initializer={stddev=0.3}", "model.initializer.name", "normal"),
        ("model.initializer=glorot_normal", "model.initializer.gain", 1.0),
        ("data={name='npz', path='a/b.npz', target=3}", "data.target", 3),
        ("data={name='npz', path='!!python/object:os.system'}", "data.path", "!!python/object:os.system"),
        ("data={name='npz', path='${HOME}/x'}", "data.path", "${HOME}/x"),
        ("title=_target_", "title", "_target_"),
        ("regularizers.l2.strength=0", "regularizers.l2.strength", 0.0),
        ("regularizers.first={name='l2'}", "regularizers.first.name", "l2"),
        ("train.probes=['rank', 'norm']", "train.probes", ("rank", "norm")),
        ("train.probes=['norm', 'lanczos']", "train.probes", ("norm", {"name": "lanczos", "iterations": 16})),
        (
            "train.probes=[{name='norm'}, {name='lanczos', iterations=3}]",
            "train.probes",
            ("norm", {"name": "lanczos", "iterations": 3}),
        ),
        ("study.trials=5", "study.trials", 5),
    ],
)
def test_settings_of_the_command_line(setting: str, path: str, value: Any) -> None:
    """Otherwise a user could not change a run without editing a file."""
    resolved = configs.resolve(configs.override(BASE, [setting]), KINDS, command="compare")
    found = configs.flatten(resolved)[path]
    assert found == value and type(found) is type(value)


def test_settings_reach_arms_and_search_spaces() -> None:
    """Dotted paths below an arm are themselves keys."""
    config = configs.override(BASE, ["arms.wide.model.width=9", "study.tune.optimizer.learning_rate.low=0.5",
                                     "arms.adam.tune.optimizer.b1.high=0.6"])  # fmt: skip
    assert config["arms"]["wide"] == {"model.width": 9}
    assert config["study"]["tune"] == {"optimizer.learning_rate": {"low": 0.5, "high": 1}}
    assert config["arms"]["adam"]["tune"]["optimizer.b1"]["high"] == 0.6


def test_a_new_name_drops_the_keywords_of_the_old_part() -> None:
    """Otherwise Adam would be refused for the momentum of the SGD it replaces."""
    for edits in ({"optimizer.name": "adam", "optimizer.b1": 0.5}, {"optimizer.b1": 0.5, "optimizer.name": "adam"}):
        assert configs.changes(BASE, edits)["optimizer"] == {"name": "adam", "b1": 0.5}
    kept = configs.changes(BASE, {"optimizer.name": "sgd"})
    assert kept["optimizer"] == BASE["optimizer"]
    assert "arms" in kept and BASE["optimizer"]["name"] == "sgd", "the base was changed"


def test_chains_keep_their_order_and_may_use_a_part_twice() -> None:
    """Clipping before noise is another method than noise before clipping."""
    settings = ["transforms.noise.strength=1", "transforms.clip_by_global_norm={max_norm=1}", "transforms.again=noise"]
    chain = configs.resolve(configs.override(BASE, settings), KINDS)["transforms"]
    assert [(key, one["name"]) for key, one in chain.items()] == [
        ("noise", "noise"), ("clip_by_global_norm", "clip_by_global_norm"), ("again", "noise"),
    ]  # fmt: skip


def test_functions_and_arrays_from_python() -> None:
    """A user's own factory is judged by its signature, as ours are."""
    inputs = np.zeros((3, 2))
    base = {
        **BASE,
        "data": {"name": "arrays", "inputs": inputs, "targets": [1, 2, 3]},
        "transforms": {"mine": {"factory": halve, "factor": 1}, "other": {"factory": anything, "of": "any kind"}},
    }
    resolved = configs.resolve(base, KINDS)
    assert resolved["transforms"]["mine"] == {"factory": halve, "factor": 1.0}
    assert resolved["transforms"]["other"] == {"factory": anything, "of": "any kind"}
    assert resolved["data"]["inputs"] is inputs
    assert "transforms.mine.factor" in configs.allowed_ranges(resolved, KINDS)
    base["transforms"]["mine"]["factr"] = 2
    assert problems(base=base) == ['transforms.mine.factr: unknown key; did you mean "factor"? (halve takes: factor)']


def test_values_from_python_are_marked_and_not_loaded(tmp_path: Path) -> None:
    """A config that names a function only by its mark cannot be run, and must say so."""
    base = {**BASE, "transforms": {"mine": {"factory": halve}}, "data": {**BASE["data"], "name": "arrays",
            "inputs": np.zeros((3, 2)), "targets": [1]}}  # fmt: skip
    text = configs.dumps(configs.resolve(base, KINDS))
    assert 'factory = "<function halve>"' in text and 'inputs = "<array float64 (3, 2) ' in text
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"transforms\.mine\.factory stands for a value given from Python"):
        configs.load(tmp_path / "c.toml")


def test_arrays_are_described_and_never_written_out(tmp_path: Path) -> None:
    """A summary with the text of an array is too large to be opened, and a config file too."""
    array = np.arange(6000.0).reshape(3000, 2)
    twin, rows = array.copy(), array.tolist()
    found = configs.described({"a": array, "b": twin, "c": {"d": rows, "e": [1, 2.5, "x", None]}, "f": halve})
    assert found["a"] == found["b"] and found["a"].startswith("<array float64 (3000, 2) ") and len(found["a"]) < 50
    assert found["c"] == {"d": found["a"], "e": [1, 2.5, "x", None]} and found["f"] == "<function halve>"
    twin[0] = 7.0
    assert configs.described(twin) != found["a"]
    text = configs.dumps({"data": {"inputs": array, "long": rows * 2}, "arms": {"x": {"data": {"inputs": array}}}})
    assert len(text) < 1000 and text.count("<array float64") == 3
    (tmp_path / "c.toml").write_text("[arms.x]\ndata = { inputs = '<array float64 (3, 2) 00>' }")
    with pytest.raises(ConfigError, match=r"arms\.x\.data stands for a value given from Python"):
        configs.load(tmp_path / "c.toml")


def test_numbers_of_numpy_and_paths_are_plain() -> None:
    """np.bool_ is no bool, so a switch computed with NumPy would be refused; a Path is a path."""
    base = {**BASE, "optimizer": {"name": "sgd", "nesterov": np.bool_(True), "momentum": np.float32(0.5)}}
    found = configs.resolve(base, KINDS)["optimizer"]
    assert found["nesterov"] is True and found["momentum"] == 0.5
    tensors = {**BASE, "optimizer": {"name": "sgd", "momentum": torch.tensor(0.5, requires_grad=True)}}
    assert configs.resolve(tensors, KINDS)["optimizer"]["momentum"] == 0.5
    field = schema.Field("path", str, schema.REQUIRED, None, False)
    assert schema.convert(field, Path("a") / "b.csv") == str(Path("a") / "b.csv")
    assert configs.dumps({"data": {"path": Path("b.csv")}}).endswith('path = "b.csv"\n')


def test_flatten_and_unflatten_are_inverse() -> None:
    """The report shows leaves by path; none may be lost."""
    resolved = configs.resolve(BASE, KINDS)
    leaves = configs.flatten(resolved)
    assert leaves["optimizer.learning_rate"] == 0.1
    assert leaves["arms.glorot.model.initializer"] == {"name": "glorot_normal"}
    assert configs.unflatten(leaves) == resolved


# --- what is refused

REFUSED = [
    # setting, the whole line
    ("optimizer.learning_rat=1",
     'optimizer.learning_rat: unknown key; did you mean "learning_rate"? '
     "(sgd takes: learning_rate, momentum, nesterov)"),
    # a key of another section, or a part that a chain takes
    ("train.lr=0.1", 'train.lr: unknown key; did you mean "optimizer.learning_rate"? ([train] takes: '
     "steps, seed, probes)"),
    ("optimizer.clip_by_global_norm=1.0",
     'optimizer.clip_by_global_norm: unknown key; did you mean "transforms.clip_by_global_norm"? (sgd takes: '
     "learning_rate, momentum, nesterov)"),
    ("model={name='mpl'}", 'model.name: no model "mpl"; did you mean "mlp"? (models: cnn, mlp)'),
    ("optimizer=zzz", 'optimizer.name: no optimizer "zzz" (optimizers: adam, sgd)'),
    ("loss=mae", 'loss.name: no loss "mae"; did you mean "mse"? (losses: mse, softmax_cross_entropy)'),
    ("model.activation=tnah",
     'model.activation.name: no activation "tnah"; did you mean "tanh"? (activations: leaky_relu, relu, tanh)'),
    ("transforms.nois={strength=1}",
     'transforms.nois: no transform "nois"; did you mean "noise"? (transforms: clip_by_global_norm, noise)'),
    ('optimizer.learning_rate="0.1"',
     'optimizer.learning_rate: expected a number, found the string "0.1"; write 0.1 without quotes'),
    ("optimizer.learning_rate=true", "optimizer.learning_rate: expected a number, found true"),
    ("optimizer.learning_rate=-1",
     "optimizer.learning_rate: expected a number above 0, found -1.0; give a positive rate such as 0.1"),
    ("optimizer.learning_rate=0",
     "optimizer.learning_rate: expected a number above 0, found 0.0; give a positive rate such as 0.1"),
    ("optimizer.learning_rate=nan", "optimizer.learning_rate: expected a number, found nan"),
    ("optimizer.learning_rate=inf",
     "optimizer.learning_rate: expected a number that is finite, found inf; give a positive rate such as 0.1"),
    ("optimizer.learning_rate=1e400",
     "optimizer.learning_rate: expected a number that is finite, found inf; give a positive rate such as 0.1"),
    ("optimizer.momentum=1", "optimizer.momentum: expected a number of at least 0 and below 1, found 1.0; "
     "0.0 switches it off"),
    ("data.batch_size=0", "data.batch_size: expected a whole number of at least 1, found 0"),
    ("data.batch_size=-1", "data.batch_size: expected a whole number of at least 1, found -1"),
    ("data.batch_size=2.5", "data.batch_size: expected a whole number, found 2.5"),
    ("data.batch_size=true", "data.batch_size: expected a whole number, found true"),
    ("data.standardize=1", "data.standardize: expected true or false, found 1"),
    ("data.standardize='true'",
     'data.standardize: expected true or false, found the string "true"; write true without quotes'),
    ("train.steps=0", "train.steps: expected a whole number of at least 1, found 0"),
    ("train.seed=-1", "train.seed: expected a whole number of at least 0 and below 4294967296, found -1; "
     "JAX takes other seeds for one of these"),
    ("train.seed=4294967296", "train.seed: expected a whole number of at least 0 and below 4294967296, "
     "found 4294967296; JAX takes other seeds for one of these"),
    ("train.seed=1099511627776", "train.seed: expected a whole number of at least 0 and below 4294967296, "
     "found 1099511627776; JAX takes other seeds for one of these"),
    ("transforms.clip_by_global_norm.max_norm=0", "transforms.clip_by_global_norm.max_norm: expected a number above 0, "
     "found 0.0; inf switches it off"),
    ("model.dropout=1.0", "model.dropout: expected a number of at least 0 and below 1, found 1.0; 0.0 switches it off"),
    ("optimizer={name='adam', b2=1.0}", "optimizer.b2: expected a number of at least 0 and below 1, found 1.0"),
    ("optimizer={name='adam', eps=0}", "optimizer.eps: expected a number above 0, found 0.0; "
     "give a small positive number such as 1e-8"),
    ("data.validation=1.0", "data.validation: expected a number above 0 and below 1, found 1.0; "
     "give the share of the examples, such as 0.2"),
    ("study.trials=1000000000", "study.trials: expected a whole number of at least 1 and at most 1000000, "
     "found 1000000000"),
    ("model.skip=residul", 'model.skip: expected one of "none", "residual", found the string '
     '"residul"; did you mean "residual"?'),
    ("model.depth=99999999999999999999999", "model.depth: expected a whole number of at least 0 and at most 1000000, "
     "found a whole number of more than 64 bits"),
    ("model.outputs=3", "model.outputs: is supplied by the data; leave it out"),
    ("arms.x.model={name='cnn', channels=[1, 'a']}",
     'arms.x.model.channels: item 1: expected a whole number, found the string "a"'),
    ("arms.x.model={name='cnn', channels=3}", "arms.x.model.channels: expected a list, found 3"),
    ("data={name='npz'}", "data.path: missing; npz needs it"),
    ("data={name='npz', path='x', target=true}", "data.target: expected a text or a whole number, found true"),
    ("model=3", "model: expected the name of a model or a table, found 3"),
    ("model={name=['mlp']}", "model.name: expected the name of a model, found a list"),
    ("transforms=3", "transforms: expected a table of parts by name, found 3"),
    ("transforms.noise=3", "transforms.noise: expected the name of a transform or a table, found 3"),
    ("transforms.x={factory='os.system'}", 'transforms.x.factory: expected a function from Python, found the string '
     '"os.system"; in a file give a name'),
    ("train=3", "train: expected a table, found 3"),
    ("train.probes=3", "train.probes: expected a list, found 3"),
    ("train.probes=['nrm']", 'train.probes[0]: no probe "nrm"; did you mean "norm"? (probes: lanczos, norm, rank)'),
    ("train.probes=['norm', 3]", "train.probes[1]: expected the name of a probe or a table, found 3"),
    ("train.probes=[{iterations=3}]", "train.probes[0].name: missing (probes: lanczos, norm, rank)"),
    ("train.probes=['norm', {name='lanczos', iteration=3}]",
     'train.probes[1].iteration: unknown key; did you mean "iterations"? (lanczos takes: iterations)'),
    ("train.probes=[{name='lanczos', iterations=0}]",
     "train.probes[0].iterations: expected a whole number of at least 1, found 0"),
    ("train.probes=['lanczos', 'norm', {name='lanczos', iterations=3}]",
     'train.probes[2]: is "lanczos", as train.probes[0] is; keep one of them'),
    ("study.metric=acc", 'study.metric.name: no metric "acc"; did you mean "accuracy"? (metrics: accuracy)'),
    ("title=3", "title: expected a text, found 3"),
    ("optimiser=sgd", 'optimiser: unknown key; did you mean "optimizer"? (a config takes: title, data, model, loss, '
     "gradient, optimizer, schedule, weight_averaging, test_sets, augment, regularizers, transforms, groups, train, "
     "study, arms)"),
    ("arms.x.train.steps=3", "arms.x.train.steps: an arm may not change it; it is the same for all arms"),
    ("arms.x.model.skp='none'", 'arms.x.model.skp: unknown key; did you mean "skip"? '
     "(mlp takes: depth, width, activation, initializer, skip, dropout)"),
    ("arms.x=3", "arms.x: expected a table of changes, found 3"),
    ("arms.x.optimizer.learning_rate=0.3", "arms.x.optimizer.learning_rate: is both set and tuned; drop one of them"),
    ("study.tune.optimizer.learning_rate.low=2",
     "study.tune.optimizer.learning_rate: expected low below high, found low = 2.0 and high = 1.0"),
    ("study.tune.optimizer.learning_rate={low=0, high=1}", "study.tune.optimizer.learning_rate.low: a log scale needs "
     'a number above 0, found 0.0; write scale = "linear" or raise it'),
    ("study.tune.model.depth={low=1, high=4}",
     "study.tune.model.depth: is a whole number and fixes the program; compare values of depth as arms"),
    ("study.tune.model.skip={low=1, high=4}",
     "study.tune.model.skip: is a choice and fixes the program; compare values of skip as arms"),
    ("study.tune.optimizer.learning_rat={low=1, high=4}", "study.tune.optimizer.learning_rat: no such path; did you "
     'mean "optimizer.learning_rate"? (sweepable: model.initializer.stddev, model.dropout, optimizer.learning_rate, '
     "optimizer.momentum, model.initializer.gain, transforms.clip_by_global_norm.max_norm, optimizer.b1, optimizer.b2, "
     "optimizer.eps)"),
    ("study.tune.model.dropout={low=0.1, high=1}", "study.tune.model.dropout.high: expected a number of at least 0 and "
     "below 1, found 1.0; 0.0 switches it off"),
    ("study.tune.model.dropout={low=0.1}", "study.tune.model.dropout.high: missing; a search space needs it"),
    ("study.tune.model.dropout=0.1",
     "study.tune.model.dropout: expected { low = ..., high = ..., scale = ... }, found 0.1"),
    ("arms.adam.tune={'optimizer.momentum'={low=0.1, high=0.5}}", "arms.adam.tune.optimizer.momentum: no such path; "
     'did you mean "optimizer.eps"? (sweepable: model.initializer.stddev, model.dropout, optimizer.learning_rate, '
     "optimizer.b1, optimizer.b2, optimizer.eps)"),
    ("schema_version=2", "schema_version: expected 1, found 2, written by a later version; upgrade deepprinciples"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "line"), REFUSED, ids=[setting[:40] for setting, _ in REFUSED])
def test_one_mistake_gives_one_line_that_mends_it(setting: str, line: str) -> None:
    """Where, what was found, what was expected, how to mend it; nothing is coerced and nothing is guessed."""
    assert problems(setting) == [line]


def test_all_problems_come_at_once() -> None:
    """Otherwise a user mends ten mistakes in ten runs."""
    found = problems(
        "model.depth=2.5", "optimizer.learning_rat=1", "train.seed=-1", "arms.x.model.skip=5", "gradient=zzz"
    )
    assert [line.split(":")[0] for line in found] == [
        "model.depth", "gradient.name", "optimizer.learning_rat", "train.seed", "arms.x.model.skip",
    ]  # fmt: skip


def test_a_missing_section_is_named_with_its_choices() -> None:
    """An empty config must teach, not crash."""
    assert problems(base={}, command="train") == [
        "data: missing; add [data] with a name (data: arrays, digits, npz)",
        "model: missing; add [model] with a name (models: cnn, mlp)",
        "loss: missing; add [loss] with a name (losses: mse, softmax_cross_entropy)",
        "optimizer: missing; add [optimizer] with a name (optimizers: adam, sgd)",
    ]


def test_a_comparison_needs_two_arms() -> None:
    """A study of one arm has nothing to say."""
    for arms, found in (({}, "none"), ({"x": {}}, 'one ("x")')):
        base = {**BASE, "arms": arms, "study": {}}
        assert problems(base=base) == [
            f"arms: a comparison needs at least 2, found {found}; add [arms.NAME] tables; "
            "an empty table such as [arms.plain] stands for the config as it is"
        ]
        configs.resolve(base, KINDS, command="train")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("train.steps", "train.steps: expected PATH=VALUE, such as train.steps=100"),
        ("=3", ": expected PATH=VALUE, such as train.steps=100"),
        ("train..steps=3", "train..steps: expected words joined by dots, such as optimizer.learning_rate"),
        ("train.steps=", 'train.steps: expected a TOML value such as 0.1, true, [1, 2] or \'text\', found ""'),
        ("train.steps=1 2", 'train.steps: expected a TOML value such as 0.1, true, [1, 2] or \'text\', found "1 2"'),
        ("train.steps=1\nx=2",
         'train.steps: expected a TOML value such as 0.1, true, [1, 2] or \'text\', found "1\\nx=2"'),
        ("title.x=3", "title.x: unknown"),
        ("model.depth.x=3", "model.depth.x: depth holds 3, expected a table"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_read(setting: str, line: str) -> None:
    """A slip on the command line is named, and can add no second value."""
    if setting.startswith("title"):
        assert configs.override(BASE, [setting])["title"] == {"name": "a question", "x": 3}
        return
    with pytest.raises(ConfigError) as caught:
        configs.override(BASE, [setting])
    assert caught.value.problems == [line]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("missing.toml", None, "no such file"),
        ("empty.toml", b" \n", "the file is empty"),
        ("empty.json", b"", "the file is empty"),
        ("config.yaml", b"a: 1", "expected a file that ends in .toml or .json"),
        ("latin.toml", "a = 1\ntitle = 'é'".encode("latin-1"), "line 2: expected UTF-8 text, found byte 0xe9"),
        ("twice.toml", b"a = 1\na = 2\n", "not TOML: Cannot overwrite a value (at line 2"),
        ("twice.json", b'{"a": 1, "a": 2}', 'the key "a" is given twice'),
        ("nan.json", b'{"a": NaN}', "expected a number, found NaN"),
        ("inf.json", b'{"a": -Infinity}', "expected a number, found -Infinity"),
        ("huge.json", b'{"a": 1e400}', "the number 1e400 is too large"),
        ("wide.json", b'{"a": 9223372036854775808}', "found a whole number of more than 64 bits"),
        ("digits.json", b'{"a": ' + b"9" * 5000 + b"}", "found a whole number of more than 64 bits"),
        ("digits.toml", b"a = " + b"9" * 5000, ""),
        ("list.json", b"[1]", "expected a table at the top, found a list"),
        ("syntax.json", b'{"a": 1,\n "b" 2}', "line 2, column 6: not JSON"),
        ("big.toml", b"#" * (2**20 + 1), "expected at most 1 MiB, found more"),
        ("big.json", b" " * (2**24 + 1), "expected at most 16 MiB, found more"),
        ("deep.toml", b"a = " + b"[" * 10_000, "nested deeper than 32 levels"),
        ("deep.json", b'{"a":' * 10_000, "nested deeper than 32 levels"),
        ("deepish.json", b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper than 32 levels"),
        ("dots.toml", b"a." * 100_000 + b"a = 1", "nested deeper than 32 levels"),
        ("quoted.toml", b'"a".' * 100_000 + b"a = 1", "nested deeper than 32 levels"),
        ("many.json", b"[" + b"1," * 100_001 + b"1]", "more than 100,000 entries"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, name: str, content: bytes | None, line: str) -> None:
    """Whatever the file holds, one line within a second, naming the file."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        configs.load(path)
    assert time.perf_counter() - start < 1.0
    assert str(caught.value).startswith(f"{path}: {line}") and len(caught.value.problems) == 1


def test_files_that_are_read(tmp_path: Path) -> None:
    """A byte-order mark, as some editors write it, does no harm; a folder is no file."""
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbftitle = 'x'\nmax = inf")
    assert configs.load(tmp_path / "bom.toml") == {"title": "x", "max": INF}
    (tmp_path / "c.json").write_text('{"title": "x", "a": {"b": [1, 2.5, true]}}')
    assert configs.load(tmp_path / "c.json") == {"title": "x", "a": {"b": [1, 2.5, True]}}
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="expected a file, found a folder"):
        configs.load(tmp_path / "folder.toml")


def test_hostile_nesting_from_python_is_refused() -> None:
    """A config that holds itself must not hang or overflow."""
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(ConfigError, match="nested deeper than 32 levels"):
        configs.resolve(loop, KINDS)
    with pytest.raises(ConfigError, match="nested deeper than 32 levels"):
        configs.flatten(loop)
    with pytest.raises(ConfigError, match="nested deeper than 32 levels"):
        configs.changes(loop, {})


def test_many_unknown_keys_are_summed_up() -> None:
    """A wrong file must not flood the terminal."""
    found = problems(base={**BASE, **{f"key\x1b{number}": 1 for number in range(500)}}, command="train")
    assert len(found) == 21 and found[-1] == "config: 480 more unknown keys"


JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2**32, 2**63, 10**400, 0.0, -0.5, 1.0, 1e-9, INF, -INF, math.nan, "", "0.1",
    "mlp", "adam", "a.b", "..", "\x00\n\x1b[2J", "ü" * 200, "\ud800", [], [1, 2], ["x"], {}, {"name": "sgd"},
    {"name": 3}, {"name": []},
    {"factory": 3}, {"factory": sgd}, {"factory": []}, {"a": {"b": {"c": 1}}}, {"low": 1, "high": 2}, {"low": "x"},
    {3: 4},
    (), b"x", np.float32(0.5), np.int64(3), np.zeros(3), sgd, object(), {"tune": {"x": 1}}, {"": 1}, {"a.": 1},
    {"a..b": 2},
]  # fmt: skip


def _mutated(generator: random.Random) -> Any:
    config = copy.deepcopy(BASE)
    for _ in range(generator.randint(1, 4)):
        table, key = config, generator.choice(list(config) or ["x"])
        while isinstance(table.get(key), dict) and table[key] and generator.random() < 0.7:
            table = table[key]
            key = generator.choice(list(table))
        action = generator.random()
        if action < 0.2 and key in table:
            del table[key]
        elif action < 0.4:
            words = ["name", "factory", "tune", "x", "model.depth", "transforms.x", "arms.y.z", ".", "", "learning_rat"]
            table[generator.choice(words)] = generator.choice(JUNK)
        else:
            table[key] = generator.choice(JUNK)
    return config


@pytest.mark.parametrize(("count", "good"), [(400, 8), pytest.param(2000, 50, marks=pytest.mark.slow)])
def test_garbage_is_understood_or_refused_and_never_crashes(count: int, good: int) -> None:
    """Damaged configs: a result that resolves to itself, or a ConfigError of printable lines, within 50 ms."""
    generator = random.Random(0)
    resolved, slow = 0, 0.0
    for _ in range(count):
        config = _mutated(generator)
        start = time.process_time()
        try:
            found = configs.resolve(config, KINDS, command="compare")
        except ConfigError as error:
            assert error.problems
            assert all(line.isprintable() and len(line) < 2000 for line in error.problems), error.problems
        else:
            resolved += 1
            assert list(configs.resolve(found, KINDS, command="compare")) == list(found)
            text = configs.dumps(found)
            assert tomllib.loads(text)["title"] == found["title"] or "\ud800" in text
        slow = max(slow, time.process_time() - start)
    assert resolved > good, "the mutations only ever break the config, so nothing of the good path was tried"
    assert slow < 0.5  # 50 ms each on a quiet machine; shared machines pause


def test_the_config_rooms_import_no_jax() -> None:
    """`--help` and a mistake in a config must answer at once."""
    code = "import sys, deepprinciples.config, deepprinciples.runs.directory, deepprinciples.cli.part_cards as c;"
    code += "sys.exit(any(m.split('.')[0] in ('jax', 'numpy', 'xarray', 'flax') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
