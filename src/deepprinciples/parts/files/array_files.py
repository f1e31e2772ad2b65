"""Readers of IDX and npz files that others made; CSV is read in tabular.py.

A file is believed only as far as its own size allows: what it declares is compared with the bytes that are there before
anything is allocated, what is compressed may grow to RATIO times its size, and nothing is unpickled. Every refusal is
one `DataError` with the path and what is wrong.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np

from deepprinciples.errors import DataError, message

LIMIT = 4 * 2**30  # bytes of one decompressed array
RATIO = 200  # what is compressed may grow to this many times its size ...
RATIO_FREE = 48 * 2**20  # ... or this many bytes, since small arrays of zeros compress very well
MEMBERS = 2**20  # bytes of a zip's list of members: some ten thousand
HEADER = 1000  # bytes of an .npy header: numbers need some hundred, and Python's parser fails on long ones
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NPY_HEADERS: dict[Any, Any] = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

PathLike = str | os.PathLike[str]


def open_file(path: PathLike) -> BinaryIO:
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
    """Return a word of a file as an error may show it: short, on one line, without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text.strip()[:40])


def read_idx(path: PathLike, *, limit: int = LIMIT) -> np.ndarray:
    """Read the array of an IDX file (the format of MNIST), plain or gzip, of at most `limit` bytes."""
    return parse_idx(idx_content(path, limit=limit))


def parse_idx(content: bytes) -> np.ndarray:
    """Turn the bytes that `idx_content` checked into an array."""
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    dtype = np.dtype(IDX_TYPES[content[2]])
    return np.frombuffer(content, dtype, offset=4 + 4 * len(shape)).reshape(shape).astype(dtype.newbyteorder("="))


def idx_content(path: PathLike, *, limit: int = LIMIT) -> bytes:
    """Read the decompressed bytes of an IDX file, whose size is what its header declares."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(2)
        file.seek(0)
        packed = start == b"\x1f\x8b"
        if str(path).endswith(".gz") and not packed:
            raise DataError(f"{path}: offset 0: not gzip data though named .gz, found bytes {start.hex(' ') or 'none'}")
        stream: Any = gzip.GzipFile(fileobj=file) if packed else file
        try:
            head = stream.read(4)
            head += stream.read(4 * head[3]) if len(head) == 4 and 1 <= head[3] <= 4 else b""
            declared = _idx_size(head, path, limit)
            if packed and declared > max(RATIO * size, RATIO_FREE):
                raise DataError(
                    f"{path}: declares {declared} bytes from {size}, more than {RATIO} to 1; it looks like a gzip bomb"
                )
            if not packed and size < declared:
                raise DataError(f"{path}: offset {size}: truncated, the header declares {declared} bytes")
            content = head + stream.read(declared - len(head) + 1)  # the byte more makes gzip check its sum
        except (OSError, EOFError, zlib.error) as error:
            where = f"{path}: offset {file.tell()}"
            raise DataError(f"{where}: damaged or truncated gzip stream ({message(error)})") from error
    if len(content) < declared:
        raise DataError(f"{path}: offset {len(content)}: truncated, the header declares {declared} bytes")
    if len(content) > declared:
        more = f"{size - declared} trailing bytes after the declared array"
        more = f"trailing bytes after the array of {declared} bytes" if packed else more
        raise DataError(f"{path}: offset {declared}: {more}")
    return content


def _idx_size(head: bytes, path: PathLike, limit: int) -> int:
    """Compute the size of the file that an IDX header declares."""
    if len(head) >= 4 and (head[:2] != b"\0\0" or head[2] not in IDX_TYPES):
        raise DataError(f"{path}: offset 0: bad magic number {head[:4].hex(' ')}, expected 00 00 TYPE RANK")
    if len(head) >= 4 and not 1 <= head[3] <= 4:
        raise DataError(f"{path}: offset 3: rank {head[3]}, expected 1 to 4")
    if len(head) < 4 or len(head) < 4 + 4 * head[3]:
        raise DataError(f"{path}: offset {len(head)}: the file ends inside its header; truncated or not IDX")
    shape = struct.unpack_from(f">{head[3]}I", head, 4)
    if 0 in shape:
        raise DataError(f"{path}: offset {4 + 4 * shape.index(0)}: a dimension is 0 in shape {list(shape)}")
    size = math.prod(shape) * np.dtype(IDX_TYPES[head[2]]).itemsize
    if size > limit:
        raise DataError(f"{path}: offset 4: shape {list(shape)} needs {size} bytes, more than the limit of {limit}")
    return len(head) + size


def read_npz(path: PathLike, names: tuple[str, ...], *, limit: int = LIMIT) -> list[np.ndarray]:
    """Read named arrays of an .npz file, of numbers only: nothing is unpickled.

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

        def read(count: int = -1) -> bytes:
            if count > MEMBERS:  # zipfile takes the list in one piece, however long it is said to be
                raise zipfile.BadZipFile("its list of members is too long")
            return file.read(count if count >= 0 else MEMBERS)

        careful: Any = SimpleNamespace(read=read, seek=file.seek, tell=file.tell, seekable=file.seekable)
        try:
            with zipfile.ZipFile(careful) as archive:
                archive.fp = file
                return [_read_member(archive, name, path, limit) for name in names]
        except DataError:
            raise
        except Exception as error:  # zipfile raises some ten kinds
            raise DataError(f"{path}: not a readable .npz file ({message(error)})") from error


def _read_member(archive: zipfile.ZipFile, name: str, path: PathLike, limit: int) -> np.ndarray:
    found = [member for member in archive.infolist() if member.filename == name + ".npy"]
    if len(found) != 1:
        held = ", ".join(shown(m.filename.removesuffix(".npy")) for m in archive.infolist()[:20]) or "none"
        count = "no array" if not found else f"{len(found)} arrays"
        raise DataError(
            f'{path}: found {count} named "{name}", expected one; the file holds: {held}; '
            "write it as numpy.savez(path, inputs=..., targets=...)"
        )
    member, where = found[0], f'{path}: array "{name}"'
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: encrypted or of an unsupported compression; write it with numpy.savez")
    if member.file_size > min(limit + HEADER, max(RATIO * member.compress_size, RATIO_FREE)):
        raise DataError(
            f"{where}: declares {member.file_size} bytes from {member.compress_size}, more than {RATIO} to 1 or than "
            f"the limit of {limit}; it looks like a zip bomb, write it with numpy.savez"
        )
    stream = io.BytesIO(archive.read(member))
    try:
        shape, fortran, dtype = NPY_HEADERS[np.lib.format.read_magic(stream)](stream, max_header_size=HEADER)
    except Exception as error:  # the parsers below raise some ten kinds
        raise DataError(f"{where}: not a readable .npy array ({message(error)})") from error
    if dtype.kind not in "biuf":
        kind = "Python objects" if dtype.hasobject else f"dtype {dtype}"
        raise DataError(f"{where}: holds {kind}, expected numbers; save it with astype(float) or astype(int)")
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise DataError(f"{where}: bad dimension in shape {list(shape)}, expected integers from 0")
    values, size = stream.getbuffer()[stream.tell() :], math.prod(shape) * dtype.itemsize
    if len(values) != size:
        raise DataError(f"{where}: shape {list(shape)} of {dtype} needs {size} bytes, found {len(values)}")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="C")
