"""Pairs of a text and its translation, as a tree of ids for models that write the second while they read the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.parts.splitting.trees import Leaves
from deepprinciples.parts.tokens.tokenization import BEGIN, END, PADDING, tokenizer_of
from deepprinciples.parts.tokens.word_ids import rows_of
from deepprinciples.types import Split

PADDING_ID, BEGIN_ID, END_ID = 0, 1, 2
SPECIAL = (PADDING, BEGIN, END)

Pairs = Sequence[tuple[str, str]]


def source_of_pairs(parts: Mapping[str, Pairs], names: tuple[str, ...], lengths: tuple[int, int] = (0, 0)) -> Source:
    """Make ids of pairs of texts, both with the tokens `names`, which begin with those of padding, begin and end.

    With x the ids of the first and y those of the second text: inputs are {"source": x <end>, "target": <begin> y},
    filled up with padding, and targets are y <end>, filled up with -1.

    Args:
      parts: train, and validation and test where they are fixed.
      names: of the tokens.
      lengths: (S, T) of the rows; 0 for as many as the longest pair needs.
    """
    encode = tokenizer_of(names).encode
    ids = {part: [(encode(first), encode(second)) for first, second in found] for part, found in parts.items()}
    every = [pair for found in ids.values() for pair in found]
    long, wide = (lengths[side] or 1 + max(len(pair[side]) for pair in every) for side in (0, 1))
    made = {}
    for part, found in ids.items():
        made[part] = Split(
            {
                "source": rows_of([np.append(first, END_ID) for first, _ in found], long, PADDING_ID),
                "target": rows_of([np.append(BEGIN_ID, second) for _, second in found], wide, PADDING_ID),
            },
            rows_of([np.append(second, END_ID) for _, second in found], wide, -1),
        )
    count = len(names)
    return of_parts(
        made, "", count, vocabulary=count, standardize=False, leaves=Leaves(count, count), class_names=names,
        token_names=names,
    )  # fmt: skip
