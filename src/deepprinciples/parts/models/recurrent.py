"""Recurrent networks over sequences [B, T, F] of floats or [B, T] of token ids: LSTM, GRU and the plain cell.

The cells are our own (`kernels.recurrence`), not Linen's, for three reasons: the input projection runs outside the
loop, the forget bias is a hyper-parameter (Linen's starts at 0), and a tap reaches into the recurrence, so that its
gradient is the whole gradient with respect to the hidden state of that time step.
"""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels.recurrence import GATES, Cell, Kernels, project, recur
from deepprinciples.parts import initializers
from deepprinciples.parts.models import layers
from deepprinciples.parts.models.design import Design, Function, Normalization, Skip, design_of, resolve, row
from deepprinciples.parts.models.layers import Flow, Step, Weights
from deepprinciples.parts.models.normalization import Rescale, Spectral, normalize
from deepprinciples.types import SLOPE, Activation, Array, Initializer, Model, Scalar


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
    cell: Cell
    activation: Function
    initializer: Function
    recurrent_initializer: Function
    bias_initializer: Function
    normalization: Normalization
    reverse: bool
    kernels: Kernels

    @nn.compact
    def __call__(self, x: Array, push: Array | None, mask: Array | None, train: bool) -> tuple[Array, Array]:
        gates, weighted = GATES[self.cell], self.normalization == "weight"
        x, push, mask = jax.tree.map(lambda a: a.swapaxes(0, 1), (x, push, mask))  # time first

        bias_initializer = None if weighted else self.bias_initializer
        table = Weights(gates * self.width, stacked(self.initializer, gates), bias_initializer, name="input")
        v, bias = table(x.shape[-1])
        recurrent = Weights(gates * self.width, stacked(self.recurrent_initializer, gates), None, name="recurrent")
        kernel, _ = recurrent(self.width)
        if self.normalization == "spectral":
            v, kernel = Spectral(name="input_norm")(v, train), Spectral(name="recurrent_norm")(kernel, train)
        if weighted:
            projected = Rescale(self.bias_initializer, name="input_scale")(x @ v, v)
            kernel = Rescale(name="recurrent_scale")(kernel, kernel)
        else:  # with the bias as one more row, its gradient is part of the kernel's product and no sum of its own
            with_one = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
            rows = jnp.concatenate([v, bias[None]])
            projected = project(with_one, rows) if self.kernels == "auto" else with_one @ rows  # [T, B, gates * H]
        hidden, read = recur(
            self.cell,
            projected,
            kernel,
            activation=self.activation,
            push=push,
            mask=mask,
            reverse=self.reverse,
            kernels=self.kernels,
        )
        return hidden.swapaxes(0, 1), read.swapaxes(0, 1)


class _Layer(nn.Module):
    """One recurrent layer with its skip and normalization; see `lstm`."""

    width: int
    cell: Cell
    bidirectional: bool
    design: Design
    recurrent_initializer: Function
    gate_bias: Function
    kernels: Kernels

    @nn.compact
    def __call__(self, flow: Flow, step: Step, number: int, mask: Array | None) -> tuple[Flow, dict[str, Array]]:
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
                normalization=design.normalization,
                reverse=direction == "backward",
                kernels=self.kernels,
                name=direction,
            )(read, p, mask, step.train)
            for direction, p in zip(names, pushes, strict=True)
        ]
        hidden, before = (jnp.concatenate(parts, axis=-1) for parts in zip(*runs, strict=True))
        stream = layers.tap(layers.join(self, design, flow.stream, hidden, step, read), step, name)
        given = normalize(stream, design.normalization, step.train)
        return Flow(given, stream), {name: stream, name + SLOPE: layers.with_slope(design.activation, before)[1]}


class _Recurrent(nn.Module):
    cell: Cell
    depth: int
    width: int
    bidirectional: bool
    readout: str
    embedding: int
    vocabulary: int
    padding: int
    outputs: int
    design: Design
    recurrent_initializer: Function
    gate_bias: Function
    kernels: Kernels

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        activations: dict[str, Array] = {}
        mask = None
        if check_sequence(x, self.vocabulary):
            mask = x != self.padding if self.padding >= 0 else None  # [B, T]
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
                self.kernels,
                name=layers.layer_name(number, self.depth),
            )
            flow, seen = layer(flow, step, number, mask)
            activations |= seen
        given = flow.given
        if self.readout == "mean":
            given = given.mean(axis=1, where=None if mask is None else mask[..., None])
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
    padding: int = -1,
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
    kernels: Kernels = "auto",
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
        padding: id that fills up short sequences: it leaves states as they are, so that "last" reads the state after
            the last id that counts, and "mean" leaves it out; "every" and batch statistics count it. Below 0: none.
        forget_bias: added to the bias of the LSTM's forget gate at the start. *Sweepable.* *Neutral: 0.0.*
        longest_lag: above 2, LSTM gates start with chrono biases for lags up to this, in place of `forget_bias`.
        activation: of candidate and cell.
        initializer: of the kernels of the inputs, gate by gate [F, H], and of the outputs.
        recurrent_initializer: of the recurrent kernels, gate by gate [H, H].
        bias_initializer: of all biases.
        skip: how a layer passes on what it was given.
        normalization: of what each layer gives on; "batch" averages over time too, so it is not causal in training;
            "weight" normalizes the kernels of inputs and recurrence instead, one unit of one gate at a time, and
            "spectral" divides them, all gates side by side, and the outputs' kernel by their largest singular value.
        dropout: rate, between layers and before the outputs, not through time. *Sweepable.* *Neutral: 0.0.*
        branch_scale: factor of each branch with skip "residual" or "rezero". *Sweepable.* *Neutral: 1.0.*
        kernels: "auto" has a gradient through time written by hand, in reverse mode only; "stock" is a plain scan.

    Returns:
        A tapped `Model` on inputs [B, T, F] or ids [B, T]: outputs [B, outputs] or [B, T, outputs]; activations
        "embedding" (ids only), "layer_00", ... [B, T, H] (the s_l; a tap also enters the recurrence), their slopes
        (of act at c_t, or at n, or at the sum), and "output". Kernels hold their gates side by side on the last axis.

    Raises:
        ValueError: the inputs are no sequences.

    Expect:
        Gates are claimed to carry gradients over long lags, where those of "rnn" vanish or explode: peaks of
        gradient_norm call for a clip. A higher forget_bias or longest_lag lengthens the memory at the start.

    Costs:
        4 (inputs + width) width weights per layer (gru 3, rnn 1). Steps in time run one after another, so wide hardware
        is used less well.

    References:
        doi:10.1162/neco.1997.9.8.1735 (LSTM), arXiv:1406.1078 (GRU), arXiv:1804.11188 (chrono),
        arXiv:1602.07868 (weight normalization), arXiv:1802.05957 (spectral).
    """
    design = design_of("lstm", activation, initializer, bias_initializer, skip, normalization)
    recurrent = resolve(initializers.TABLE, recurrent_initializer, "lstm.recurrent_initializer")
    bias = row(design.bias_initializer, width)
    gate_bias = lstm_bias(bias, forget_bias, longest_lag) if cell == "lstm" else stacked(bias, GATES[cell])
    network = _Recurrent(
        cell,
        depth,
        width,
        bidirectional,
        readout,
        embedding,
        vocabulary,
        padding,
        outputs,
        design,
        recurrent,
        gate_bias,
        kernels,
    )
    return layers.from_network(network, rate=dropout, branch_scale=branch_scale)
