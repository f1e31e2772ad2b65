"""Groups of parameters: a wrong factor, or a frozen layer that moves, would spoil a result without a word."""

import copy
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.errors import ConfigError
from deepprinciples.learners import grouping
from deepprinciples.learners.assembly import factories, from_config
from deepprinciples.parts import probes, schedules, weight_averaging
from deepprinciples.study.planning import groups
from deepprinciples.types import State

BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 6},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
    "train": {"steps": 10, "seed": 0},
    "study": {"metric": "accuracy", "searches": 1},
}
FIRST, LAST = ("layer_00", "linear", "kernel"), ("output", "kernel")


class Told(NamedTuple):
    grads: dict
    updates: dict


def made(**changes):
    """Build the learner of the base config with changes, and its data."""
    config = configs.resolve(configs.changes(copy.deepcopy(BASE), changes), from_config.KINDS)
    parts = from_config.dataset(config)
    return from_config.learner(config, parts), parts


def trained(steps=5, fold=None, **changes):
    """Take steps of the learner, compiled, and give its states and what it told of each."""
    learner, parts = made(**changes)
    state, batch = learner.init(jax.random.key(3)), from_config.first(parts, 16)
    state = state if fold is None else state._replace(params=jax.tree.map(fold, state.params))

    @jax.jit
    def step(state, batch, key):
        state, info = learner.step(state, batch, key)
        return state, Told(info.grads, info.updates)

    states, infos = [state], []
    for number in range(steps):
        state, info = step(state, batch, jax.random.key(number))
        states.append(state)
        infos.append(info)
    return states, infos


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def test_two_learning_rates_are_those_of_a_chain_written_by_hand():
    """Lost: a factor that is not the one of the config."""
    states, infos = trained(groups={"slow": {"match": "layer_00/*", "learning_rate": 0.1}})
    labels = lambda tree: {key: jax.tree.map(lambda _, key=key: key == "layer_00", one) for key, one in tree.items()}
    twin = optax.multi_transform(
        {True: optax.adamw(0.001, weight_decay=0.1), False: optax.adamw(0.01, weight_decay=0.1)}, labels
    )
    params = states[0].params
    opt_state = twin.init(params)
    for state, info in zip(states[1:], infos, strict=True):
        updates, opt_state = twin.update(info.grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), state.params, params)


def test_an_optimizer_of_its_own_trains_the_group_alone_and_follows_the_schedule():
    """Lost: a head that trains with the backbone's optimizer, or past its schedule."""
    own = {"match": "output/*", "learning_rate": 0.5, "optimizer": {"name": "sgd", "learning_rate": 0.2}}
    states, infos = trained(groups={"head": own}, schedule={"name": "linear"})
    plain, _ = trained(schedule={"name": "linear"})
    assert bits(states[1].params["layer_00"]) == bits(plain[1].params["layer_00"])
    factor = schedules.linear()
    for t, info in enumerate(infos):
        expected = -0.5 * 0.2 * factor(t / 10) * at(info.grads, LAST)
        np.testing.assert_allclose(at(info.updates, LAST), expected, rtol=1e-5, atol=1e-8)


def test_the_first_group_that_matches_owns_a_parameter():
    """Lost: a rule for the rest that takes the head too."""
    both = {"head": {"match": "output/*"}, "rest": {"match": "*", "frozen": True}}
    states, _ = trained(groups=both)
    assert bits(states[0].params["layer_00"]) == bits(states[-1].params["layer_00"])
    assert bits(states[0].params["output"]) != bits(states[-1].params["output"])


@pytest.mark.parametrize("group", [{"frozen": True}, {"learning_rate": 0.0}])
def test_what_is_frozen_keeps_every_bit(group):
    """Lost: a frozen backbone that drifts, by weight decay or in the sign of a zero."""
    negative = lambda leaf: jnp.where(leaf == 0, -0.0, leaf)
    settings = {"groups": {"backbone": {"match": "layer_00/*", **group}}, "train.steps": 4}
    for more in ({}, {"weight_averaging": "ema"}, {"regularizers.l2": {"strength": 0.1}}, {"gradient": "sam"}):
        states, _ = trained(fold=negative, **settings, **more)
        assert bits(states[0].params["layer_00"]) == bits(states[-1].params["layer_00"]), more
        assert bits(states[0].params["output"]) != bits(states[-1].params["output"])


def test_a_group_begins_at_its_share_of_the_run():
    """Lost: gradual unfreezing, by a step too early, too late, or never."""
    late = {"match": "layer_00/*", "begin": 0.4, "learning_rate": 0.5}
    states, infos = trained(6, groups={"late": late})  # 10 steps are the run
    moved = [bits(one.params["layer_00"]) != bits(states[0].params["layer_00"]) for one in states]
    assert moved == [False] * 5 + [True] * 2  # steps 0 to 3 leave it; the state after step 4 differs
    _, whole = trained(6, groups={"late": {**late, "begin": 0.0}})
    assert not np.any(at(infos[3].updates, FIRST)) and np.any(at(whole[3].updates, FIRST))
    kept, _ = trained(10, groups={"late": {**late, "begin": 1.0}})
    assert bits(kept[0].params["layer_00"]) == bits(kept[-1].params["layer_00"])


def test_norms_leave_out_what_is_frozen():
    """Lost: a clip that shortens the head's gradient for a backbone that takes no step."""
    frozen = {"groups": {"backbone": {"match": "layer_00/*", "frozen": True}}}
    states, infos = trained(1, **frozen, **{"transforms.clip_by_global_norm": {"max_norm": 1e-3}})
    whole, all_infos = trained(1, **{"transforms.clip_by_global_norm": {"max_norm": 1e-3}})
    seen = states[1].opt_state["clip_by_global_norm"].norm
    np.testing.assert_allclose(seen, optax.tree.norm(infos[0].grads["output"]), rtol=1e-5)
    assert whole[1].opt_state["clip_by_global_norm"].norm > seen
    assert not np.any(at(infos[0].grads, FIRST)) and np.any(at(all_infos[0].grads, FIRST))


def test_penalties_and_rules_leave_out_what_is_frozen():
    """Lost: a penalty that is mostly of weights that cannot change, and a perturbation of them."""
    frozen = {"groups": {"backbone": {"match": "layer_00/*", "frozen": True}}}
    learner, parts = made(**frozen, **{"regularizers.l2": {"strength": 1.0}})
    bare, _ = made(**frozen)
    state, batch = learner.init(jax.random.key(3)), from_config.first(parts, 16)
    value = lambda one: one.step(state, batch, jax.random.key(0))[1].objective(state.params, batch)
    np.testing.assert_allclose(value(learner) - value(bare), 0.5 * np.sum(np.square(at(state.params, LAST))), rtol=1e-4)
    _, infos = trained(1, **frozen, gradient={"name": "sam", "rho": 0.1})
    model = factories.model_of(configs.resolve(BASE, from_config.KINDS), parts)

    def loss(params):
        outputs = model.apply(params, state.model_state, batch.inputs, key=None, train=True)[0]
        return optax.softmax_cross_entropy_with_integer_labels(outputs, batch.targets).mean()

    here = jax.grad(loss)(state.params)["output"]
    step = jax.tree.map(lambda g: 0.1 * g / optax.tree.norm(here), here)
    there = {**state.params, "output": jax.tree.map(jnp.add, state.params["output"], step)}
    expected = jax.grad(loss)(there)["output"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), infos[0].grads["output"], expected
    )


def test_a_group_at_one_is_the_same_as_none():
    """Lost: an arm without the group, which carries it at its neutral value, would train otherwise."""
    plain, _ = trained()
    grouped, _ = trained(groups={"slow": {"match": "layer_00/*", "learning_rate": 1.0}})
    assert bits(plain[-1].params) == bits(grouped[-1].params)


def test_an_average_of_what_is_frozen_is_the_same_to_the_bit():
    """Lost: judged weights of a frozen layer that differ from those it has."""
    apart = grouping.apart_of({"a": from_config.part("groups", {"name": "group", "match": "a", "frozen": True})})
    average = grouping.without_frozen(weight_averaging.ema(decay=0.9), apart)
    params = {"a": jnp.float32(0.1), "b": jnp.float32(0.3)}
    state = average.init(params)
    for step in range(5):
        state, params = average.update(state, params, jnp.float32(step / 5))
    assert average.value(state, params)["a"] == params["a"]


@pytest.mark.parametrize("group", [{"frozen": True}, {"optimizer": "sgd"}, {"learning_rate": 0.0}])
def test_every_probe_runs_beside_groups(group, tmp_path):
    """Lost: the evidence, for every comparison with a group in it."""
    config = {**BASE, "groups": {"backbone": {"match": "layer_00/*", **group}}}
    config = configs.changes(config, {"optimizer.name": "adam", "train.probes": list(probes.TABLE), "train.steps": 2})
    run = dp.train(config, tmp_path / "run")
    assert np.isfinite(run.results["gradient_norm"]).all()


def grouped(arms, **changes):
    config = configs.changes(copy.deepcopy(BASE), changes) | {"arms": arms}
    resolved = configs.resolve(config, from_config.KINDS, command="compare")
    _, every = configs.resolve_each(resolved, from_config.KINDS)
    arms = [groups.arm_of(name, one.config, one.space) for name, one in every.items()]
    return [one.arms for one in groups.group_arms(arms)]


def test_factors_share_a_program_and_what_is_frozen_does_not():
    """Lost: a program for each factor, or two methods in one."""
    slow = {"match": "layer_00/*"}
    factor = lambda value: {"groups.slow.learning_rate": value}
    assert grouped({"a": factor(0.0), "b": factor(0.1), "c": {}}, groups={"slow": slow}) == [("a", "b", "c")]
    arms = {"plain": {}, "slow": {"groups.slow": slow | {"learning_rate": 0.1}}}
    assert grouped(arms) == [("plain", "slow")]
    assert grouped({"now": {}, "late": {"groups.slow.begin": 0.5}}, groups={"slow": slow}) == [("now", "late")]
    assert grouped({"plain": {}, "cold": {"groups.slow": slow | {"frozen": True}}}) == [("plain",), ("cold",)]
    other = {"groups.head": {"match": "*", "learning_rate": 0.1}}  # which a neutral `slow` before it would keep out
    assert grouped({"slow": arms["slow"], "other": other}) == [("slow",), ("other",)]


def test_a_comparison_tunes_a_factor_in_one_program(tmp_path):
    """Lost: sections that can be written and not compared."""
    config = copy.deepcopy(BASE) | {
        "groups": {"backbone": {"match": "layer_*"}},
        "arms": {
            "frozen": {"groups.backbone.learning_rate": 0.0},
            "tuned": {"tune": {"groups.backbone.learning_rate": {"low": 0.01, "high": 1.0}}},
        },
    }
    config["study"] = {"metric": "accuracy", "searches": 1, "trials": 2, "seeds": 2}
    run = dp.compare(config, tmp_path / "run")
    assert len(run.summary["programs"]) == 1


@pytest.mark.parametrize(("table", "words"), [
    ({"head": {"match": "outptu/*"}},
     ['groups.head.match: no parameter matches "outptu/*"; the nearest are "output/bias"']),
    ({"head": {"match": ["output/*", "x"]}}, ['groups.head.match: no parameter matches "x"']),
    ({"a": {"match": "x"}, "b": {"match": "y"}}, ['matches "x"', 'matches "y"']),
    ({"head": {}}, ["groups.head.match: missing; group needs it"]),
    ({"head": {"match": 3}}, ["groups.head.match: expected a text or a list, found 3"]),
    ({"head": {"match": "*", "rate": 1.0}}, ["groups.head.rate: unknown key"]),
    ({"head": {"match": "*", "learning_rate": -1.0}}, ["groups.head.learning_rate: expected a number of at least 0"]),
    ({"all": {"match": "*", "frozen": True}}, ["groups: every parameter is frozen"]),
    ({"a": {"match": "*"}, "b": {"match": "output/*"}}, ["groups.b.match: every parameter belongs to an earlier"]),
    ({"a": {"match": "output/*", "frozen": True, "learning_rate": 0.5}}, ["groups.a.learning_rate: the group is"]),
    ({"a": {"match": "output/*", "frozen": True, "begin": 0.5}}, ["groups.a.begin: the group is frozen"]),
    ({"a": {"match": "output/*", "optimizer": "sdg"}}, ['groups.a.optimizer.name: no optimizer "sdg"']),
])  # fmt: skip
def test_what_is_wrong_is_told_before_anything_is_written(table, words, tmp_path):
    """Lost: a typing error that trains everything at one rate."""
    with pytest.raises(ConfigError) as caught:
        dp.train({**BASE, "groups": table}, tmp_path / "run")
    assert caught.value.exit_code == 2 and not (tmp_path / "run").exists()
    lines = str(caught.value).splitlines()
    assert all(any(word in line for line in lines) for word in words), lines
    assert len(lines) == len(words)


def test_a_learner_of_ones_own_has_groups_by_its_optimizer(tmp_path):
    """Lost: groups for our learners alone."""

    def mine(*, optimizer):
        start = {"slow": jnp.ones(2), "cold": jnp.ones(2), "fast": jnp.ones(2)}

        def step(state, batch, key):
            grads = jax.tree.map(jnp.ones_like, state.params)
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            info = dp.Info(jnp.zeros(()), state.params, grads, updates, opt_state, {}, dict)
            return dp.State(optax.apply_updates(state.params, updates), (), opt_state), info

        score = lambda state, batch, key: {"score": state.params["fast"][:1], "loss": jnp.zeros(1)}
        return dp.Learner(lambda key: State(start, (), optimizer.init(start)), step, score)

    mine.metrics = {"score": "max"}
    table = {"slow": {"match": "slow", "learning_rate": 0.5}, "cold": {"match": "cold", "frozen": True}}
    run = dp.train({"learner": {"factory": mine}, "optimizer": {"name": "sgd", "learning_rate": 0.125},
                    "groups": table, "train": {"steps": 4}}, tmp_path / "run")  # fmt: skip
    from deepprinciples.interop import parameters

    kept = parameters.kept(run.path, run.summary).params
    assert [float(kept[name][0]) for name in ("slow", "cold", "fast")] == [0.75, 1.0, 0.5]
