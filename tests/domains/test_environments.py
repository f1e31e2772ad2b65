"""Environments against Gymnasium's own, and against returns that are known."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.domains import registry
from deepprinciples.domains.control import acrobot, cartpole, grid_world, gymnax

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("made", "theirs"), [(cartpole, "CartPole-v1"), (acrobot, "Acrobot-v1"), (gymnax, "CartPole-v1")]
)
def test_episodes_are_those_of_gymnasium(made, theirs):
    """Lost: another task than the one that everybody reports."""
    twin, ours = gymnasium.make(theirs).unwrapped, made()
    step, rng = jax.jit(ours.step), np.random.default_rng(0)
    for _ in range(3):
        twin.reset(seed=0)
        state, observation = ours.reset(jax.random.key(int(rng.integers(1000))))
        names = [f for f in ("x", "x_dot", "theta", "theta_dot") if hasattr(state, f)]
        twin.state = np.array([getattr(state, f) for f in names] if names else state, np.float64)
        for _ in range(60):
            action = int(rng.integers(ours.actions))
            expected, reward, terminated, *_ = twin.step(action)
            state, observation, found, ended = step(KEY, state, jnp.int32(action))
            np.testing.assert_allclose(observation, expected, rtol=2e-4, atol=2e-4)
            assert (float(found), bool(ended)) == (reward, terminated)
            if terminated:
                break
            twin.state = np.array([getattr(state, f) for f in names] if names else state, np.float64)


@pytest.mark.parametrize("name", list(registry.TABLES["environment"]))
def test_shapes_are_as_declared(name):
    """Lost: a network of the wrong size."""
    made = registry.TABLES["environment"][name]()
    state, observation = jax.jit(made.reset)(KEY)
    action = jnp.int32(0) if made.actions else jnp.zeros(made.controls)
    after, seen, reward, terminated = jax.jit(made.step)(KEY, state, action)
    assert observation.shape == seen.shape == made.observation and observation.dtype == jnp.float32
    assert jax.tree.structure(state) == jax.tree.structure(after)
    assert reward.dtype == jnp.float32 and terminated.dtype == bool and made.horizon > 0


def test_other_games_of_gymnax():
    """Lost: MinAtar, continuous actions, or a raw traceback for a name that does not exist."""
    assert gymnax(id="Breakout-MinAtar").observation == (10, 10, 4) and gymnax(id="Breakout-MinAtar").actions == 3
    swing = gymnax(id="Pendulum-v1", horizon=7)
    assert (swing.actions, swing.controls, swing.horizon) == (0, 1, 7)
    with pytest.raises(ValueError, match="gymnax.id: no environment 'CartPole'"):
        gymnax(id="CartPole")


def test_the_way_through_a_grid():
    """Lost: walls that let through, a goal that is not one, a cost that is not paid."""
    world = grid_world(size=3, cost=0.1)
    state, observation = world.reset(KEY)
    assert int(np.argmax(observation)) == 0
    total, path = 0.0, [0, 2, 1, 1, 3, 3]  # up and left into walls, then down twice and right twice
    for number, action in enumerate(path):
        state, observation, reward, terminated = world.step(KEY, state, jnp.int32(action))
        total += float(reward)
        assert bool(terminated) == (number == len(path) - 1)
    assert int(np.argmax(observation)) == 8 and total == pytest.approx(1.0 - 0.1 * 6)


def test_a_slippery_grid_moves_at_random():
    """Lost: a slip of 1 that still obeys."""
    world = grid_world(size=3, slip=1.0)
    move = lambda key: world.step(key, jnp.array([1, 1]), jnp.int32(0))[0]
    places = np.asarray(jax.vmap(move)(jax.random.split(KEY, 4000)))
    shares = [np.mean((places == np.array([1, 1]) + d).all(axis=1)) for d in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
