"""What all layers of a model have in common, read once from the model's keywords, and what each call brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp

from deepprinciples.errors import ConfigError
from deepprinciples.parts import activations, initializers
from deepprinciples.types import Array, Scalar

Skip = Literal["none", "residual", "highway", "dense", "rezero"]
Normalization = Literal[
    "none", "batch", "ghost", "layer", "group", "instance", "rms", "weight", "weight_standardized", "spectral"
]
Kernels = Literal["auto", "stock"]
# The values that switch off what every network has: each declares them as its neutral ones.
OFF = {"dropout": 0.0, "branch_scale": 1.0, "stream_scale": 1.0, "drop_connect": 0.0, "stochastic_depth": 0.0}
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
    def separate(self) -> bool:
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
    taps: Mapping[str, Array] = MappingProxyType({})
    drop_connect: Scalar = 0.0
    stochastic_depth: Scalar = 0.0
    stream_scale: Scalar = 1.0
    last: int = 1
    through: Any = None


def resolve(table: Mapping[str, Callable], value: Any, where: str) -> Function:
    """Turn the name of a part into its function with default hyper-parameters; functions pass."""
    if callable(value):
        return value
    if value not in table:
        raise ConfigError(f"{where}: found {value!r}; expected a function or one of {', '.join(table)}")
    return table[value]()


def design_of(
    where: str,
    activation: Any,
    initializer: Any,
    bias_initializer: Any,
    skip: str,
    normalization: Normalization,
    kernels: Kernels = "auto",
    *,
    ghost_size: int = 16,
    lsuv: bool = False,
) -> Design:
    """Gather what all layers have in common, with names of parts turned into functions."""
    return Design(
        resolve(activations.TABLE, activation, f"{where}.activation"),
        resolve(initializers.TABLE, initializer, f"{where}.initializer"),
        resolve(initializers.TABLE, bias_initializer, f"{where}.bias_initializer"),
        skip,
        normalization,
        kernels,
        ghost_size,
        lsuv,
    )


def row(initializer: Function, fan_in: int) -> Function:
    """Draw biases as one row of a kernel, because an initializer cannot see the fan-in in the shape of a bias."""
    return lambda key, shape, dtype=jnp.float32: initializer(key, (fan_in, *shape), dtype)[0]
