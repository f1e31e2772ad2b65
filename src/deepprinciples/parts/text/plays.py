"""The works of Shakespeare for a language model; fetched as parts.fetched.published says."""

from __future__ import annotations

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.tokens.windows import Cut, Symbols, Tokens, source_of_documents
from deepprinciples.types import Count, Size

VALIDATION = ("macbeth", "twelfth_night")
TEST = ("julius_caesar", "tempest")


def shakespeare(
    *,
    tokens: Tokens = "characters",
    symbols: Symbols = 1000,
    length: Count = 64,
    stride: Size = 0,
    works: Size = 0,
    held_out_size: Size = 50_000,
    path: str = "",
    download: bool = True,
) -> Source:
    """Load the works of Shakespeare for a language model: 37 plays and 5 books of poems, 5.06 million characters.

    Whole plays are held out: Macbeth and Twelfth Night for validation, Julius Caesar and The Tempest for the test.
    Four plays of one author say little of other texts. Spelling is modern; names of speakers and stage directions are
    part of the text. Source: Project Gutenberg, as the package shakespeare ships it. License: public domain.

    Args:
      tokens: "characters" (84 and one for unknown ones), the 256 "bytes", or "bpe", byte pairs learned from the
        training works (with the package tokenizers: pip install "deepprinciples[text]").
      symbols: number of tokens of "bpe", at least 257.
      length: tokens T of a window.
      stride: tokens from one training window to the next; 0 for windows that do not overlap.
      works: training works, the first by the alphabet, of 38; 0 for all.
      held_out_size: characters of validation and of test, from the start of both plays; 0 for all.
      path: folder with macbeth.txt and the other works; "" looks in the usual places.
      download: fetch the set (5 MB, into the cache directory) where no folder has it.

    Returns:
      Source with token inputs [N, T] and targets [N, T], the next tokens; -1 fills up the last window of a work.

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Karpathy, "The unreasonable effectiveness of recurrent neural networks" (2015).
    """
    folder = fetching.get("shakespeare", path, download)
    texts = {
        file.name.removesuffix(".txt"): fetching.read(folder, file.name).decode() for file in SETS["shakespeare"].files
    }
    training = [name for name in texts if name not in VALIDATION + TEST]
    if works > len(training):
        raise DataError(f"data.works: found {works}, expected 0 (all) to {len(training)}")
    cut = held_out_size // 2 or None
    parts = {
        "train": [texts[name] for name in training[: works or None]],
        "validation": [texts[name][:cut] for name in VALIDATION],
        "test": [texts[name][:cut] for name in TEST],
    }
    return source_of_documents(parts, Cut(tokens, symbols, length, stride), "data.shakespeare")
