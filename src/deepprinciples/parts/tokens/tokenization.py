"""From text to token ids and back: characters, bytes, byte pairs or words, each known by the names of its tokens.

Whatever a data set calls its tokens is all that is needed to read and write text as it does, see `tokenizer_of`. How
byte pairs are learned is in byte_pairs.py.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.files.array_files import shown

PADDING, BEGIN, END = "<padding>", "<begin>", "<end>"
SPECIAL = (PADDING, BEGIN, END)  # these stand first, where there are some, and are no text
UNKNOWN_CHARACTER, UNKNOWN_WORD = "\ufffd", "<unknown>"


class Tokenizer(NamedTuple):
    """A way to cut text into tokens.

    encode(text) -> ids [M] of int32, without special tokens; decode(ids) -> text, up to the first `<end>`. Of bytes and
    byte pairs decode(encode(text)) is the text itself; of characters too, where all of them are known; words are
    joined by single spaces.
    """

    names: tuple[str, ...]  # of the tokens [V]; those of bytes are single characters, see `BYTE_NAMES`
    encode: Callable[[str], np.ndarray]
    decode: Callable[[Iterable[int]], str]
    byte_lengths: np.ndarray  # [V], bytes of text that a token stands for; 0 of special tokens, 1 of the unknown one


def _byte_names() -> tuple[str, ...]:
    """Name every byte by a printable character, as byte-level tokenizers do: its own, or one from 256 on."""
    own = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(byte) if byte in own else chr(next(others)) for byte in range(256))


BYTE_NAMES = _byte_names()
_BYTES = {name: byte for byte, name in enumerate(BYTE_NAMES)}
# A word with the space before it, digits, signs, or further spaces: byte pairs never reach across.
_PIECE = re.compile(r" ?(?:[^\W\d_]+|\d+|[^\w\s]+|_+)|\s+(?!\S)|\s+")


def tokenizer_of(names: Sequence[str]) -> Tokenizer:
    """Return the tokenizer whose tokens have these names, such as the `token_names` of a data set.

    Raises:
      DataError: for names that no tokenizer here has.
    """
    names = tuple(names)
    count = 0
    while count < min(len(names), len(SPECIAL)) and names[count] in SPECIAL:
        count += 1
    special, plain = names[:count], names[count:]
    of_bytes, of_characters = plain[:256] == BYTE_NAMES, plain[:1] == (UNKNOWN_CHARACTER,)
    whole = [name for name in plain if name and (_BYTES.keys() >= set(name) if of_bytes else len(name) == 1)]
    if (of_bytes or of_characters) and len(whole) < len(plain):
        wrong = next(name for name in plain if name not in whole)
        kind = "bytes" if of_bytes else "characters"
        raise DataError(
            f"tokens: found {shown(wrong)!r} among the names of {kind}, expected those of a data set of text"
        )
    if of_bytes:
        made = _of_bytes(plain)
    elif of_characters:
        made = _of_characters(plain)
    elif plain[:1] == (UNKNOWN_WORD,):
        made = _of_words(plain)
    else:
        found = f"{len(names)} names, first {shown(names[0])}" if names else "no names"
        raise DataError(f"tokens: found {found}, expected those of characters, bytes or words of a data set of text")
    return _with_special(special, made) if special else made


def character_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Name the characters of texts in order, after one for all others."""
    found = sorted(set[str]().union(*map(set, texts)) - {UNKNOWN_CHARACTER})
    return (UNKNOWN_CHARACTER, *found)


def word_names(texts: Iterable[str], most: int) -> tuple[str, ...]:
    """Name the `most` words that are most frequent, after one for all others; equally frequent ones by the alphabet."""
    counts = Counter(word for text in texts for word in text.split())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [word for word, _ in ranked if word != UNKNOWN_WORD and word not in SPECIAL]
    return (UNKNOWN_WORD, *kept[:most])


def pieces(text: str) -> list[str]:
    """Cut text into words, each with the space before it, digits, signs and spaces; together they are the text."""
    return _PIECE.findall(text)


def bytes_named(text: str) -> str:
    """Return the names of the bytes of text in UTF-8."""
    return "".join(BYTE_NAMES[byte] for byte in text.encode())


def _of_characters(names: tuple[str, ...]) -> Tokenizer:
    points = np.array([ord(name) for name in names[1:]], np.uint32)
    order = np.argsort(points)
    known = points[order]

    def encode(text: str) -> np.ndarray:
        found = np.frombuffer(text.encode("utf-32-le"), "<u4")
        if not len(known):
            return np.zeros(len(found), np.int32)
        place = np.minimum(np.searchsorted(known, found), len(known) - 1)
        return np.where(known[place] == found, order[place] + 1, 0).astype(np.int32)

    lengths = [1, *(len(name.encode()) for name in names[1:])]
    return Tokenizer(names, encode, lambda ids: "".join(names[i] for i in ids), np.array(lengths))


def _of_bytes(names: tuple[str, ...]) -> Tokenizer:
    """Read bytes, and pairs of them where these have names: the pair with the lowest id is joined first."""
    ids = {name: number for number, name in enumerate(names)}
    content = [bytes(_BYTES[char] for char in name) for name in names]

    @functools.cache
    def piece_ids(piece: str) -> tuple[int, ...]:
        parts = list(bytes_named(piece))
        while len(parts) > 1:
            joined = [ids.get(a + b, len(names)) for a, b in zip(parts, parts[1:], strict=False)]
            best = min(joined)
            if best == len(names):
                break
            place = joined.index(best)
            parts[place : place + 2] = [names[best]]
        return tuple(ids[part] for part in parts)

    def encode(text: str) -> np.ndarray:
        if len(names) == 256:
            return np.frombuffer(text.encode(), np.uint8).astype(np.int32)
        return np.array([number for piece in pieces(text) for number in piece_ids(piece)], np.int32)

    decode = lambda found: b"".join(content[i] for i in found).decode("utf-8", errors="replace")
    return Tokenizer(names, encode, decode, np.array([len(one) for one in content]))


def _of_words(names: tuple[str, ...]) -> Tokenizer:
    ids = {name: number for number, name in enumerate(names)}
    encode = lambda text: np.array([ids.get(word, 0) for word in text.split()], np.int32)
    lengths = [1, *(len(name.encode()) for name in names[1:])]
    return Tokenizer(names, encode, lambda found: " ".join(names[i] for i in found), np.array(lengths))


def _with_special(special: tuple[str, ...], made: Tokenizer) -> Tokenizer:
    """Put special tokens before those of a tokenizer."""
    count = len(special)
    end = special.index(END) if END in special else -1

    def decode(ids: Iterable[int]) -> str:
        kept: list[int] = []
        for number in ids:
            if number == end:
                break
            if number >= count:
                kept.append(number - count)
        return made.decode(kept)

    lengths = np.concatenate([np.zeros(count, made.byte_lengths.dtype), made.byte_lengths])
    return Tokenizer((*special, *made.names), lambda text: made.encode(text) + np.int32(count), decode, lengths)
