"""Metrics of token sequences: error rates, named entities, and BLEU and chrF of texts.

Outputs are one of three: scores of a CTC model, [B, T, C] with the targets {"labels": [B, L], "frames": [B]}, which are
decoded first; token ids [B, M], -1 where there is none; or scores [B, L, C] with labels [B, L], of which the largest at
each labeled position counts. A label of -1 is no label. All of them are sums over the split, finished by a formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.kernels.sequences.ctc_decoding import beam_search, greedy
from deepprinciples.kernels.sequences.edit_distance import edit_distance, packed
from deepprinciples.parts.losses.pairing import mismatch
from deepprinciples.parts.tokens.pairs import END_ID, SPECIAL
from deepprinciples.parts.tokens.tokenization import tokenizer_of
from deepprinciples.types import Array, Count, Metric, better

Rows = Mapping[str, Array]


def ctc_parts(name: str, outputs: Any, targets: Any) -> tuple[Array, Array, Array]:
    """Check what a CTC loss or metric is given.

    Args:
      name: the part that asks.
      outputs: scores [B, T, C]; class 0 is the blank.
      targets: {"labels": [B, L] classes from 1 on, -1 for none, "frames": [B] how many of T count}.
    Returns: outputs, labels, frames.
    Raises: ValueError naming what was found.
    """
    expected = 'outputs [B, T, C] with targets {"labels": [B, L], "frames": [B]} of whole numbers'
    if not isinstance(targets, Mapping) or set(targets) != {"labels", "frames"}:
        found = f"a table of {', '.join(map(str, targets))}" if isinstance(targets, Mapping) else "no table"
        raise ValueError(f"{name}: found {found} as targets, expected {expected}")
    labels, frames = targets["labels"], targets["frames"]
    whole = jnp.issubdtype(labels.dtype, jnp.integer) and jnp.issubdtype(frames.dtype, jnp.integer)
    if getattr(outputs, "ndim", 0) != 3 or labels.ndim != 2 or frames.ndim != 1 or not whole:
        raise mismatch(name, outputs, labels, expected)
    if not len(outputs) == len(labels) == len(frames):
        raise mismatch(name, outputs, labels, expected)
    return outputs, labels, frames


def sequences(name: str, outputs: Any, targets: Any, *, beams: int = 1, written: bool = False) -> tuple[Array, Array]:
    """Read the token sequences that a model found, and those that were wanted.

    Args:
      name: the metric that asks.
      outputs: see the top of this module.
      targets: labels [B, L], or {"labels": [B, L], "frames": [B]}.
      beams: of the decoding of a CTC model; 1 takes its likeliest path.
      written: whether outputs were written up to an end token, which is then none of the labels either.
    Returns: tokens found [B, M] and wanted [B, L], -1 where there is none.
    Raises: ValueError where the shapes do not pair.
    """
    if isinstance(targets, Mapping):
        scores, labels, frames = ctc_parts(name, outputs, targets)
        decode = greedy if beams == 1 else lambda row, count: beam_search(row, count, beams=beams)
        return jax.vmap(decode)(scores, frames), labels
    labels = targets
    if jnp.issubdtype(outputs.dtype, jnp.integer):
        if outputs.ndim != 2 or labels.ndim != 2 or len(outputs) != len(labels):
            raise mismatch(name, outputs, labels, "token ids [B, M] with labels [B, L]")
        return outputs, jnp.where(labels == END_ID, -1, labels) if written else labels
    if outputs.ndim != 3 or labels.shape != outputs.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise mismatch(name, outputs, labels, 'scores [B, L, C] with labels [B, L] or {"labels", "frames"}')
    undefined = jnp.any(jnp.isnan(outputs), axis=-1)
    return jnp.where((labels < 0) | undefined, -1, jnp.argmax(outputs, axis=-1)), labels


@better("min", best=0.0)
def token_error_rate(*, beams: Count = 1, written: bool = False) -> Metric:
    """Measure how many tokens are wrong: character error rate, or digit or word error rate, as the classes are.

    sum of the insertions, deletions and substitutions that turn the answers into the labels, as few as possible
    (Levenshtein) / number of labels; sums over the split, so that longer examples count more

    An answer that holds NaN is empty: its labels all count as wrong.

    Args:
      beams: prefixes that the decoding of CTC outputs follows; 1 takes the likeliest path of each. With `written`,
        answers that a search keeps after each token, the likeliest of which counts; 1 takes the likeliest token.
      written: measure what a model of pairs writes by itself, token after token, instead of its answers to a target
        that is given so far.
    Returns: Metric of outputs [B, T, C] and {labels [B, L], frames [B]}, or of token ids [B, M] or scores [B, L, C] and
      labels [B, L]; 0 is best, an empty answer has 1, and more than 1 is possible.
    Raises: ValueError where the shapes do not pair.
    References: Levenshtein 1966, Binary codes capable of correcting deletions, insertions, and reversals.
    """

    def statistics(outputs: Any, targets: Any) -> Rows:
        found, wanted = sequences("token_error_rate", outputs, targets, beams=beams, written=written)
        errors = jax.vmap(edit_distance)(found, wanted).astype(jnp.float32)
        return {"errors": errors, "labels": jnp.sum(wanted >= 0, axis=1, dtype=jnp.float32)}

    return Metric(statistics, lambda sums, count: _share(sums["errors"], sums["labels"]), written=written * beams)


@better("min", best=0.0)
def word_error_rate(
    *, class_names: tuple[str, ...], separator: str = "", beams: Count = 1, written: bool = False
) -> Metric:
    """Measure how many words are wrong, where classes are characters or pieces of words.

    sum of the insertions, deletions and substitutions of words that turn the answers into the labels / number of words
    of the labels; the names of the classes are joined and split at spaces

    Args:
      class_names: of the classes. Supplied by the data.
      separator: put between the names of two tokens: "" where tokens are characters, " " where they are words, which
        then is token_error_rate.
      beams: see token_error_rate.
      written: see token_error_rate.
    Returns: Metric of outputs as those of token_error_rate, computed on the host; 0 is best, more than 1 is possible.
    Raises: ValueError where the shapes do not pair.
    References: see token_error_rate.
    """

    def compute(rows: Rows, weights: np.ndarray) -> float:
        errors = words = 0
        for found, wanted in zip(*texts(rows, weights, class_names, separator), strict=True):
            errors += distance(found.split(), wanted.split())
            words += len(wanted.split())
        return errors / words if words else float("nan")

    return Metric(
        _texts_of("word_error_rate", beams, written), compute, reduce="gather", host=True, written=written * beams
    )


@better("max", worst=0.0, best=1.0)
def entity_f1(*, class_names: tuple[str, ...]) -> Metric:
    """Measure how well named entities are found: an entity counts if its type, its first and its last token are right.

    F1 = 2 TP / (entities of the answers + entities of the labels), sums over the split

    Classes are tags: O, B-TYPE at the first token of an entity, I-TYPE within it. As in the CoNLL evaluation and in
    seqeval, an I-TYPE behind another tag also begins an entity. Positions with the label -1 are taken out first.

    Args:
      class_names: tags such as O, B-person, I-person. Supplied by the data.
    Returns: Metric of scores [B, L, C] and labels [B, L], from 0 to 1; also the F1 of each type, in alphabetic order.
    Raises: ValueError where the shapes do not pair, or a class is no tag.
    References: Tjong Kim Sang and De Meulder, arXiv:cs/0306050 (CoNLL-2003).
    """
    kinds = sorted({name[2:] for name in class_names if name[:2] in ("B-", "I-")})
    if wrong := [name for name in class_names if name != "O" and name[:2] not in ("B-", "I-")]:
        raise ValueError(f'entity_f1: found the class "{wrong[0][:40]}", expected O, B-... or I-...')
    if not kinds:
        raise ValueError("entity_f1: found no class B-... or I-..., expected data whose class_names are such tags")
    begins = jnp.array([name.startswith("B-") for name in class_names])
    kind_of = jnp.array([kinds.index(name[2:]) if name != "O" else -1 for name in class_names])

    def entities(tags: Array) -> tuple[Array, Array, Array]:
        """Return for each position [L] whether an entity begins there, of which type, and where it ends."""
        kind = jnp.where(tags >= 0, kind_of[tags], -1)
        before, behind = jnp.append(-1, kind[:-1]), jnp.append(kind[1:], -1)
        first = jnp.where(tags >= 0, begins[tags], False)
        begun = (kind >= 0) & (first | (before != kind))
        last = (kind >= 0) & (jnp.append(first[1:], True) | (behind != kind))
        ends = jax.lax.cummin(jnp.where(last, jnp.arange(len(tags)), len(tags)), reverse=True)
        return begun, kind, ends

    def one(found: Array, wanted: Array) -> Rows:
        order = jnp.argsort(wanted < 0, stable=True)
        found, wanted = jnp.where(wanted < 0, -1, found)[order], wanted[order]
        (begun, kind, ends), (true, true_kind, true_ends) = entities(found), entities(wanted)
        right = begun & true & (kind == true_kind) & (ends == true_ends)
        of = lambda kept: jnp.sum(jax.nn.one_hot(jnp.where(kept, true_kind, -1), len(kinds)), axis=0)
        answers = jnp.sum(jax.nn.one_hot(jnp.where(begun, kind, -1), len(kinds)), axis=0)
        return {"right": of(right), "answers": answers, "entities": of(true)}

    def statistics(outputs: Array, targets: Array) -> Rows:
        if getattr(outputs, "shape", (0,))[-1] != len(class_names):
            raise ValueError(f"entity_f1: found outputs {list(outputs.shape)} for {len(class_names)} classes")
        found, wanted = sequences("entity_f1", outputs, targets)
        return jax.vmap(one)(found, wanted)

    score = lambda sums: _share(2.0 * sums["right"], sums["answers"] + sums["entities"])
    total = lambda sums, count: score(jax.tree.map(jnp.sum, dict(sums)))
    return Metric(statistics, total, lambda sums, count: score(sums))


@better("max", worst=0.0, best=100.0)
def bleu(
    *,
    class_names: tuple[str, ...],
    separator: str = " ",
    tokenize: Literal["13a", "intl", "char", "none"] = "13a",
    beams: Count = 1,
    written: bool = False,
) -> Metric:
    """Measure generated texts by their n-grams of up to four words that are also in the reference (BLEU, sacrebleu).

    100 min(1, exp(1 - r / c)) (p_1 p_2 p_3 p_4)^(1/4), p_n the share of n-grams that are in the reference too, over the
    split; c and r are the lengths of answers and references; see sacrebleu for the smoothing of p_n = 0

    Args:
      class_names: what the token ids are called. Supplied by the data.
      separator: put between the names of two tokens: " " where tokens are words, "" where they are characters.
      tokenize: how sacrebleu cuts texts into words.
      beams: see token_error_rate.
      written: see token_error_rate.
    Returns: Metric of outputs as those of token_error_rate, computed on the host, from 0 to 100.
    Raises: ValueError where the shapes do not pair, or sacrebleu is not installed (extra `text`).
    References: Papineni et al. 2002, BLEU: a method for automatic evaluation of machine translation; Post,
      arXiv:1804.08771 (sacrebleu).
    """
    score = _sacrebleu("bleu").BLEU(tokenize=tokenize, force=True)  # force: no warning where texts are tokenized
    compute = lambda rows, weights: _corpus_score(score, texts(rows, weights, class_names, separator))
    return Metric(_texts_of("bleu", beams, written), compute, reduce="gather", host=True, written=written * beams)


@better("max", worst=0.0, best=100.0)
def chrf(
    *,
    class_names: tuple[str, ...],
    separator: str = " ",
    word_order: Literal[0, 1, 2] = 0,
    beams: Count = 1,
    written: bool = False,
) -> Metric:
    """Measure generated texts by the n-grams of up to six characters that they share with the reference (chrF).

    100 (1 + 4) P R / (4 P + R), P and R the precision and recall of character n-grams, means over n, of the split

    Args:
      class_names: what the token ids are called. Supplied by the data.
      separator: put between the names of two tokens: " " where tokens are words, "" where they are characters.
      word_order: n-grams of words that count too; 2 is chrF++.
      beams: see token_error_rate.
      written: see token_error_rate.
    Returns: Metric of outputs as those of token_error_rate, computed on the host, from 0 to 100.
    Raises: ValueError where the shapes do not pair, or sacrebleu is not installed (extra `text`).
    References: Popovic 2015, chrF: character n-gram F-score for automatic MT evaluation.
    """
    score = _sacrebleu("chrf").CHRF(word_order=word_order)
    compute = lambda rows, weights: _corpus_score(score, texts(rows, weights, class_names, separator))
    return Metric(_texts_of("chrf", beams, written), compute, reduce="gather", host=True, written=written * beams)


def texts(rows: Rows, weights: np.ndarray, class_names: Sequence[str], separator: str) -> tuple[list[str], list[str]]:
    """Join the tokens that count of every example into a text, by the names of their classes.

    Args:
      rows: found and wanted, [N, M] and [N, L], -1 where there is no token.
      weights: [N], 0 for padding, which is left out.
      class_names: of the ids; an id without one is written as a number.
      separator: put between two names; tokens of pairs of texts are decoded as their tokenizer does.
    Returns: the texts found, and those wanted.
    """
    name = lambda token: class_names[token] if token < len(class_names) else str(token)
    text = lambda tokens: separator.join(name(int(token)) for token in tokens if token >= 0)
    if tuple(class_names[: len(SPECIAL)]) == SPECIAL:  # of pairs of texts
        decode = tokenizer_of(class_names).decode
        text = lambda tokens: decode(int(token) for token in tokens if token >= 0)
    kept = np.flatnonzero(np.asarray(weights) > 0)
    return [text(rows["found"][i]) for i in kept], [text(rows["wanted"][i]) for i in kept]


def distance(found: Sequence[str], wanted: Sequence[str]) -> int:
    """Count the insertions, deletions and substitutions between two lists of words, on the host."""
    row = list(range(len(found) + 1))
    for i, word in enumerate(wanted, 1):
        above, row = row, [i]
        for j, other in enumerate(found, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (other != word)))
    return row[-1]


def _texts_of(name: str, beams: int, written: bool) -> Any:
    def statistics(outputs: Any, targets: Any) -> Rows:
        found, wanted = sequences(name, outputs, targets, beams=beams, written=written)
        return {"found": jax.vmap(packed)(found), "wanted": jax.vmap(packed)(wanted)}

    return statistics


def _sacrebleu(name: str) -> Any:
    try:
        from sacrebleu import metrics
    except ImportError:
        raise ValueError(f"{name}: needs sacrebleu; install deepprinciples[text]") from None
    return metrics


def _corpus_score(score: Any, given: tuple[list[str], list[str]]) -> float:
    found, wanted = given
    return float(score.corpus_score(found, [wanted]).score)


def _share(part: Array, whole: Array) -> Array:
    return jnp.where(whole > 0, part / jnp.maximum(whole, 1.0), jnp.nan)


TABLE = {f.__name__: f for f in (token_error_rate, word_error_rate, entity_f1, bleu, chrf)}
