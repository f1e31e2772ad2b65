"""Text of the user's own: a file, or a folder of them, for a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.files.array_files import open_file
from deepprinciples.parts.splitting.held_out import HeldOut
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.tokens.windows import Cut, Symbols, Tokens, source_of_documents
from deepprinciples.types import Count, Size


def text(
    *,
    path: str,
    tokens: Tokens = "characters",
    symbols: Symbols = 1000,
    length: Count = 64,
    stride: Size = 0,
    lines: bool = False,
    pack: bool = False,
    held_out: HeldOut = 0.1,
) -> Source:
    """Read text for a language model: every token is to be predicted from those before it in its window.

    A file of UTF-8, or a folder of files *.txt. Of three files or more, whole files are held out; of fewer, the end of
    each: first training, then validation, then test. The vocabulary is that of the training part; of characters, those
    that it lacks are one token, unknown. Windows do not cross files. Source: yours. License: yours.

    Args:
      path: the file or the folder.
      tokens: "characters", the 256 "bytes" of UTF-8, or "bpe", byte pairs learned from the training part (with the
        package tokenizers: pip install "deepprinciples[text]").
      symbols: number of tokens of "bpe", at least 257.
      length: tokens T of a window.
      stride: tokens from one training window to the next; 0 for windows that do not overlap. Those of validation and
        test never do.
      lines: every line is a document of its own, with its end as the last token; windows do not cross lines.
      pack: put documents shorter than a window into rows together, for model `transformer`. None reads another, and
        each counts positions from its own start, so a token has the loss that it has in a row of its own.
      held_out: share of the characters held out, half of it for validation and half for the test.

    Returns:
      Source with token inputs [N, T] and targets [N, T], the next tokens; -1 fills up the last window of a document.
      With `pack` inputs are {"tokens", "segments"}, both [N, T]: segments number the documents of a row from 1 on, 0 is
      padding. Both `class_names` and `token_names` are those that `tokenizer_of` takes.

    Raises:
      DataError: for a missing or empty file, text that is not UTF-8, a folder without .txt, one token only, or too
        little text.

    References: Sennrich, Haddow, Birch, arXiv:1508.07909 (byte pairs).
    """
    root = Path(path).expanduser()
    texts = [read_text(one) for one in text_files(root)]
    parts = whole_documents(texts, held_out) if len(texts) > 2 else ends_of_documents(texts, held_out)
    return source_of_documents(parts, Cut(tokens, symbols, length, stride, lines, pack), str(root))


def text_files(root: Path) -> list[Path]:
    """Return the files *.txt of a folder in order, or the file itself.

    Raises:
      DataError: a folder has none.
    """
    if not root.is_dir():
        return [root]
    files = sorted(one for one in root.glob("*.txt") if not one.name.startswith("."))
    if not files:
        raise DataError(f"{root}: found no file .txt, expected at least one of UTF-8 text")
    return files


def read_text(path: Path) -> str:
    """Read a file of UTF-8, without the mark that some programs put at its start.

    Raises:
      DataError: if it cannot be opened, is empty, or is not UTF-8.
    """
    with open_file(path) as file:
        content = file.read()
    try:
        found = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise DataError(
            f"{path}: offset {error.start}: the byte {byte:02x} is not UTF-8; convert the file, or give another"
        ) from None
    if not found.strip():
        raise DataError(f"{path}: is empty, expected text")
    return found


def whole_documents(texts: Sequence[str], held_out: float) -> Mapping[str, list[str]]:
    """Hold out whole documents, about half of the share for each part, in an order that is always the same."""
    goal = held_out / 2 * sum(map(len, texts))
    left = np.random.RandomState(0).permutation(len(texts)).tolist()
    parts: dict[str, list[str]] = {}
    for part, needed in (("test", 2), ("validation", 1)):  # documents that the other parts need
        chosen: list[int] = []
        size = 0
        for number in list(left):
            count = len(texts[number])
            if len(left) > needed and abs(size + count - goal) < abs(size - goal):
                left.remove(number)
                chosen.append(number)
                size += count
        if not chosen:
            chosen = [min(left, key=lambda number: len(texts[number]))]
            left.remove(chosen[0])
        parts[part] = [texts[one] for one in sorted(chosen)]
    return {"train": [texts[one] for one in sorted(left)], **parts}


def ends_of_documents(texts: Sequence[str], held_out: float) -> Mapping[str, list[str]]:
    """Hold out the end of each document: the last half of the share is the test part."""
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for one in texts:
        first, second = round((1 - held_out) * len(one)), round((1 - held_out / 2) * len(one))
        for part, piece in zip(parts, (one[:first], one[first:second], one[second:]), strict=True):
            parts[part].append(piece)
    return parts
