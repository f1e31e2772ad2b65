"""Readers for files that strangers made: IDX, npz, CSV.

A file is believed only as far as its own size allows: the declared shape is compared with the bytes that are there
before anything is allocated, compressed streams are read up to the declared size and one byte more, and nothing is
unpickled. Every refusal is one `DataError` with the exact path and what is wrong. What the numbers mean is decided
elsewhere.
"""

from __future__ import annotations

import csv
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from deepprinciples.errors import DataError

LIMIT = 4 * 2**30  # bytes of one decompressed array
RATIO = 200  # a zip member may claim this many times its compressed size ...
RATIO_FREE = 64 * 2**20  # ... or this many bytes, since small arrays of zeros compress very well
HEADER = 10_000  # bytes of an .npy header, as in NumPy: longer literals can crash the parser
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


# --- npz -------------------------------------------------------------------------------------------------------------


def read_npz(path: str | os.PathLike[str], names: tuple[str, ...], *, limit: int = LIMIT) -> list[np.ndarray]:
    """Read named arrays of an .npz file without unpickling anything.

    Args:
      path: the file, as `numpy.savez` or `numpy.savez_compressed` writes it.
      names: arrays to read.
      limit: most bytes of one array.

    Returns:
      The arrays in the order of `names`; others in the file are not touched.

    Raises:
      DataError: for a damaged or encrypted zip, an unknown compression, an implausible size, or an array of objects.
    """
    with open_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return [_read_member(archive, name, path, limit) for name in names]
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            zlib.error,
            EOFError,
            OSError,
            ValueError,
            struct.error,
        ) as error:
            raise DataError(f"{path}: not a readable .npz file ({error})") from error


def _read_member(archive: zipfile.ZipFile, name: str, path: str | os.PathLike[str], limit: int) -> np.ndarray:
    found = [member for member in archive.infolist() if member.filename == name + ".npy"]
    if len(found) != 1:
        held = ", ".join(m.filename.removesuffix(".npy") for m in archive.infolist()[:20]) or "none"
        count = "no array" if not found else f"{len(found)} arrays"
        raise DataError(f'{path}: found {count} named "{name}", expected one; the file holds: {held}')
    member = found[0]
    where = f'{path}: array "{name}"'
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: encrypted or of an unsupported compression; write it with numpy.savez")
    if member.file_size > limit + HEADER:
        raise DataError(f"{where}: declares {member.file_size} bytes, more than the limit of {limit}")
    if member.file_size > max(RATIO * member.compress_size, RATIO_FREE):
        raise DataError(
            f"{where}: declares {member.file_size} bytes from {member.compress_size}, more than "
            f"{RATIO} to 1; it looks like a zip bomb, write it with numpy.savez"
        )
    with archive.open(member) as stream:
        shape, fortran, dtype, used = _npy_header(stream, where)
        size = math.prod(shape) * dtype.itemsize
        if used + size != member.file_size:
            raise DataError(
                f"{where}: shape {list(shape)} of {dtype} needs {size} bytes, found {member.file_size - used}"
            )
        content = stream.read(size + 1)  # one byte more makes zipfile check the sum of the whole member
    if len(content) != size:
        raise DataError(f"{where}: needs {size} bytes, found {len(content)}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


def _npy_header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Read shape, order, type and header size; the length is checked before the header is read."""
    start = stream.read(8)
    width = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}.get(start)
    if width is None:
        raise DataError(f"{where}: offset 0: not an .npy array of version 1 or 2, found bytes {start.hex(' ')}")
    field = stream.read(width)
    length = int.from_bytes(field, "little")
    if len(field) < width or length > HEADER:
        raise DataError(f"{where}: offset 8: a header of {length} bytes, more than the limit of {HEADER}")
    text = stream.read(length)
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(io.BytesIO(field + text), max_header_size=HEADER)
    except Exception as error:  # NumPy lets whatever Python's tokenizer and parser raise on odd text through
        raise DataError(f"{where}: offset 8: damaged header ({type(error).__name__})") from error
    if dtype.kind not in "biuf":
        kind = "Python objects" if dtype.hasobject else f"dtype {dtype}"
        raise DataError(f"{where}: holds {kind}, expected numbers; save it with astype(float) or astype(int)")
    if any(n < 0 or isinstance(n, bool) for n in shape):
        raise DataError(f"{where}: bad dimension in shape {list(shape)}, expected integers from 0")
    return shape, fortran, dtype, 8 + width + length


# --- CSV -------------------------------------------------------------------------------------------------------------


def read_csv(path: str | os.PathLike[str], *, delimiter: str = ",", limit: int = LIMIT) -> tuple[list[str], np.ndarray]:
    """Read a table of numbers; the first row names the columns where it holds a cell that is no number.

    Args:
      path: a UTF-8 file, with or without byte order mark.
      delimiter: one character between cells.
      limit: most bytes of the file.

    Returns:
      (column names, float64 array [rows, columns]); without a header the names are "0", "1", ...

    Raises:
      DataError: for a cell that is no number or a row of another length, with row (line number of the file) and column.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataError(f"data.delimiter: found {delimiter!r}, expected one character such as ','")
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DataError(f"{path}: {size} bytes, more than the limit of {limit}")
        names: list[str] = []
        rows: list[np.ndarray] = []
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if not cells:
                    continue
                if not names:
                    header = any(_number(cell) is None for cell in cells)
                    names = [c.strip() for c in cells] if header else [str(i) for i in range(len(cells))]
                    if header:
                        continue
                rows.append(_numbers(cells, names, f"{path}: line {reader.line_num}"))
        except UnicodeDecodeError as error:
            near = reader.line_num + 1
            raise DataError(f"{path}: near line {near}: not UTF-8 ({error.reason}); save it as UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num}: not readable as CSV ({error})") from error
    if not rows:
        raise DataError(f"{path}: found no row of numbers; expected a table, one example a row")
    return names, np.stack(rows)


def _numbers(cells: list[str], names: list[str], where: str) -> np.ndarray:
    if len(cells) != len(names):
        raise DataError(f"{where}: found {len(cells)} cells, expected {len(names)}")
    values = [_number(cell) for cell in cells]
    if None in values:
        column = values.index(None)
        found = f'"{cells[column].strip()[:40]}"' if cells[column].strip() else "an empty cell"
        raise DataError(
            f'{where}, column "{names[column]}": found {found}, expected a number; '
            f"write classes as 0, 1, ... and fill or drop missing values"
        )
    return np.array(values, np.float64)


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # float() takes 1_0 for 10
    except ValueError:
        return None
