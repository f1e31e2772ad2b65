"""Many episodes side by side: so many steps of each, ended ones begun anew, or whole ones from their start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.domains.control.environment import Environment
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.types import Array, PyTree


class Worlds(NamedTuple):
    """Episodes under way, with an axis [N]."""

    state: PyTree
    observation: Array
    steps: Array  # since the start of the episode


class Seen(NamedTuple):
    """What a step of an episode showed; a rollout stacks them to [T, N, ...]."""

    observation: Array
    outputs: Array  # of the network that chose
    action: Array
    reward: Array
    after: Array  # the observation that the action led to, before the episode was begun anew
    terminated: Array
    ended: Array  # terminated, or cut off after the last step


def _keys(key: Array, *shape: int) -> Array:
    """Derive a key for each place of an array."""
    count = 1
    for size in shape:
        count *= size
    return jax.vmap(lambda number: fold_in(key, number))(jnp.arange(count, dtype=jnp.uint32)).reshape(shape)


def begin(environment: Environment, key: Array, count: int) -> Worlds:
    """Begin `count` episodes."""
    state, observation = jax.vmap(environment.reset)(_keys(key, count))
    return Worlds(state, observation, jnp.zeros(count, jnp.int32))


def rollout(
    environment: Environment,
    choose: Callable[[Array, Any], tuple[Array, Array]],
    worlds: Worlds,
    noise: PyTree,
    key: Array,
) -> tuple[Worlds, Seen]:
    """Play all episodes on for some steps.

    What an episode would begin with, if it had to, is drawn for all steps at once, before them.

    Args:
        environment: that they are episodes of.
        choose: (observations [N, ...], what a step finds in `noise`) -> (outputs, actions).
        worlds: where they are.
        noise: arrays [T, N, ...].
        key: of the environment's own random numbers.

    Returns:
        Where they are after it, and what was seen, [T, N, ...].
    """
    steps, count = jax.tree.leaves(noise)[0].shape[:2]
    fresh = jax.vmap(jax.vmap(environment.reset))(_keys(stream(key, "reset"), steps, count))
    moves = _keys(stream(key, "step"), steps, count)

    def step(worlds: Worlds, given: Any) -> tuple[Worlds, Seen]:
        drawn, moves, begun = given
        outputs, action = choose(worlds.observation, drawn)
        state, after, reward, terminated = jax.vmap(environment.step)(moves, worlds.state, action)
        played = worlds.steps + 1
        ended = terminated | (played >= environment.horizon)
        again = lambda new, old: jnp.where(ended.reshape(ended.shape + (1,) * (old.ndim - 1)), new, old)
        state, observation = jax.tree.map(again, begun, (state, after))
        seen = Seen(worlds.observation, outputs, action, reward, after, terminated, ended)
        return Worlds(state, observation, jnp.where(ended, 0, played)), seen

    return jax.lax.scan(step, worlds, (noise, moves, fresh))


def returns(
    environment: Environment, act: Callable[[Array, Array], Array], key: Array, count: int
) -> tuple[Array, Array]:
    """Play whole episodes from their start.

    Args:
        environment: that they are episodes of.
        act: (observations [N, ...], key) -> actions.
        key: of all random numbers.
        count: episodes, N.

    Returns:
        The sum of the rewards of each episode, and its steps, [N].
    """

    def step(carry: Any) -> Any:
        worlds, alive, total, number = carry
        own = fold_in(key, number)
        action = act(worlds.observation, stream(own, "act"))
        keys = _keys(stream(own, "step"), count)
        state, after, reward, terminated = jax.vmap(environment.step)(keys, worlds.state, action)
        total = total + jnp.where(alive, reward, 0.0)
        played = worlds.steps + alive
        return Worlds(state, after, played), alive & ~terminated & (played < environment.horizon), total, number + 1

    worlds = begin(environment, stream(key, "reset"), count)
    carry = (worlds, jnp.ones(count, bool), jnp.zeros(count), jnp.uint32(0))
    worlds, _, total, _ = jax.lax.while_loop(lambda carry: jnp.any(carry[1]), step, carry)
    return total, worlds.steps


def episode(environment: Environment, act: Callable[[Array, Array], Array], key: Array) -> tuple[PyTree, Array]:
    """Play an episode, and return its states [horizon + 1, ...] and how many of them it had."""

    def step(carry: Any, number: Array) -> Any:
        state, observation, alive = carry
        own = fold_in(key, number)
        action = act(observation[None], stream(own, "act"))[0]
        after, observation, _, terminated = environment.step(stream(own, "step"), state, action)
        return (after, observation, alive & ~terminated), (after, alive)

    state, observation = environment.reset(stream(key, "reset"))
    numbers = jnp.arange(environment.horizon, dtype=jnp.uint32)
    _, (states, alive) = jax.lax.scan(step, (state, observation, jnp.bool_(True)), numbers)
    states = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), state, states)
    return states, 1 + jnp.sum(alive)
