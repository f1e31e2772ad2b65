"""Verses of the Bible in English and Spanish, for translation; fetched as parts.fetched.published says."""

from __future__ import annotations

import html
import re
import struct
import zlib
from pathlib import Path
from typing import Literal

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.tokens.byte_pairs import byte_pair_names
from deepprinciples.parts.tokens.pairs import SPECIAL, source_of_pairs
from deepprinciples.parts.tokens.tokenization import word_names
from deepprinciples.parts.tokens.windows import Symbols
from deepprinciples.types import Count, Size

FOLDERS = {"verses_english": "engKJV2006eb", "verses_spanish": "spaRV1909eb"}
MOST = 8_000_000  # bytes of a book
# Notes, titles and what stands before a verse are left out with their content, of other marks the content stays.
_LEFT_OUT = re.compile(r"<(note|title|foreign)\b[^>]*(?<!/)>.*?</\1>", re.DOTALL)
_BREAK, _MARK = re.compile(r"<(?:lb|l|/l|p|/p)\b[^>]*>"), re.compile(r"<[^>]*>")
_CHAPTER = re.compile(r"<chapter\b[^>]* sID=")  # its end is marked too
_SIGN = re.compile(r"\s*([^\w\s'’])\s*")


def verses(
    *,
    tokens: Literal["bpe", "words"] = "bpe",
    symbols: Symbols = 1000,
    longest: Count = 20,
    held_out_size: Size = 0,
    path: str = "",
    download: bool = True,
) -> Source:
    """Load verses of the Bible in English (King James, 1769) with their Spanish translation (Reina-Valera, 1909).

    Pairs of at most `longest` words in both languages. Whole chapters are held out, every tenth for validation and
    every tenth for the test, without verses whose English text is also trained on. One book in old language: a model
    that translates it does not translate today's, and both are translations of a third text. Source: CrossWire and
    eBible.org, as the Debian packages sword-text-kjv and sword-text-sparv ship them. License: public domain (in the
    United Kingdom, printing the English text is reserved by letters patent).

    Args:
      tokens: "bpe", byte pairs of both languages learned from the training part (with the package tokenizers: pip
        install "deepprinciples[text]"), or "words", in lower case and apart from signs; others become one unknown word.
      symbols: number of tokens of "bpe" or of words, at least 257.
      longest: words of either verse at most.
      held_out_size: pairs of validation and of test at most, evenly spread over those held out; 0 for all. Text that a
        model writes by itself takes long to make.
      path: folder with the folders engKJV2006eb and spaRV1909eb of the packages; "" looks in the usual places.
      download: fetch the set (6 MB, into the cache directory) where no folder has it.

    Returns:
      Source with inputs {"source": [N, S], "target": [N, T]} of token ids (0 padding, 1 begin, 2 end) and targets
      [N, T], the tokens that follow those of "target"; -1 at padding.

    Raises:
      DataError: if the set is not found, a file's content is not that of the published set, or no pair is so short.

    References: Sennrich, Haddow, Birch, arXiv:1508.07909 (byte pairs).
    """
    english, spanish = (
        read_module(fetching.get(name, path and str(Path(path).expanduser() / folder), download))
        for name, folder in FOLDERS.items()
    )
    parts = chapters_held_out(english, spanish, longest)
    if not all(parts.values()):
        raise DataError(f"data.longest: found {longest}, but too few pairs of verses are so short; expected more words")
    for part in ("validation", "test"):
        parts[part] = spread(parts[part], held_out_size)
    if tokens == "words":
        parts = {part: [(_words(a), _words(b)) for a, b in pairs] for part, pairs in parts.items()}
        names = word_names((text for pair in parts["train"] for text in pair), symbols)
    else:
        names = byte_pair_names([text for pair in parts["train"] for text in pair], symbols)
    return source_of_pairs(parts, (*SPECIAL, *names))


def chapters_held_out(english: list[str], spanish: list[str], longest: int) -> dict[str, list[tuple[str, str]]]:
    """Pair the entries of both modules, and hold out every tenth chapter for the test and every tenth for validation.

    A verse whose English text occurred before is left out.
    """
    parts: dict[str, dict[str, str]] = {"train": {}, "validation": {}, "test": {}}
    chapter = -1
    for first, second in zip(english, spanish, strict=True):
        chapter += _CHAPTER.search(first) is not None
        pair = plain(first), plain(second)
        if all(0 < len(one.split()) <= longest for one in pair):
            parts[{0: "test", 5: "validation"}.get(chapter % 10, "train")].setdefault(*pair)
    for part, others in (("validation", ("train",)), ("test", ("train", "validation"))):
        for other in others:
            parts[part] = {text: one for text, one in parts[part].items() if text not in parts[other]}
    return {part: list(found.items()) for part, found in parts.items()}


def spread(pairs: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """Take at most so many pairs, at even distances; all of them for 0."""
    count = min(most or len(pairs), len(pairs))
    return [pairs[number * len(pairs) // count] for number in range(count)]


def plain(entry: str) -> str:
    """Take the text out of an entry in OSIS, a markup of XML, with single spaces."""
    text = _MARK.sub("", _BREAK.sub(" ", _LEFT_OUT.sub("", entry)))
    return " ".join(html.unescape(text).replace("¶", " ").split())


def _words(text: str) -> str:
    """Put spaces around signs, and make letters small."""
    return " ".join(_SIGN.sub(r" \1 ", text.lower()).split())


def read_module(folder: Path) -> list[str]:
    """Read the entries of a module of the format zText: those of both testaments, in the order of their verses.

    .bzs has start, size and decompressed size of a block of .bzz, .bzv has block, start and size of an entry in it.

    Raises:
      DataError: for an entry outside its block, or a block that is damaged.
    """
    entries: list[str] = []
    try:
        for part in ("ot", "nt"):
            blocks, verses, packed = (fetching.read(folder, f"{part}.{kind}") for kind in ("bzs", "bzv", "bzz"))
            books = [
                _decompressed(packed[start : start + size]) for start, size, _ in struct.iter_unpack("<III", blocks)
            ]
            for book, start, size in struct.iter_unpack("<IIH", verses):
                content = books[book][start : start + size] if size else b""
                if len(content) != size:
                    raise ValueError(f"entry {len(entries)} lies outside its block")
                entries.append(content.decode())
    except (struct.error, zlib.error, IndexError, ValueError) as error:
        raise DataError(f"data.verses: {folder} is no module of the format zText ({error})") from None
    return entries


def _decompressed(content: bytes) -> bytes:
    machine = zlib.decompressobj()
    found = machine.decompress(content, MOST)
    if machine.unconsumed_tail:
        raise ValueError(f"a block has more than {MOST} bytes")
    return found
