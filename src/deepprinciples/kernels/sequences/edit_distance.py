"""The Levenshtein distance of token sequences, with static shapes, for use inside a compiled program."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deepprinciples.types import Array


def edit_distance(found: Array, wanted: Array) -> Array:
    """Count the insertions, deletions and substitutions that turn one sequence into another, as few as possible.

    D(i, j) = min(D(i - 1, j) + 1, D(i, j - 1) + 1, D(i - 1, j - 1) + [w_i != f_j]), with D(i, 0) = i and D(0, j) = j

    One step for each place of `wanted`; within a row, D(i, j) = min over k <= j of t(k) + j - k, a running minimum.

    Args:
        found: tokens [M]; what is below 0 is left out.
        wanted: tokens [L]; what is below 0 is left out.

    Returns:
        The distance, int32.
    """
    found, wanted = packed(found), packed(wanted)
    places = jnp.arange(len(found) + 1)

    def row(above: Array, token: Array) -> tuple[Array, None]:
        replaced = above[:-1] + (found != token)
        entry = jnp.concatenate([above[:1] + 1, jnp.minimum(above[1:] + 1, replaced)])
        below = jax.lax.cummin(entry - places) + places
        return jnp.where(token >= 0, below, above), None

    last = jax.lax.scan(row, places, wanted)[0]
    return last[jnp.sum(found >= 0)]


def packed(tokens: Array) -> Array:
    """Move the tokens [L] that count to the front, in order, and fill up with -1."""
    there = tokens >= 0
    order = jnp.argsort(~there, stable=True)
    return jnp.where(there, tokens, -1)[order].astype(jnp.int32)
