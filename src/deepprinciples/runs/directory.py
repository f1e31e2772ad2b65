"""The run directory: where it is made, what stands in it, and how it is opened again.

A directory is never overwritten, and nothing is made before there is something to run. The files are a contract with
the user: config.toml, manifest.json, results.nc, summary.json, metrics.jsonl, report.html. What is in the summary is
decided in the study. No jax is imported here.
"""

from __future__ import annotations

import contextlib
import datetime
import difflib
import functools
import hashlib
import os
import platform
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepprinciples.errors import ConfigError, IntegrityError, ResourceError, not_written
from deepprinciples.runs.files import MAX_BYTES, NO_LINK, open_regular, plain, read_json, read_text, seal, write_json

try:
    import fcntl
except ImportError:  # not on Windows: there, two processes in one directory are the user's to avoid
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import xarray as xr

CONFIG, MANIFEST, SUMMARY, RESULTS = "config.toml", "manifest.json", "summary.json", "results.nc"
METRICS, PARAMETERS = "metrics.jsonl", "parameters.safetensors"
STATUS = "status.json"
STATES = ("running", "stopped", "failed", "finished")
SCHEMA_VERSION = 1
MANIFEST_VERSION = 2  # version 1 had no seal
PACKAGES = ("deepprinciples", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "xarray")

_MARKER = ".deepprinciples"
_WORDS = "A run directory of deepprinciples.\n"
_NEEDED = (CONFIG, RESULTS, SUMMARY)
_HASHED = (*_NEEDED, METRICS, PARAMETERS)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_ENVIRONMENT = re.compile(r"XLA_FLAGS|CUDA_VISIBLE_DEVICES|JAX_\w+")


def slug(title: str) -> str:
    """Turn a title into a safe directory name: lower-case ASCII letters, digits, dots and dashes, at most 60."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii").lower()
    name = re.sub(r"[^a-z0-9._]+", "-", ascii_only)[:60].strip("-._")
    return f"run-{name}".rstrip("-") if not name or _RESERVED.fullmatch(name) else name


def check_free(out: Path | str | None) -> None:
    """Refuse a directory that could not be made or that holds files, without making anything.

    Raises:
        ConfigError: it is a file, or holds files.
        ResourceError: it cannot be written.
    """
    path = Path("runs") if out is None else Path(out)
    try:
        if out is not None and path.is_dir() and any(path.iterdir()):
            raise ConfigError(f"{path}: holds files already and nothing is overwritten; give a new directory to --out")
        while not path.exists() and path != path.parent:
            path = path.parent
    except OSError as error:
        raise ResourceError(f"{path}: cannot be used ({error.strerror or error})") from None
    if not path.is_dir():
        raise ConfigError(f"{path}: is a file, expected a directory; give another one to --out")
    if not os.access(path, os.W_OK | os.X_OK):
        raise ResourceError(f"{path}: cannot be written; give a writable directory to --out")


def create(out: Path | str | None, stem: str) -> Path:
    """Make a new run directory; of two processes that ask for the same one, exactly one gets it.

    Args:
        out: the directory, or None for runs/<slug of stem>-<number>.
        stem: a name for the run, such as its title or the name of the config file.

    Raises:
        ConfigError: `out` is a file, or holds files.
        ResourceError: it cannot be written.
    """
    check_free(out)
    try:
        if out is None:
            return _numbered(Path("runs"), slug(stem))
        path = Path(out)
        path.mkdir(parents=True, exist_ok=True)
        _claim(path)
        return path
    except FileExistsError:
        raise ConfigError(f"{out}: was taken by another run just now; give a new directory to --out") from None
    except OSError as error:
        raise not_written(out or "runs", error) from None


def _numbered(root: Path, name: str) -> Path:
    root.mkdir(exist_ok=True)
    taken = [path.name.rpartition("-")[2] for path in root.glob(f"{name}-*")]
    number = max((int(text) for text in taken if text.isascii() and text.isdigit() and len(text) < 10), default=0) + 1
    while True:
        path = root / f"{name}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
            continue
        _claim(path)
        return path


def _claim(path: Path) -> None:
    with open(path / _MARKER, "x", encoding="utf-8") as file:
        file.write(_WORDS)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a run directory; the system lets go of it when the process ends, however it ends.

    Raises:
        IntegrityError: another process holds it, or it is no run directory.
        ResourceError: it cannot be written.
    """
    marker = path / _MARKER
    if not marker.is_file() or marker.is_symlink():
        raise IntegrityError(f"{path}: expected a run directory; it has no file {_MARKER} of its own")
    try:
        handle = os.open(marker, os.O_RDWR | NO_LINK)
    except OSError as error:
        raise not_written(path, error) from None
    with os.fdopen(handle, "r+", encoding="utf-8", errors="replace") as file:
        words, _, holder = file.read(200).partition("\n")
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = holder.strip() if holder.strip() and holder.strip().isprintable() else "another process"
            raise IntegrityError(f"{path}: is in use by {holder}; wait for it or stop it") from None
        if words not in ("", _WORDS.strip()):  # empty where a run was killed just here
            raise IntegrityError(f"{marker}: holds what no run wrote; it is left as it is")
        file.seek(0)
        file.truncate()
        file.write(f"{_WORDS}process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def write_status(path: Path, state: str, **more: Any) -> None:
    """Write status.json: `state` is one of STATES; `more` is what a resumed run needs to know."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(path / STATUS, {"schema_version": SCHEMA_VERSION, "state": state, "updated": now, **more})


def status(run_dir: Path | str) -> dict[str, Any]:
    """Read status.json of a run directory.

    Raises:
        IntegrityError: it is no run directory, or the file is damaged.
    """
    path = Path(run_dir)
    if not path.is_dir():
        raise IntegrityError(f"{path}: no such directory; expected the directory of a run{nearest(path)}")
    return _table(path / STATUS)


def nearest(path: Path) -> str:
    """Return `; did you mean "..."?` where nothing lies at a path and its folder holds a name like it."""
    with contextlib.suppress(OSError):
        if not path.exists() and (found := difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)):
            return f'; did you mean "{path.parent / found[0]}"?'
    return ""


def fingerprint() -> dict[str, Any]:
    """Describe software and machine: versions, platform, cores, and the few environment variables that matter."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "environment": {key: value for key, value in sorted(os.environ.items()) if _ENVIRONMENT.fullmatch(key)},
    }


def _processor() -> str:
    """Name the processor and what it can do, by a hash: other instructions give other last bits."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8", errors="replace").splitlines() if facts.is_file() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    can = " ".join(sorted(found.get("flags", found.get("Features", "")).split()))
    known = hashlib.sha256(can.encode()).hexdigest()[:12] if can else "unknown"
    return f"{found.get('model name') or platform.processor() or platform.machine()}, instructions {known}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def manifest(**more: Any) -> dict[str, Any]:
    """Make a manifest: schema version, time of creation (UTC), fingerprint, further facts, and its seal."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    known = plain({"schema_version": MANIFEST_VERSION, "created": created, **fingerprint(), **more})
    return {**known, "sha256": seal(known)}


def file_hashes(path: Path | str, names: Iterable[str] = _HASHED) -> dict[str, str]:
    """Return the SHA-256 of files of a run directory, for the manifest's `files`; missing ones are left out."""
    found = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError), open_regular(Path(path) / name) as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


class Stored(NamedTuple):
    """The small files of a run directory; `config` is the text of config.toml."""

    path: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]
    config: str


def results(path: Path, manifest: Mapping[str, Any]) -> xr.Dataset:
    """Read results.nc and check its hash again, for much may happen to a file since the run was opened.

    What was read stays in memory while the file stays as it is. Each call returns a copy.

    Raises:
        IntegrityError: it is damaged, or was changed after the run.
    """
    file = path / RESULTS
    try:
        seen = file.lstat()
    except OSError:
        state: tuple[int, ...] = ()  # reading tells what is wrong
    else:
        state = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return _results(file, str(manifest.get("files", {}).get(RESULTS, "")), state).copy(deep=True)


@functools.lru_cache(maxsize=2)
def _results(file: Path, sha256: str, state: tuple[int, ...]) -> xr.Dataset:
    from deepprinciples.runs.arrays import load_dataset

    del state  # another state of the file is another entry
    return load_dataset(file, sha256)


def load(run_dir: Path | str) -> Stored:
    """Open a run directory; runs no code and checks the hashes its manifest names.

    Raises:
        IntegrityError: it is no run directory, a file is missing or changed, or a later version wrote it.
    """
    path = Path(run_dir)
    missing = [name for name in (CONFIG, MANIFEST, SUMMARY) if not (path / name).is_file()]
    if missing:
        what = "no such directory" if not path.is_dir() else f"{missing[0]} is missing"
        raise IntegrityError(f"{path}: {what}; expected the directory of a finished run{nearest(path)}")
    known, summary = _table(path / MANIFEST, MANIFEST_VERSION), _table(path / SUMMARY)
    sealed = {key: value for key, value in known.items() if key != "sha256"}
    if known.get("schema_version") != 1 and known.get("sha256") != seal(sealed):
        raise IntegrityError(f"{path / MANIFEST}: was changed after the run (its SHA-256 is not the one in it)")
    expected = known.get("files", {})
    if not isinstance(expected, Mapping):
        raise IntegrityError(f"{path / MANIFEST}: files: expected a table of hashes")
    names = [name for name in _HASHED if name in expected]
    try:
        found = file_hashes(path, names)
        text = read_text(path / CONFIG, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: a file of it cannot be read ({error})") from None
    for name in names:
        if name not in found and name in _NEEDED:  # others may be thrown away: they are large, or can be made again
            raise IntegrityError(f"{path / name}: is missing though the manifest lists it; the run is not whole")
        if name in found and found[name] != expected[name]:
            raise IntegrityError(f"{path / name}: was changed after the run (its SHA-256 differs from the manifest's)")
    return Stored(path, summary, known, text)


def _table(path: Path, latest: int = SCHEMA_VERSION) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise IntegrityError(f"{path}: expected a table at the top")
    version = found.get("schema_version")
    if isinstance(version, int) and version > latest:
        raise IntegrityError(f"{path}: schema_version {version} was written by a later version; upgrade deepprinciples")
    return found
