"""What is asked of a trained learner that acts: its networks, and an episode to look at."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.learners.assembly.factories import Config, part
from deepprinciples.learners.control.actions import Policy, noise_of
from deepprinciples.learners.control.environment_checks import environment_of
from deepprinciples.learners.control.rollouts import episode
from deepprinciples.learners.trained_networks import Network
from deepprinciples.parts.models.adapters import coerce
from deepprinciples.types import Array, Dataset, Model, PyTree, State


def network_of(config: Config, outputs: int, shape: tuple[int, ...]) -> Model:
    """Build the model of a config for inputs of a shape."""
    return coerce(part("model", config["model"], outputs=outputs, vocabulary=0, shape=shape))


def networks(config: Config, parts: Dataset) -> dict[str, Network]:
    """Return the networks by the names of their parameters: actor and critic, or "" for the one of action values."""
    del parts
    world, example = _world(config)
    if "dueling" in config["learner"]:
        outputs = world.actions + config["learner"]["dueling"]
        return {"": Network(network_of(config, outputs, world.observation), example)}
    sizes = {"actor": world.actions or world.controls, "critic": 1}
    return {name: Network(network_of(config, size, world.observation), example) for name, size in sizes.items()}


def watched(config: Config, state: State, key: Array) -> tuple[PyTree, Array, Any]:
    """Play an episode as an evaluation does; see the trait `episode`."""
    world, _ = _world(config)
    name, network = next(iter(networks(config, None).items()))  # type: ignore[arg-type]
    params, own = state.eval_params, state.eval_state
    chosen, kept = (params[name], own[name]) if name else (params, own)

    def act(x: Array, key: Array) -> Array:
        outputs = network.model.apply(chosen, kept, x, key=None, train=False)[0]
        if not name:
            return jnp.argmax(outputs[..., -world.actions :], axis=-1)
        noise = noise_of(key, outputs.shape, choice=bool(world.actions))
        return Policy(outputs, params.get("spread")).act(noise)

    states, count = jax.jit(lambda key: episode(world, act, key))(key)
    return states, count, world.draw


def _world(config: Config) -> tuple[Any, Array]:
    world = environment_of(config["learner"]["environment"])
    return world, jnp.zeros((1, *world.observation))
