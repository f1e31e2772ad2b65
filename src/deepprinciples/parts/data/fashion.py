"""Fashion-MNIST, wherever this machine has it: parts.fetched looks for it, checks it and fetches it."""

from __future__ import annotations

from typing import Annotated

from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.files.array_files import parse_idx
from deepprinciples.parts.splitting.drawing import picture
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Range, Split

CLOTHES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
Most = Annotated[int, Range("[0, 60000]")]


def fashion_mnist(*, path: str = "", size: Most = 0, download: bool = True) -> Source:
    """Load Fashion-MNIST: 60000 + 10000 pictures of clothing, 28 x 28 gray pixels, 10 balanced classes.

    Pixels are divided by 255. Looked for in `path`; else in the cache directory (DEEPPRINCIPLES_DATA or the
    platform's), the folder of the Debian package dataset-fashion-mnist, and at the project's address.
    Source: Zalando Research. License: MIT.

    Args:
      path: folder with the four IDX files, plain or .gz; "" looks in the usual places.
      size: keep the first `size` training and `size` / 6 test examples; 0 keeps all.
      download: fetch the set (31 MB, into the cache directory) where no folder has it.

    Returns:
      Source with inputs [60000, 28, 28, 1] in [0, 1] and targets [60000]; test [10000, ...].

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Xiao, Rasul, Vollgraf, arXiv:1708.07747.
    """
    folder = fetching.get("fashion_mnist", path, download)
    counts = (size or 60000, max(1, size // 6) if size else 10000)
    train, test = (
        Split(
            parse_idx(fetching.read(folder, f"{part}-images-idx3-ubyte.gz"))[:count, :, :, None],
            parse_idx(fetching.read(folder, f"{part}-labels-idx1-ubyte.gz"))[:count],
        )
        for part, count in zip(("train", "t10k"), counts, strict=True)
    )
    return Source(train.inputs, train.targets, "classification", 10, test=test, class_names=CLOTHES, display=picture)
