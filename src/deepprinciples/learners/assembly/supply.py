"""What a learner's factory may ask for by keyword, and how it is built from the sections of a config.

A keyword without a default that stands here is supplied; all others are the learner's own and belong to its section.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from deepprinciples.learners.assembly import measured
from deepprinciples.learners.assembly.factories import (
    Config,
    chain,
    example_of,
    groups_of,
    model_of,
    named,
    part,
    trait,
    weights_of,
)
from deepprinciples.learners.assembly.teaching import loss_targets_of
from deepprinciples.learners.control.trained_players import network_of
from deepprinciples.learners.gan.networks import discriminator_of, generator_of
from deepprinciples.learners.grouping import apart_of
from deepprinciples.types import Array, Dataset


def _updates(config: Config) -> int:
    """Count the updates of a run: a step of some learners makes several."""
    a_step = trait("learner", config["learner"], "updates")
    return config["train"]["steps"] * (1 if a_step is None else a_step(config["learner"]))


def _start(config: Config) -> Mapping[str, Array]:
    """Return the weights that a run begins from, by name, for learners that build their networks by themselves."""
    given = config["model"].get("start") or {}
    return {} if "path" in given else given  # on the way to them the config still says where they are


def _every(kind: str) -> Callable[[Config, Dataset], list[Any]]:
    """Build all parts of an ordered table."""
    return lambda config, parts: [part(kind, one, outputs=parts.outputs) for _, one in named(config[kind])]


SUPPLY: Mapping[str, Callable[[Config, Dataset], Any]] = {
    "data": lambda config, parts: parts,
    "example": example_of,
    "model": model_of,
    "network": lambda config, parts: functools.partial(network_of, config),  # (outputs, shape) -> its model
    "start": lambda config, parts: _start(config),
    "weights": lambda config, parts: weights_of(config),
    "loss": lambda config, parts: part("loss", config["loss"]),
    "loss_targets": loss_targets_of,
    "gradient": lambda config, parts: part("gradient", config["gradient"]),
    "trainable": lambda config, parts: apart_of(groups_of(config, _updates(config))),
    "optimizer": lambda config, parts: chain(config, _updates(config)),
    "augment": _every("augment"),
    "regularizers": _every("regularizers"),
    "metrics": measured.metrics_of,
    "weight_averaging": lambda config, parts: part("weight_averaging", config["weight_averaging"]),
    "steps": lambda config, parts: config["train"]["steps"],
    "updates": lambda config, parts: _updates(config),
    "evaluations": lambda config, parts: trait("gradient", config["gradient"], "evaluations") or 1,
    # whether rule and loss let a batch be taken in shares: a loss of the user's may look at all of it
    "splits": lambda config, parts: all(trait(kind, config[kind], "per_example") for kind in ("gradient", "loss")),
    "generator": generator_of,
    "discriminator": discriminator_of,
    "penalties": lambda config, parts: [
        part("penalties", one) for _, one in named(config["discriminator"]["penalties"])
    ],
}
