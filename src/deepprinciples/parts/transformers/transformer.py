"""Transformers over sequences [B, T, F] of floats or [B, T] of token ids: one stack of blocks, causal or not.

Inside, the stream is [features, examples x positions], and so every map of features is one product of matrices; see
`kernels.sequences.attention` for the rest.
"""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from deepprinciples.parts.layers.design import Design, Step, design_of, step_of
from deepprinciples.parts.layers.hidden_layers import from_network, layer_name, perturb
from deepprinciples.parts.layers.keywords import Layers, flat_keywords
from deepprinciples.parts.layers.noise import dropout, is_off
from deepprinciples.parts.models.recurrent import check_sequence
from deepprinciples.parts.transformers.blocks import (
    FACTORS,
    OFF,
    Attention,
    Block,
    BlockLayer,
    Cache,
    Embedding,
    Output,
    Place,
    bias_of,
    check,
    positions_first,
    read,
)
from deepprinciples.parts.transformers.packed_rows import places_in, tokens_of, within
from deepprinciples.types import (
    ACTIVATION_DERIVATIVE,
    Array,
    Model,
    PyTree,
    Size,
    Unroll,
    traits,
)


class _Transformer(nn.Module):
    design: Design
    a: Attention
    b: Block
    readout: str
    tied: bool
    vocabulary: int
    padding: int
    outputs: int

    @nn.compact
    def __call__(self, x: Any, step: Step, cache: Cache | None = None) -> Any:
        a, b, activations = self.a, self.b, {}
        x, segments = tokens_of("transformer", x, self.readout)
        tokens = check_sequence("transformer", x, self.vocabulary)
        mask = x != self.padding if tokens and self.padding >= 0 and cache is None else None
        places = jnp.arange(x.shape[1]) + (0 if cache is None else cache.place)

        def seen(y: Array, name: str) -> Array:
            """Note what a layer gives, and add its perturbation."""
            if name in step.perturbations:
                y = y + step.perturbations[name].reshape(-1, len(y)).T
            activations[name] = positions_first(y, len(x))
            return y

        embed = Embedding(self.design, b.width, self.vocabulary, a.positions, b.width_base, name="embedding")
        y, table = embed(x, step, places if segments is None else places_in(segments))
        y = dropout(seen(y, "embedding"), step, 0)
        keys = x.shape[1] if cache is None else cache.keys[0].shape[3]
        bias = bias_of(a, places, jnp.arange(keys), mask)
        bias = bias if segments is None else within(bias, segments)
        at, pairs = Place(len(x), places, bias, cache), []  # turns and penalties rest on distances: rows will do
        for number in range(b.depth):
            name = layer_name(number, b.depth)
            y, slope, pair = BlockLayer(self.design, a, b, name=name)(y, step, number, at)
            y = seen(y, name)
            activations[name + ACTIVATION_DERIVATIVE] = positions_first(slope, len(x))
            pairs.append(pair)
        outputs = Output(self.design, b, self.outputs, name="output")(
            read(y.reshape(len(y), *x.shape[:2]), self.readout, mask), step, table if self.tied else None
        )
        outputs = outputs if self.readout == "every" else outputs[:, 0]
        activations["output"] = outputs = perturb(outputs, step, "output")
        if cache is None:
            return outputs, activations
        return outputs, Cache(cache.place + x.shape[1], *map(tuple, zip(*pairs, strict=True)))


@traits(neutral=OFF, update_factors=FACTORS)
@flat_keywords(without=("skip", "ghost_size", "lsuv"), activation="gelu", initializer="lecun_normal")
def transformer(
    *,
    outputs: int,
    block: Block,
    attention: Attention,
    readout: Literal["every", "last", "mean", "first"] = "every",
    tied: bool = False,
    vocabulary: Size = 0,
    padding: int = -1,
    layers: Layers,
) -> Model:
    """Build a transformer: blocks of attention and an mlp at every position, each added to one stream.

    pre:  s = stream_scale s + branch_scale f(norm(s)), the outputs read norm(s)
    post: s = norm(stream_scale s + branch_scale f(s)), the outputs read s
    f is the attention W_o softmax(q k / sqrt(d)) v, d = width / heads, and then the mlp W_2 act(W_1 a + b_1) + b_2 or,
    with `glu`, W_2 (act(W_1 a + b_1) (W_3 a + b_3)) + b_2; the first s is the embedding of the token, or W x + b, and
    of its position.

    Args:
        outputs: number of classes or regression targets, at every position or of the example.
        block: see `Block`.
        attention: see `Attention`.
        readout: what the outputs read: "every" position ([B, T, outputs]), the "last" that counts, the "mean" over
            those that count, or the "first".
        tied: the outputs use the vectors of the tokens, W = E^T, with a bias of their own.
        vocabulary: number of different token ids; 0 for float inputs.
        padding: id that fills up short sequences: no position reads it. Below 0: none.
        activation: of the mlps.
        branch_scale: factor of each branch, such as 1 / sqrt(2 depth). *Sweepable.* *Neutral: 1.0.*
        stream_scale: factor of the stream that a branch is added to. *Sweepable.* *Neutral: 1.0.*
        dropout: rate, of the embedding, of what each branch gives, and of what the outputs read. *Sweepable.*
            *Neutral: 0.0.*
        stochastic_depth: rate at which an example skips the branches of the last block; it falls in proportion to the
            number of the block, to 0 at the first. *Sweepable.* *Neutral: 0.0.*
        kernels: "stock" is `jax.nn.dot_product_attention`, which "auto" takes on a GPU, and our own form on a CPU; with
            soft_cap or attention_dropout both are our own.
        layers: see `Layers`.

    Returns:
        A `Model` on inputs [B, T, F] or ids [B, T]: outputs [B, T, outputs] or [B, outputs]; activations "embedding",
        "layer_00", ... [B, T, width] (the stream after each block), their slopes (of the mlps' units), and "output".
        Also on rows of several documents {"tokens": [B, T], "segments": [B, T]}: none reads another, and positions
        begin anew with each. `unroll` makes the outputs of a causal one with readout "every" a position at a time.

    Raises:
        ValueError: the inputs are no sequences; heads do not divide the width, or key_heads the heads; the sequence is
            longer than the learned positions.

    Expect:
        With "post", gradients of the first blocks are claimed to be small beside those of the last at the start, the
        more so the deeper: look at gradient_norm, and at whether a warmup is needed. qk_norm and soft_cap are claimed
        to keep large learning rates from diverging.

    Costs:
        (2 + 2 key_heads / heads) width^2 + 2 width hidden weights a block (3 width hidden with `glu`); the attention
        takes 2 T^2 width multiply-adds a sequence and block, and memory for heads T^2 weights.

    References:
        arXiv:1706.03762, arXiv:2002.04745 (place of the norm), arXiv:2104.09864 (rotary), arXiv:2108.12409 (alibi),
        arXiv:2305.13245 (shared keys), arXiv:2010.04245 (qk_norm), arXiv:2408.00118 (soft_cap), arXiv:2002.05202
        (glu), arXiv:1608.05859 (tied), arXiv:2203.03466 (width_base).
    """
    check("transformer", attention, block, tied, outputs, vocabulary)
    design = design_of("transformer", layers)
    network = _Transformer(design, attention, block, readout, tied, vocabulary, padding, outputs)
    model = from_network(network, step_of(layers, block.depth - 1), per_example=is_off(attention.attention_dropout))
    model = model._replace(per_position=True)
    if not attention.causal or readout != "every":
        return model
    return model._replace(unroll=_unroll(network, step_of(layers, block.depth - 1), attention, block))


def _unroll(network: nn.Module, settings: Step, a: Attention, b: Block) -> Unroll:
    """Make the outputs a position at a time, with the keys and values of those before kept."""

    def begin(batch: int, length: int, dtype: Any = jnp.float32) -> Cache:
        empty = jnp.zeros((batch, a.key_heads or a.heads, b.width // a.heads, length), dtype)
        return Cache(jnp.zeros((), jnp.int32), (empty,) * b.depth, (empty,) * b.depth)

    def advance(params: PyTree, state: PyTree, cache: Cache, inputs: Array) -> tuple[Array, Cache]:
        made: Any = network.apply({"params": params, **state}, inputs[:, None], settings, cache)
        outputs, after = made
        return outputs[:, 0], after

    return Unroll(begin, advance)
