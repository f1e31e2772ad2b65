"""Which arms share a program: a wrong answer costs a compilation, or trains one arm with another's settings."""

import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts import augment, regularizers, transforms, weights
from deepprinciples.study.planning import groups
from deepprinciples.types import Scalar


def gathered(small, arms, tune=None, **changes):
    """Group the arms of the small config."""
    config = small(arms=arms, **changes)
    config["study"]["tune"] = tune or {}
    _, found = configs.resolve_each(config, from_config.KINDS, command="compare")
    return groups.group_arms([groups.arm_of(name, one.config, one.space) for name, one in found.items()])


def names(found):
    return [group.arms for group in found]


RATE = {"optimizer.learning_rate": {"low": 0.01, "high": 1.0}}
CLIP = "transforms.clip_by_global_norm"


def test_a_cheap_trick_is_filled_in_switched_off(small):
    """Plain and clipping would need a program each."""
    (group,) = gathered(small, {"plain": {}, "clipping": {CLIP: {"max_norm": 0.5}}}, tune=RATE)
    assert group.arms == ("plain", "clipping")
    assert set(group.names) == {"optimizer.learning_rate", f"{CLIP}.max_norm"}
    assert [values[f"{CLIP}.max_norm"] for values in group.values] == [np.inf, 0.5]
    assert "clip_by_global_norm" in group.config["transforms"]


def test_floats_that_differ_are_traced_and_no_others(small):
    """A program would be compiled for each value, or carry arguments for nothing."""
    (group,) = gathered(small, {"a": {}, "b": {"optimizer.learning_rate": 0.3}, "c": {"optimizer.momentum": 0.9}})
    assert set(group.names) == {"optimizer.learning_rate", "optimizer.momentum"}
    assert [value["optimizer.learning_rate"] for value in group.values] == [0.1, 0.3, 0.1]
    assert [value["optimizer.momentum"] for value in group.values] == [0.0, 0.0, 0.9]
    (same,) = gathered(small, {"a": {}, "b": {}})
    assert same.names == ()


def noisy(*, noise: Scalar = 0.0, rows: int = 30):
    """Make data with a keyword that a user has annotated as if it were swept."""
    return noise, rows


@pytest.mark.parametrize("value", [0.5, 0.0])
def test_values_of_the_data_are_never_traced(small, value):
    """An arm would train on the data of another, and be compared with itself."""
    data = {"factory": noisy, "noise": 0.0}
    found = gathered(small, {"a": {"data": data}, "b": {"data": data | {"noise": value}}})
    assert names(found) == ([("a",), ("b",)] if value else [("a", "b")])
    assert not any(name.startswith("data.") for group in found for name in group.names)


def test_arrays_in_a_section_are_told_apart(small):
    """Long arrays have one short text, and an arm would get the program and the data of another."""
    one, other = np.zeros(5000), np.ones(5000)
    one[2500] = 1.0
    data = {"name": "arrays", "inputs": one, "targets": [1]}
    for changed in (other, one.copy(), [one]):
        found = gathered(small, {"a": {"data": data}, "b": {"data": data | {"inputs": changed}}})
        assert names(found) == [("a",), ("b",)]
    assert names(gathered(small, {"a": {"data": data}, "b": {"data": dict(data)}})) == [("a", "b")]


@pytest.mark.parametrize("change", [
    {"model.activation": "tanh"}, {"model.depth": 2}, {"model.skip": "residual"}, {"optimizer": {"name": "adam"}},
    {"data.batch_size": 8}, {"data.split_seed": 1}, {"loss": "focal"}, {"schedule": "cosine"},
    {"model.initializer": "glorot_normal"}, {"transforms.sign": {}},
])  # fmt: skip
def test_structure_has_a_program_of_its_own(small, change):
    """An arm would train with the structure of another."""
    found = gathered(small, {"plain": {}, "other": change, "plain again": {}})
    assert names(found) == [("plain", "plain again"), ("other",)]


@pytest.mark.parametrize(
    "path",
    [
        "transforms.noise",
        "augment.dropout",
        "augment.mixup",
        "augment.input_noise",
        "augment.label_smoothing",
        "regularizers.jacobian",
        "weights.prune",
    ],
)
def test_costly_tricks_are_never_carried_along(small, path):
    """Every arm would pay for the random numbers of one."""
    assert names(gathered(small, {"plain": {}, "trick": {path: {}}})) == [("plain",), ("trick",)]


def test_every_other_trick_with_a_neutral_is_shared(small):
    """A study of many tricks would compile once for each."""
    tables = (
        ("augment", augment.TABLE),
        ("regularizers", regularizers.TABLE),
        ("transforms", transforms.TABLE),
        ("weights", weights.TABLE),
    )
    known = [(kind, name, factory) for kind, table in tables for name, factory in table.items()]
    cheap = [(k, name) for k, name, f in known if hasattr(f, "neutral") and getattr(f, "fill", True)]
    assert len(cheap) > 6
    (group,) = gathered(small, {"plain": {}} | {name: {f"{kind}.{name}": {}} for kind, name in cheap})
    assert len(group.arms) == len(cheap) + 1


def test_a_trick_without_a_neutral_is_not_filled(small):
    """`sign` cannot be switched off: plain would become sign descent."""
    assert names(gathered(small, {"plain": {}, "sign": {"transforms.sign": {}}})) == [("plain",), ("sign",)]


def test_orders_that_disagree_are_not_merged(small):
    """Clipping before centering is another method than after it."""
    ordered = lambda *keys: {f"transforms.{key}": {} for key in keys}
    a, b = ("clip_by_value", "centralize"), ("centralize", "clip_by_value")
    found = gathered(small, {"ab": ordered(*a), "ba": ordered(*b), "a": ordered("clip_by_value"), "plain": {}})
    assert names(found) == [("ab", "a", "plain"), ("ba",)]
    assert list(found[0].config["transforms"]) == list(a) and list(found[1].config["transforms"]) == list(b)


@pytest.mark.parametrize("arms", [
    {"x": ("clip_by_value", "centralize"), "y": ("weight_decay", "centralize"), "z": ("clip_by_value", "weight_decay")},
    {"x": ("centralize",), "y": ("clip_by_value", "centralize"), "z": ("clip_by_value",)},
    {"x": ("clip_by_value", "weight_decay"), "y": ("clip_by_value", "centralize", "weight_decay")},
])  # fmt: skip
def test_merging_keeps_the_order_of_every_arm(small, arms):
    """An arm's chain would run in another order than its config says."""
    found = gathered(small, {name: {f"transforms.{key}": {} for key in keys} for name, keys in arms.items()})
    for group in found:
        merged = list(group.config["transforms"])
        for name in group.arms:
            positions = [merged.index(key) for key in arms[name]]
            assert positions == sorted(positions), (name, merged)


def test_only_the_swept_is_traced_though_one_arm_lacks_it(small):
    """An arm tuned in a hyper-parameter that only it has would not be tuned."""
    tune = RATE | {f"{CLIP}.max_norm": {"low": 0.1, "high": 10.0}}
    (group,) = gathered(small, {"plain": {}, "clipping": {CLIP: {}}}, tune=tune)
    assert set(group.names) == set(tune)


def test_arms_on_other_arrays_are_other_groups():
    """An arm would train on another arm's data."""
    (one, other), y = np.random.RandomState(0).randn(2, 30, 3), np.arange(30) % 3
    base = {
        "data": {"name": "arrays", "inputs": one, "targets": y},
        "model": {"name": "mlp"},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd"},
    }
    config = {**base, "arms": {"a": {}, "b": {"data.inputs": other}, "c": {"data.inputs": one}}}
    _, arms = configs.resolve_each(config, from_config.KINDS, command="compare")
    found = groups.group_arms([groups.arm_of(name, one.config) for name, one in arms.items()])
    assert names(found) == [("a", "c"), ("b",)]


def test_factories_are_told_apart_by_identity(small):
    """Two functions of one name would be taken for one."""

    def make(factor):
        def mine(*, strength: Scalar = 0.1):
            return from_config.TABLES["transforms"]["weight_decay"](strength=strength * factor)

        return mine

    one, other = make(1.0), make(2.0)
    arms = {
        "a": {"transforms.mine": {"factory": one}},
        "b": {"transforms.mine": {"factory": other}},
        "c": {"transforms.mine": {"factory": one, "strength": 0.2}},
        "plain": {},
    }
    assert names(gathered(small, arms)) == [("a", "c"), ("b",), ("plain",)]
