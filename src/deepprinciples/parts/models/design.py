"""What all layers of a model have in common, read once from the model's keywords."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp

from deepprinciples.errors import ConfigError
from deepprinciples.parts import activations, initializers
from deepprinciples.types import Array

Skip = Literal["none", "residual", "highway", "dense", "rezero"]
Normalization = Literal["none", "batch", "layer", "group", "rms", "weight", "spectral"]
Kernels = Literal["auto", "stock"]
Function = Callable[..., Array]


class Design(NamedTuple):
    """What all layers of a model have in common; all of it is static but what the functions close over."""

    activation: Function
    initializer: Function
    bias_initializer: Function
    skip: str
    normalization: Normalization
    kernels: Kernels = "auto"


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
) -> Design:
    """Gather what all layers have in common, with names of parts turned into functions."""
    return Design(
        resolve(activations.TABLE, activation, f"{where}.activation"),
        resolve(initializers.TABLE, initializer, f"{where}.initializer"),
        resolve(initializers.TABLE, bias_initializer, f"{where}.bias_initializer"),
        skip,
        normalization,
        kernels,
    )


def row(initializer: Function, fan_in: int) -> Function:
    """Draw biases as one row of a kernel, because an initializer cannot see the fan-in in the shape of a bias."""
    return lambda key, shape, dtype=jnp.float32: initializer(key, (fan_in, *shape), dtype)[0]
