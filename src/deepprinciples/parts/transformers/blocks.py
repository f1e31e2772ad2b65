"""The layers of transformers: embedding, blocks of attention and an mlp, and outputs.

Inside, the stream is [features, examples x positions], and so every map of features is one product of matrices; see
`kernels.sequences.attention` for the rest.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.kernels.sequences.attention import MASKED, attend, columns, distance_slopes, rotated, waves
from deepprinciples.kernels.sequences.feature_norm import normalize
from deepprinciples.parts.layers.design import Design, Step, row
from deepprinciples.parts.layers.hidden_layers import Weights, with_slope
from deepprinciples.parts.layers.keywords import OFF as NO_LAYER_TRICKS
from deepprinciples.parts.layers.noise import drop_branch, drop_weights, dropout, is_off, key_of, thinned
from deepprinciples.parts.layers.normalization import over_spread
from deepprinciples.parts.layers.width_scaling import ratio, scaled, update_factors
from deepprinciples.types import Array, Count, Depth, Limit, NonNegative, Rate, Scalar, Size

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
        head_base: scores of heads of d features are multiplied by sqrt(head_base / d), for heads that grow with the
            width: scores then fall with 1 / d. 0.0 leaves that out. *Sweepable.* *Neutral: 0.0.*
        attention_dropout: rate at which single weights of the attention are dropped. *Sweepable.* *Neutral: 0.0.*
    """

    heads: Count = 4
    key_heads: Size = 0
    causal: bool = True
    positions: Positions = "learned"
    qk_norm: bool = False
    soft_cap: Limit = math.inf
    head_base: NonNegative = 0.0
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
        width_base: the width at which the first weights and the steps of Adam are as they are; at another one they are
            scaled so that every layer changes as much in a step (muP): updates of kernels that read the stream or its
            units by width_base / width, the first output kernel by the root of it (with `tied` the outputs by
            width_base / width), and tables begin as at width_base. 0.0 leaves that out. *Sweepable.* *Neutral: 0.0.*
    """

    depth: Depth = 2
    width: Count = 64
    hidden: Size = 0
    glu: bool = False
    norm_place: Literal["pre", "post"] = "pre"
    normalization: Literal["layer", "rms", "none"] = "layer"
    output_gain: NonNegative = 1.0
    width_base: NonNegative = 0.0


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
    cache: Cache | None = None
    memory: Array | None = None  # of an encoder, [D, B S]: what a second attention reads
    memory_bias: Array | None = None  # [B, 1, S, 1]


class Norm(nn.Module):
    """Normalization of the features of each position, the first axis of [D, N]."""

    kind: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.kind == "none":
            return x
        scale = self.param("scale", nn.initializers.ones, x.shape[:1], jnp.float32)
        bias = jnp.zeros_like(scale)
        if self.kind == "layer":
            bias = self.param("bias", nn.initializers.zeros, x.shape[:1], jnp.float32)
        return normalize(x, *(one.astype(x.dtype) for one in (scale, bias)), self.kind == "layer")


def linear_map(x: Array, design: Design, width: int, step: Step, name: str, gain: Any = 1.0) -> Array:
    """Map features [in, N] to [width, N]; call it inside a compact module."""
    initial = design.initializer
    if not is_off(gain, 1.0):
        initial = lambda key, shape, dtype=jnp.float32: gain * design.initializer(key, shape, dtype)
    weights = Weights((x.shape[0], width), initial, row(design.bias_initializer, x.shape[0]), name=name)
    kernel, bias = weights()
    kernel = drop_weights(kernel, step, weights.path)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias)
    return jnp.einsum("io,in->on", kernel, x) + bias[:, None]


class AttentionLayer(nn.Module):
    """Attention [D, N] over the positions of the stream, or over those of the memory."""

    design: Design
    a: Attention
    gain: Any
    of_memory: bool = False

    @nn.compact
    def __call__(self, x: Array, step: Step, number: int, at: Place) -> tuple[Array, tuple[Array, Array]]:
        a, width = self.a, x.shape[0]
        others = at.memory if self.of_memory and at.memory is not None else x
        size, groups = width // a.heads, a.key_heads or a.heads

        def heads(name: str, count: int) -> Array:
            y = linear_map(x if name == "query" else others, self.design, count * size, step, name)
            y = y.reshape(count, size, at.batch, -1)
            y = jnp.moveaxis(y, 2, 0)  # [B, H, d, T]
            if not a.qk_norm or name == "value":
                return y
            scale = self.param(f"{name}_scale", nn.initializers.ones, (size,), jnp.float32)
            return over_spread(y, (2,)) * scale[None, None, :, None]

        q, k, v = heads("query", a.heads), heads("key", groups), heads("value", groups)
        if a.positions == "rotary" and not self.of_memory:
            q, k = (rotated(one, at.places) for one in (q, k))
        q = q if is_off(a.head_base) else q * ratio(a.head_base, size) ** 0.5
        if at.cache is not None and not self.of_memory:
            place = at.cache.place
            k, v = (
                jax.lax.dynamic_update_slice_in_dim(old[number], new, place, axis=3)
                for old, new in ((at.cache.keys, k), (at.cache.values, v))
            )
        key = key_of(step, a.attention_dropout, "attention_dropout")
        factors = None
        if key is not None:
            ones = jnp.ones((at.batch, a.heads, k.shape[3], q.shape[3]), x.dtype)
            place = stream(key, "memory" if self.of_memory else "attention")
            factors = thinned(ones, a.attention_dropout, fold_in(place, number))
        y = attend(q, k, v, at.memory_bias if self.of_memory else at.bias, a.soft_cap, factors, self.design.kernels)
        y = jnp.moveaxis(y, 0, 2).reshape(width, -1)
        return linear_map(y, self.design, width, step, "output", self.gain), (k, v)


class Mlp(nn.Module):
    """Two maps with an activation between them, and the slope of the units [hidden, N]."""

    design: Design
    b: Block

    @nn.compact
    def __call__(self, x: Array, step: Step) -> tuple[Array, Array]:
        b, width = self.b, x.shape[0]
        hidden = b.hidden or (8 * width // 3 if b.glu else 4 * width)
        y, slope = with_slope(self.design.activation, linear_map(x, self.design, hidden, step, "hidden"))
        if b.glu:
            y = y * linear_map(x, self.design, hidden, step, "gate")
        return linear_map(y, self.design, width, step, "output", b.output_gain), slope


class BlockLayer(nn.Module):
    """A block: the stream [D, N] after it, the slope of its mlp, and its keys and values."""

    design: Design
    a: Attention
    b: Block

    @nn.compact
    def __call__(self, x: Array, step: Step, number: int, at: Place) -> tuple[Array, Array, tuple[Array, Array]]:
        gain = self.b.output_gain
        attention = AttentionLayer(self.design, self.a, gain, name="attention")
        branches = ["attention", "mlp"]
        if at.memory is not None:
            branches.insert(1, "memory")
            memory = AttentionLayer(self.design, self.a, gain, of_memory=True, name="memory")
        for place, name in enumerate(branches):
            norm = Norm(self.b.normalization, name=f"{name}_norm")
            given = norm(x) if self.b.norm_place == "pre" else x
            if name == "attention":
                y, pair = attention(given, step, number, at)
            elif name == "memory":
                y, _ = memory(given, step, number, at)
            else:
                y, slope = Mlp(self.design, self.b, name="mlp")(given, step)
            y = dropout(y, step, len(branches) * number + place + 1)
            y = _examples_first(drop_branch(_examples_first(y.reshape(len(y), at.batch, -1)), step, number))
            x = step.stream_scale * x + step.branch_scale * y.reshape(x.shape)
            x = norm(x) if self.b.norm_place == "post" else x
        return x, slope, pair


def _examples_first(x: Array) -> Array:
    return x.swapaxes(0, 1)


class Embedding(nn.Module):
    """Features [D, N] of token ids or floats, and, where they are learned or waves, of their positions.

    Positions are those of every example [T], or of each its own [B, T].
    """

    design: Design
    width: int
    vocabulary: int
    positions: Positions
    width_base: Scalar = 0.0

    @nn.compact
    def __call__(self, x: Array, step: Step, places: Array) -> tuple[Array, Array | None]:
        drawn, table = scaled(nn.initializers.normal(self.width**-0.5), self.width_base, self.width, -0.5), None
        if jnp.issubdtype(x.dtype, jnp.integer):
            table = self.param("tokens", drawn, (self.vocabulary, self.width))
            y = columns(table, x.reshape(-1))
        else:
            y = linear_map(x.reshape(-1, x.shape[-1]).T, self.design, self.width, step, "linear")
        repeats = len(x) if places.ndim == 1 else 1
        places = places.reshape(-1)
        if self.positions == "sinusoidal":
            y = y + jnp.tile(waves(places, self.width).astype(y.dtype), repeats)
        if self.positions == "learned":
            rows = self.variables["params"]["positions"] if self.has_variable("params", "positions") else None
            count = x.shape[1] if rows is None else len(rows)  # as many as the first batch had
            if x.shape[1] > count:
                raise ValueError(
                    f"transformer: found {x.shape[1]} positions, expected {count} or fewer, which learned positions "
                    'were made for; cut the sequences, or take positions = "rotary" or "alibi"'
                )
            given = self.param("positions", drawn, (count, self.width))[places].T.astype(y.dtype)
            y = y + jnp.tile(given, repeats)
        return y, table


class Output(nn.Module):
    """The outputs [B, T, outputs] of features [D, B, T], by the table of the embedding where one is given."""

    design: Design
    b: Block
    outputs: int

    @nn.compact
    def __call__(self, x: Array, step: Step, table: Array | None) -> Array:
        batch = x.shape[1]
        x = x.reshape(len(x), -1)
        x = Norm(self.b.normalization if self.b.norm_place == "pre" else "none", name="norm")(x)
        x = dropout(x, step, 2 * self.b.depth + 1)
        share = ratio(self.b.width_base, self.b.width)
        if table is None:
            return positions_first(linear_map(x, self.design, self.outputs, step, "linear", share**0.5), batch)
        bias = self.param("bias", row(self.design.bias_initializer, x.shape[0]), (self.outputs,), jnp.float32)
        return positions_first(table @ x * share + bias[:, None], batch)


def positions_first(x: Array, batch: int) -> Array:
    """Turn features [D, B T] into [B, T, D]."""
    return x.T.reshape(batch, -1, len(x))


def read(x: Array, readout: str, mask: Array | None) -> Array:
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


def bias_of(a: Attention, queries: Array, keys: Array, mask: Array | None) -> Array | None:
    """Return what is added to the scores [B or 1, H or 1, K, Q] of queries and keys at these places; None for 0."""
    apart = queries[None, :] - keys[:, None]  # [K, Q], how far back a key lies
    bias = jnp.zeros((1, 1, 1, 1))
    if a.positions == "alibi":
        bias = -jnp.asarray(distance_slopes(a.heads))[None, :, None, None] * jnp.abs(apart)[None, None]
    if a.causal:
        bias = jnp.where((apart >= 0)[None, None], bias, MASKED)
    if mask is not None:
        bias = jnp.where(mask[:, None, :, None], bias, MASKED)
    return None if bias.size == 1 else bias


def check(model: str, a: Attention, b: Block, tied: bool, outputs: int, vocabulary: int) -> None:
    """Refuse keywords that do not fit each other, in one line."""
    if b.width % a.heads:
        raise ValueError(f"{model}.heads: found {a.heads}, expected a divisor of width = {b.width}")
    if a.heads % (a.key_heads or a.heads):
        raise ValueError(f"{model}.key_heads: found {a.key_heads}, expected a divisor of heads = {a.heads}, or 0")
    if a.positions == "rotary" and (b.width // a.heads) % 2:
        raise ValueError(
            f"{model}.positions: rotary turns pairs; found heads of {b.width // a.heads} features, expected an "
            "even number; change width or heads"
        )
    if tied and outputs != vocabulary:
        raise ValueError(
            f"{model}.tied: found {outputs} outputs and a vocabulary of {vocabulary}, expected the same number; "
            "set tied = false"
        )


OFF = {
    **NO_LAYER_TRICKS,
    "soft_cap": math.inf,
    "attention_dropout": 0.0,
    "output_gain": 1.0,
    "width_base": 0.0,
    "head_base": 0.0,
}
FACTORS = update_factors("layer_*/kernel", "encoder_*/kernel", "decoder_*/kernel", "output/linear/kernel")
