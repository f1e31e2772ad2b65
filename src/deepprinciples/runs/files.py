"""Text, JSON and JSON lines on disk: a file is whole or not there, and reading one runs no code.

Every write goes to a temporary file beside the target, is flushed to the disk and renamed. Readers refuse a file that
is too large, nested too deep or ambiguous. Arrays are in `arrays`; what a run directory holds is in `directory`. No jax
is imported here.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deepprinciples.atomic import write_bytes as write_bytes
from deepprinciples.errors import IntegrityError

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32
MAX_ENTRIES = 100_000
MAX_LINE = 2**20

NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # not on Windows
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for ever
_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def write_text(path: Path | str, text: str) -> None:
    """Write a text as UTF-8 with Unix line ends, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    """Write plain data as strict JSON: order is kept, numbers that are not finite become null."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path | str, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON lines, whole or not at all; each ends with the CRC-32 of what stands before it."""
    write_text(path, "".join(_sealed(_line(row)) for row in rows))


def _sealed(line: str) -> str:
    return f'{line[:-1]}{", " * (line != "{}")}"crc32": "{_checksum(line)}"}}\n'


def _line(row: Mapping[str, Any]) -> str:
    return _encode(plain(row))


# `json.dumps` makes an encoder at every call, which for a short row takes longer than to encode it.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _checksum(line: str) -> str:
    return f"{zlib.crc32(line.encode('utf-8')):08x}"


def seal(value: Mapping[str, Any]) -> str:
    """Hash plain data by content, so that a changed word is noticed and a changed space is not."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def unreadable(path: Path | str, error: Exception) -> IntegrityError:
    """Build the error of a file of a run that the system or a reader refused."""
    if isinstance(error, OSError | MemoryError):
        return IntegrityError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
    return IntegrityError(f"{path}: {error}")


def read_jsonl(path: Path | str) -> Iterator[dict[str, Any]]:
    """Read rows that `write_jsonl` wrote, one by one.

    Raises:
        IntegrityError: the file is missing; or a line is no JSON object, or not the one that was written.
    """
    try:
        opened = open_regular(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    with opened as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
            try:
                row = parse_json(line.decode("utf-8"))
                written = row.pop("crc32") == _checksum(_line(row))
            except (ValueError, TypeError, AttributeError, KeyError):
                written = False
            if not written:
                raise IntegrityError(f"{path}, line {number}: not a row of a run's log, or changed after the run")
            yield row


def read_json(path: Path | str) -> Any:
    """Read strict JSON, see `parse_json`.

    Raises:
        IntegrityError: the file is missing, too large, or no strict JSON.
    """
    try:
        return parse_json(read_text(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def open_regular(path: Path | str, *, links: bool = False) -> io.BufferedReader:
    """Open a file for reading.

    Args:
        path: the file.
        links: follow a link. A run's own files are none, and one that a run was sent with may lead anywhere.

    Raises:
        OSError: the file is missing or not readable.
        ValueError: it is a folder, a pipe, a device, or a link.
    """
    try:
        handle = os.open(path, _READ | (0 if links else NO_LINK))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("expected a file, found a link") from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("expected a file, found a folder or a device")
    return os.fdopen(handle, "rb")


def read_text(path: Path | str, limit: int, *, links: bool = False) -> str:
    """Read at most `limit` bytes of UTF-8; a byte-order mark is dropped.

    Raises:
        OSError: the file is missing or not readable.
        ValueError: it is no regular file (see `open_regular`), too large, or not UTF-8.
    """
    with open_regular(path, links=links) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"expected at most {limit // 2**20} MiB, found more")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line}: expected UTF-8 text, found byte 0x{content[error.start]:02x}") from None


def parse_json(text: str) -> Any:
    """Parse JSON as the standard means it: no repeated keys, no NaN or Infinity, whole numbers of at most 64 bits.

    Returns:
        Plain data of at most 32 levels and 100,000 entries.

    Raises:
        ValueError: one clause, with the line where it is known.
    """
    if text.count(",") + text.count("[") + text.count("{") > MAX_ENTRIES:  # before a list is made of each
        bare = _TEXT.sub("", text)
        if bare.count(",") + bare.count("[") + bare.count("{") > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES:,} entries")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_small_int,
            parse_float=_finite,
        )
        check_depth(value)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: not JSON ({error.msg.lower()})") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a character (a lone surrogate), which cannot be written") from None
    return value


def check_depth(value: Any) -> None:
    """Refuse parsed data that is nested too deep for functions that call themselves.

    Raises:
        ValueError: one clause that names the limit.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        tables = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [child for table in tables for child in table]
    if any(isinstance(item, dict | list) for item in level):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold: arrays become lists, non-finite numbers None, the rest text."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {json.dumps(key[:60])} is given twice")
        found[key] = value
    return found


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"expected a number, found {word}, which JSON does not have")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def _small_int(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError("found a whole number of more than 64 bits")
    return int(digits)
