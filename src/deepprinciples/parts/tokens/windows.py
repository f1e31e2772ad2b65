"""From documents in three parts to windows of token ids, each with the ids that come next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.sources import WORDS, Source, of_parts
from deepprinciples.parts.splitting.trees import Leaves
from deepprinciples.parts.tokens.byte_pairs import byte_pair_names
from deepprinciples.parts.tokens.packing import packed
from deepprinciples.parts.tokens.tokenization import BYTE_NAMES, UNKNOWN_CHARACTER, character_names, tokenizer_of
from deepprinciples.types import Count, Range, Size, Split

Tokens = Literal["characters", "bytes", "bpe"]
Symbols = Annotated[int, Range("[257, inf)", 'or take tokens = "bytes"')]


class Cut(NamedTuple):
    """How text is cut into tokens and windows: see the keywords of `text`."""

    tokens: Tokens = "characters"
    symbols: Symbols = 1000
    length: Count = 64
    stride: Size = 0
    lines: bool = False
    pack: bool = False


def source_of_documents(parts: Mapping[str, Sequence[str]], cut: Cut, where: str) -> Source:
    """Make the windows of documents in the parts train, validation and test; messages begin with `where`.

    Raises:
      DataError: for settings that make no sense, a vocabulary of one token, or a part that is too short.
    """
    if cut.length < 1 or not 0 <= cut.stride <= cut.length:
        raise DataError(
            f"data.stride: found {cut.stride} and data.length = {cut.length}, expected a length of at least 1 and a "
            "stride from 1 to it, or 0 for the same"
        )
    if cut.lines:
        parts = {part: [line for text in texts for line in text.splitlines(True)] for part, texts in parts.items()}
    train = list(parts["train"])
    if cut.tokens == "characters":
        names = character_names(train)
    else:
        names = BYTE_NAMES if cut.tokens == "bytes" else byte_pair_names(train, cut.symbols)
    tokenizer = tokenizer_of(names)
    ids = {part: [tokenizer.encode(text) for text in texts] for part, texts in parts.items()}
    if len(set[int]().union(*(np.unique(one).tolist() for one in ids["train"]))) < 2:
        raise DataError(f"{where}: the training part has one token only, expected text of at least two different ones")
    longest = max(len(one) for one in ids["train"])
    if longest <= cut.length and not (cut.lines or cut.pack):
        raise DataError(
            f"{where}: the longest text of the training part has {plural(longest, 'token')}, expected more than "
            f"data.length = {cut.length}; give more text or a smaller length"
        )
    found = {part: windows(one, cut.length, cut.length) for part, one in ids.items() if part != "train"}
    found["train"] = windows(ids["train"], cut.length, cut.stride or cut.length)
    for part, split in found.items():
        if not len(split.targets):
            raise DataError(f"{where}: the {WORDS[part]} part has no two tokens, expected more text")
    if cut.pack:
        found = {part: packed(split) for part, split in found.items()}
    leaves = Leaves({"tokens": len(names), "segments": cut.length + 1}, len(names)) if cut.pack else None
    notes = _unknown(ids) if names[0] == UNKNOWN_CHARACTER else ()
    return of_parts(
        found, "classification", len(names), vocabulary=len(names), leaves=leaves, notes=notes, class_names=names,
        token_names=names,
    )  # fmt: skip


def _unknown(ids: Mapping[str, Sequence[np.ndarray]]) -> tuple[str, ...]:
    """Note how much of a part the training part has no token for."""
    counts = {part: sum(int((one == 0).sum()) for one in found) for part, found in ids.items()}
    return tuple(
        f"{plural(count, 'character')} of the {WORDS[part]} part, unseen in training, {verb} the token unknown"
        for part, count in counts.items()
        for verb in ["is" if count == 1 else "are"]
        if count and part != "train"
    )


def windows(documents: Sequence[np.ndarray], length: int, stride: int) -> Split:
    """Cut the ids of each document into windows [N, length], with the next ids as targets.

    The last window of a document is filled up: with id 0 in inputs and with -1, no label, in targets.
    """
    inputs, targets = [np.zeros((0, length), np.int32)], [np.zeros((0, length), np.int32)]
    for ids in documents:
        pairs = len(ids) - 1
        if pairs < 1:
            continue
        count = 1 + -(-max(pairs - length, 0) // stride)
        places = np.arange(count)[:, None] * stride + np.arange(length)  # [N, length]
        inside = places < pairs
        places = np.minimum(places, pairs - 1)
        inputs.append(np.where(inside, ids[places], 0))
        targets.append(np.where(inside, ids[places + 1], -1))
    return Split(np.concatenate(inputs).astype(np.int32), np.concatenate(targets).astype(np.int32))
