"""Readers for files that strangers made: IDX and CSV here, npz next door.

A file is believed only as far as its own size allows: the declared shape is compared with the bytes that are there
before anything is allocated, compressed streams are read up to the declared size and one byte more, and nothing is
unpickled. Every refusal is one `DataError` with the exact path and what is wrong. What the numbers mean is decided
elsewhere.
"""

from __future__ import annotations

import array
import csv
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from deepprinciples.errors import DataError

LIMIT = 4 * 2**30  # bytes of one decompressed array
RATIO = 200  # what is compressed may grow to this many times its size ...
RATIO_FREE = 64 * 2**20  # ... or this many bytes, since small arrays of zeros compress very well
LINE = 2**22  # characters of a line of a CSV file
PIECE = 2**16
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises:
      DataError: if it is missing, a directory or other special file, or not readable.
    """
    where = Path(path).expanduser()
    try:
        if where.is_dir():
            raise DataError(f"{where}: is a directory, expected a file")
        if where.exists() and not where.is_file():  # opening a pipe would wait forever
            raise DataError(f"{where}: is not a regular file")
        return where.open("rb")
    except FileNotFoundError:
        raise DataError(f"{where}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error


def shown(text: str) -> str:
    """Give a stranger's word as an error may show it: short, on one line, without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text.strip()[:40])


# --- IDX -------------------------------------------------------------------------------------------------------------


def idx_content(path: str | os.PathLike[str], *, limit: int = LIMIT) -> bytearray:
    """Read an IDX file, plain or gzip, and check that its size is what its header declares.

    Args:
      path: the file; gzip is recognized by its first two bytes.
      limit: most bytes the array may have.

    Returns:
      The bytes of the decompressed file: header and array.

    Raises:
      DataError: for a bad magic number, rank, dimension or size; memory stays near the size of the file's true array.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(2)
        file.seek(0)
        zipped = start == b"\x1f\x8b"
        if str(path).endswith(".gz") and not zipped:
            raise DataError(f"{path}: offset 0: not gzip data though named .gz, found bytes {start.hex(' ') or 'none'}")
        pieces = _gunzip(file, path) if zipped else iter(lambda: file.read(PIECE), b"")
        content = bytearray()
        declared = None
        for piece in pieces:
            content += piece
            if declared is None and (declared := _idx_size(content, path, limit)) is not None and not zipped:
                _refuse_size(size, declared, path)
            if zipped and len(content) > max(RATIO * size, RATIO_FREE):
                raise DataError(f"{path}: grows to more than {RATIO} times its {size} bytes; it looks like a gzip bomb")
            if declared is not None and len(content) > declared:
                raise DataError(
                    f"{path}: offset {declared}: trailing bytes after the array of {declared} bytes "
                    f"that the header declares"
                )
        if declared is None:
            raise DataError(f"{path}: offset {len(content)}: the file ends inside its header; truncated or not IDX")
        _refuse_size(len(content), declared, path)
    return content


def _refuse_size(found: int, declared: int, path: str | os.PathLike[str]) -> None:
    if found < declared:
        raise DataError(f"{path}: offset {found}: truncated, the header declares {declared} bytes")
    if found > declared:
        raise DataError(f"{path}: offset {declared}: {found - declared} trailing bytes after the declared array")


def _idx_size(content: bytes | bytearray, path: str | os.PathLike[str], limit: int) -> int | None:
    """Total size that an IDX header declares, or None where more bytes are needed."""
    if len(content) < 4:
        return None
    if content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise DataError(f"{path}: offset 0: bad magic number {bytes(content[:4]).hex(' ')}, expected 00 00 TYPE RANK")
    rank = content[3]
    if not 1 <= rank <= 4:
        raise DataError(f"{path}: offset 3: rank {rank}, expected 1 to 4")
    if len(content) < 4 + 4 * rank:
        return None
    shape = struct.unpack_from(f">{rank}I", content, 4)
    if 0 in shape:
        raise DataError(f"{path}: offset {4 + 4 * shape.index(0)}: a dimension is 0 in shape {list(shape)}")
    size = math.prod(shape) * np.dtype(IDX_TYPES[content[2]]).itemsize
    if size > limit:
        raise DataError(f"{path}: offset 4: shape {list(shape)} needs {size} bytes, more than the limit of {limit}")
    return 4 + 4 * rank + size


def _gunzip(file: BinaryIO, path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Decompress one gzip member in bounded pieces; refuse what follows it."""
    stream = zlib.decompressobj(31)
    while not stream.eof:
        packed = stream.unconsumed_tail or file.read(PIECE)
        if not packed:  # the trailer comes last, so a whole stream never ends with output still held back
            raise DataError(f"{path}: offset {file.tell()}: the gzip stream is truncated")
        try:
            piece = stream.decompress(packed, PIECE)
        except zlib.error as error:
            raise DataError(f"{path}: near offset {file.tell()}: damaged gzip stream ({error})") from error
        yield piece
    if stream.unused_data or file.read(1):
        raise DataError(f"{path}: trailing bytes after the gzip stream")


def parse_idx(content: bytes | bytearray) -> np.ndarray:
    """Turn the bytes that `idx_content` checked into an array in the machine's byte order."""
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    dtype = np.dtype(IDX_TYPES[content[2]])
    return np.frombuffer(content, dtype, offset=4 + 4 * len(shape)).reshape(shape).astype(dtype.newbyteorder("="))


def read_idx(path: str | os.PathLike[str], *, limit: int = LIMIT) -> np.ndarray:
    """Read the array of an IDX file (the format of MNIST), plain or gzip.

    Args:
      path: the file.
      limit: most bytes the array may have.

    Returns:
      The array, of the declared shape (rank 1 to 4) and type.

    Raises:
      DataError: see `idx_content`.

    References: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
    """
    return parse_idx(idx_content(path, limit=limit))


# --- CSV -------------------------------------------------------------------------------------------------------------


def read_csv(
    path: str | os.PathLike[str], *, delimiter: str = ",", header: str = "auto", limit: int = LIMIT
) -> tuple[list[str], np.ndarray]:
    """Read a table of numbers, with or without a first row of column names.

    Args:
      path: a UTF-8 file, with or without byte order mark.
      delimiter: one character between cells.
      header: "names" or "none"; "auto" takes the first row for names where it holds a cell that is no number.
      limit: most bytes of the file.

    Returns:
      (column names, float64 array [rows, columns]); without a header the names are "0", "1", ...

    Raises:
      DataError: for a cell that is no number or a row of another length, with row (line number of the file) and
        column; and where the first row only counts, so that it may be either.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataError(f"data.delimiter: found {delimiter!r}, expected one character such as ','")
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DataError(f"{path}: {size} bytes, more than the limit of {limit}")
        names: list[str] = []
        named = False
        values = array.array("d")
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        reader = csv.reader(_short_lines(text, path), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if not cells:
                    continue
                if not names:
                    named = header == "names" or (header == "auto" and any(_number(cell) is None for cell in cells))
                    names = [c.strip() for c in cells] if named else [str(i) for i in range(len(cells))]
                    if named:
                        continue
                values.extend(_numbers(cells, names, f"{path}: line {reader.line_num}"))
        except UnicodeDecodeError as error:
            near = reader.line_num + 1
            raise DataError(f"{path}: near line {near}: not UTF-8 ({error.reason}); save it as UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num}: not readable as CSV ({error})") from error
    if not values:
        raise DataError(f"{path}: found no row of numbers; expected a table, one example a row")
    table = np.frombuffer(values).reshape(-1, len(names))
    if header == "auto" and not named and len(table) > 1 and _counts(table[0]) and not _counts(table[1]):
        raise DataError(
            f"{path}: line 1 counts from {table[0, 0]:g} to {table[0, -1]:g}, which may be names of columns or an "
            f'example; set data.header = "names" or "none"'
        )
    return names, table


def _counts(row: np.ndarray) -> bool:
    return len(row) > 2 and row[0] in (0, 1) and bool(np.all(np.diff(row) == 1))


def _short_lines(text: IO[str], path: str | os.PathLike[str]) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: text.readline(LINE + 1), ""), start=1):
        if len(line) > LINE:
            raise DataError(f"{path}: line {number}: longer than {LINE} characters; expected one example a line")
        yield line


def _numbers(cells: list[str], names: list[str], where: str) -> list[float]:
    if len(cells) != len(names):
        raise DataError(f"{where}: found {len(cells)} cells, expected {len(names)}")
    values = [value for value in map(_number, cells) if value is not None]
    if len(values) < len(cells):
        column = [_number(cell) for cell in cells].index(None)
        found = f'"{shown(cells[column])}"' if cells[column].strip() else "an empty cell"
        raise DataError(
            f'{where}, column "{shown(names[column])}": found {found}, expected a number; '
            f"write classes as 0, 1, ... and fill or drop missing values"
        )
    return values


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # float() takes 1_0 for 10
    except ValueError:
        return None
