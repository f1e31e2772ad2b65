"""How files are spoiled for the fuzz: by bits, cuts and splices, and by what parsers are known to trip over."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

MOST = 2**16  # bytes of a spoiled file
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_LINE = re.compile(rb"[^\n]+\n")
EXTREMES = (
    *(value.to_bytes(size, order) for size in (2, 4, 8) for order in ("little", "big")
      for value in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)),
)  # fmt: skip
NUMBERS = (b"0", b"-1", b"1e999", b"-0.0", b"NaN", b"Infinity", b"inf", b"nan", b"4294967296", b"9223372036854775807",
           b"9223372036854775808", b"1" * 400, b"1" * 5000, b"0.1e-400", b"0x7f", b"1_0", b"true", b"null", b"[]",
           b"{}", b'"7"', b"[[[[1]]]]", "\u0661".encode(), b"18446744073709551616", b"1.5",
           b"[" * 3000, b"{a=" * 3000, b'{"a":' * 3000, b"[" * 40 + b"]" * 40)  # fmt: skip
_OPENERS = (b"[", b"{", b"(", b'{"a":', b"[[", b"a.", b"'", b'"', b"-", b"\\")
TOKENS = (
    *(word * count for word in _OPENERS for count in (1, 40, 3000)),
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\x1b[2J", b"\\ud800", b"\\u0000", b"\xe2\x80\xae", b"\xed\xa0\x80"),
    *(b'"a": 1, "a": 2,', b'"__metadata__": {},', b'"__metadata__": 3,', b'"data_offsets": [0, 0],', b'"dtype": "F4",'),
    *(b"'descr': '|O', ", b"'descr': [('a', '<f8')], ", b"'shape': (2, 2, ), ", b"'shape': (-1, ), ", b"\x93NUMPY"),
    *(b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"\x1f\x8b\x08\x08", b"CDF\x01", b"\x80\x04\x95"),
    *(b"[a.b]\n", b"[[a]]\n", b"a = [\n", b'""\"', b"'''", b"a = 1979-05-27\n", b"a = { b = 1 }\n", b"x = 'y'\n"),
    *(b'"\n",', b",,", b",\n", b"=cmd|'/C calc'!A0,", b"1;2", b"\n\n"),
)  # fmt: skip


def _bit(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _byte(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    if content:
        content[chance.randrange(len(content))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def _cut(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    del content[chance.randrange(len(content) + 1) :]


def _lose(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    begin = chance.randrange(len(content) + 1)
    del content[begin : begin + chance.choice((1, 2, 8, 64))]


def _repeat(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    begin = chance.randrange(len(content) + 1)
    content[begin:begin] = content[begin : begin + chance.choice((1, 8, 100))] * chance.choice((1, 2, 50))


def _splice(chance: random.Random, content: bytearray, other: bytes) -> None:
    begin = chance.randrange(len(other) + 1)
    place = chance.randrange(len(content) + 1)
    content[place : place + chance.choice((0, 8, 64))] = other[begin : begin + chance.choice((8, 64, 512))]


def _field(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    field = chance.choice(EXTREMES)
    place = chance.randrange(len(content) + 1)
    content[place : place + len(field)] = field


def _number(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    found = list(_NUMBER.finditer(content))
    if found:
        match = chance.choice(found)
        content[match.start() : match.end()] = chance.choice(NUMBERS)


def _token(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    place = chance.randrange(len(content) + 1)
    content[place:place] = chance.choice(TOKENS)


def _line_twice(chance: random.Random, content: bytearray, other: bytes) -> None:
    del other
    found = list(_LINE.finditer(content))
    if found:
        match = chance.choice(found)
        content[match.end() : match.end()] = match.group()


WAYS: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    _bit, _byte, _cut, _lose, _repeat, _splice, _field, _number, _token, _line_twice,
)  # fmt: skip


def spoiled(chance: random.Random, whole: bytes, other: bytes = b"", gentle: float = 0.0) -> bytes:
    """Spoil a file in one to four ways; `other` is what pieces are spliced in from.

    With the probability `gentle` only a number or a line is changed, so that a parser is passed and judges are tried.
    """
    content = bytearray(whole)
    if chance.random() < gentle:
        chance.choice((_number, _number, _line_twice))(chance, content, b"")
        return bytes(content[:MOST])
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice(WAYS)(chance, content, other or whole)
    return bytes(content[:MOST])
