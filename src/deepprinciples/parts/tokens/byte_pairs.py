"""Learn byte pairs of text with the library tokenizers, which is imported only when it is asked for.

Only their names are kept; tokenization.py reads and writes text with them alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepprinciples.errors import DataError, ResourceError
from deepprinciples.parts.tokens.tokenization import BYTE_NAMES, bytes_named, pieces


def byte_pair_names(texts: Sequence[str], symbols: int) -> tuple[str, ...]:
    """Name the 256 bytes and the byte pairs that are joined in these texts, at most `symbols` in all.

    A text of few words has fewer pairs that occur twice.

    Raises:
      DataError: for 256 symbols or fewer.
      ResourceError: the library is missing.

    References: Sennrich, Haddow, Birch, arXiv:1508.07909.
    """
    if symbols <= 256:
        raise DataError(f'data.symbols: found {symbols}, expected more than the 256 bytes; or take tokens = "bytes"')
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        raise ResourceError(
            'data.tokens: "bpe" needs the package tokenizers, which is missing: pip install "deepprinciples[text]"'
        ) from None
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # between pieces; no name of a byte is a space
    trainer = trainers.BpeTrainer(
        vocab_size=symbols, min_frequency=2, initial_alphabet=list(BYTE_NAMES), show_progress=False
    )
    learner.train_from_iterator((" ".join(map(bytes_named, pieces(text))) for text in texts), trainer)
    found = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    return BYTE_NAMES + tuple(name for name, _ in found if len(name) > 1)
