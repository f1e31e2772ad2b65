"""Compiled functions kept on disk: what was compiled once on this machine is loaded the next time.

An entry is named by the function as it was lowered, its arguments and the options it was compiled with. It lies in a
folder of the JAX release, the machine and the flags. Its checksum, over its folder and its name too, is verified before
it is used; an entry that was damaged, or brought from elsewhere, is dropped and compiled again. To load an executable
is to run its code, so a folder that others can write to is not used. Beside the functions lie notes: what else a later
run would find out anew, as JSON.

`DEEPPRINCIPLES_CACHE` names another folder, or is "off".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib
import pooch
from jax.experimental import serialize_executable

from deepprinciples import atomic

SETTING = "DEEPPRINCIPLES_CACHE"
MOST_BYTES = 2**30  # of all entries; what was not used for longest goes first
_FORMAT = 2  # of an entry
_DIGEST = hashlib.sha256().digest_size
_LOG = logging.getLogger(__name__)


def root() -> Path | None:
    """Return the folder of all compiled functions, or None where the cache is off."""
    setting = os.environ.get(SETTING, "")
    if setting.lower() in ("off", "0"):
        return None
    return Path(setting).expanduser() if setting else Path(pooch.os_cache("deepprinciples")) / "programs"


def described() -> str:
    """Tell where the cache is and how much it holds, in a line."""
    folder = root()
    if folder is None:
        return f"off ({SETTING})"
    sizes = [one.stat().st_size for one in _entries(folder)]
    held = (
        f"{len(sizes):,} entr{'y' if len(sizes) == 1 else 'ies'}, {sum(sizes) / 1e6:,.1f} of {MOST_BYTES / 1e6:,.0f} MB"
    )
    return f"{folder}, {held} ({SETTING}=off turns it off)"


def name_of(lowered: Any, text: str, options: Mapping[str, Any]) -> str:
    """Return the name of a function's entry.

    Args:
        lowered: the function, see `jax.stages.Lowered`.
        text: its StableHLO.
        options: of XLA.
    """
    # The text leaves out arguments that nothing reads; a call passes them.
    return _named(json.dumps(options, sort_keys=True), str(lowered.args_info), str(lowered.out_info), text)


def compiled(lowered: Any, text: str, options: Mapping[str, Any], devices: Sequence[Any]) -> Any:
    """Load a function that was compiled before, or compile and keep it.

    Args:
        lowered: the function, see `jax.stages.Lowered`.
        text: its StableHLO.
        options: of XLA.
        devices: those it runs on.
    """
    folder = None if "callback" in text else _folder(devices)  # a callback is an address in this process
    if folder is None:
        return _compile(lowered, options)
    path = folder / name_of(lowered, text, options)
    found = _load(path, lowered.in_tree, lowered.out_tree, devices)
    if found is None:
        found = _compile(lowered, options)
        _save(path, found)
    return found


def load(name: str, in_tree: Any, out_tree: Any, devices: Sequence[Any]) -> Any:
    """Load a function by the name of its entry; None where there is no good one.

    Args:
        name: see `name_of`.
        in_tree: structure of its positional and keyword arguments, (args, kwargs).
        out_tree: structure of what it returns.
        devices: those it runs on.
    """
    folder = _folder(devices)
    return None if folder is None else _load(folder / name, in_tree, out_tree, devices)


def read_note(key: str, devices: Sequence[Any]) -> Any:
    """Return what `write_note` kept under a key for these devices; None where there is nothing good."""
    folder = _folder(devices)
    content = None if folder is None else _read(folder / _named("note", key))
    return None if content is None else json.loads(content)


def write_note(key: str, devices: Sequence[Any], content: Any) -> None:
    """Keep what JSON can hold, if the disk takes it."""
    folder = _folder(devices)
    if folder is not None:
        _write(folder / _named("note", key), json.dumps(content).encode())


def has(names: Sequence[str], devices: Sequence[Any]) -> bool:
    """Check whether there are entries of these names."""
    folder = _folder(devices)
    return folder is not None and all((folder / name).exists() for name in names)


def _named(*content: str) -> str:
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def _compile(lowered: Any, options: Mapping[str, Any]) -> Any:
    try:
        return lowered.compile(dict(options))
    except jax.errors.JaxRuntimeError as error:  # options come and go with jaxlib; all of ours only save time
        if "No such compile option" not in str(error):
            raise
        return lowered.compile()


def _folder(devices: Sequence[Any]) -> Path | None:
    """Return the folder for this JAX, machine and flags, made where it is not there; None where it cannot be used."""
    above = root()
    if above is None:
        return None
    facts = [
        _FORMAT,
        jaxlib.__version__,
        [(one.platform, one.device_kind, one.id, one.client.platform_version) for one in devices],
        [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")],
        platform.machine(),
        _cpu(),
    ]
    folder = above / f"jax-{jax.__version__}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts_of_folder = folder.stat()
    except OSError:
        return None
    if os.name != "nt" and (
        facts_of_folder.st_uid != os.getuid() or facts_of_folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        return None
    return folder


def _cpu() -> str:
    """Return what this processor can do: machine code for another one may not run on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.lower().startswith(("flags", "features"))), platform.processor())


def _load(path: Path, in_tree: Any, out_tree: Any, devices: Sequence[Any]) -> Any:
    entry = _read(path)
    if entry is None:
        return None
    try:
        return serialize_executable.deserialize_and_load(entry, in_tree, out_tree, execution_devices=list(devices))
    except Exception:  # whatever it was written by, this jaxlib cannot use it
        _drop(path)
        return None


def _entries(folder: Path) -> Iterator[Path]:
    """Yield all entries, of other releases and machines too; nothing else that lies there is touched."""
    return folder.glob("jax-*/" + "[0-9a-f]" * 2 * _DIGEST)


def _read(path: Path) -> bytes | None:
    """Return what an entry holds, its checksum verified; a bad one is dropped."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    entry = content[_DIGEST:]
    if _checksum(path, entry) != content[:_DIGEST]:
        _drop(path)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return entry


def _checksum(path: Path, entry: bytes) -> bytes:
    return hashlib.sha256(f"{path.parent.name}/{path.name}\n".encode() + entry).digest()


def _drop(path: Path) -> None:
    _LOG.warning("%s: damaged or of another machine; dropped, and compiled anew", path)
    with contextlib.suppress(OSError):
        path.unlink()


def _save(path: Path, function: Any) -> None:
    """Keep a compiled function, if this kind can be kept and the disk takes it."""
    try:
        entry = serialize_executable.serialize(function)[0]
    except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError):
        return
    _write(path, entry)


def _write(path: Path, entry: bytes) -> None:
    with contextlib.suppress(OSError):
        atomic.write_bytes(path, _checksum(path, entry) + entry)
        files = sorted((one.stat().st_mtime, one.stat().st_size, one) for one in _entries(path.parent.parent))
        excess = sum(size for _, size, _ in files) - MOST_BYTES
        for _, size, file in files:
            if excess <= 0:
                break
            file.unlink()
            excess -= size
