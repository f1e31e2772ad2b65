"""Sequences from a model of the next token: drawn, or the likeliest, one position at a time and wholly compiled.

The keys and values of earlier positions are kept where the model has an `unroll`; any other model reads all its
positions anew for each. A text may be longer than the positions that the model was trained on: when they are used up,
the later half of them is read again, and it goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.parts.tokens.tokenization import UNKNOWN_CHARACTER, UNKNOWN_WORD
from deepprinciples.parts.tokens.tokenization import Tokenizer as Tokenizer
from deepprinciples.parts.tokens.tokenization import tokenizer_of as tokenizer_of
from deepprinciples.types import Array, Model, PyTree, Unroll


class Choice(NamedTuple):
    """How the next token is chosen among the scores of all.

    temperature: scores are divided by it; 0 takes the largest. top_k: only so many of the largest scores count, 0 for
    all. top_p: only the likeliest tokens whose probabilities reach this sum count, 1 for all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


def choose(scores: Array, key: Array, choice: Choice) -> Array:
    """Draw a token of each row of scores, [B, V] -> [B].

    References:
        arXiv:1805.04833 (top_k), arXiv:1904.09751 (top_p).
    """
    if choice.temperature == 0:
        return jnp.argmax(scores, axis=-1)
    scores = scores / choice.temperature
    ordered = jnp.sort(scores, axis=-1)[:, ::-1]
    least = ordered[:, min(choice.top_k or scores.shape[1], scores.shape[1]) - 1]
    if choice.top_p < 1:
        shares = jax.nn.softmax(jnp.where(ordered >= least[:, None], ordered, -jnp.inf), axis=-1)
        before = jnp.cumsum(shares, axis=-1) - shares  # a token counts if those above it do not reach the sum
        count = jnp.sum(before < choice.top_p, axis=-1)
        least = jnp.maximum(least, jnp.take_along_axis(ordered, count[:, None] - 1, axis=-1)[:, 0])
    return jax.random.categorical(key, jnp.where(scores >= least[:, None], scores, -jnp.inf))


def unknown_in(text: str, tokenizer: Tokenizer) -> str:
    """Return the first character or word of a text that a tokenizer has no token for; "" where it knows all."""
    for name, pieces in ((UNKNOWN_CHARACTER, list(text)), (UNKNOWN_WORD, text.split())):
        if name in tokenizer.names:
            return next((piece for piece in pieces if piece not in tokenizer.names), "")
    return ""


def unroll_of(model: Model, state: PyTree) -> Unroll:
    """Return how a causal model makes its outputs one position at a time; one that cannot say it reads all anew."""
    if model.unroll is not None:
        return model.unroll

    def begin(batch: int, length: int) -> tuple[Array, Array]:
        return jnp.zeros((), jnp.int32), jnp.zeros((batch, length), jnp.int32)

    def advance(params: PyTree, own: PyTree, carry: Any, ids: Array) -> tuple[Array, Any]:
        place, seen = carry
        seen = jax.lax.dynamic_update_slice_in_dim(seen, ids[:, None].astype(seen.dtype), place, axis=1)
        outputs = model.apply(params, own, seen, key=None, train=False)[0]
        return jax.lax.dynamic_index_in_dim(outputs, place, axis=1, keepdims=False), (place + 1, seen)

    return Unroll(begin, advance)


def is_causal(model: Model, params: PyTree, state: PyTree, length: int, vocabulary: int) -> bool:
    """Check that a model gives scores at every position, and that none depends on the tokens after it."""
    ids = np.arange(length)[None, :] % vocabulary
    apply = jax.jit(lambda params, state, x: model.apply(params, state, x, key=None, train=False)[0])
    changed = np.concatenate([ids[:, :1], (ids[:, 1:] + 1) % vocabulary], axis=1)
    one, other = (apply(params, state, x) for x in (ids, changed))
    return one.shape == (1, length, vocabulary) and bool(np.allclose(one[:, 0], other[:, 0], rtol=1e-4, atol=1e-5))


def _read(unroll: Unroll, params: PyTree, state: PyTree, carry: PyTree, ids: Array) -> tuple[Array, PyTree]:
    """Read tokens [B, P] and return the scores after the last, [B, V]."""

    def step(carry: PyTree, ids: Array) -> tuple[PyTree, Array]:
        scores, carry = unroll.advance(params, state, carry, ids)
        return carry, scores

    carry, scores = jax.lax.scan(step, carry, ids.T)
    return scores[-1], carry


def sampled(
    model: Model, params: PyTree, state: PyTree, prompts: Any, count: int, key: Array, choice: Choice, window: int
) -> np.ndarray:
    """Continue prompts.

    Args:
        model: a causal one with scores at every position.
        params: of the model.
        state: of the model.
        prompts: token ids [B, P], P at least 1.
        count: tokens to add.
        key: of the draws; the same key gives the same tokens.
        choice: how a token is chosen.
        window: positions that the model reads at most, 2 or more.

    Returns:
        The new tokens [B, count].
    """
    unroll = unroll_of(model, state)

    @jax.jit
    def piece(params: PyTree, state: PyTree, ids: Array, key: Array) -> Array:
        batch, read = ids.shape
        scores, carry = _read(unroll, params, state, unroll.begin(batch, window), ids)

        def step(carry: tuple[PyTree, Array], key: Array) -> tuple[tuple[PyTree, Array], Array]:
            inner, scores = carry
            ids = choose(scores, key, choice)
            scores, inner = unroll.advance(params, state, inner, ids)
            return (inner, scores), ids

        (_, scores), added = jax.lax.scan(step, (carry, scores), jax.random.split(key, window - read))
        return added.T

    text = np.asarray(prompts)
    begun = text.shape[1]
    context = text if begun < window else text[:, -(window // 2) :]
    for number in range(count + 1):
        if text.shape[1] >= begun + count:
            break
        added = piece(params, state, jnp.asarray(context), jax.random.fold_in(key, number))
        text = np.concatenate([text, np.asarray(added)], axis=1)
        context = text[:, -(window // 2) :]
    return text[:, begun : begun + count]


def searched(
    model: Model, params: PyTree, state: PyTree, prompt: Any, count: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Search for the likeliest continuations of one prompt, keeping the best few at every position (beam search).

    Args:
        model: a causal one with scores at every position.
        params: of the model.
        state: of the model.
        prompt: token ids [P], P at least 1.
        count: tokens to add.
        width: continuations that are kept.

    Returns:
        (ids [width, count], the logarithm of the probability of each [width]), the likeliest first.
    """
    unroll = unroll_of(model, state)

    @jax.jit
    def search(params: PyTree, state: PyTree, prompt: Array) -> tuple[Array, Array]:
        ids = jnp.tile(prompt[None], (width, 1))
        scores, carry = _read(unroll, params, state, unroll.begin(width, len(prompt) + count), ids)
        advance = lambda carry, ids: unroll.advance(params, state, carry, ids)
        found, totals = follow(advance, carry, scores, count, width)
        return found[0], totals[0]

    found, totals = search(params, state, jnp.asarray(prompt))
    return np.asarray(found), np.asarray(totals)


def follow(
    advance: Callable[[PyTree, Array], tuple[Array, PyTree]],
    carry: PyTree,
    scores: Array,
    count: int,
    width: int,
    end: int = -1,
) -> tuple[Array, Array]:
    """Follow the best few continuations of every example; see `searched`.

    Args:
        advance: (carry, ids [B width]) -> (scores of the next token [B width, V], carry).
        carry: whose arrays with axes begin with the B width continuations, those of an example side by side and alike.
        scores: of the first token, [B width, V].
        count: tokens to add.
        width: continuations that are kept.
        end: token behind which a continuation stays as it is; -1 for none.

    Returns:
        (ids [B, width, count], filled up with `end`, the logarithms of their probabilities [B, width]), the likeliest
        first.
    """
    batch, size = len(scores) // width, scores.shape[1]
    totals = jnp.tile(jnp.where(jnp.arange(width) == 0, 0.0, -jnp.inf)[None], (batch, 1))  # all begin alike: one counts

    def step(state: Any, place: Array) -> tuple[Any, None]:
        carry, scores, totals, found, ended = state
        logs = jax.nn.log_softmax(scores).reshape(batch, width, size)
        if end >= 0:
            stays = jnp.where(jnp.arange(size) == end, 0.0, -jnp.inf)
            logs = jnp.where(ended[:, :, None], stays[None, None], logs)
        totals, best = jax.lax.top_k((totals[:, :, None] + logs).reshape(batch, -1), width)
        parents, ids = best // size, best % size
        rows = (jnp.arange(batch)[:, None] * width + parents).reshape(-1)
        found = jnp.take_along_axis(found, parents[:, :, None], axis=1).at[:, :, place].set(ids)
        ended = jnp.take_along_axis(ended, parents, axis=1) | (ids == end)
        carry = jax.tree.map(lambda a: a[rows] if a.ndim else a, carry)
        scores, carry = advance(carry, ids.reshape(-1))
        return (carry, scores, totals, found, ended), None

    begun = (carry, scores, totals, jnp.zeros((batch, width, count), jnp.int32), jnp.zeros((batch, width), bool))
    (_, _, totals, found, _), _ = jax.lax.scan(step, begun, jnp.arange(count))
    return found, totals
