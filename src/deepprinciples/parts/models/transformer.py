"""Transformers over sequences [B, T, F] of floats or [B, T] of token ids: one stack of blocks, causal or not.

Inside, the stream is [features, examples x positions], and so every map of features is one product of matrices; see
`kernels.attention` for the rest.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels.attention import MASKED, attend, distance_slopes, rotated, waves
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.parts.models.design import Design, Step, design_of, row, step_of
from deepprinciples.parts.models.keywords import OFF, Layers, flat_keywords
from deepprinciples.parts.models.layers import Weights, from_network, layer_name, perturb, with_slope
from deepprinciples.parts.models.noise import drop_branch, drop_weights, dropout, is_off, key_of, thinned
from deepprinciples.parts.models.normalization import over_spread
from deepprinciples.parts.models.recurrent import check_sequence
from deepprinciples.types import (
    ACTIVATION_DERIVATIVE,
    Array,
    Count,
    Depth,
    Limit,
    Model,
    NonNegative,
    PyTree,
    Rate,
    Size,
    Unroll,
    traits,
)

Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "none"]


class Attention(NamedTuple):
    """The keywords of the attention of a transformer.

    Args:
        heads: of the queries; they divide the width.
        key_heads: heads of keys and values, each shared by neighboring heads of queries; 0 for as many as `heads`.
        causal: whether a position reads only itself and those before it.
        positions: how a position is known: a "learned" vector or "sinusoidal" waves added to the embedding, "rotary"
            turns of queries and keys, or "alibi", a penalty on the distance.
        qk_norm: normalize each head's queries and keys by their root mean square, with learned gains.
        soft_cap: scores are kept within -soft_cap and soft_cap by a tanh. *Sweepable.* *Neutral: inf.*
        attention_dropout: rate at which single weights of the attention are dropped. *Sweepable.* *Neutral: 0.0.*
    """

    heads: Count = 4
    key_heads: Size = 0
    causal: bool = True
    positions: Positions = "learned"
    qk_norm: bool = False
    soft_cap: Limit = math.inf
    attention_dropout: Rate = 0.0


class Block(NamedTuple):
    """The keywords of the blocks of a transformer.

    Args:
        depth: blocks, of one attention and one mlp each.
        width: features of the stream.
        hidden: units of each mlp; 0 for 4 width, and with `glu` for 8 width / 3, which has as many weights.
        glu: multiply the activated units by a second linear map of the same input.
        norm_place: "pre" normalizes what a branch reads, and the stream before the outputs; "post" normalizes the sum
            of stream and branch.
        normalization: of the features of each position.
        output_gain: factor on the last kernel of each branch at the start, such as 1 / sqrt(2 depth); 0.0 starts with
            branches that give nothing. *Sweepable.* *Neutral: 1.0.*
    """

    depth: Depth = 2
    width: Count = 64
    hidden: Size = 0
    glu: bool = False
    norm_place: Literal["pre", "post"] = "pre"
    normalization: Literal["layer", "rms", "none"] = "layer"
    output_gain: NonNegative = 1.0


class Cache(NamedTuple):
    """Keys and values of the positions so far, for one position at a time."""

    place: Array  # of the position that comes next
    keys: tuple[Array, ...]  # of each block [B, G, d, T]
    values: tuple[Array, ...]


class Place(NamedTuple):
    """What the attention of every block is given beside the stream."""

    batch: int
    places: Array  # [T], of the queries
    bias: Array | None  # [B or 1, H or 1, K, Q]
    cache: Cache | None


class _Norm(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalize [D, N] over the first axis."""
        if self.kind == "none":
            return x
        centered = x - jnp.mean(x, axis=0, keepdims=True) if self.kind == "layer" else x
        scale = self.param("scale", nn.initializers.ones, x.shape[:1], jnp.float32)
        y = over_spread(centered, (0,)) * scale[:, None]
        if self.kind == "rms":
            return y
        return y + self.param("bias", nn.initializers.zeros, x.shape[:1], jnp.float32)[:, None]


def _linear(x: Array, design: Design, width: int, step: Step, name: str, gain: Any = 1.0) -> Array:
    """Map features [in, N] to [width, N]; call it inside a compact module."""
    initial = design.initializer
    if not is_off(gain, 1.0):
        initial = lambda key, shape, dtype=jnp.float32: gain * design.initializer(key, shape, dtype)
    weights = Weights((x.shape[0], width), initial, row(design.bias_initializer, x.shape[0]), name=name)
    kernel, bias = weights()
    kernel = drop_weights(kernel, step, weights.path)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias)
    return jnp.einsum("io,in->on", kernel, x) + bias[:, None]


class _Attention(nn.Module):
    design: Design
    a: Attention
    gain: Any

    @nn.compact
    def __call__(self, x: Array, step: Step, number: int, at: Place) -> tuple[Array, tuple[Array, Array]]:
        a, width = self.a, x.shape[0]
        size, groups = width // a.heads, a.key_heads or a.heads

        def heads(name: str, count: int) -> Array:
            y = _linear(x, self.design, count * size, step, name).reshape(count, size, at.batch, -1)
            y = jnp.moveaxis(y, 2, 0)  # [B, H, d, T]
            if not a.qk_norm or name == "value":
                return y
            scale = self.param(f"{name}_scale", nn.initializers.ones, (size,), jnp.float32)
            return over_spread(y, (2,)) * scale[None, None, :, None]

        q, k, v = heads("query", a.heads), heads("key", groups), heads("value", groups)
        if a.positions == "rotary":
            q, k = (rotated(one, at.places) for one in (q, k))
        if at.cache is not None:
            place = at.cache.place
            k, v = (
                jax.lax.dynamic_update_slice_in_dim(old[number], new, place, axis=3)
                for old, new in ((at.cache.keys, k), (at.cache.values, v))
            )
        key = key_of(step, a.attention_dropout, "attention_dropout")
        factors = None
        if key is not None:
            ones = jnp.ones((at.batch, a.heads, k.shape[3], q.shape[3]), x.dtype)
            factors = thinned(ones, a.attention_dropout, fold_in(stream(key, "attention"), number))
        y = attend(q, k, v, at.bias, a.soft_cap, factors)
        y = jnp.moveaxis(y, 0, 2).reshape(width, -1)
        return _linear(y, self.design, width, step, "output", self.gain), (k, v)


class _Mlp(nn.Module):
    design: Design
    b: Block

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, Array]:
        b, width = self.b, x.shape[0]
        hidden = b.hidden or (8 * width // 3 if b.glu else 4 * width)
        y, slope = with_slope(self.design.activation, _linear(x, self.design, hidden, step, "hidden"))
        if b.glu:
            y = y * _linear(x, self.design, hidden, step, "gate")
        return _linear(y, self.design, width, step, "output", b.output_gain), slope


class _Block(nn.Module):
    design: Design
    a: Attention
    b: Block

    @nn.compact
    def __call__(self, x: Array, step: Step, number: int, at: Place) -> tuple[Array, Array, tuple[Array, Array]]:
        kind, last = self.b.normalization, []

        def read_others(x: Array) -> Array:
            y, pair = _Attention(self.design, self.a, self.b.output_gain, name="attention")(x, step, number, at)
            last.append(pair)
            return y

        def think(x: Array) -> Array:
            y, slope = _Mlp(self.design, self.b, name="mlp")(x, step)
            last.append(slope)
            return y

        for half, (name, branch) in enumerate((("attention", read_others), ("mlp", think))):
            norm = _Norm(kind, name=f"{name}_norm")
            y = branch(norm(x) if self.b.norm_place == "pre" else x)
            y = dropout(y, step, 2 * number + half + 1)
            y = (
                drop_branch(y.reshape(len(y), at.batch, -1).swapaxes(0, 1), step, number)
                .swapaxes(0, 1)
                .reshape(y.shape)
            )
            x = step.stream_scale * x + step.branch_scale * y
            x = norm(x) if self.b.norm_place == "post" else x
        return x, last[1], last[0]


class _Embedding(nn.Module):
    """Features [D, N] of token ids or floats, and, where they are learned or waves, of their positions."""

    design: Design
    width: int
    vocabulary: int
    positions: Positions

    @nn.compact
    def __call__(self, x: Array, step: Step, places: Array) -> tuple[Array, Array | None]:
        drawn, table = nn.initializers.normal(self.width**-0.5), None
        if jnp.issubdtype(x.dtype, jnp.integer):
            table = self.param("tokens", drawn, (self.vocabulary, self.width))
            y = table[x.reshape(-1)].T
        else:
            y = _linear(x.reshape(-1, x.shape[-1]).T, self.design, self.width, step, "linear")
        if self.positions == "sinusoidal":
            y = y + jnp.tile(waves(places, self.width).astype(y.dtype), len(x))
        if self.positions == "learned":
            rows = self.variables["params"]["positions"] if self.has_variable("params", "positions") else None
            count = x.shape[1] if rows is None else len(rows)  # as many as the first batch had
            if x.shape[1] > count:
                raise ValueError(
                    f"transformer: found {x.shape[1]} positions, expected {count} or fewer, which learned positions "
                    'were made for; cut the sequences, or take positions = "rotary" or "alibi"'
                )
            given = self.param("positions", drawn, (count, self.width))[places].T.astype(y.dtype)
            y = y + jnp.tile(given, len(x))
        return y, table


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
    def __call__(self, x: Array, step: Step, cache: Cache | None = None) -> Any:
        a, b, activations = self.a, self.b, {}
        mask = x != self.padding if check_sequence("transformer", x, self.vocabulary) and self.padding >= 0 else None
        places = jnp.arange(x.shape[1]) + (0 if cache is None else cache.place)

        def seen(y: Array, name: str) -> Array:
            """Note what a layer gives, and add its perturbation."""
            if name in step.perturbations:
                y = y + step.perturbations[name].reshape(-1, len(y)).T
            activations[name] = _positions_first(y, len(x))
            return y

        embed = _Embedding(self.design, b.width, self.vocabulary, a.positions, name="embedding")
        y, table = embed(x, step, places)
        y = dropout(seen(y, "embedding"), step, 0)
        keys = x.shape[1] if cache is None else cache.keys[0].shape[3]
        at, pairs = Place(len(x), places, _bias(a, places, jnp.arange(keys), mask), cache), []
        for number in range(b.depth):
            name = layer_name(number, b.depth)
            y, slope, pair = _Block(self.design, a, b, name=name)(y, step, number, at)
            y = seen(y, name)
            activations[name + ACTIVATION_DERIVATIVE] = _positions_first(slope, len(x))
            pairs.append(pair)
        outputs = _Output(self.design, b, self.outputs, name="output")(
            _read(y.reshape(len(y), *x.shape[:2]), self.readout, mask), step, table if self.tied else None
        )
        outputs = outputs if self.readout == "every" else outputs[:, 0]
        activations["output"] = outputs = perturb(outputs, step, "output")
        if cache is None:
            return outputs, activations
        return outputs, Cache(cache.place + x.shape[1], *map(tuple, zip(*pairs, strict=True)))


class _Output(nn.Module):
    """The outputs [B, T, outputs] of features [D, B, T], by the table of the embedding where one is given."""

    design: Design
    b: Block
    outputs: int

    @nn.compact
    def __call__(self, x: Array, step: Step, table: Array | None) -> Array:
        batch = x.shape[1]
        x = x.reshape(len(x), -1)
        x = _Norm(self.b.normalization if self.b.norm_place == "pre" else "none", name="norm")(x)
        x = dropout(x, step, 2 * self.b.depth + 1)
        if table is None:
            return _positions_first(_linear(x, self.design, self.outputs, step, "linear"), batch)
        bias = self.param("bias", row(self.design.bias_initializer, x.shape[0]), (self.outputs,), jnp.float32)
        return _positions_first(table @ x + bias[:, None], batch)


def _positions_first(x: Array, batch: int) -> Array:
    """Turn features [D, B T] into [B, T, D]."""
    return x.T.reshape(batch, -1, len(x))


def _read(x: Array, readout: str, mask: Array | None) -> Array:
    """Take the features [D, B, T] that the outputs are made of; [D, B, 1] but for readout "every"."""
    if readout == "every":
        return x
    if readout == "first":
        return x[..., :1]
    counts = jnp.ones(x.shape[1:], bool) if mask is None else mask  # [B, T]
    if readout == "mean":
        total = jnp.sum(x, axis=2, where=counts[None], keepdims=True)
        return total / jnp.maximum(jnp.sum(counts, axis=1), 1)[None, :, None].astype(x.dtype)
    last = jnp.max(jnp.where(counts, jnp.arange(x.shape[2]), 0), axis=1)  # [B]
    return jnp.take_along_axis(x, last[None, :, None], axis=2)


def _bias(a: Attention, queries: Array, keys: Array, mask: Array | None) -> Array | None:
    """Return what is added to the scores [B or 1, H or 1, K, Q] of queries and keys at these places; None for 0."""
    apart = queries[None, :] - keys[:, None]  # [K, Q], how far back a key lies
    bias = jnp.zeros((1, 1, 1, 1))
    if a.positions == "alibi":
        bias = -distance_slopes(a.heads)[None, :, None, None] * jnp.abs(apart)[None, None]
    if a.causal:
        bias = jnp.where((apart >= 0)[None, None], bias, MASKED)
    if mask is not None:
        bias = jnp.where(mask[:, None, :, None], bias, MASKED)
    return None if bias.size == 1 else bias


def _check(a: Attention, b: Block, tied: bool, outputs: int, vocabulary: int) -> None:
    if b.width % a.heads:
        raise ValueError(f"transformer.heads: found {a.heads}, expected a divisor of width = {b.width}")
    if a.heads % (a.key_heads or a.heads):
        raise ValueError(f"transformer.key_heads: found {a.key_heads}, expected a divisor of heads = {a.heads}, or 0")
    if a.positions == "rotary" and (b.width // a.heads) % 2:
        raise ValueError(
            f"transformer.positions: rotary turns pairs; found heads of {b.width // a.heads} features, expected an "
            "even number; change width or heads"
        )
    if tied and outputs != vocabulary:
        raise ValueError(
            f"transformer.tied: found {outputs} outputs and a vocabulary of {vocabulary}, expected the same number; "
            "set tied = false"
        )


_OFF = {
    **OFF,
    "soft_cap": math.inf,
    "attention_dropout": 0.0,
    "output_gain": 1.0,
}


@traits(neutral=_OFF)
@flat_keywords(without=("skip", "ghost_size", "lsuv", "kernels"), activation="gelu", initializer="lecun_normal")
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
        layers: see `Layers`.

    Returns:
        A `Model` on inputs [B, T, F] or ids [B, T]: outputs [B, T, outputs] or [B, outputs]; activations "embedding",
        "layer_00", ... [B, T, width] (the stream after each block), their slopes (of the mlps' units), and "output".
        `unroll` makes the outputs of a causal one with readout "every" a position at a time.

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
        (glu), arXiv:1608.05859 (tied).
    """
    _check(attention, block, tied, outputs, vocabulary)
    design = design_of("transformer", layers)
    network = _Transformer(design, attention, block, readout, tied, vocabulary, padding, outputs)
    model = from_network(network, step_of(layers, block.depth - 1), per_example=is_off(attention.attention_dropout))
    if not attention.causal or readout != "every":
        return model
    return model._replace(unroll=_unroll(network, step_of(layers, block.depth - 1), attention, block))


def _unroll(network: nn.Module, settings: Step, a: Attention, b: Block) -> Unroll:
    """Make the outputs a position at a time, with the keys and values of those before kept."""

    def begin(batch: int, length: int, dtype: Any = jnp.float32) -> Cache:
        empty = jnp.zeros((batch, a.key_heads or a.heads, b.width // a.heads, length), dtype)
        return Cache(jnp.zeros((), jnp.int32), (empty,) * b.depth, (empty,) * b.depth)

    def advance(params: PyTree, state: PyTree, cache: Cache, inputs: Array) -> tuple[Array, Cache]:
        outputs, cache = network.apply({"params": params, **state}, inputs[:, None], settings, cache)
        return outputs[:, 0], cache

    return Unroll(begin, advance)


TABLE = {"transformer": transformer}
