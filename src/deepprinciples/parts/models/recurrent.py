"""Recurrent networks over sequences [B, T, F] of floats or [B, T] of token ids: `lstm`, `gru` and the plain `rnn`.

How layers are stacked and read is here; a layer's weights and what happens between its steps in time are in `cells`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.kernels.sequences.recurrence import GATES, Cell
from deepprinciples.parts import initializers
from deepprinciples.parts.layers.cells import (
    CellNormalization,
    Cells,
    Recurrence,
    Through,
    drop_through_time,
    lstm_bias,
    stacked,
)
from deepprinciples.parts.layers.design import Step, design_of, resolve, row, step_of
from deepprinciples.parts.layers.hidden_layers import (
    Flow,
    described,
    from_network,
    join,
    layer_name,
    perturb,
    readout_of,
    with_slope,
)
from deepprinciples.parts.layers.keywords import OFF, Layers, flat_keywords
from deepprinciples.parts.layers.noise import dropout, is_off
from deepprinciples.parts.layers.normalization import normalize
from deepprinciples.types import (
    ACTIVATION_DERIVATIVE,
    GATE_VALUES,
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


class Recurrent(NamedTuple):
    """The keywords of all recurrent networks.

    Args:
        depth: layers.
        width: hidden units of each layer and direction.
        bidirectional: a second recurrence runs from the end to the start, and both are put side by side.
        readout: what the outputs read: the "last" state, the "mean" over time, or "every" state ([B, T, outputs]).
        embedding: size of the vector of a token; for token ids only.
        vocabulary: number of different token ids; 0 for float inputs.
        padding: id that fills up short sequences: it leaves states as they are, so that "last" reads the state after
            the last id that counts, and "mean" leaves it out; "every" and batch statistics count it. Below 0: none.
        recurrent_initializer: of the recurrent kernels, gate by gate [H, H].
        variational_dropout: rate at which units are dropped from the inputs of each layer and of the outputs and, on
            its way into the recurrent kernel, from h, the same ones at all time steps. *Sweepable.* *Neutral: 0.0.*
        zoneout: rate at which an entry of h stays what it was; in evaluation h = (1 - zoneout) h_t + zoneout h_{t-1}.
            *Sweepable.* *Neutral: 0.0.*
        max_gradient: largest absolute value of an entry of the gradient, of the mean loss, that passes from the state
            of a time step to the one before. *Sweepable.* *Neutral: inf.*
        cell_normalization: "layer" normalizes inside the cells, with LN(a) = (a - mean) / std over the units of all
            gates (of a GRU, over r and z and over n) and learned gains: W x_t and U h_{t-1} apart, and in an LSTM c_t
            for the output gate, which also gets a bias; in a plain cell W x_t + U h_{t-1}. The bias b is added after.
        activation: of candidate and cell.
        initializer: of the kernels of the inputs, gate by gate [F, H], and of the outputs.
        bias_initializer: of all biases, one a gate; PyTorch adds up two, which SGD moves twice as fast.
        normalization: of what each layer gives on; "batch", "ghost", "group", "instance" and "weight_standardized"
            average over time too, so they are not causal; "weight" normalizes the kernels of inputs and recurrence
            instead, one unit of one gate at a time, and "spectral" divides them, all gates side by side, and the
            outputs' kernel by their largest singular value; "weight_standardized" standardizes them and then
            normalizes by groups.
        dropout: rate, between layers and before the outputs, not through time. *Sweepable.* *Neutral: 0.0.*
        drop_connect: rate at which single weights are dropped, of the recurrent kernels and of what is not part of a
            cell, the same ones at all steps of a batch. *Sweepable.* *Neutral: 0.0.*
        kernels: "auto" has a gradient through time written by hand, in reverse mode only; "stock" is a plain scan, and
            so is every network with a trick that acts between time steps.
    """

    depth: Depth = 1
    width: Count = 64
    bidirectional: bool = False
    readout: Literal["last", "mean", "every"] = "last"
    embedding: Count = 32
    vocabulary: Size = 0
    padding: int = -1
    recurrent_initializer: Initializer | str = "orthogonal"
    variational_dropout: Rate = 0.0
    zoneout: Rate = 0.0
    max_gradient: Limit = float("inf")
    cell_normalization: CellNormalization = "none"


class RecurrentLayer(nn.Module):
    """One recurrent layer with its skip and normalization; see `lstm`."""

    cells: Cells

    @nn.compact
    def __call__(self, flow: Flow, step: Step, number: int, mask: Array | None) -> tuple[Flow, dict[str, Array]]:
        name, cells = str(self.name), self.cells
        design = cells.design
        read = dropout(flow.given, step, number) if number else flow.given
        read = drop_through_time(read, step, number)
        names = ("forward", "backward") if cells.bidirectional else ("forward",)
        push = step.perturbations.get(name)
        pushes: list[Array | None] = [None] * len(names)
        if push is not None:  # with skip "dense" this layer's own features come last
            pushes = [*jnp.split(push[..., -cells.width * len(names) :], len(names), axis=-1)]
        runs = [
            Recurrence(cells, direction == "backward", name=direction)(read, p, mask, step)
            for direction, p in zip(names, pushes, strict=True)
        ]
        hiddens, reads, gates = zip(*runs, strict=True)
        hidden, before = (jnp.concatenate(parts, axis=-1) for parts in (hiddens, reads))
        stream = perturb(join(self, design, flow.stream, hidden, step, read, number), step, name)
        given = normalize(stream, design, step.train)
        gate_values = {name + GATE_VALUES: jnp.concatenate(gates, axis=-1)} if gates[0] is not None else {}
        slope = with_slope(design.activation, before)[1]
        return Flow(given, stream), {name: stream, name + ACTIVATION_DERIVATIVE: slope, **gate_values}


class _Recurrent(nn.Module):
    cells: Cells
    depth: int
    readout: str
    embedding: int
    vocabulary: int
    padding: int
    outputs: int

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, dict[str, Array]]:
        activations: dict[str, Array] = {}
        mask = None
        if check_sequence(self.cells.cell, x, self.vocabulary):
            mask = x != self.padding if self.padding >= 0 else None  # [B, T]
            x = perturb(nn.Embed(self.vocabulary, self.embedding, name="embedding")(x), step, "embedding")
            activations["embedding"] = x
        flow = Flow(x)
        for number in range(self.depth):
            layer = RecurrentLayer(self.cells, name=layer_name(number, self.depth))
            flow, seen = layer(flow, step, number, mask)
            activations |= seen
        given = flow.given
        if self.readout == "mean":
            if mask is None:
                given = given.mean(axis=1)
            else:  # of an empty sequence, 0
                counts = jnp.maximum(mask.sum(axis=1, keepdims=True), 1).astype(given.dtype)  # [B, 1]
                given = given.sum(axis=1, where=mask[..., None]) / counts
        elif self.readout == "last" and self.cells.bidirectional:  # the backward direction ends at the first step
            given = given.reshape(*given.shape[:2], -1, 2, self.cells.width)
            given = jnp.concatenate([given[:, -1, :, 0], given[:, 0, :, 1]], axis=-1).reshape(x.shape[0], -1)
        elif self.readout == "last":
            given = given[:, -1]
        given = drop_through_time(given, step, self.depth)
        outputs = readout_of(Flow(given), self.cells.design, self.outputs, step, self.depth)
        return outputs, {**activations, "output": outputs}


def check_sequence(model: str, x: Array, vocabulary: int) -> bool:
    """Return True for token ids, False for floats, and raise ValueError for anything else."""
    if isinstance(x, Mapping):
        raise ValueError(
            f"{model}: found a table of {', '.join(map(str, x))}, expected one array; only model transformer reads "
            "rows of several documents: take it, or data.pack = false"
        )
    tokens = jnp.issubdtype(x.dtype, jnp.integer)
    if x.ndim != (2 if tokens else 3):
        advice = "use model cnn or mlp for images" if x.ndim > 3 else "use model mlp for feature vectors"
        raise ValueError(
            f"{model}: inputs must be floats [batch, time, features] or token ids [batch, time]; "
            f"found {described(x)}; {advice}"
        )
    if tokens and vocabulary < 1:
        raise ValueError(f"{model}: token ids need a vocabulary; found vocabulary = 0; set it above the largest id")
    return bool(tokens)


def _network(
    cell: Cell,
    outputs: int,
    recurrent: Recurrent,
    layers: Layers,
    *,
    forget_bias: Scalar = 0.0,
    longest_lag: int = 0,
    cell_zoneout: Scalar = 0.0,
) -> Model:
    """Build the network of one kind of cell; the last three keywords are those of `lstm`."""
    r, design = recurrent, design_of(cell, layers)
    kernel = resolve(initializers.TABLE, r.recurrent_initializer, f"{cell}.recurrent_initializer")
    bias = row(design.bias_initializer, r.width)
    gate_bias = lstm_bias(bias, forget_bias, longest_lag) if cell == "lstm" else stacked(bias, GATES[cell])
    cells = Cells(cell, r.width, r.bidirectional, design, kernel, gate_bias, r.cell_normalization)
    network = _Recurrent(cells, r.depth, r.readout, r.embedding, r.vocabulary, r.padding, outputs)
    through = Through(r.variational_dropout, r.zoneout, cell_zoneout, r.max_gradient)
    still = all(map(is_off, through[:3]))
    return from_network(network, step_of(layers, r.depth - 1, through), per_example=design.per_example and still)


_OFF = {**OFF, "variational_dropout": 0.0, "zoneout": 0.0, "max_gradient": float("inf")}


@traits(neutral={**_OFF, "cell_zoneout": 0.0})
@flat_keywords(without=("lsuv",), activation="tanh", initializer="glorot_uniform")
def lstm(
    *,
    outputs: int,
    recurrent: Recurrent,
    forget_bias: Scalar = 1.0,
    longest_lag: Size = 0,
    cell_zoneout: Rate = 0.0,
    layers: Layers,
) -> Model:
    """Build a recurrent network of LSTM cells.

    i, f, g, o = W x_t + U h_{t-1} + b; c_t = sig(f) c_{t-1} + sig(i) act(g); h_t = sig(o) act(c_t)
    Layers are stacked; from the second on they may have a skip: s_l = stream_scale s_{l-1} + branch_scale h_l
    ("residual"; "rezero" with a learned factor that starts at 0), a gated sum ("highway") or s_l = concat(s_{l-1}, h_l)
    ("dense"); the next layer reads norm(s_l).

    Args:
        outputs: number of classes or regression targets.
        recurrent: see `Recurrent`.
        forget_bias: added to the bias of the forget gate at the start. *Sweepable.* At 0.0 nothing is.
        longest_lag: gates start with chrono biases for lags up to this, in place of `forget_bias`; 0 to 2: none.
        cell_zoneout: as `zoneout`, for c. *Sweepable.* *Neutral: 0.0.*
        layers: see `Layers`.

    Returns:
        A `Model` on inputs [B, T, F] or ids [B, T]: outputs [B, outputs] or [B, T, outputs]; activations
        "embedding" (ids only), "layer_00", ... [B, T, H] (the s_l; a perturbation also enters the recurrence), their
        slopes (of act at c_t), and "output". Kernels hold their gates side by side on the last axis.

    Raises:
        ValueError: the inputs are no sequences.

    Expect:
        Gates are claimed to carry gradients over long lags, where those of "rnn" vanish or explode: peaks of
        gradient_norm call for a clip. A higher forget_bias or longest_lag lengthens the memory at the start.

    Costs:
        4 (inputs + width) width weights per layer (gru 3, rnn 1). Steps in time run one after another, so wide hardware
        is used less well.

    References:
        doi:10.1162/neco.1997.9.8.1735 (LSTM), arXiv:1804.11188 (chrono), arXiv:1602.07868 (weight normalization),
        arXiv:1802.05957 (spectral), arXiv:1607.06450 (layer normalization in cells), arXiv:1512.05287 (variational
        dropout), arXiv:1606.01305 (zoneout), arXiv:1708.02182 (dropped recurrent weights), arXiv:1603.09382
        (stochastic depth), arXiv:1308.0850 (bounded gradients in cells).
    """
    return _network(
        "lstm", outputs, recurrent, layers,
        forget_bias=forget_bias, longest_lag=longest_lag, cell_zoneout=cell_zoneout,
    )  # fmt: skip


@traits(neutral=_OFF)
@flat_keywords(without=("lsuv",), activation="tanh", initializer="glorot_uniform")
def gru(*, outputs: int, recurrent: Recurrent, layers: Layers) -> Model:
    """Build a recurrent network of GRU cells.

    z, r = sig(W x_t + U h_{t-1} + b); n = W_n x_t + b_n + r U_n h_{t-1}; h_t = (1 - z) act(n) + z h_{t-1}
    Layers are stacked as in `lstm`.

    Args:
        outputs: number of classes or regression targets.
        recurrent: see `Recurrent`.
        layers: see `Layers`.

    Returns:
        A `Model` as that of `lstm`; the slopes are of act at n.

    Raises:
        ValueError: the inputs are no sequences.

    Expect:
        As lstm, with a quarter fewer weights and no state that outputs do not see.

    Costs:
        3 (inputs + width) width weights per layer (lstm 4, rnn 1). Steps in time run one after another, so wide
        hardware is used less well.

    References:
        arXiv:1406.1078 (GRU); of the other keywords, see lstm.
    """
    return _network("gru", outputs, recurrent, layers)


@traits(neutral=_OFF)
@flat_keywords(without=("lsuv",), activation="tanh", initializer="glorot_uniform")
def rnn(*, outputs: int, recurrent: Recurrent, layers: Layers) -> Model:
    """Build a recurrent network of plain cells.

    h_t = act(W x_t + U h_{t-1} + b)
    Layers are stacked as in `lstm`.

    Args:
        outputs: number of classes or regression targets.
        recurrent: see `Recurrent`.
        layers: see `Layers`.

    Returns:
        A `Model` as that of `lstm`; the slopes are of act at the sum.

    Raises:
        ValueError: the inputs are no sequences.

    Expect:
        Gradients over long lags vanish or explode, which gates are claimed to prevent: peaks of gradient_norm call for
        a clip.

    Costs:
        (inputs + width) width weights per layer (lstm 4 times as many, gru 3). Steps in time run one after another, so
        wide hardware is used less well.

    References:
        doi:10.1207/s15516709cog1402_1 (simple recurrent network); of the other keywords, see lstm.
    """
    return _network("rnn", outputs, recurrent, layers)
