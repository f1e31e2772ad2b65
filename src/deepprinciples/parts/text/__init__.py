"""Text: published sets and the user's own, read on the host, without JAX; `parts.tokens` makes token ids of it.

`TABLE` lists the factories by name; `tokenizer_of` makes a tokenizer of the `token_names` of a data set,
and `glove` gives vectors of words.
"""

from __future__ import annotations

from typing import Any

from deepprinciples.parts.text.numerals import number_words
from deepprinciples.parts.text.plays import shakespeare
from deepprinciples.parts.text.reviews import imdb, rotten_tomatoes
from deepprinciples.parts.text.streamed import text_stream
from deepprinciples.parts.text.tagged import brown, wnut16
from deepprinciples.parts.text.text_files import text
from deepprinciples.parts.text.verses_set import verses
from deepprinciples.parts.text.word_vectors import glove, write_start
from deepprinciples.parts.tokens.tokenization import Tokenizer, tokenizer_of

__all__ = ["TABLE", "Tokenizer", "glove", "tokenizer_of", "write_start"]

TABLE: dict[str, Any] = {
    f.__name__: f for f in (text, text_stream, shakespeare, rotten_tomatoes, imdb, wnut16, brown, verses, number_words)
}
