"""Rows that hold several documents: which positions belong together, and where each stands in its document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.kernels.sequences.attention import MASKED
from deepprinciples.types import Array


def tokens_of(model: str, x: Any, readout: str) -> tuple[Array, Array | None]:
    """Return the tokens of inputs and, where documents are packed into rows, their segments [B, T]; else None.

    Raises:
        ValueError: the inputs are another table, or packed ones are to have a single output.
    """
    if not isinstance(x, Mapping):
        return x, None
    if set(x) != {"tokens", "segments"}:
        raise ValueError(
            f'{model}: found a table of {", ".join(map(str, x))}; expected one array, or {{"tokens", "segments"}}'
        )
    if readout != "every":
        raise ValueError(
            f'{model}.readout: found "{readout}" and rows of several documents; take "every", or data.pack = false'
        )
    return x["tokens"], x["segments"]


def places_in(segments: Array) -> Array:
    """Return the place of every position [B, T] in its document: 0 where a segment begins."""
    first = jnp.concatenate([jnp.ones_like(segments[:, :1], bool), segments[:, 1:] != segments[:, :-1]], axis=1)
    place = jnp.arange(segments.shape[1])[None]
    return place - jax.lax.cummax(jnp.where(first, place, 0), axis=1)


def within(bias: Array | None, segments: Array) -> Array:
    """Let no position read another document: add to the bias [B or 1, H or 1, K, Q] of scores what hides it."""
    same = (segments[:, :, None] == segments[:, None, :])[:, None]  # [B, 1, K, Q]
    return jnp.where(same, jnp.zeros((1, 1, 1, 1)) if bias is None else bias, MASKED)
