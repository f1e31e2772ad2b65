"""Traits: what a factory carries beside its signature, the same for our parts and for a user's.

A failure here means: a user's part is second-class, or a card promises a value that does something else.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.cli import part_cards
from deepprinciples.config.schema import convert, fields
from deepprinciples.domains.registry import TABLES
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import from_config, measured
from deepprinciples.learners.assembly.supply import SUPPLY
from deepprinciples.study import plugins
from deepprinciples.study.planning import groups
from deepprinciples.types import Scalar, better, traits

OWN = '''
"""A user's parts, one of each kind, with every trait that ours have."""

from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from deepprinciples.types import LearningRate, Range, Rate, Scalar, Share, better, traits


@traits(neutral={"size": 0.0})
def shorter(*, size: Share = 0.5):
    """Shorten the gradient."""
    return optax.stateless(lambda grads, params: jax.tree.map(lambda g: (1.0 - size) * g, grads))


@traits(neutral={"pull": 0.0})
def to_one(*, pull: Annotated[Scalar, Range("[0, 2]", "0.0 switches it off")] = 0.1):
    """Pull all weights to one."""
    return lambda params: pull * sum(jnp.sum((w - 1.0) ** 2) for w in jax.tree.leaves(params))


@traits(neutral={"pull": 0.0}, fill=False, targets="classes")
def dear(*, pull: Scalar = 0.1):
    """Do the same, at a price that other arms should not pay."""
    return to_one(pull=pull)


@traits(evaluations=3, per_example=True)
def thrice():
    """Take the gradient, and say that it takes three."""
    return lambda loss_fn: jax.value_and_grad(loss_fn, has_aux=True)


@traits(per_example=True, targets="classes", neutral={"delta": 1.0})
def softer(*, delta: Annotated[Scalar, Range("(0, 1]")] = 0.5):
    """Take the cross-entropy of scaled logits."""
    return lambda outputs, labels: optax.losses.softmax_cross_entropy_with_integer_labels(delta * outputs, labels)


@traits(targets="classes")
@better("min", worst=1.0, best=0.0)
def slips():
    """Count wrong answers."""
    return lambda outputs, labels: (jnp.argmax(outputs, axis=-1) != labels).astype(jnp.float32)


@traits(neutral={"momentum": 0.0}, follows_schedule=False)
def ball(*, learning_rate: LearningRate = 0.1, momentum: Rate = 0.0, strength: Scalar = -1.0):
    """Roll downhill."""
    return optax.sgd(learning_rate, momentum)


@traits(of_progress=True, neutral={"final": 1.0})
def straight(*, final: Share = 1.0):
    """Fall in a straight line."""
    return lambda progress: 1.0 + (final - 1.0) * progress


TABLES = {
    "transforms": {"shorter": shorter},
    "regularizers": {"to_one": to_one, "dear": dear},
    "gradient": {"thrice": thrice},
    "loss": {"softer": softer},
    "metric": {"slips": slips},
    "optimizer": {"ball": ball},
    "schedule": {"straight": straight},
}
'''
BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": "softer",
    "gradient": "thrice",
    "optimizer": "ball",
    "schedule": {"name": "straight", "final": 0.5},
    "train": {"steps": 4, "probes": []},
    "study": {"metric": "slips", "seeds": 2},
}
ARMS = {
    "plain": {},
    "shorter": {"transforms.shorter": {"size": 0.25}},
    "to_one": {"regularizers.to_one": {}},
    "dear": {"regularizers.dear": {}},
}
OURS = [(kind, name, one) for kind, table in TABLES.items() for name, one in table.items()]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Add a user's parts to the tables, as `--plugin` does, and take them out again."""
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    before = {kind: set(table) for kind, table in TABLES.items()}
    plugins.add_parts(path)
    yield
    for kind, names in before.items():
        for name in set(TABLES[kind]) - names:
            del TABLES[kind][name]


def resolved(**changes):
    return configs.resolve(configs.changes(BASE, changes), from_config.KINDS)


@pytest.fixture(scope="module")
def run(own, tmp_path_factory):
    return dp.compare({**BASE, "arms": ARMS}, tmp_path_factory.mktemp("run") / "run")


def test_arms_without_a_users_part_share_its_program_unless_it_is_too_dear(run):
    """A study of one's own trick would compile twice, or all arms would pay for what one does."""
    programs = {tuple(row["arms"]): row for row in run.summary["programs"]}
    assert set(programs) == {("plain", "shorter", "to_one"), ("dear",)}
    assert set(programs["plain", "shorter", "to_one"]["traced"]) == {
        "transforms.shorter.size",
        "regularizers.to_one.pull",
    }


def test_an_arm_that_was_filled_up_trains_as_it_does_alone(run, tmp_path):
    """The baseline of a comparison would not be the method without the trick."""
    alone = dp.train({**BASE, "train": {**BASE["train"], "seeds": 2}}, tmp_path / "alone").results.train_loss
    np.testing.assert_allclose(run.results.train_loss.sel(arm="plain"), alone.squeeze("arm"), rtol=1e-5)


def test_the_gradients_that_a_users_rule_takes_are_counted(run):
    """A method at three times the cost would look as cheap as the baseline."""
    assert [row["gradient_evaluations_per_step"] for row in run.summary["programs"]] == [3, 3]
    assert run.summary["cost"]["gradient_evaluations"] == 3 * run.summary["cost"]["model_steps"]


def test_a_users_metric_has_direction_and_ends(run):
    """The worst arm would win, or an interval reach beyond what the metric can be."""
    config = resolved()
    assert not from_config.higher_is_better(config) and (measured.worst(config), measured.best(config)) == (1.0, 0.0)
    assert run.summary["direction"] == "min"


def test_a_diverged_run_is_given_the_worst_value_of_a_users_metric(own, tmp_path):
    """A method that blows up would count as good as its last step."""
    blown = {"schedule": "constant", "optimizer": {"name": "sgd", "learning_rate": 1e30}}
    arms = {"a": {}, "b": {"loss.delta": 1.0}}
    found = dp.compare({**configs.changes(BASE, blown), "arms": arms}, tmp_path / "run")
    assert [(row["mean"], row["diverged"]) for row in found.summary["arms"]] == [(1.0, 2), (1.0, 2)]


def test_the_targets_of_users_parts_are_checked(own):
    """A loss that is 0 everywhere would train nothing, without a word."""
    targets = {"name": "arrays", "inputs": np.ones((30, 3)), "targets": np.linspace(-1, 1, 30), "task": "regression"}
    data = {**targets, "batch_size": 8}
    config = resolved(data=data, **{"regularizers.dear": {}})
    found = from_config.check(config, from_config.dataset(config))
    begins = ("loss.name: softer needs", "study.metric.name: slips needs", "regularizers.dear: dear needs")
    assert len(found) == 3 and all(line.startswith(begin) for line, begin in zip(found, begins, strict=True))
    config = resolved(data=data, loss={"factory": TABLES["loss"]["softer"]}, **{"study.metric": "mse"})
    (line,) = from_config.check(config, from_config.dataset(config))
    assert line.startswith("loss.factory: softer needs class labels, but data.name 'arrays' has real-valued targets")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("transforms.shorter", {"size": 1.5}, "transforms.shorter.size: expected a number of at least 0 and at most 1"),
        ("regularizers.to_one", {"pull": 3.0}, "at least 0 and at most 2, found 3.0; 0.0 switches it off"),
        ("loss", {"name": "softer", "delta": 0.0}, "loss.delta: expected a number above 0 and at most 1, found 0.0"),
        ("optimizer", {"name": "ball", "learning_rate": 0.0}, "above 0, found 0.0; give a positive rate such as 0.1"),
        ("optimizer", {"name": "ball", "momentum": 1.0}, "optimizer.momentum: expected a number of at least 0 and"),
        ("schedule", {"name": "straight", "final": 2.0}, "schedule.final: expected a number of at least 0 and at most"),
    ],
)
def test_the_ranges_of_users_parts_are_enforced(own, path, value, message):
    """A value outside the definition of a part would train to the end."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        resolved(**{path: value})


def test_no_keyword_of_a_user_is_checked_by_its_name(own):
    """`strength` below zero means nothing in our parts, and may mean something in a user's."""
    assert resolved(optimizer={"name": "ball", "strength": -7.0})["optimizer"]["strength"] == -7.0


def test_a_large_batch_is_split_where_rule_and_loss_are_per_example(own):
    """Large batches of a loss or rule of one's own would not fit, or one that looks at all examples would be cut."""

    def whole(): ...

    several = (
        {},
        {"loss": {"factory": whole}},
        {"gradient": {"factory": whole}},
        {"gradient": "plain"},
        {"gradient": "sam"},
    )
    found = [SUPPLY["splits"](resolved(**changes), None) for changes in several]
    assert found == [True, False, False, True, False]


def test_the_card_of_a_users_part_tells_its_traits(own):
    """`show` would say less about one's own part than about ours."""
    cards = part_cards.cards_of({"transforms": TABLES["transforms"]})
    assert "  s size: number = 0.5  (neutral 0.0; in [0, 1])" in part_cards.card(cards, "transforms", "shorter")


def test_a_trait_or_a_keyword_that_is_not_there_is_named():
    """A typing error would leave a part without its trait, and nobody would know."""
    with pytest.raises(TypeError, match=r"traits: no trait neutrl \(traits: neutral, fill, "):
        traits(neutrl={"rate": 0.0})

    def mine(*, rate: Scalar = 0.1): ...

    with pytest.raises(TypeError, match=r"traits: neutral: mine has no keyword rat \(it has rate\)"):
        traits(neutral={"rat": 0.0})(mine)
    assert traits(neutral={"rate": 0})(mine) is mine and better("max", best=1.0)(mine).best == 1.0
    arms = {"plain": {}, "mine": {"transforms.mine": {"factory": mine}}}
    _, found = configs.resolve_each({**ours(), "arms": arms}, from_config.KINDS)
    gathered = groups.group_arms([groups.arm_of(name, one.config) for name, one in found.items()])
    assert [group.arms for group in gathered] == [("plain", "mine")]


def ours():
    return {key: value for key, value in BASE.items() if key in ("data", "model")} | {
        "loss": "softmax_cross_entropy",
        "optimizer": "sgd",
    }


@pytest.mark.parametrize(("kind", "name", "factory"), OURS, ids=[f"{kind}-{name}" for kind, name, _ in OURS])
def test_the_neutral_values_on_a_card_are_those_of_the_part(kind, name, factory):
    """A reader would switch a part off by a value that does something else, or that a config refuses."""
    told = part_cards.arguments(part_cards.parsed(factory)["Args"])
    said = {key: re.search(r"\*Neutral: (-?(?:inf|[\d.]*\d))", words) for key, words in told.items()}
    off = getattr(factory, "neutral", {})
    assert {key: float(match[1]) for key, match in said.items() if match} == off
    for key, value in off.items():
        field = fields(factory)[key]
        assert field.sweepable and convert(field._replace(default=None), value) == value
