"""A folder of text that is larger than memory, read a block at a time while a language model trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.files.array_files import open_file
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.batches import Batches
from deepprinciples.parts.splitting.held_out import HeldOut
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.parts.text.text_files import text_files
from deepprinciples.parts.tokens.tokenization import BYTE_NAMES
from deepprinciples.parts.tokens.windows import windows
from deepprinciples.types import Count, Seed, Split

BLOCK = 2**16  # bytes of a file that are in memory at once, and a window
MIXED = 64  # batches that are shuffled together: neighbors in a file would else be neighbors in a batch


def text_stream(
    *,
    path: str,
    length: Count = 64,
    rows: Count = 64,
    held_out: HeldOut = 0.1,
    held_out_size: Count = 100_000,
    data_seed: Seed = 0,
) -> Source:
    """Stream a folder of text larger than memory, as bytes: each is to be predicted from those before it in its window.

    Files *.txt, three or more. Whole files are held out. Training reads file after file, one open at a time, in an
    order that is drawn once, and shuffles the windows of 64 batches; every pass is the same. Windows do not cross
    files: the last one of a file is filled up. As for every stream, all seeds see the same batches. Source: yours.
    License: yours.

    Args:
      path: the folder.
      length: bytes T of a window.
      rows: windows of a batch; a smaller last one of a pass is left out.
      held_out: share of the files held out, half of it for validation and half for the test, at least one each.
      held_out_size: bytes that are read of either of these parts, from the start of its files.
      data_seed: seed of the order of files and windows, in [0, 2**32).

    Returns:
      Source whose `stream` gives token inputs [rows, T] and targets [rows, T], the next bytes, -1 where there are none.

    Raises:
      DataError: for fewer than three files, one that cannot be opened, a training part of less than a batch, or a
        held-out part without two bytes.

    References: none.
    """
    files = text_files(Path(path).expanduser())
    if len(files) < 3:
        found = plural(len(files), "file")
        raise DataError(f"data.path: found {found} .txt in {path}, expected three or more: whole ones are held out")
    draw = np.random.RandomState(data_seed)
    count = min(max(1, round(held_out / 2 * len(files))), (len(files) - 1) // 2)
    order = [files[k] for k in draw.permutation(len(files))]
    fixed = {"test": order[:count], "validation": order[count : 2 * count]}
    parts = {}
    for name, chosen in fixed.items():
        parts[name] = _read(chosen, held_out_size, length)
        if not len(parts[name].targets):
            raise DataError(f"data.path: the files of the {name} part hold no two bytes: {chosen[0]}")
    stream = Batches(lambda: _batches(order[2 * count :], length, rows, data_seed))
    first = next(iter(stream), None)
    if first is None:
        raise DataError(f"data.rows: found {rows} windows a batch; the training files of {path} have fewer, lower it")
    parts["train"] = Split(*first)
    symbols, names = len(BYTE_NAMES), BYTE_NAMES
    return of_parts(
        parts, "classification", symbols, vocabulary=symbols, stream=stream, class_names=names, token_names=names
    )


def _batches(files: Sequence[Path], length: int, rows: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the batches of a pass, those of 64 shuffled together."""
    draw = np.random.RandomState(seed)
    kept: list[Split] = []

    def mixed(size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        chosen = draw.permutation(size)
        x, y = (np.concatenate(side)[chosen] for side in zip(*kept, strict=True))
        for k in range(rows, size + 1, rows):
            yield x[k - rows : k], y[k - rows : k]
        kept[:] = [Split(x[size - size % rows :], y[size - size % rows :])]

    for file in files:
        for piece in pieces(file, length):
            kept.append(piece)
            if (size := sum(one.size for one in kept)) >= MIXED * rows:
                yield from mixed(size)
    if kept:
        yield from mixed(sum(one.size for one in kept))


def pieces(file: Path, length: int) -> Iterator[Split]:
    """Give the windows of a file, those of a block at a time."""
    with open_file(file) as opened:
        rest = b""
        while block := opened.read(max(BLOCK, length + 1)):
            rest += block
            whole = (len(rest) - 1) // length
            if whole:
                yield windows([np.frombuffer(rest[: whole * length + 1], np.uint8)], length, length)
                rest = rest[whole * length :]  # the last target is the first input that comes
        if len(rest) > 1:
            yield windows([np.frombuffer(rest, np.uint8)], length, length)


def _read(files: Sequence[Path], most: int, length: int) -> Split:
    """Read the starts of files, `most` bytes in all."""
    found = []
    for file in files:
        with open_file(file) as opened:
            found.append(np.frombuffer(opened.read(most), np.uint8))
        most -= len(found[-1])
    return windows(found, length, length)
