"""Fashion-MNIST, wherever this machine has it.

The set is too large to ship, so it is looked for in order: the path given, the cache directory, the Debian package's
folder, and last the project's own address. Every file is checked by the hash of its content (packagers compress
anew, so the hash of the file says nothing). Sets of the user's own belong to own.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

from deepprinciples.errors import DataError
from deepprinciples.parts.data.sources import Source
from deepprinciples.parts.data.tabular import idx_content, open_file, parse_idx
from deepprinciples.types import Size, Split

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
ADDRESS = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
TIMEOUT = 30  # seconds without an answer
PACKED_LIMIT = 64 * 2**20  # bytes of one compressed file; the largest has 26 million
SHA256 = {  # of the decompressed content
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
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


def cache_directory() -> Path:
    """Return the folder for downloaded sets: $DEEPPRINCIPLES_DATA, else the platform's cache folder."""
    chosen = os.environ.get("DEEPPRINCIPLES_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = Path("~/Library/Caches").expanduser()
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path("~/AppData/Local").expanduser())
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return base / "deepprinciples"


def _file(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_file() else folder / (name + ".gz")


def _complete(folder: Path) -> bool:
    return all(_file(folder, name).is_file() for name in SHA256)


def _folder(path: str, download: bool) -> Path:
    """Find the folder that has the four files."""
    cache = cache_directory() / "fashion-mnist"
    looked = [Path(path).expanduser()] if path else [cache, DEBIAN]
    for folder in looked:
        if _complete(folder):
            return folder
    reason = ""
    if download and not path:
        try:
            return _download(cache)
        except (OSError, DataError) as error:  # URLError and timeouts are OSErrors
            reason = f" and {ADDRESS} ({str(error).splitlines()[0]})"
    raise DataError(
        f"data.fashion_mnist: the set was not found in {' or '.join(map(str, looked))}{reason}; "
        f"give data.path a folder with the four .gz files, install the Debian package dataset-fashion-mnist, "
        f"or run once with a network connection to download it into {cache}"
    )


def _download(cache: Path) -> Path:
    """Fetch the four files; a file takes its name only after its content was checked."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in SHA256:
        if _file(cache, name).is_file():
            continue
        with urllib.request.urlopen(ADDRESS + name + ".gz", timeout=TIMEOUT) as answer:
            content = answer.read(PACKED_LIMIT + 1)
        if len(content) > PACKED_LIMIT:
            raise DataError(f"{ADDRESS}{name}.gz: more than {PACKED_LIMIT} bytes")
        handle, temporary = tempfile.mkstemp(dir=cache, suffix=".gz")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            _verified(Path(temporary), name)
            os.replace(temporary, cache / (name + ".gz"))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    return cache


def _verified(path: Path, name: str) -> bytearray:
    open_file(path).close()
    content = idx_content(path, limit=2**26)
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise DataError(
            f"{path}: the content has SHA-256 {found[:12]}..., expected {SHA256[name][:12]}... of "
            f'Fashion-MNIST; fetch it again, or read a set of your own with data.name = "idx"'
        )
    return content


TABLE = {f.__name__: f for f in (fashion_mnist,)}
