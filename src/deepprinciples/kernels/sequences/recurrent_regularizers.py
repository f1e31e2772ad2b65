"""Recurrent cells with something done between their steps: by a plain scan, with the gradient that autodiff gives.

The quick kernels in `recurrence` know nothing of this, so that they stay as they are for a network without tricks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from deepprinciples.kernels.sequences.recurrence import CELLS, Carry, Cell, Function, keep, lstm_step, start
from deepprinciples.types import Array, Scalar


class Between(NamedTuple):
    """What is done between the steps of a recurrence; None costs nothing.

    units: [B, H], factors of the units of h on its way into the kernel, the same at every step.
    stays: for each state (h, or h and c) what stays of its last value, [T, B, H] of booleans or of shares.
    normed: (x, h @ kernel) -> what the cell adds up in their place.
    shown: (c) -> what the output gate of an LSTM sees of it.
    max_gradient: largest absolute value of an entry of the gradient that passes from a step to the one before.
    """

    units: Array | None = None
    stays: tuple[Array | None, ...] | None = None
    normed: Callable[[Array, Array], tuple[Array, Array]] | None = None
    shown: Callable[[Array], Array] | None = None
    max_gradient: Scalar | None = None


@jax.custom_vjp
def bounded(x: Array, bound: Array) -> Array:
    """Let x pass, and of its gradient what lies between -bound and bound."""
    del bound
    return x


bounded.defvjp(
    lambda x, bound: (x, bound),
    lambda bound, gradient: (jnp.clip(gradient, -bound, bound), jnp.zeros_like(bound)),
)


def recur_between(
    cell: Cell,
    projected: Array,
    kernel: Array,
    between: Between,
    *,
    activation: Function,
    push: Array | None = None,
    mask: Array | None = None,
    reverse: bool = False,
) -> tuple[Array, Array]:
    """Run a recurrent cell over sequences, from a state of zeros, as `recur` does.

    Args:
        cell: which.
        projected: [T, B, G H], inputs times their kernel plus bias; gates side by side.
        kernel: [H, G H].
        between: what is done between steps.
        activation: elementwise.
        push: [T, B, H], added to h_t on its way to the next step, but not to what comes out.
        mask: [T, B] of booleans; where False, states stay what they were.
        reverse: run from the last step to the first.

    Returns:
        h_t [T, B, H] before the push, and what the last activation of each step read, [T, B, H].
    """
    units, stays, normed, shown, max_gradient = between
    advance = CELLS[cell]
    if cell == "lstm" and shown is not None:
        advance = functools.partial(lstm_step, shown=shown)
    dropped = None if mask is None else mask[..., None]

    def body(carry: Carry, inputs: tuple) -> tuple[Carry, tuple[Array, Array]]:
        x, push, mask, stay = inputs
        if max_gradient is not None:
            bound = jnp.asarray(max_gradient, x.dtype)
            carry = tuple(bounded(state, bound) for state in carry)
        recurrent = (carry[0] if units is None else carry[0] * units) @ kernel
        x, recurrent = (x, recurrent) if normed is None else normed(x, recurrent)
        new, read = advance(carry, x, recurrent, activation)
        if stay is not None:
            new = tuple(_mixed(share, a, b) for share, a, b in zip(stay, new, carry, strict=True))
        h, *rest = keep(mask, new, carry)
        return (h if push is None else h + push, *rest), (h, read)

    return lax.scan(body, start(cell, projected, kernel), (projected, push, dropped, stays), reverse=reverse)[1]


def _mixed(share: Array | None, new: Array, old: Array) -> Array:
    if share is None:
        return new
    return jnp.where(share, old, new) if share.dtype == bool else new + share * (old - new)
