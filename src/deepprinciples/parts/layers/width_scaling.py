"""Maximal update parametrization (muP): what the width of a network does to its first weights and to its steps.

A model takes the width at which both are as without it, `width_base`; 0.0 leaves them so at every width. Kernels that
read a fixed number of features, tables, norms and biases are as they are; a kernel that reads a hidden layer has steps
of base / width, and the outputs' begins smaller, by the root of it. This is the column of Adam in table 3 of
arXiv:2203.03466: an optimizer whose steps do not grow with the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from deepprinciples.parts.layers.noise import is_off
from deepprinciples.types import Array, Scalar

Factors = Callable[[Mapping[str, Any]], dict[str, Scalar]]


def ratio(base: Scalar, width: int) -> Scalar:
    """Return base / width, and 1.0 where base is 0."""
    if is_off(base):
        return 1.0
    return jnp.where(jnp.asarray(base) > 0, jnp.asarray(base) / width, 1.0)


def scaled(initializer: Callable[..., Array], base: Scalar, width: int, power: float = 0.5) -> Callable[..., Array]:
    """Multiply what an initializer draws by (base / width)^power."""
    if is_off(base):
        return initializer
    return lambda key, shape, dtype=jnp.float32: ratio(base, width) ** power * initializer(key, shape, dtype)


def update_factors(*patterns: str, apart: tuple[str, ...] = ()) -> Factors:
    """Return the trait of a model whose parameters of these patterns step by base / width, those of `apart` by 1.0."""

    def factors(section: Mapping[str, Any]) -> dict[str, Scalar]:
        if is_off(section.get("width_base", 0.0)) or not section.get("depth", 1):
            return {}
        found = dict.fromkeys(apart, 1.0)
        return found | dict.fromkeys(patterns, ratio(section["width_base"], section["width"]))

    return factors
