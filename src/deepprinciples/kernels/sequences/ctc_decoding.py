"""From the frames of a CTC model to token sequences: the best path, and prefix beam search.

Class 0 is the blank. A path has one class a frame; its tokens are what is left once repeats are merged and blanks
dropped. Shapes are static, so both run inside a compiled program.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.kernels.sequences.edit_distance import packed
from deepprinciples.types import Array

BLANK = 0


def greedy(logits: Array, frames: Array) -> Array:
    """Return the tokens of the likeliest path.

    Args:
        logits: [T, C].
        frames: how many of them count.

    Returns:
        Tokens [T], filled up with -1; none where a frame that counts holds NaN.
    """
    there = jnp.arange(len(logits)) < frames
    path = jnp.argmax(logits, axis=-1)
    kept = there & (path != BLANK) & jnp.append(True, path[1:] != path[:-1]) & ~_undefined(logits, there)
    return packed(jnp.where(kept, path, -1))


class _Beams(NamedTuple):
    """The prefixes that are followed, W of them."""

    tokens: Array  # [W, T], filled up with -1
    length: Array  # [W]
    blank: Array  # [W], log-probability of its paths that end in a blank
    token: Array  # [W], of those that end in its last token


def beam_search(logits: Array, frames: Array, *, beams: int) -> Array:
    """Return the likeliest tokens that prefix beam search finds.

    p(tokens) = sum over their paths of prod_t softmax(logits_t)_(path_t)

    The search follows `beams` prefixes from frame to frame. Paths of the same prefix are added up. With as many beams
    as there are prefixes it is exact.

    Args:
        logits: [T, C].
        frames: how many of them count.
        beams: how many prefixes are followed.

    Returns:
        Tokens [T], filled up with -1; none where a frame that counts holds NaN.

    References: Graves 2012, Supervised sequence labelling with recurrent neural networks, section 7.5; Hannun et al.,
        arXiv:1408.2873.
    """
    there = jnp.arange(len(logits)) < frames
    log_p = jnp.where(there[:, None], jax.nn.log_softmax(logits), 0.0)
    least = jnp.full(beams, -jnp.inf, log_p.dtype)
    start = _Beams(jnp.full((beams, len(logits)), -1), jnp.zeros(beams, int), least.at[0].set(0.0), least)

    def advance(held: _Beams, given: tuple[Array, Array]) -> tuple[_Beams, None]:
        row, counts = given
        moved = _advance(held, row)
        return jax.tree.map(lambda new, old: jnp.where(counts, new, old), moved, held), None

    last = jax.lax.scan(advance, start, (log_p, there))[0]
    best = last.tokens[jnp.argmax(jnp.logaddexp(last.blank, last.token))]
    return jnp.where(_undefined(logits, there), -1, best).astype(jnp.int32)


def _advance(held: _Beams, row: Array) -> _Beams:
    """Read the log-probabilities [C] of a frame."""
    beams, classes = len(held.length), len(row)
    slots = jnp.arange(held.tokens.shape[1])[None]
    alive = jnp.logaddexp(held.blank, held.token)  # [W]
    final = jnp.where(held.length > 0, _at(held.tokens, held.length - 1), BLANK)  # [W], of an empty prefix the blank
    # A token that repeats the last one needs a blank between; [W, C].
    repeats = jnp.arange(classes)[None] == final[:, None]
    longer = row[None] + jnp.where(repeats, held.blank[:, None], alive[:, None])
    longer = longer.at[:, BLANK].set(-jnp.inf)

    parent = jnp.where(slots == held.length[:, None] - 1, -1, held.tokens)  # [W, T], prefixes without their last token
    same = jnp.all(parent[:, None] == held.tokens[None], axis=-1)  # [W, W]: prefix i is prefix j and one token
    same &= (held.length[:, None] == held.length[None] + 1) & jnp.isfinite(alive)[:, None]
    joined = jnp.where(same, longer[:, final].T, -jnp.inf)  # [W, W]: longer of j by the last token of i
    ending = jnp.where(held.length > 0, held.token + row[final], -jnp.inf)
    ending = jnp.logaddexp(ending, jax.nn.logsumexp(joined, axis=1))
    blank = alive + row[BLANK]
    taken = jnp.any(same[:, :, None] & repeats[:, None, :], axis=0)  # [W, C], what is followed already
    longer = jnp.where(taken, -jnp.inf, longer)

    totals = jnp.concatenate([jnp.logaddexp(blank, ending), longer.reshape(-1)])
    best, chosen = jax.lax.top_k(totals, beams)
    stays = chosen < beams
    origin = jnp.where(stays, chosen, (chosen - beams) // classes)
    token = (chosen - beams) % classes
    length = held.length[origin]
    tokens = jnp.where((slots == length[:, None]) & ~stays[:, None], token[:, None], held.tokens[origin])
    return _Beams(
        tokens,
        length + ~stays,
        jnp.where(stays, blank[origin], -jnp.inf),
        jnp.where(stays, ending[origin], best),
    )


def _at(tokens: Array, place: Array) -> Array:
    return jnp.take_along_axis(tokens, jnp.maximum(place, 0)[:, None], axis=1)[:, 0]


def _undefined(logits: Array, there: Array) -> Array:
    return jnp.any(jnp.isnan(logits) & there[:, None])
