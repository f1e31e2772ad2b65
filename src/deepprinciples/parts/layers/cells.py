"""One direction of one recurrent layer: its weights, the biases of its gates, and what is done between its steps.

The cells are our own (`kernels.sequences.recurrence`), not Linen's, for three reasons: the input projection runs
outside the loop, the forget bias is a hyper-parameter (Linen's starts at 0), and a perturbation reaches into the
recurrence, so that its gradient is the whole gradient with respect to the hidden state of that time step.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.kernels.sequences.recurrence import GATES, Cell, project, recur
from deepprinciples.kernels.sequences.recurrent_regularizers import Between, recur_between
from deepprinciples.parts.layers.design import Design, Function, Step
from deepprinciples.parts.layers.hidden_layers import Weights
from deepprinciples.parts.layers.kernel_transforms import transform_of
from deepprinciples.parts.layers.noise import drop_weights, is_off, key_of, thinned
from deepprinciples.parts.layers.normalization import enough, over_spread
from deepprinciples.types import Array, Scalar

CellNormalization = Literal["none", "layer"]


class Cells(NamedTuple):
    """The static part of all layers of a recurrent network."""

    cell: Cell
    width: int
    bidirectional: bool
    design: Design
    recurrent_initializer: Function
    gate_bias: Function
    normalization: CellNormalization


class Through(NamedTuple):
    """What a recurrent network does between time steps; see `lstm` for each."""

    variational_dropout: Scalar = 0.0
    zoneout: Scalar = 0.0
    cell_zoneout: Scalar = 0.0
    max_gradient: Scalar = float("inf")


def stacked(initializer: Function, gates: int) -> Function:
    """Initialize each gate by itself and put the gates side by side, so that fans are those of one gate."""

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        gate = (*shape[:-1], shape[-1] // gates)
        return jnp.concatenate([initializer(k, gate, dtype) for k in jax.random.split(key, gates)], axis=-1)

    return init


def lstm_bias(initializer: Function, forget_bias: Scalar, longest_lag: int) -> Function:
    """Initialize the biases of the gates i, f, g, o, with `forget_bias` added to f, or chrono biases on i and f.

    Chrono: b_f = log U(1, longest_lag - 1), b_i = -b_f (arXiv:1804.11188); used where `longest_lag` is above 2.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        i, f, g, o = jnp.split(stacked(initializer, 4)(key, shape, dtype), 4)
        if longest_lag > 2:
            chrono = jnp.log(random.uniform(jax.random.fold_in(key, 1), f.shape, dtype, 1.0, longest_lag - 1.0))
            return jnp.concatenate([i - chrono, f + chrono, g, o])
        return jnp.concatenate([i, f + forget_bias, g, o])

    return init


def drop_through_time(x: Array, step: Step, number: int) -> Array:
    """Drop the same features of a sequence [B, T, F], or of a vector [B, F], at all time steps (arXiv:1512.05287)."""
    rate = step.through.variational_dropout
    key = key_of(step, rate, "variational_dropout")
    if key is None:
        return x
    key = fold_in(stream(key, "variational_dropout"), number)
    return thinned(x, rate, key, (len(x),) + (1,) * (x.ndim - 2) + (x.shape[-1],))


class Recurrence(nn.Module):
    """One direction of one layer: [B, T, F] -> hidden states and what the activation read, [B, T, H], and its gates.

    The gates are [B, T, gates, H]: i, f, o of an LSTM, r, z of a GRU. None of the plain cell, and where a trick acts
    between the steps.
    """

    kind: Cells
    reverse: bool

    @nn.compact
    def __call__(
        self, x: Array, push: Array | None, mask: Array | None, step: Step
    ) -> tuple[Array, Array, Array | None]:
        x, push, mask = jax.tree.map(lambda a: a.swapaxes(0, 1), (x, push, mask))  # time first
        cell, design = self.kind.cell, self.kind.design
        projected, kernel, between = self._prepared(x, step)
        options: dict[str, Any] = {
            "activation": design.activation, "push": push, "mask": mask, "reverse": self.reverse,
        }  # fmt: skip
        if between is not None:
            hidden, read = recur_between(cell, projected, kernel, between, **options)
            return hidden.swapaxes(0, 1), read.swapaxes(0, 1), None
        hidden, read = recur(cell, projected, kernel, kernels=design.kernels, **options)
        gates = None
        if cell in _SIGMOIDS:
            gates = _gates(self, projected, kernel, hidden)
            gates = gates if mask is None else jnp.where(mask[..., None, None], gates, jnp.nan)
            gates = gates.swapaxes(0, 1)
        return hidden.swapaxes(0, 1), read.swapaxes(0, 1), gates

    def _prepared(self, x: Array, step: Step) -> tuple[Array, Array, Between | None]:
        """Give the projected inputs [T, B, gates * H], the recurrent kernel, and what is done between steps, if any."""
        kind, design = self.kind, self.kind.design
        gates, transform = GATES[kind.cell], transform_of(design)
        shape = (x.shape[-1], gates * kind.width)
        v, bias = Weights(shape, stacked(design.initializer, gates), kind.gate_bias, name="input")()
        shape = (kind.width, gates * kind.width)
        kernel, _ = Weights(shape, stacked(kind.recurrent_initializer, gates), None, name="recurrent")()
        v, kernel = transform(v, step, "input"), transform(kernel, step, "recurrent")
        kernel = drop_weights(kernel, step, (*self.path, "recurrent"))
        between = _between(self, step, *x.shape[:2])
        if kind.normalization == "layer":
            projected, between = _cell_norm(self, x @ v, bias, between or Between())
        else:  # with the bias as one more row, its gradient is part of the kernel's product and no sum of its own
            with_one = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
            rows = jnp.concatenate([v, bias[None]])
            projected = project(with_one, rows) if design.kernels == "auto" else with_one @ rows
        return projected, kernel, between


_SIGMOIDS = {"lstm": (0, 1, 3), "gru": (0, 1)}  # which of the blocks side by side are gates


def _gates(one: Recurrence, projected: Array, kernel: Array, hidden: Array) -> Array:
    """Give the gates [T, B, gates, H] of every step from the hidden states [T, B, H]; unread, it costs nothing."""
    first = jnp.zeros_like(hidden[:1])
    before = jnp.concatenate([hidden[1:], first] if one.reverse else [first, hidden[:-1]])
    blocks = jnp.split(projected + before @ kernel, GATES[one.kind.cell], axis=-1)
    return jax.nn.sigmoid(jnp.stack([blocks[number] for number in _SIGMOIDS[one.kind.cell]], axis=2))


def _between(one: Recurrence, step: Step, time: int, batch: int) -> Between | None:
    """Gather the tricks between steps for sequences [T, B]; None where all of them are off."""
    drop, *zoneouts, bound = step.through
    zoneouts = zoneouts[: 2 if one.kind.cell == "lstm" else 1]
    if all(is_off(rate) for rate in (drop, *zoneouts)) and is_off(bound, float("inf")):
        return None
    place = "/".join(one.path)
    key = key_of(step, drop, "variational_dropout")
    units = None
    if key is not None:
        units = thinned(jnp.ones((batch, one.kind.width)), drop, stream(key, f"variational_dropout/{place}"))
    stays: list[Array | None] = []
    for state, rate in zip("hc", zoneouts, strict=False):
        key = key_of(step, rate, "zoneout")
        if key is not None:
            stays.append(random.bernoulli(stream(key, f"zoneout/{state}/{place}"), rate, (time, batch, one.kind.width)))
        else:  # in evaluation the mean of what training draws
            stays.append(None if is_off(rate) else jnp.broadcast_to(jnp.asarray(rate, jnp.float32), (time, 1, 1)))
    any_stays = tuple(stays) if any(one is not None for one in stays) else None
    return Between(units, any_stays, max_gradient=None if is_off(bound, float("inf")) else bound)


def _cell_norm(one: Recurrence, projected: Array, bias: Array, between: Between) -> tuple[Array, Between]:
    """Normalize the sums inside a cell, as `lstm` has them; raises TooFewValues where a width of 1 or 2 leaves none."""
    width = one.kind.width
    enough(f"cell_normalization of width {width}", width, "raise the width, or leave it out")
    cut = [2 * width] if one.kind.cell == "gru" else []  # a GRU's candidate is normalized apart from its gates
    ones = nn.initializers.ones

    def gain(name: str, width: int) -> Array:
        return one.param(name, ones, (width,), jnp.float32)

    def by_blocks(x: Array, gains: Array) -> Array:
        whole = jnp.concatenate([_standard(block) for block in jnp.split(x, cut, axis=-1)], axis=-1)
        return whole * gains.reshape((1,) * (x.ndim - 1) + gains.shape)

    recurrent = gain("recurrent_gain", projected.shape[-1])
    if one.kind.cell == "rnn":
        row = jnp.broadcast_to(bias[None], projected.shape[1:])
        return projected, between._replace(normed=lambda x, r: (by_blocks(x + r, recurrent), row))
    inputs = by_blocks(projected, gain("input_gain", projected.shape[-1])) + bias[None, None]
    shown = None
    if one.kind.cell == "lstm":
        last, shift = gain("cell_gain", width), one.param("cell_bias", nn.initializers.zeros, (width,))
        shown = lambda c: by_blocks(c, last) + shift[None]
    return inputs, between._replace(normed=lambda x, r: (x, by_blocks(r, recurrent)), shown=shown)


def _standard(x: Array) -> Array:
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    return over_spread(centered, (-1,))
