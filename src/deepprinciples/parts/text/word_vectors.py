"""Vectors of words that were learned elsewhere, for the embedding of a model; fetched as parts.fetched.published says.

They are no data set: `glove` gives an array, `write_start` a file that `model.start` takes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepprinciples.atomic import write_bytes
from deepprinciples.errors import DataError, ResourceError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.tokens.tokenization import SPECIAL


def glove(words: Sequence[str], *, path: str = "", download: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the GloVe vectors of words, such as the `token_names` of a data set in lower case.

    Args:
      words: V of them. Special tokens get zeros; words that GloVe lacks get numbers from a normal distribution with the
        standard deviation of the vectors found, the same each time.
      path: folder with glove_6B_50d_emb.npy and glove_6B_index.parquet; "" looks in the usual places.
      download: fetch the set (84 MB, into the cache directory) where no folder has it.

    Returns:
      (vectors [V, 50] of float32, found [V] of bool: which words GloVe has).

    Raises:
      DataError: the set is not found, or has none of the words.
      ResourceError: the package pyarrow, which reads the list of words, is missing.

    References: Pennington, Socher, Manning, "GloVe: global vectors for word representation", EMNLP 2014.
    """
    folder = fetching.get("glove", path, download)
    row = {word: number for number, word in enumerate(_index(folder / "glove_6B_index.parquet"))}
    table = np.load(io.BytesIO(fetching.read(folder, "glove_6B_50d_emb.npy")), allow_pickle=False)
    found = np.array([word in row for word in words])
    if not found.any():
        raise DataError(f"glove: has none of the {len(words)} words; expected English words in lower case")
    known = table[[row[word] for word in words if word in row]]
    vectors = np.random.RandomState(0).standard_normal((len(words), table.shape[1])) * known.std()
    vectors[found] = known
    vectors[[word in SPECIAL for word in words]] = 0
    return vectors.astype(np.float32), found


def write_start(
    file: str | Path, words: Sequence[str], parameter: str = "embedding/embedding", **options: object
) -> int:
    """Write the vectors of words into a file of safetensors that a model can begin from.

    For a data set whose `token_names` are the words and `lstm` with `embedding = 50`, in the config: `model.start =
    {path = "glove.safetensors", match = "embedding/embedding"}`. A transformer of `width = 50` calls its table
    "embedding/tokens". The vectors are trained on, as all parameters.

    Args:
      file: its path.
      words: see `glove`, which also takes the options.
      parameter: name of the table in the model.

    Returns:
      The number of words that GloVe has.
    """
    from safetensors.numpy import save

    vectors, found = glove(words, **options)  # type: ignore[arg-type]
    write_bytes(Path(file), save({parameter: vectors}))
    return int(found.sum())


def _index(path: Path) -> list[str]:
    """Read the words in the order of their vectors."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise ResourceError(
            'glove: needs the package pyarrow, which is missing: pip install "deepprinciples[glove]"'
        ) from None
    return parquet.read_table(str(path))["index"].to_pylist()
