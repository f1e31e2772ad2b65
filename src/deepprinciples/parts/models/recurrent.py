"""Recurrent networks over sequences [B, T, F] of floats or [B, T] of token ids: LSTM, GRU and the plain cell.

The cells are written out here, not taken from Linen, for three reasons: the input projection runs outside the loop,
the forget bias is a hyper-parameter (Linen's starts at 0), and a tap reaches into the recurrence, so that its
gradient is the whole gradient with respect to the hidden state of that time step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from deepprinciples.parts import initializers
from deepprinciples.parts.models import layers
from deepprinciples.parts.models.layers import Design, Flow, Function, Normalization, Rescale, Skip, Step
from deepprinciples.types import SLOPE, Activation, Array, Initializer, Model, Scalar

Cell = Literal["lstm", "gru", "rnn"]
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
Carry = tuple[Array, ...]
Advance = Callable[[Carry, Array, Array, Function], tuple[Carry, Array]]


def _lstm(carry: Carry, x: Array, recurrent: Array, activation: Function) -> tuple[Carry, Array]:
    h, c = carry
    i, f, g, o = jnp.split(x + recurrent, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * activation(g)
    return (jax.nn.sigmoid(o) * activation(c), c), c


def _gru(carry: Carry, x: Array, recurrent: Array, activation: Function) -> tuple[Carry, Array]:
    (h,) = carry
    x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(recurrent, 3, axis=-1)
    z = jax.nn.sigmoid(x_z + h_z)
    n = x_n + jax.nn.sigmoid(x_r + h_r) * h_n
    return ((1.0 - z) * activation(n) + z * h,), n


def _rnn(carry: Carry, x: Array, recurrent: Array, activation: Function) -> tuple[Carry, Array]:
    del carry
    return (activation(x + recurrent),), x + recurrent


CELLS: dict[str, Advance] = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


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
            chrono = jnp.log(jax.random.uniform(jax.random.fold_in(key, 1), f.shape, dtype, 1.0, longest_lag - 1.0))
            return jnp.concatenate([i - chrono, f + chrono, g, o])
        return jnp.concatenate([i, f + forget_bias, g, o])

    return init


class _Recurrence(nn.Module):
    """One direction of one layer: [B, T, F] -> hidden states [B, T, H] and what the activation read [B, T, H]."""

    width: int
    cell: str
    activation: Function
    initializer: Function
    recurrent_initializer: Function
    bias_initializer: Function
    weighted: bool
    reverse: bool

    @nn.compact
    def __call__(self, x: Array, push: Array | None) -> tuple[Array, Array]:
        gates = GATES[self.cell]
        input_ = nn.Dense(
            gates * self.width,
            use_bias=not self.weighted,
            kernel_init=stacked(self.initializer, gates),
            bias_init=self.bias_initializer,
            name="input",
        )
        projected = input_(x)  # [B, T, gates * H]
        recurrent = nn.Dense(
            gates * self.width,
            use_bias=False,
            kernel_init=stacked(self.recurrent_initializer, gates),
            name="recurrent",
        )
        start = jnp.zeros((x.shape[0], self.width), projected.dtype)
        recurrent(start)  # makes the kernel; unused, XLA drops the product
        kernel = recurrent.variables["params"]["kernel"]
        if self.weighted:
            v = input_.variables["params"]["kernel"]
            projected = Rescale(self.bias_initializer, name="input_scale")(projected, v)
            kernel = Rescale(name="recurrent_scale")(kernel, kernel)
        advance = CELLS[self.cell]

        def step(carry: Carry, inputs: tuple) -> tuple[Carry, tuple[Array, Array]]:
            x_t, push_t = inputs
            (h, *rest), read = advance(carry, x_t, carry[0] @ kernel, self.activation)
            return (h if push_t is None else h + push_t, *rest), (h, read)

        carry: Carry = (start, start) if self.cell == "lstm" else (start,)
        time_major = jax.tree.map(lambda a: a.swapaxes(0, 1), (projected, push))
        _, sequences = lax.scan(step, carry, time_major, reverse=self.reverse)
        hidden, read = jax.tree.map(lambda a: a.swapaxes(0, 1), sequences)
        return hidden, read


class _Layer(nn.Module):
    """One recurrent layer with its skip and normalization; see `lstm`."""

    width: int
    cell: str
    bidirectional: bool
    design: Design
    recurrent_initializer: Function
    gate_bias: Function

    @nn.compact
    def __call__(self, flow: Flow, step: Step, number: int) -> tuple[Flow, dict[str, Array]]:
        name, design = str(self.name), self.design
        read = layers.dropout(flow.given, step, number) if number else flow.given
        names = ("forward", "backward") if self.bidirectional else ("forward",)
        push = step.taps.get(name)
        pushes: list[Array | None] = [None] * len(names)
        if push is not None:  # with skip "dense" this layer's own features come last
            pushes = [*jnp.split(push[..., -self.width * len(names) :], len(names), axis=-1)]
        runs = [
            _Recurrence(
                self.width,
                self.cell,
                design.activation,
                design.initializer,
                self.recurrent_initializer,
                self.gate_bias,
                weighted=design.normalization == "weight",
                reverse=direction == "backward",
                name=direction,
            )(read, p)
            for direction, p in zip(names, pushes, strict=True)
        ]
        hidden, before = (jnp.concatenate(parts, axis=-1) for parts in zip(*runs, strict=True))
        stream = layers.tap(layers.join(self, design, flow.stream, hidden, step, read), step, name)
        given = layers.normalize(stream, design.normalization, step.train)
        return Flow(given, stream), {name: stream, name + SLOPE: layers.with_slope(design.activation, before)[1]}


class _Recurrent(nn.Module):
    cell: str
    depth: int
    width: int
    bidirectional: bool
    readout: str
    embedding: int
    vocabulary: int
    outputs: int
    design: Design
    recurrent_initializer: Function
    gate_bias: Function

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        activations: dict[str, Array] = {}
        if check_sequence(x, self.vocabulary):
            x = layers.tap(nn.Embed(self.vocabulary, self.embedding, name="embedding")(x), step, "embedding")
            activations["embedding"] = x
        flow = Flow(x)
        for number in range(self.depth):
            layer = _Layer(
                self.width,
                self.cell,
                self.bidirectional,
                self.design,
                self.recurrent_initializer,
                self.gate_bias,
                name=layers.layer_name(number, self.depth),
            )
            flow, seen = layer(flow, step, number)
            activations |= seen
        given = flow.given
        if self.readout == "mean":
            given = given.mean(axis=1)
        elif self.readout == "last" and self.bidirectional:  # the backward direction ends at the first step
            given = given.reshape(*given.shape[:2], -1, 2, self.width)
            given = jnp.concatenate([given[:, -1, :, 0], given[:, 0, :, 1]], axis=-1).reshape(x.shape[0], -1)
        elif self.readout == "last":
            given = given[:, -1]
        outputs = layers.readout(Flow(given), self.design, self.outputs, step, self.depth)
        return outputs, {**activations, "output": outputs}


def check_sequence(x: Array, vocabulary: int) -> bool:
    """Tell token ids (True) from floats (False), and refuse what is neither; raises ValueError."""
    tokens = jnp.issubdtype(x.dtype, jnp.integer)
    if x.ndim != (2 if tokens else 3):
        advice = "use model cnn or mlp for images" if x.ndim > 3 else "use model mlp for feature vectors"
        raise ValueError(
            "lstm: inputs must be floats [batch, time, features] or token ids [batch, time]; "
            f"found {layers.described(x)}; {advice}"
        )
    if tokens and vocabulary < 1:
        raise ValueError("lstm: token ids need a vocabulary; found vocabulary = 0; set it above the largest id")
    return bool(tokens)


def lstm(
    *,
    outputs: int,
    cell: Cell = "lstm",
    depth: int = 1,
    width: int = 64,
    bidirectional: bool = False,
    readout: Literal["last", "mean", "every"] = "last",
    embedding: int = 32,
    vocabulary: int = 0,
    forget_bias: Scalar = 1.0,
    longest_lag: int = 0,
    activation: Activation | str = "tanh",
    initializer: Initializer | str = "glorot_uniform",
    recurrent_initializer: Initializer | str = "orthogonal",
    bias_initializer: Initializer | str = "zeros",
    skip: Skip = "none",
    normalization: Normalization = "none",
    dropout: Scalar = 0.0,
    branch_scale: Scalar = 1.0,
) -> Model:
    """Build a recurrent network: LSTM, GRU or plain cells.

    lstm: i, f, g, o = W x_t + U h_{t-1} + b; c_t = sig(f) c_{t-1} + sig(i) act(g); h_t = sig(o) act(c_t)
    gru:  z, r = sig(W x_t + U h_{t-1} + b); n = W_n x_t + b_n + r U_n h_{t-1}; h_t = (1 - z) act(n) + z h_{t-1}
    rnn:  h_t = act(W x_t + U h_{t-1} + b)
    Layers are stacked; from the second on they may have a skip: s_l = s_{l-1} + branch_scale h_l ("residual"; "rezero"
    with a learned factor that starts at 0), a gated sum ("highway") or s_l = concat(s_{l-1}, h_l) ("dense"); the next
    layer reads norm(s_l).

    Args:
        outputs: number of classes or regression targets.
        cell: which.
        depth: layers.
        width: hidden units of each layer and direction.
        bidirectional: a second recurrence runs from the end to the start, and both are put side by side.
        readout: what the outputs read: the "last" state, the "mean" over time, or "every" state ([B, T, outputs]).
        embedding: size of the vector of a token; for token ids only.
        vocabulary: number of different token ids; 0 for float inputs.
        forget_bias: added to the bias of the LSTM's forget gate at the start. *Sweepable.* *Neutral: 0.0.*
        longest_lag: above 2, LSTM gates start with chrono biases for lags up to this, in place of `forget_bias`.
        activation: of candidate and cell.
        initializer: of the kernels of the inputs, gate by gate [F, H], and of the outputs.
        recurrent_initializer: of the recurrent kernels, gate by gate [H, H].
        bias_initializer: of all biases.
        skip: how a layer passes on what it was given.
        normalization: of what each layer gives on; "batch" averages over time too, so it is not causal in training;
            "weight" normalizes the kernels of inputs and recurrence instead, one unit of one gate at a time.
        dropout: rate, between layers and before the outputs, not through time. *Sweepable.* *Neutral: 0.0.*
        branch_scale: factor of each branch with skip "residual" or "rezero". *Sweepable.* *Neutral: 1.0.*

    Returns:
        A tapped `Model` on inputs [B, T, F] or ids [B, T]: outputs [B, outputs] or [B, T, outputs]; activations
        "embedding" (ids only), "layer_00", ... [B, T, H] (the s_l; a tap also enters the recurrence), their slopes
        (of act at c_t, or at n, or at the sum), and "output". Kernels hold their gates side by side on the last axis.

    Raises:
        ValueError: the inputs are no sequences.

    References:
        doi:10.1162/neco.1997.9.8.1735 (LSTM), arXiv:1406.1078 (GRU), arXiv:1804.11188 (chrono),
        arXiv:1602.07868 (weight normalization).
    """
    design = layers.design_of("lstm", activation, initializer, bias_initializer, skip, normalization)
    recurrent = layers.resolve(initializers.TABLE, recurrent_initializer, "lstm.recurrent_initializer")
    bias = layers.row(design.bias_initializer, width)
    gate_bias = lstm_bias(bias, forget_bias, longest_lag) if cell == "lstm" else stacked(bias, GATES[cell])
    network = _Recurrent(
        cell, depth, width, bidirectional, readout, embedding, vocabulary, outputs, design, recurrent, gate_bias
    )
    return layers.from_network(network, rate=dropout, branch_scale=branch_scale)
