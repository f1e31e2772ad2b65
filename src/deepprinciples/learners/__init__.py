"""Learners: what one step of a training method is, as pure functions; the table of those a config can name.

A learner's factory says by its keywords what it is made of (`supply`), and so which sections a config has; the others
are its own hyper-parameters. Traits, all optional: `problems(config, parts)` lists what does not fit; `makes_samples`
says that its metrics judge samples; `metrics` declares those that it computes itself, name -> "max" or "min".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepprinciples.config.schema import fields
from deepprinciples.domains import registry
from deepprinciples.learners.assembly.factories import Config, factory_of, part
from deepprinciples.learners.assembly.supply import SUPPLY
from deepprinciples.learners.control import policy_gradient, q_learning
from deepprinciples.learners.gan import gan
from deepprinciples.learners.self_supervised import contrastive, masked
from deepprinciples.learners.supervised import supervised
from deepprinciples.types import Dataset, Learner

LEARNERS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (supervised, gan, policy_gradient, q_learning, contrastive, masked)
}

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {**registry.TABLES, "learner": LEARNERS}
OURS = registry.OURS | frozenset(LEARNERS.values())


def build(config: Config, parts: Dataset) -> Learner:
    """Build the learner of a resolved config; floats in it may be tracers."""
    factory = factory_of("learner", config["learner"])
    asked = [name for name, field in fields(factory).items() if field.required and name in SUPPLY]
    section = {**config["learner"], "factory": factory}
    return part("learner", section, **{name: SUPPLY[name](config, parts) for name in asked})
