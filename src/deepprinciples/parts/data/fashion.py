"""Fashion-MNIST, wherever this machine has it.

The set is too large to ship, so it is looked for in order: the path given, the cache directory, the Debian package's
folder, and last the project's own address, from which pooch fetches it. Every file is checked by the hash of its
content too, since packagers compress anew. Sets of the user's own belong to own.py.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from deepprinciples.errors import DataError
from deepprinciples.parts.data.array_files import idx_content, in_one_line, parse_idx
from deepprinciples.parts.data.sources import Source
from deepprinciples.types import Size, Split

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
ADDRESS = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
TIMEOUT = 30  # seconds without an answer
SHA256 = {  # of the decompressed content
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
PUBLISHED = {  # of the compressed files, as their authors give it
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}


def fashion_mnist(*, path: str = "", size: Size = 0, download: bool = True) -> Source:
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
    if not 0 <= size <= 60000:
        raise DataError(f"data.size: found {size}, expected 0 (all) to 60000")
    folder = _folder(path, download)
    arrays = {name: parse_idx(_verified(_file(folder, name), name)) for name in SHA256}
    counts = (size or 60000, max(1, size // 6) if size else 10000)
    train, test = (
        Split(arrays[f"{part}-images-idx3-ubyte"][:count, :, :, None], arrays[f"{part}-labels-idx1-ubyte"][:count])
        for part, count in zip(("train", "t10k"), counts, strict=True)
    )
    return Source(train.inputs, train.targets, "classification", 10, test=test)


def _file(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_file() else folder / (name + ".gz")


def _complete(folder: Path) -> bool:
    return all(_file(folder, name).is_file() for name in SHA256)


def _folder(path: str, download: bool) -> Path:
    """Find the folder that has the four files, or fetch them into the cache directory."""
    import pooch  # slow to import, and only this data set needs it

    cache = Path(os.environ.get("DEEPPRINCIPLES_DATA") or pooch.os_cache("deepprinciples")).expanduser()
    cache = cache / "fashion-mnist"
    looked = [Path(path).expanduser()] if path else [cache, DEBIAN]
    for folder in looked:
        if _complete(folder):
            return folder
    reason = ""
    if download and not path:
        try:
            fetcher = pooch.create(cache, ADDRESS, registry=PUBLISHED)
            for name in PUBLISHED:
                if not _file(cache, name.removesuffix(".gz")).is_file():
                    fetcher.fetch(name, downloader=pooch.HTTPDownloader(timeout=TIMEOUT))
            return cache
        except (OSError, ValueError) as error:  # no network, an answer that is none, or other content
            reason = f" and {ADDRESS} ({in_one_line(error)})"
    raise DataError(
        f"data.fashion_mnist: the set was not found in {' or '.join(map(str, looked))}{reason}; put "
        f"{', '.join(PUBLISHED)} into {cache} or into a folder given as data.path, install the Debian package "
        f"dataset-fashion-mnist, or run once with a network connection to download it into {cache}"
    )


def _verified(path: Path, name: str) -> bytes:
    content = idx_content(path, limit=2**26)
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise DataError(
            f"{path}: the content has SHA-256 {found[:12]}..., expected {SHA256[name][:12]}... of "
            f'Fashion-MNIST; fetch it again, or read a set of your own with data.name = "idx"'
        )
    return content
