"""Rows of ids of one length, and the fixed parts of sets whose vocabulary is that of their training part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprinciples.parts.splitting.held_out import split_order
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.parts.tokens.tokenization import PADDING, tokenizer_of, word_names
from deepprinciples.types import Split

HELD_OUT = 0.1  # share of the examples in validation, and in test


def rows_of(ids: Sequence[Sequence[int] | np.ndarray], length: int, fill: int) -> np.ndarray:
    """Put sequences into rows [N, length]: longer ones are cut, shorter ones filled up at their end."""
    rows = np.full((len(ids), length), fill, np.int32)
    for row, one in zip(rows, ids, strict=True):
        row[: len(one)] = one[:length]
    return rows


def three_parts(labels: np.ndarray | None, total: int) -> dict[str, np.ndarray]:
    """Cut examples into the same parts each time: a tenth for validation, a tenth for the test; classes in proportion.

    Returns:
      The numbers of the examples of train, validation and test.
    """
    order, count = split_order(labels, total, 0), round(HELD_OUT * total)
    return {
        "train": np.sort(order[2 * count :]),
        "validation": np.sort(order[count : 2 * count]),
        "test": np.sort(order[:count]),
    }


def source_of_sentences(
    texts: Sequence[str], labels: np.ndarray, class_names: tuple[str, ...], words: int, length: int
) -> Source:
    """Make ids [N, length] of words that are separated by spaces: 0 is padding, 1 a word that is not among the `words`
    most frequent of the training part.
    """
    parts = three_parts(labels, len(texts))
    names = (PADDING, *word_names((texts[i] for i in parts["train"]), words))
    encode = tokenizer_of(names).encode
    made = {
        name: Split(rows_of([encode(texts[i]) for i in numbers], length, 0), labels[numbers])
        for name, numbers in parts.items()
    }
    classes, count = len(class_names), len(names)
    return of_parts(made, "classification", classes, vocabulary=count, class_names=class_names, token_names=names)
