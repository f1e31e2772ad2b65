"""Text: sets of it, the user's own, and how it becomes token ids and text again. All on the host, without JAX.

`TABLE` lists the factories by name; `tokenizer_of` makes a tokenizer of the `token_names` of a data set.
"""

from __future__ import annotations

from typing import Any

from deepprinciples.parts.text.plays import shakespeare
from deepprinciples.parts.text.text_files import text
from deepprinciples.parts.text.tokenization import Tokenizer, tokenizer_of

__all__ = ["TABLE", "Tokenizer", "tokenizer_of"]

TABLE: dict[str, Any] = {f.__name__: f for f in (text, shakespeare)}
