"""What of a config does not fit a learner that acts, found before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.domains.control import Environment
from deepprinciples.domains.registry import OURS
from deepprinciples.learners.assembly.factories import Config, factory_of, part
from deepprinciples.types import Dataset

TRIED = 64  # steps that an environment of the user's is tried for


def problems(config: Config, parts: Dataset) -> list[str]:
    """List what does not fit together: sizes of shares, and an environment that is none."""
    del parts
    settings, found = config["learner"], list[str]()
    if "minibatches" in settings:
        size = settings["environments"] * settings["rollout"]
        if size % settings["minibatches"]:
            found.append(
                f"learner.minibatches: {settings['minibatches']} do not divide environments x rollout = {size}; "
                "change one"
            )
    if "capacity" in settings:
        size = settings["environments"] * settings["rollout"]
        if settings["capacity"] % size:
            found.append(f"learner.capacity: {settings['capacity']} is no multiple of environments x rollout = {size}")
    wrong = _of_environment(settings["environment"])
    if "capacity" in settings and not wrong and not environment_of(settings["environment"]).actions:
        wrong = ["learner.environment: its actions are real numbers, and q_learning chooses; take policy_gradient"]
    return found + wrong


def environment_of(section: Any) -> Environment:
    """Build an environment from its section."""
    return part("environment", {"name": section} if isinstance(section, str) else section)


def _of_environment(section: Mapping[str, Any]) -> list[str]:
    """Check the shapes of an environment; one of the user's also plays some steps at random."""
    where = "learner.environment"
    try:
        made = environment_of(section)
    except ValueError as error:
        return [f"{where}: {error}"]
    if not isinstance(made, Environment):
        return [f"{where}: the factory gave {type(made).__name__}, expected dp.Environment(reset, step, observation)"]
    if bool(made.actions) == bool(made.controls):
        return [f"{where}: found {made.actions} actions and {made.controls} controls, expected one of them to be 0"]
    if made.horizon < 1:
        return [f"{where}: found horizon {made.horizon}, expected at least 1: evaluation plays whole episodes"]
    key = jax.random.key(0)
    action = jnp.zeros((), jnp.int32) if made.actions else jnp.zeros(made.controls)
    try:
        state, observation = jax.eval_shape(made.reset, key)
        after = jax.eval_shape(made.step, key, state, action)
        if not (isinstance(after, tuple) and len(after) == 4):
            return [f"{where}: step gave {_shown(after)}, expected (state, observation, reward, terminated)"]
        wrong = _mismatches(made, state, observation, after)
    except Exception as error:
        return [f"{where}: {type(error).__name__} in reset or step: {' '.join(str(error).split())[:300]}"]
    if wrong or factory_of("environment", section) in OURS:
        return [f"{where}: {one}" for one in wrong]
    return [f"{where}: {one}" for one in _tried(made, key)]


def _mismatches(made: Environment, state: Any, observation: Any, after: Any) -> list[str]:
    number = jax.ShapeDtypeStruct((), jnp.float32)
    looks = jax.ShapeDtypeStruct(made.observation, jnp.float32)
    pairs = [
        ("reset gave an observation", observation, looks),
        ("step gave a state", after[0], state),
        ("step gave an observation", after[1], looks),
        ("step gave a reward", after[2], number),
        ("step gave terminated", after[3], jax.ShapeDtypeStruct((), jnp.bool_)),
    ]
    wrong = (f"{what} {_shown(a)}, expected {_shown(b)}" for what, a, b in pairs if _shown(a) != _shown(b))
    return [one for one in (next(wrong, ""),) if one]


def _shown(tree: Any) -> str:
    shown = lambda leaf: f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else repr(leaf)[:40]
    return str(jax.tree.map(shown, tree)).replace("'", "")


def _tried(made: Environment, key: Any) -> list[str]:
    """Play some steps at random, and tell of numbers that are none."""

    def step(state: Any, key: Any) -> Any:
        act, own = jax.random.split(key)
        if made.actions:
            action = jax.random.randint(act, (), 0, made.actions)
        else:
            action = jax.random.normal(act, (made.controls,))
        state, observation, reward, _ = made.step(own, state, action)
        return state, (jnp.all(jnp.isfinite(observation)), jnp.isfinite(reward))

    state, observation = made.reset(key)
    _, (seen, paid) = jax.jit(lambda state: jax.lax.scan(step, state, jax.random.split(key, TRIED)))(state)
    found = []
    for what, finite in (("observation", np.append(np.isfinite(observation).all(), seen)), ("reward", paid)):
        if not np.all(finite):
            found.append(f"found a {what} that is no finite number after {int(np.argmin(finite))} steps at random")
    return found
