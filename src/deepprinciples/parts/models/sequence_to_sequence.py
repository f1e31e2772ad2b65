"""A recurrent encoder and a recurrent decoder: from one sequence of tokens to another, with attention or without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels.sequences.recurrence import CELLS, GATES, Carry, Cell
from deepprinciples.parts import initializers
from deepprinciples.parts.layers.cells import Cells, Through, lstm_bias, stacked
from deepprinciples.parts.layers.design import Step, design_of, resolve, row, step_of
from deepprinciples.parts.layers.hidden_layers import (
    Flow,
    Weights,
    from_network,
    linear,
    perturb,
    readout_of,
    with_slope,
)
from deepprinciples.parts.layers.keywords import BEYOND_PLAIN, Layers, flat_keywords
from deepprinciples.parts.layers.noise import dropout
from deepprinciples.parts.models.recurrent import RecurrentLayer, check_sequence
from deepprinciples.types import (
    ACTIVATION_DERIVATIVE,
    Array,
    Count,
    Depth,
    Initializer,
    Model,
    PyTree,
    Size,
    Unroll,
    traits,
)

Kind = Literal["none", "additive", "multiplicative"]
Look = Callable[[Array], Array]
HIDDEN = -1e30  # score of a position that is not read; -inf would make a row of padding NaN


class Written(NamedTuple):
    """Where the decoder stands, and what it reads of the source; the latter is None without attention."""

    states: tuple[Carry, ...]  # of each layer [B, H], of LSTM cells two
    memory: Array | None  # [B, S, M]
    keys: Array | None  # [B, S, H]
    hidden: Array | None  # [B, S], what is added to the scores


def pair_of(model: str, x: Any) -> tuple[Array, Array]:
    """Return source and target of the inputs of a model of pairs, and raise ValueError for anything else."""
    if not isinstance(x, Mapping) or set(x) != {"source", "target"}:
        found = f"a table of {', '.join(map(str, x))}" if isinstance(x, Mapping) else "an array"
        raise ValueError(
            f'{model}: inputs must be {{"source": [B, S], "target": [B, T]}}; found {found}; use model transformer or '
            "gru for one sequence"
        )
    return x["source"], x["target"]


class _Attention(nn.Module):
    """The attention to a memory, as functions: look(h [B, T, H]) -> [B, T, M], and what joins h with that."""

    cells: Cells
    kind: str

    @nn.compact
    def __call__(self, at: Written) -> tuple[Look, Callable[[Array, Array], Array]]:
        design, width = self.cells.design, self.cells.width
        memory, keys, hidden = (jnp.asarray(one) for one in (at.memory, at.keys, at.hidden))
        weights = lambda name, rows, columns: Weights(
            (rows, columns), design.initializer, row(design.bias_initializer, rows), name=name
        )()
        if self.kind == "additive":
            query, query_bias = weights("query", width, width)
            score, _ = Weights((width, 1), design.initializer, None, name="score")()
        kernel, bias = weights("output", width + memory.shape[-1], width)

        def look(h: Array) -> Array:
            if self.kind == "additive":
                apart = (h @ query)[:, :, None] + query_bias.reshape(1, 1, 1, -1) + keys[:, None]
                scores = (jnp.tanh(apart) @ score)[..., 0]  # [B, T, S]
            else:
                scores = jnp.einsum("bth,bsh->bts", h, keys)
            return jnp.einsum("bts,bsm->btm", jax.nn.softmax(scores + hidden[:, None]), memory)

        def join(h: Array, found: Array) -> Array:
            return jnp.tanh(jnp.concatenate([h, found], axis=-1) @ kernel + bias.reshape(1, 1, -1))

        return look, join


class _DecoderLayer(nn.Module):
    """One recurrent layer [B, T, F] -> [B, T, H] from a state on; with `look` each step reads the memory first."""

    cells: Cells

    @nn.compact
    def __call__(self, x: Array, state: Carry, look: Look | None, memory: int, step: Step) -> tuple[Any, ...]:
        cell, width, design = self.cells.cell, self.cells.width, self.cells.design
        gates, push = GATES[cell], step.perturbations.get(str(self.name))
        shape = (x.shape[-1] + (memory if look else 0), gates * width)
        given, bias = Weights(shape, stacked(design.initializer, gates), self.cells.gate_bias, name="input")()
        initial = stacked(self.cells.recurrent_initializer, gates)
        kernel, _ = Weights((width, gates * width), initial, None, name="recurrent")()
        of_x, of_memory = given[: x.shape[-1]], given[x.shape[-1] :]
        inputs = x @ of_x + bias.reshape(1, 1, -1), push

        def one(carry: Carry, inputs: tuple[Array, Array | None]) -> tuple[Carry, tuple]:
            x, push = inputs
            found = None
            if look is not None:
                found = look(carry[0][:, None])[:, 0]
                x = x + found @ of_memory
            (h, *rest), read = CELLS[cell](carry, x, carry[0] @ kernel, design.activation)
            h = h if push is None else h + push
            return (h, *rest), (h, read, found)

        first = lambda tree: jax.tree.map(lambda a: a.swapaxes(0, 1), tree)
        state, found = jax.lax.scan(one, state, first(inputs))
        return state, *first(found)


class _SequenceToSequence(nn.Module):
    cells: Cells
    depth: int
    attention: str
    embedding: int
    vocabulary: int
    padding: int
    outputs: int

    @nn.compact
    def __call__(self, x: Any, step: Step, at: Written | None = None) -> Any:
        """Answer pairs; of a source alone return where the decoder begins, and from there go on with tokens [B, T]."""
        activations: dict[str, Array] = {}
        if at is not None:
            outputs, at = _decoded(self, x, at, step, activations)
            return outputs, at
        alone = isinstance(x, Mapping) and set(x) == {"source"}
        source, target = (x["source"], None) if alone else pair_of("seq2seq", x)
        at = _encoded(self, source, step, activations)
        if target is None:
            return at
        outputs, _ = _decoded(self, target, at, step, activations)
        return outputs, activations


def _embedded(net: _SequenceToSequence, ids: Array, name: str, step: Step, activations: dict[str, Array]) -> Array:
    if not check_sequence("seq2seq", ids, net.vocabulary):
        raise ValueError("seq2seq: inputs must be token ids [batch, time], two of them; found floats")
    activations[name] = perturb(nn.Embed(net.vocabulary, net.embedding, name=name)(ids), step, name)
    return activations[name]


def _encoded(net: _SequenceToSequence, source: Array, step: Step, activations: dict[str, Array]) -> Written:
    """Read the source; call it inside a compact module."""
    cells, width = net.cells, net.cells.width
    flow = Flow(_embedded(net, source, "source_embedding", step, activations))
    counts = source != net.padding if net.padding >= 0 else None
    for number in range(net.depth):
        flow, seen = RecurrentLayer(cells, name=f"encoder_{number:02d}")(flow, step, number, counts)
        activations |= seen
    memory = flow.given
    ends = jnp.concatenate([memory[:, -1, :width], memory[:, 0, width:]], axis=-1)  # the second half runs backward
    kinds = 2 if cells.cell == "lstm" else 1
    bridge = linear(ends, cells.design, net.depth * kinds * width, name="bridge", step=step)
    activations["bridge"] = bridge = perturb(bridge, step, "bridge")
    parts = [jnp.split(one, kinds, axis=-1) for one in jnp.split(bridge, net.depth, axis=-1)]
    states = tuple((jnp.tanh(h), *c) for h, *c in parts)
    if net.attention == "none":
        return Written(states, None, None, None)
    kernel, _ = Weights((memory.shape[-1], width), cells.design.initializer, None, name="keys")()
    activations["keys"] = keys = perturb(memory @ kernel, step, "keys")
    reads = jnp.ones_like(source, bool) if counts is None else counts
    return Written(states, memory, keys, jnp.where(reads, 0.0, HIDDEN).astype(memory.dtype))


def _decoded(
    net: _SequenceToSequence, target: Array, at: Written, step: Step, activations: dict[str, Array]
) -> tuple[Array, Written]:
    """Answer to the tokens of the target so far; call it inside a compact module."""
    y = _embedded(net, target, "embedding", step, activations)
    look = join = found = None
    cells, states, size = net.cells._replace(bidirectional=False), [], 0
    if at.memory is not None:
        look, join = _Attention(cells, net.attention, name="attention")(at)
        size = at.memory.shape[-1]
    for number, state in enumerate(at.states):
        name = f"decoder_{number:02d}"
        y = dropout(y, step, net.depth + number) if number else y
        looks = look if net.attention == "additive" and not number else None
        state, y, read, seen = _DecoderLayer(cells, name=name)(y, state, looks, size, step)
        found = seen if looks else found
        activations |= {name: y, name + ACTIVATION_DERIVATIVE: with_slope(cells.design.activation, read)[1]}
        states.append(state)
    if look is not None and join is not None:
        activations["attention"] = y = perturb(join(y, look(y) if found is None else found), step, "attention")
    activations["output"] = outputs = readout_of(Flow(y), cells.design, net.outputs, step, 2 * net.depth)
    return outputs, at._replace(states=tuple(states))


@traits(neutral={"dropout": 0.0})
@flat_keywords(
    without=tuple(one for one in (*BEYOND_PLAIN, "normalization") if one != "dropout"),
    activation="tanh",
    initializer="glorot_uniform",
)
def seq2seq(
    *,
    outputs: int,
    cell: Cell = "gru",
    attention: Kind = "additive",
    depth: Depth = 1,
    width: Count = 64,
    bidirectional: bool = True,
    embedding: Count = 32,
    vocabulary: Size = 0,
    padding: int = 0,
    recurrent_initializer: Initializer | str = "orthogonal",
    layers: Layers,
) -> Model:
    """Build a recurrent encoder and a recurrent decoder, which writes one sequence after it has read another.

    m_1, ..., m_S = encoder(source); with e its last states, one of each direction, the layers of the decoder begin at
    h_0 = tanh(W e + b), those of LSTM cells also at c_0 = W e + b
    none:           h_t = cell(y_t, h_{t-1}); the outputs read h_t
    additive:       a_s = softmax_s(v tanh(W_q h_{t-1} + b + W_k m_s)); h_t = cell([y_t, sum_s a_s m_s], h_{t-1})
    multiplicative: h_t = cell(y_t, h_{t-1}); a_s = softmax_s(h_t W_k m_s)
    With attention the outputs read tanh(W_c [h_t, sum_s a_s m_s] + b).

    In training the decoder is given the target that it should have written so far (teacher forcing). With more layers,
    "additive" looks with the first and "multiplicative" with the last, and the former's sum goes to W_c too.

    Args:
        outputs: number of tokens.
        cell: of both; see `lstm`, `gru` and `rnn`. The forget bias of an LSTM starts at 1.
        attention: how the decoder reads the source; with "none" all passes through its first state.
        depth: layers of the encoder, and of the decoder.
        width: hidden units of each layer, and of each direction of the encoder.
        bidirectional: the encoder reads the source from both ends.
        embedding: size of the vector of a token, of the source and of the target.
        vocabulary: number of different token ids, of both sequences.
        padding: id that fills up short sources: states stay as they are, and no attention reads it. Below 0: none.
        recurrent_initializer: of the recurrent kernels, gate by gate [H, H].
        activation: of candidate and cell.
        initializer: of the other kernels, gate by gate.
        dropout: rate, between layers and before the outputs, not through time. *Sweepable.* *Neutral: 0.0.*
        kernels: of the encoder, see `lstm`; the decoder is always a plain scan.
        layers: see `Layers`.

    Returns:
        A `Model` on inputs {"source": [B, S], "target": [B, T]} of ids: outputs [B, T, outputs]; activations
        "source_embedding", "encoder_00", ..., "bridge", "keys", "embedding", "decoder_00", ..., "attention", their
        slopes, and "output". `unroll` writes a token at a time.

    Raises:
        ValueError: the inputs are not these two.

    Expect:
        Attention is claimed to help the more the longer the sources are: without it all of a source has to fit into one
        state. Under Adam the tanh before the outputs soon saturates (saturated_units of "attention") and nothing below
        it learns: give what lies below a smaller rate with [groups].

    Costs:
        Those of recurrent networks for both, steps one after another; additive attention S T width tanhs an example.

    References:
        arXiv:1409.3215 (sequence to sequence), arXiv:1409.0473 (additive; its outputs read y_{t-1} too, by maxout),
        arXiv:1508.04025 (multiplicative, "general", without input feeding).
    """
    design = design_of("seq2seq", layers)
    kernel = resolve(initializers.TABLE, recurrent_initializer, "seq2seq.recurrent_initializer")
    bias = row(design.bias_initializer, width)
    gate_bias = lstm_bias(bias, 1.0, 0) if cell == "lstm" else stacked(bias, GATES[cell])
    cells = Cells(cell, width, bidirectional, design, kernel, gate_bias, "none")
    network = _SequenceToSequence(cells, depth, attention, embedding, vocabulary, padding, outputs)
    settings = step_of(layers, 1, Through())
    return from_network(network, settings, per_example=True)._replace(unroll=_unroll(network, settings))


def _unroll(network: nn.Module, settings: Step) -> Unroll:
    """Write a token at a time, with the source read once."""

    def begin(params: PyTree, state: PyTree, source: Array, length: int) -> Written:
        del length
        made: Any = network.apply({"params": params, **state}, {"source": source}, settings)
        return made

    def advance(params: PyTree, state: PyTree, at: Written, inputs: Array) -> tuple[Array, Written]:
        made: Any = network.apply({"params": params, **state}, inputs[:, None], settings, at)
        outputs, after = made
        return outputs[:, 0], after

    return Unroll(begin, advance)
