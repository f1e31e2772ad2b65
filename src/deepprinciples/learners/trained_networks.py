"""The networks of a trained learner: what is asked for an answer once training is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from deepprinciples.learners.assembly.factories import Config, example_of, factory_of, model_of, weights_of
from deepprinciples.learners.reparameterized import reparameterized
from deepprinciples.types import Dataset, Model, PyTree


class Network(NamedTuple):
    """A network and what its user gives and gets.

    read(inputs) -> what the model reads; `shape` is that of one output, where it is not the model's own.
    """

    model: Model
    example: PyTree  # one input, as the model reads it
    read: Callable[[Any], Any] = lambda inputs: inputs
    shape: tuple[int, ...] | None = None


def networks_of(config: Config, parts: Dataset) -> dict[str, Network]:
    """Return the networks of a resolved config by the names of their parameters; "" where there is one model."""
    own = getattr(factory_of("learner", config["learner"]), "networks", None)
    if own is not None:
        return own(config, parts)
    if "model" not in config:
        return {}
    model = reparameterized(model_of(config, parts), weights_of(config))
    return {"": Network(model, example_of(config, parts).inputs)}
