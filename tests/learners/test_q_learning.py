"""Action values against numbers worked by hand, and a way that is learned."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.domains.control import Environment
from deepprinciples.learners.control.q_learning import _objective, _worth
from deepprinciples.learners.control.replay_memory import Memory
from deepprinciples.types import Batch, Model

KEY = jax.random.key(0)


def test_a_memory_forgets_the_oldest():
    """Lost: transitions that were never seen, or the newest that are overwritten."""
    memory = Memory.empty({"a": jnp.zeros(()), "b": jnp.zeros(2)}, 6)
    for start in (0, 3, 6):
        a = jnp.arange(start, start + 3.0) + 1.0
        memory = memory.added({"a": a, "b": jnp.stack([a, -a], axis=1)})
        drawn = memory.drawn(KEY, 500)
        np.testing.assert_array_equal(np.unique(drawn["a"]), np.arange(max(0, start - 3), start + 3) + 1.0)
        np.testing.assert_array_equal(drawn["b"], np.stack([drawn["a"], -drawn["a"]], axis=1))


def test_the_objective_by_hand():
    """Lost: Huber's loss, or a gradient through the target."""
    model = Model(lambda key, x: ({}, {}), lambda params, state, x, *, key, train: (params["q"], state, {}))
    q = jnp.array([[1.0, 5.0], [2.0, 0.0]])
    batch = Batch(jnp.zeros((2, 1)), {"action": jnp.array([1, 0]), "target": jnp.array([2.0, 2.5])})
    found = lambda huber: _objective(model, False, huber).loss({"q": q}, {}, batch, KEY)[0]
    np.testing.assert_allclose(found(math.inf), [4.5, 0.125])
    np.testing.assert_allclose(found(1.0), [3.0 - 0.5, 0.125])
    np.testing.assert_allclose(_worth(jnp.array([[3.0, 1.0, 2.0]]), True), [[2.5, 3.5]])


def chain():
    """Pay 1 in the first of two states, then 2 and end; the network below knows both by heart."""
    reset = lambda key: (jnp.zeros((), jnp.int32), jnp.array([1.0, 0.0]))
    step = lambda key, n, action: (n + 1, jnp.array([0.0, 1.0]), 1.0 + n, n == 1)
    return Environment(reset, step, (2,), actions=2, horizon=9)


@pytest.mark.parametrize(("double", "first"), [(0.0, 1.0 + 0.5 * 4.0), (1.0, 1.0 + 0.5 * 3.0)])
def test_targets_by_hand(double, first, tmp_path):
    """Lost: the target network, its end at the end of an episode, or which of the two chooses."""
    from deepprinciples.config import resolve
    from deepprinciples.learners.assembly import from_config

    config = resolve(
        {
            "learner": {
                "name": "q_learning", "environment": {"factory": chain}, "environments": 1, "rollout": 2, "capacity": 2,
                "warmup": 1, "minibatch": 16, "discount": 0.5, "double": double,
            },
            "model": {"name": "mlp", "depth": 0},
            "optimizer": {"name": "sgd", "learning_rate": 1e-3},
            "train": {"steps": 5},
        },
        from_config.KINDS,
        command="train",
    )  # fmt: skip
    learner = from_config.learner(config, from_config.dataset(config))
    state = learner.init(KEY)
    known = lambda rows: {"output": {"kernel": jnp.array(rows), "bias": jnp.zeros(2)}}
    own, held = known([[0.0, 0.0], [7.0, 6.0]]), known([[0.0, 0.0], [3.0, 4.0]])
    assert jax.tree.structure(own) == jax.tree.structure(state.params)
    state = state._replace(params=own, extra=state.extra._replace(target=held))
    batch = jax.jit(lambda state: learner.step(state, None, KEY)[1].batch)(state)
    at_first = np.asarray(batch.inputs)[:, 0] == 1.0
    assert 0 < at_first.sum() < 16
    np.testing.assert_allclose(batch.targets["target"], np.where(at_first, first, 2.0))


def test_it_finds_its_way(tmp_path):
    """Lost: learning; floats that are compiled in."""
    config = {
        "learner": {
            "name": "q_learning", "environment": {"name": "grid_world", "size": 3}, "capacity": 2048, "warmup": 256,
            "minibatch": 64, "target_every": 10, "discount": 0.9, "episodes": 4,
        },
        "model": {"name": "mlp", "depth": 0},
        "optimizer": {"name": "adam", "learning_rate": 0.03},
        "train": {"steps": 150, "probes": ["gradient_norm"]},
        "study": {"seeds": 6},
        "arms": {"single": {}, "double": {"learner.double": 1.0}, "blind": {"learner.discount": 0.0}},
    }  # fmt: skip
    run = dp.compare(config, tmp_path / "run")
    score = run.results.score
    assert (score.sel(arm=["single", "double"]) > 0.95).all() and len(run.summary["programs"]) == 1
    assert score.sel(arm="blind").mean() < 0.9  # who sees one step ahead stumbles to the goal at best


def test_real_numbers_and_odd_memories_are_refused(tmp_path):
    """Lost: an error about shapes, deep inside."""
    config = {"learner": {"name": "q_learning", "capacity": 100}, "model": "mlp", "optimizer": "adam"}
    with pytest.raises(
        dp.errors.ConfigError, match="learner.capacity: 100 is no multiple of environments x rollout = 64"
    ):
        dp.train({**config, "train": {"steps": 2}}, tmp_path / "run")
    swing = {"name": "q_learning", "environment": {"name": "gymnax", "id": "Pendulum-v1"}}
    with pytest.raises(dp.errors.ConfigError, match="its actions are real numbers, and q_learning chooses"):
        dp.train({**config, "learner": swing, "train": {"steps": 2}}, tmp_path / "run")
