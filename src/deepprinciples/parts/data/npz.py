"""The reader of .npz files that strangers made: a zip of arrays, read without NumPy's or Python's parser.

The same holds as for `files`: sizes are compared before anything is allocated, nothing is unpickled, and every refusal
is one `DataError`.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
import zlib
from typing import IO, BinaryIO

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.data.tabular import LIMIT, RATIO, RATIO_FREE, open_file, shown

HEADER = 10_000  # bytes of an .npy header, as in NumPy
MEMBERS = 2**20  # bytes of a zip's list of members: some ten thousand


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
            careful = _Careful(file)
            with zipfile.ZipFile(careful) as archive:
                careful.most = limit + HEADER
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


class _Careful:
    """A file for `zipfile`, which takes the list of members in one piece, however long a stranger says it is."""

    def __init__(self, file: BinaryIO) -> None:
        self.most = MEMBERS
        self.seek, self.tell, self.seekable, self._file = file.seek, file.tell, file.seekable, file

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise zipfile.BadZipFile("its list of members is too long")
        return self._file.read(size if size >= 0 else self.most)  # all is asked for near the end of the file only


def _read_member(archive: zipfile.ZipFile, name: str, path: str | os.PathLike[str], limit: int) -> np.ndarray:
    found = [member for member in archive.infolist() if member.filename == name + ".npy"]
    if len(found) != 1:
        held = ", ".join(shown(m.filename.removesuffix(".npy")) for m in archive.infolist()[:20]) or "none"
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
    text = stream.read(length).decode("latin-1")
    try:
        found = _npy_entries(text.strip())
        dtype = np.dtype(found["descr"]["type"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: offset 8: damaged header ({type(error).__name__})") from error
    if dtype.kind not in "biuf":
        kind = "Python objects" if dtype.hasobject else f"dtype {dtype}"
        raise DataError(f"{where}: holds {kind}, expected numbers; save it with astype(float) or astype(int)")
    shape = [word.strip() for word in found["shape"]["shape"].split(",") if word.strip()]
    if not all(re.fullmatch(r"[0-9]{1,18}", word) for word in shape):
        listed = shown(", ".join(shape))
        raise DataError(f"{where}: bad dimension in shape [{listed}], expected integers from 0")
    return tuple(map(int, shape)), found["fortran_order"]["order"] == "True", dtype, 8 + width + length


_NPY_ENTRY = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*"""
    r"""(?:(['"])(?P<type>[<>|=]?[A-Za-z]\d{0,4}(?:\[\w{1,9}\])?)\3|(?P<order>True|False)"""
    r"""|\((?P<shape>(?:|[^(),]*,[^()]*))\))\s*(?:,|$)\s*"""
)


def _npy_entries(text: str) -> dict[str, re.Match[str]]:
    """Read the three entries of an .npy header; NumPy gives the whole text to Python's parser."""
    if text[:1] != "{" or text[-1:] != "}":
        raise ValueError("no table")
    found: dict[str, re.Match[str]] = {}
    place, text = 0, text[1:-1]
    while place < len(text):
        match = _NPY_ENTRY.match(text, place)
        wanted = {"descr": "type", "fortran_order": "order", "shape": "shape"}
        if match is None or match["key"] in found or match[wanted[match["key"]]] is None:
            raise ValueError("not an entry of an .npy header")
        found[match["key"]], place = match, match.end()
    return found
