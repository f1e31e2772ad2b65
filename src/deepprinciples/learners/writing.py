"""What a model of pairs writes by itself when it is given a source: the likeliest tokens, drawn ones, or the best few.

The source is read once where the model has an `unroll`; any other model reads source and target anew for each token.
All of it is compiled, with as many tokens as a target has at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.learners.generating import Choice, choose, follow
from deepprinciples.parts.tokens.pairs import BEGIN_ID as BEGIN_ID
from deepprinciples.parts.tokens.pairs import END_ID
from deepprinciples.parts.tokens.pairs import PADDING_ID as PADDING_ID
from deepprinciples.types import Array, PyTree, Unroll


class Writer(NamedTuple):
    """A model of pairs with its weights, one token at a time.

    begin(source [B, S], length) -> carry; advance(carry, tokens [B]) -> (scores of the next [B, V], carry).
    """

    begin: Callable[[Array, int], PyTree]
    advance: Callable[[PyTree, Array], tuple[Array, PyTree]]


def writer_of(
    predict: Callable[[PyTree], Array], unroll: Unroll | None = None, params: PyTree = None, state: PyTree = None
) -> Writer:
    """Return how a model writes.

    Args:
        predict: {"source": [B, S], "target": [B, T]} -> scores [B, T, V].
        unroll: of the model, where it has one; `predict` is then not called.
        params: what `unroll` takes.
        state: what `unroll` takes.
    """
    if unroll is not None:
        begin = lambda source, length: unroll.begin(params, state, source, length)
        return Writer(begin, lambda carry, ids: unroll.advance(params, state, carry, ids))

    def start(source: Array, length: int) -> PyTree:
        return jnp.zeros((), jnp.int32), {"source": source, "target": jnp.zeros((len(source), length), source.dtype)}

    def advance(carry: PyTree, ids: Array) -> tuple[Array, PyTree]:
        place, read = carry
        target = jax.lax.dynamic_update_slice_in_dim(
            read["target"], ids[:, None].astype(read["target"].dtype), place, axis=1
        )
        read = {**read, "target": target}
        scores = jax.lax.dynamic_index_in_dim(predict(read), place, axis=1, keepdims=False)
        return scores, (place + 1, read)

    return Writer(start, advance)


def write(writer: Writer, inputs: Mapping[str, Array], *, beams: int = 1) -> Array:
    """Write the target of every source: the likeliest token each time, or the likeliest target that a search finds.

    Args:
        writer: of the model.
        inputs: of a batch; of the target only the first token, its beginning, is read.
        beams: continuations that the search keeps; 1 takes the likeliest token each time.

    Returns:
        Tokens [B, T], -1 from the end token on.

    Raises:
        ValueError: the inputs are no pairs.
    """
    if not isinstance(inputs, Mapping) or set(inputs) != {"source", "target"}:
        raise ValueError("written = true needs pairs of sequences, such as those of number_words; leave it out")
    if beams == 1:
        tokens = drawn(writer, inputs, Choice(temperature=0))
    else:
        tokens = searched_pairs(writer, inputs, beams)[0][:, 0]
    return tokens.astype(inputs["target"].dtype)


def drawn(writer: Writer, inputs: Mapping[str, Array], choice: Choice, key: Array | None = None) -> Array:
    """Write the target of every source with tokens that are chosen one by one.

    Args:
        writer: of the model.
        inputs: see `write`.
        choice: how a token is chosen.
        key: of the draws; with temperature 0 there are none.

    Returns:
        Tokens [B, T], -1 from the end token on.
    """
    source, target = inputs["source"], inputs["target"]
    keys = jax.random.split(jax.random.key(0) if key is None else key, target.shape[1])

    def step(carry: Any, key: Array) -> tuple[Any, Array]:
        inner, ids = carry
        scores, inner = writer.advance(inner, ids)
        ids = choose(scores, key, choice).astype(target.dtype)
        return (inner, ids), ids

    _, tokens = jax.lax.scan(step, (writer.begin(source, target.shape[1]), target[:, 0]), keys)
    return _until_end(tokens.T)


def searched_pairs(writer: Writer, inputs: Mapping[str, Array], width: int) -> tuple[Array, Array]:
    """Search for the likeliest targets of every source, keeping the best few at every token (beam search).

    log p(target) = sum over its tokens up to the end token, that included; nothing is added for its length, so with
    wide beams short targets are preferred

    Args:
        writer: of the model.
        inputs: see `write`.
        width: continuations that are kept.

    Returns:
        (tokens [B, width, T], -1 from the end token on, log p [B, width]), the likeliest first.
    """
    source, target = inputs["source"], inputs["target"]
    scores, carry = writer.advance(writer.begin(source, target.shape[1]), target[:, 0])
    spread = lambda one: jnp.repeat(one, width, axis=0) if one.ndim else one
    carry, scores = jax.tree.map(spread, (carry, scores))
    found, totals = follow(writer.advance, carry, scores, target.shape[1], width, END_ID)
    return _until_end(found), totals


def _until_end(tokens: Array) -> Array:
    return jnp.where(jnp.cumsum(tokens == END_ID, axis=-1) > 0, -1, tokens)
