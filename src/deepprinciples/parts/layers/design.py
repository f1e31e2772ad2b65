"""The keywords of a model as its layers read them: functions in place of names, and the values of one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp

from deepprinciples.errors import ConfigError
from deepprinciples.parts import activations, initializers
from deepprinciples.parts.layers.keywords import Kernels, Layers, Normalization
from deepprinciples.types import Array, Scalar

Function = Callable[..., Array]


class Design(NamedTuple):
    """What all layers of a model have in common; all of it is static but what the functions close over."""

    activation: Function
    initializer: Function
    bias_initializer: Function
    skip: str
    normalization: Normalization
    kernels: Kernels = "auto"
    ghost_size: int = 16
    lsuv: bool = False

    @property
    def per_example(self) -> bool:
        """Say whether examples of a batch go their own ways: no statistics of the batch, no state."""
        return self.normalization not in ("batch", "ghost", "spectral")


class Step(NamedTuple):
    """What one call of a model brings besides its inputs: all layers read it.

    The numbers are the model's keywords and may be tracers. `last`: number of the last layer that may have a skip;
    `through`: what a recurrent layer does between time steps.
    """

    key: Array | None = None
    train: bool = False
    rate: Scalar = 0.0
    branch_scale: Scalar = 1.0
    perturbations: Mapping[str, Array] = MappingProxyType({})
    drop_connect: Scalar = 0.0
    stochastic_depth: Scalar = 0.0
    stream_scale: Scalar = 1.0
    last: int = 1
    through: Any = None


def resolve(table: Mapping[str, Callable], value: Any, where: str) -> Function:
    """Return the function of a part's name, with default hyper-parameters; functions pass."""
    if callable(value):
        return value
    if value not in table:
        raise ConfigError(f"{where}: found {value!r}; expected a function or one of {', '.join(table)}")
    return table[value]()


def design_of(model: str, layers: Layers) -> Design:
    """Return the static part of the keywords, with names of parts turned into functions."""
    return Design(
        resolve(activations.TABLE, layers.activation, f"{model}.activation"),
        resolve(initializers.TABLE, layers.initializer, f"{model}.initializer"),
        resolve(initializers.TABLE, layers.bias_initializer, f"{model}.bias_initializer"),
        layers.skip,
        layers.normalization,
        layers.kernels,
        layers.ghost_size,
        layers.lsuv,
    )


def step_of(layers: Layers, last: int, through: Any = None) -> Step:
    """Return the numbers of the keywords, as the layers read them in a call."""
    return Step(
        rate=layers.dropout, branch_scale=layers.branch_scale, stream_scale=layers.stream_scale,
        drop_connect=layers.drop_connect, stochastic_depth=layers.stochastic_depth, last=max(last, 1), through=through,
    )  # fmt: skip


def row(initializer: Function, fan_in: int) -> Function:
    """Draw biases as one row of a kernel, because an initializer cannot see the fan-in in the shape of a bias."""
    return lambda key, shape, dtype=jnp.float32: initializer(key, (fan_in, *shape), dtype)[0]
