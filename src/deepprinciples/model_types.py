"""The types of a model: pure functions of its parameters. They are names of `deepprinciples.types` too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Array = jax.Array
PyTree = Any


class Unroll(NamedTuple):
    """How a model of sequences makes its outputs one position at a time.

    begin(batch, length) -> carry, for sequences of up to `length` positions; of a model of pairs, which writes a target
    while it reads a source, begin(params, state, source [B, S], length). advance(params, state, carry, inputs [B] or
    [B, F]) -> (outputs [B, ...], carry), as in evaluation. Arrays of a carry have the batch as their first axis, or
    none.
    """

    begin: Callable[..., PyTree]
    advance: Callable[[PyTree, PyTree, PyTree, Array], tuple[Array, PyTree]]


class Model(NamedTuple):
    """A model as two pure functions.

    init(key, x) -> (params, state); apply(params, state, x, *, key, train) -> (outputs, state, activations).
    `takes_perturbations`: apply adds `state["perturbations"][name]`, where given, to the activation of that name. The
    gradient of the loss with respect to a perturbation is that with respect to the activation.
    `per_example`: examples are independent (no batch statistics, dropout or state), so a batch may be split into
    micro-batches.
    `per_position`: products take the positions [B, T] of all examples as they take examples elsewhere, as those of a
    transformer do, so a micro-batch may hold fewer examples.
    `after`, where there is one: (params, begun, state) -> (params, state), to be called after every update, with the
    state from before the step and the one after it; see `Reparameterization`.
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Array, PyTree, dict[str, Array]]]
    takes_perturbations: bool = False
    per_example: bool = False
    per_position: bool = False
    after: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]] | None = None
    unroll: Unroll | None = None
