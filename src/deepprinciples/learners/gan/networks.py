"""The two networks of a GAN, as its sections describe them: while they train, and once they are trained."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.learners.assembly.factories import Config, chain, named, part
from deepprinciples.learners.gan.players import Player
from deepprinciples.learners.trained_networks import Network
from deepprinciples.parts.models.adapters import coerce
from deepprinciples.types import Array, Dataset, Model


def generator_of(config: Config, parts: Dataset) -> Player:
    """Build the generator with its optimizer and penalties."""
    return _player(config["generator"], _generator(config, parts), config["train"]["steps"])


def discriminator_of(config: Config, parts: Dataset) -> Player:
    """Build the discriminator with its optimizer and penalties; it takes `n_critic` updates a step."""
    del parts
    steps = config["train"]["steps"] * config["learner"].get("n_critic", 1)
    return _player(config["discriminator"], _discriminator(config), steps)


def _player(config: Config, model: Model, steps: int) -> Player:
    regularizers = [part("regularizers", one) for _, one in named(config["regularizers"])]
    return Player(model, chain(config, steps), regularizers)


def _generator(config: Config, parts: Dataset) -> Model:
    shape = parts.train.inputs.shape[1:]
    return coerce(part("generator", config["generator"]["model"], outputs=math.prod(shape), shape=shape))


def _discriminator(config: Config) -> Model:
    return coerce(part("model", config["discriminator"]["model"], outputs=1, vocabulary=0))


def networks(config: Config, parts: Dataset) -> dict[str, Network]:
    """Build both networks; a generator reads noise [B, latent], or a pair (noise, labels [B]) where it has labels."""
    learner = config["learner"]
    classes = parts.outputs if learner["conditional"] else 0

    def with_labels(inputs: Any) -> Array:
        noise, labels = inputs
        return jnp.concatenate([noise, jax.nn.one_hot(labels, classes)], axis=1)

    *places, channels = shape = parts.train.inputs.shape[1:]
    noise = jnp.zeros((1, learner["latent"] + classes))
    examples = jnp.zeros((1, *places, (channels + classes) * learner["pac_size"]))
    return {
        "generator": Network(_generator(config, parts), noise, with_labels if classes else jnp.asarray, shape),
        "discriminator": Network(_discriminator(config), examples),
    }
