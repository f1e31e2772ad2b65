"""An encoder and a decoder: from one sequence to another, such as a translation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.parts.layers.design import Design, Step, design_of, step_of
from deepprinciples.parts.layers.hidden_layers import from_network, perturb
from deepprinciples.parts.layers.keywords import Layers, flat_keywords
from deepprinciples.parts.layers.noise import dropout, is_off
from deepprinciples.parts.models.recurrent import check_sequence
from deepprinciples.parts.models.sequence_to_sequence import pair_of
from deepprinciples.parts.transformers.blocks import (
    FACTORS,
    OFF,
    Attention,
    Block,
    BlockLayer,
    Cache,
    Embedding,
    Norm,
    Output,
    Place,
    bias_of,
    check,
    positions_first,
)
from deepprinciples.types import ACTIVATION_DERIVATIVE, Array, Model, PyTree, Size, Unroll, traits


class Written(NamedTuple):
    """Where the decoder stands, and what it reads of the source."""

    cache: Cache
    memory: Array  # [B, D, S]
    hidden: Array | None  # [B, 1, S, 1], what is added to the scores


class _EncoderDecoder(nn.Module):
    design: Design
    a: Attention
    b: Block
    tied: bool
    vocabulary: int
    padding: int
    outputs: int

    @nn.compact
    def __call__(self, x: Any, step: Step, at: Written | None = None) -> Any:
        """Answer pairs; of a source alone return what the decoder reads of it, and from there go on with a token."""
        a, b, activations = self.a, self.b, {}
        alone = at is None and isinstance(x, Mapping) and set(x) == {"source"}
        source, target = (
            (x["source"], x["source"]) if alone else (x, x) if at is not None else pair_of("encoder_decoder", x)
        )
        batch = len(source)

        def seen(y: Array, name: str) -> Array:
            if name in step.perturbations:
                y = y + step.perturbations[name].reshape(-1, len(y)).T
            activations[name] = positions_first(y, batch)
            return y

        def embedded(ids: Array, name: str, number: int, begin: Any = 0) -> tuple[Array, Array | None, Array]:
            check_sequence("encoder_decoder", ids, self.vocabulary)
            places = jnp.arange(ids.shape[1]) + begin
            embed = Embedding(self.design, b.width, self.vocabulary, a.positions, b.width_base, name=name)
            y, table = embed(ids, step, places)
            return dropout(seen(y, name), step, number), table, places

        def blocks(y: Array, part: str, first: int, at: Place) -> tuple[Array, list]:
            pairs = []
            for number in range(b.depth):
                name = f"{part}_{number:02d}"
                y, slope, pair = BlockLayer(self.design, a, b, name=name)(y, step, first + number, at)
                y = seen(y, name)
                activations[name + ACTIVATION_DERIVATIVE] = positions_first(slope, batch)
                pairs.append(pair)
            return y, pairs

        if at is None:
            y, _, places = embedded(source, "source_embedding", 0)
            counts = source != self.padding if self.padding >= 0 else None
            both_ways = a._replace(causal=False)
            y, _ = blocks(y, "encoder", 0, Place(batch, places, bias_of(both_ways, places, places, counts)))
            memory = seen(Norm(b.normalization if b.norm_place == "pre" else "none", name="memory")(y), "memory")
            no_places = Attention(causal=False, positions="none")
            hidden = bias_of(no_places, jnp.zeros(1), jnp.zeros(source.shape[1]), counts)
            if alone:
                return memory.reshape(len(memory), batch, -1).swapaxes(0, 1), hidden
            cache, keys = None, target.shape[1]
        else:
            hidden, keys = at.hidden, at.cache.keys[0].shape[3]
            # Blocks of the decoder are counted on from those of the encoder, which keep nothing.
            cache = at.cache._replace(keys=2 * at.cache.keys, values=2 * at.cache.values)
            memory = at.memory.swapaxes(0, 1).reshape(at.memory.shape[1], -1)
        y, table, places = embedded(target, "embedding", 3 * b.depth + 2, 0 if cache is None else cache.place)
        bias = bias_of(a._replace(causal=True), places, jnp.arange(keys), None)
        y, pairs = blocks(y, "decoder", b.depth, Place(batch, places, bias, cache, memory, hidden))
        made = Output(self.design, b, self.outputs, name="output")
        outputs = made(y.reshape(len(y), *target.shape[:2]), step, table if self.tied else None)
        activations["output"] = outputs = perturb(outputs, step, "output")
        if at is None:
            return outputs, activations
        return outputs, at._replace(cache=Cache(at.cache.place + 1, *map(tuple, zip(*pairs, strict=True))))


@traits(neutral=OFF, update_factors=FACTORS)
@flat_keywords(without=("skip", "ghost_size", "lsuv", "causal"), activation="gelu", initializer="lecun_normal")
def encoder_decoder(
    *,
    outputs: int,
    block: Block,
    attention: Attention,
    tied: bool = False,
    vocabulary: Size = 0,
    padding: int = 0,
    layers: Layers,
) -> Model:
    """Build a transformer of two stacks: an encoder of the source, and a decoder that reads it and what it has written.

    m = encoder(source), every position reads all; the decoder has in each block, after the attention to its own earlier
    positions, one to m: s = stream_scale s + branch_scale W_o softmax(q k / sqrt(d)) v with k and v of m

    Blocks are those of `transformer`. In training the decoder is given the target that it should have written so far.

    Args:
        outputs: number of tokens.
        block: see `Block`.
        attention: see `Attention`.
        depth: blocks of the encoder, and of the decoder.
        tied: the outputs use the vectors of the target's tokens, W = E^T, with a bias of their own.
        vocabulary: number of different token ids, of both sequences.
        padding: id that fills up short sources: no position reads it. Below 0: none.
        activation: of the mlps.
        branch_scale: factor of each branch, such as 1 / sqrt(3 depth). *Sweepable.* *Neutral: 1.0.*
        stream_scale: factor of the stream that a branch is added to. *Sweepable.* *Neutral: 1.0.*
        dropout: rate, of the embeddings, of what each branch gives, and of what the outputs read. *Sweepable.*
            *Neutral: 0.0.*
        stochastic_depth: rate at which an example skips the branches of the last block; it falls in proportion to the
            number of the block, to 0 at the first. *Sweepable.* *Neutral: 0.0.*
        kernels: "stock" is `jax.nn.dot_product_attention`, which "auto" takes on a GPU, and our own form on a CPU; with
            soft_cap or attention_dropout both are our own.
        layers: see `Layers`.

    Returns:
        A `Model` on inputs {"source": [B, S], "target": [B, T]} of ids: outputs [B, T, outputs]; activations
        "source_embedding", "encoder_00", ..., "memory" [B, S, width], "embedding", "decoder_00", ... [B, T, width],
        their slopes, and "output". `unroll` writes a token at a time.

    Raises:
        ValueError: the inputs are not these two; heads do not divide the width, or key_heads the heads; a sequence is
            longer than the learned positions.

    Expect:
        As transformer. Without the second attention nothing of the source reaches the outputs: gradient_norm of the
        encoder is what passes through it.

    Costs:
        Those of a transformer for each stack, and (2 + 2 key_heads / heads) width^2 more weights in each block of the
        decoder.

    References:
        arXiv:1706.03762, arXiv:2203.03466 (width_base).
    """
    check("encoder_decoder", attention, block, tied, outputs, vocabulary)
    design = design_of("encoder_decoder", layers)
    network = _EncoderDecoder(design, attention, block, tied, vocabulary, padding, outputs)
    settings = step_of(layers, 2 * block.depth - 1)
    model = from_network(network, settings, per_example=is_off(attention.attention_dropout))
    return model._replace(per_position=True, unroll=_unroll(network, settings, attention, block))


def _unroll(network: nn.Module, settings: Step, a: Attention, b: Block) -> Unroll:
    """Write a token at a time, with the source read once and the keys and values of the tokens so far kept."""

    def begin(params: PyTree, state: PyTree, source: Array, length: int) -> Written:
        made: Any = network.apply({"params": params, **state}, {"source": source}, settings)
        memory, hidden = made
        empty = jnp.zeros((len(source), a.key_heads or a.heads, b.width // a.heads, length), memory.dtype)
        return Written(Cache(jnp.zeros((), jnp.int32), (empty,) * b.depth, (empty,) * b.depth), memory, hidden)

    def advance(params: PyTree, state: PyTree, at: Written, inputs: Array) -> tuple[Array, Written]:
        made: Any = network.apply({"params": params, **state}, inputs[:, None], settings, at)
        outputs, after = made
        return outputs[:, 0], after

    return Unroll(begin, advance)
