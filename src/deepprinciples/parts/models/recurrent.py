"""Recurrent networks over sequences [B, T, F] of floats or [B, T] of token ids: LSTM, GRU and the plain cell.

How layers are stacked and read stands here; a layer's weights and what happens between its time steps are in `cells`.
"""

from __future__ import annotations

import math
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.kernels.recurrence import GATES, Cell, Kernels
from deepprinciples.parts import initializers
from deepprinciples.parts.models import layers
from deepprinciples.parts.models.cells import (
    CellNormalization,
    Recurrence,
    Through,
    drop_through_time,
    lstm_bias,
    stacked,
)
from deepprinciples.parts.models.design import OFF, Design, Function, Normalization, Skip, design_of, resolve, row
from deepprinciples.parts.models.layers import Flow, Step
from deepprinciples.parts.models.noise import is_off
from deepprinciples.parts.models.normalization import normalize
from deepprinciples.types import (
    GATE,
    SLOPE,
    Activation,
    Array,
    Count,
    Depth,
    Initializer,
    Limit,
    Model,
    Rate,
    Scalar,
    Size,
    traits,
)


class _Layer(nn.Module):
    """One recurrent layer with its skip and normalization; see `lstm`."""

    width: int
    cell: Cell
    bidirectional: bool
    design: Design
    recurrent_initializer: Function
    gate_bias: Function
    cell_normalization: CellNormalization
    kernels: Kernels

    @nn.compact
    def __call__(self, flow: Flow, step: Step, number: int, mask: Array | None) -> tuple[Flow, dict[str, Array]]:
        name, design = str(self.name), self.design
        read = layers.dropout(flow.given, step, number) if number else flow.given
        read = drop_through_time(read, step, number)
        names = ("forward", "backward") if self.bidirectional else ("forward",)
        push = step.taps.get(name)
        pushes: list[Array | None] = [None] * len(names)
        if push is not None:  # with skip "dense" this layer's own features come last
            pushes = [*jnp.split(push[..., -self.width * len(names) :], len(names), axis=-1)]
        runs = [
            Recurrence(
                self.width,
                self.cell,
                design,
                self.recurrent_initializer,
                self.gate_bias,
                self.cell_normalization,
                reverse=direction == "backward",
                kernels=self.kernels,
                name=direction,
            )(read, p, mask, step)
            for direction, p in zip(names, pushes, strict=True)
        ]
        hiddens, reads, gates = zip(*runs, strict=True)
        hidden, before = (jnp.concatenate(parts, axis=-1) for parts in (hiddens, reads))
        stream = layers.tap(layers.join(self, design, flow.stream, hidden, step, read, number), step, name)
        given = normalize(stream, design, step.train)
        told = {name + GATE: jnp.concatenate(gates, axis=-1)} if gates[0] is not None else {}
        slope = layers.with_slope(design.activation, before)[1]
        return Flow(given, stream), {name: stream, name + SLOPE: slope, **told}


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
    cell_normalization: CellNormalization
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
                self.cell_normalization,
                self.kernels,
                name=layers.layer_name(number, self.depth),
            )
            flow, seen = layer(flow, step, number, mask)
            activations |= seen
        given = flow.given
        if self.readout == "mean":
            if mask is None:
                given = given.mean(axis=1)
            else:  # of an empty sequence, 0
                counts = jnp.maximum(mask.sum(axis=1, keepdims=True), 1).astype(given.dtype)  # [B, 1]
                given = given.sum(axis=1, where=mask[..., None]) / counts
        elif self.readout == "last" and self.bidirectional:  # the backward direction ends at the first step
            given = given.reshape(*given.shape[:2], -1, 2, self.width)
            given = jnp.concatenate([given[:, -1, :, 0], given[:, 0, :, 1]], axis=-1).reshape(x.shape[0], -1)
        elif self.readout == "last":
            given = given[:, -1]
        given = drop_through_time(given, step, self.depth)
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


@traits(neutral={**OFF, "variational_dropout": 0.0, "zoneout": 0.0, "cell_zoneout": 0.0, "max_gradient": math.inf})
def lstm(
    *,
    outputs: int,
    cell: Cell = "lstm",
    depth: Depth = 1,
    width: Count = 64,
    bidirectional: bool = False,
    readout: Literal["last", "mean", "every"] = "last",
    embedding: Count = 32,
    vocabulary: Size = 0,
    padding: int = -1,
    forget_bias: Scalar = 1.0,
    longest_lag: Size = 0,
    activation: Activation | str = "tanh",
    initializer: Initializer | str = "glorot_uniform",
    recurrent_initializer: Initializer | str = "orthogonal",
    bias_initializer: Initializer | str = "zeros",
    skip: Skip = "none",
    normalization: Normalization = "none",
    dropout: Rate = 0.0,
    branch_scale: Scalar = 1.0,
    stream_scale: Scalar = 1.0,
    drop_connect: Rate = 0.0,
    stochastic_depth: Rate = 0.0,
    variational_dropout: Rate = 0.0,
    zoneout: Rate = 0.0,
    cell_zoneout: Rate = 0.0,
    max_gradient: Limit = float("inf"),
    cell_normalization: CellNormalization = "none",
    ghost_size: Count = 16,
    kernels: Kernels = "auto",
) -> Model:
    """Build a recurrent network: LSTM, GRU or plain cells.

    lstm: i, f, g, o = W x_t + U h_{t-1} + b; c_t = sig(f) c_{t-1} + sig(i) act(g); h_t = sig(o) act(c_t)
    gru:  z, r = sig(W x_t + U h_{t-1} + b); n = W_n x_t + b_n + r U_n h_{t-1}; h_t = (1 - z) act(n) + z h_{t-1}
    rnn:  h_t = act(W x_t + U h_{t-1} + b)
    Layers are stacked; from the second on they may have a skip: s_l = stream_scale s_{l-1} + branch_scale h_l
    ("residual"; "rezero" with a learned factor that starts at 0), a gated sum ("highway") or s_l = concat(s_{l-1}, h_l)
    ("dense"); the next layer reads norm(s_l).

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
        forget_bias: added to the bias of the LSTM's forget gate at the start. *Sweepable.* At 0.0 nothing is.
        longest_lag: LSTM gates start with chrono biases for lags up to this, in place of `forget_bias`; 0 to 2: none.
        activation: of candidate and cell.
        initializer: of the kernels of the inputs, gate by gate [F, H], and of the outputs.
        recurrent_initializer: of the recurrent kernels, gate by gate [H, H].
        bias_initializer: of all biases, one a gate; PyTorch adds up two, which SGD moves twice as fast.
        skip: how a layer passes on what it was given.
        normalization: of what each layer gives on; "batch", "ghost", "group", "instance" and "weight_standardized"
            average over time too, so they are not causal; "weight" normalizes the kernels of inputs and recurrence
            instead, one unit of one gate at a time, and "spectral" divides them, all gates side by side, and the
            outputs' kernel by their largest singular value; "weight_standardized" standardizes them and then
            normalizes by groups.
        dropout: rate, between layers and before the outputs, not through time. *Sweepable.* *Neutral: 0.0.*
        branch_scale: factor of each branch with skip "residual" or "rezero". *Sweepable.* *Neutral: 1.0.*
        stream_scale: factor of what such a branch is added to: 1 / sqrt(2) for both keeps the variance. *Sweepable.*
            *Neutral: 1.0.*
        drop_connect: rate at which single weights are dropped, of the recurrent kernels and of what is not part of a
            cell, the same ones at all steps of a batch. *Sweepable.* *Neutral: 0.0.*
        stochastic_depth: rate at which an example goes past the last layer, with skip "residual" or "rezero"; it falls
            in proportion to the number of the layer, to 0 at the first. *Sweepable.* *Neutral: 0.0.*
        variational_dropout: rate at which units are dropped from what each layer and the outputs read and, on its way
            into the recurrent kernel, from h, the same ones at all time steps. *Sweepable.* *Neutral: 0.0.*
        zoneout: rate at which an entry of h stays what it was; in evaluation h = (1 - zoneout) h_t + zoneout h_{t-1}.
            *Sweepable.* *Neutral: 0.0.*
        cell_zoneout: the same for c, in an LSTM. *Sweepable.* *Neutral: 0.0.*
        max_gradient: largest absolute value of an entry of the gradient, of the mean loss, that passes from the state
            of a time step to the one before. *Sweepable.* *Neutral: inf.*
        cell_normalization: "layer" normalizes inside the cells, with LN(a) = (a - mean) / std over the units of all
            gates (of a GRU, over r and z and over n) and learned gains: W x_t and U h_{t-1} apart, and c_t for the
            output gate, which also gets a bias; in a plain cell W x_t + U h_{t-1}. The bias b is added after.
        ghost_size: examples in a part of the batch, with normalization "ghost".
        kernels: "auto" has a gradient through time written by hand, in reverse mode only; "stock" is a plain scan, and
            so is every network with one of the five tricks above that act between time steps.

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
        arXiv:1602.07868 (weight normalization), arXiv:1802.05957 (spectral), arXiv:1607.06450 (layer normalization in
        cells), arXiv:1512.05287 (variational dropout), arXiv:1606.01305 (zoneout), arXiv:1708.02182 (dropped recurrent
        weights), arXiv:1603.09382 (stochastic depth), arXiv:1308.0850 (bounded gradients in cells).
    """
    design = design_of("lstm", activation, initializer, bias_initializer, skip, normalization, ghost_size=ghost_size)
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
        cell_normalization,
        kernels,
    )
    numbers = Step(
        rate=dropout, branch_scale=branch_scale, stream_scale=stream_scale, drop_connect=drop_connect,
        stochastic_depth=stochastic_depth, last=max(depth - 1, 1),
        through=Through(variational_dropout, zoneout, cell_zoneout, max_gradient),
    )  # fmt: skip
    still = all(map(is_off, (variational_dropout, zoneout, cell_zoneout)))
    return layers.from_network(network, numbers, separate=design.separate and still)
