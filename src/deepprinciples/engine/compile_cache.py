"""Compiled functions kept on disk: what was compiled once on this machine is loaded the next time.

An entry is named by the function as it was lowered, its arguments and the options it was compiled with. It lies in a
folder of the JAX release, the machine and the flags. Its checksum is verified before it is used; a damaged entry is
dropped and compiled again. To load an executable is to run its code, so a folder that others can write to is not used.

`DEEPPRINCIPLES_CACHE` names another folder, or is "off".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib
import pooch
from jax.experimental import serialize_executable

from deepprinciples import atomic

SETTING = "DEEPPRINCIPLES_CACHE"
MOST_BYTES = 2**30  # of a folder; what was not used for longest goes first
_DIGEST = hashlib.sha256().digest_size


def root() -> Path | None:
    """Return the folder of all compiled functions, or None where the cache is off."""
    setting = os.environ.get(SETTING, "")
    if setting.lower() in ("off", "0"):
        return None
    return Path(setting).expanduser() if setting else Path(pooch.os_cache("deepprinciples")) / "programs"


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
    # The text leaves out arguments that nothing reads; a call passes them.
    content = [json.dumps(options, sort_keys=True), str(lowered.args_info), str(lowered.out_info), text]
    path = folder / hashlib.sha256("\n".join(content).encode()).hexdigest()
    found = _load(path, lowered, devices)
    if found is None:
        found = _compile(lowered, options)
        _save(path, found)
    return found


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


def _load(path: Path, lowered: Any, devices: Sequence[Any]) -> Any:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, entry = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(entry).digest() == digest:
        try:
            found = serialize_executable.deserialize_and_load(
                entry, lowered.in_tree, lowered.out_tree, execution_devices=list(devices)
            )
        except Exception:  # whatever it was written by, this jaxlib cannot use it
            found = None
        if found is not None:
            with contextlib.suppress(OSError):
                os.utime(path)
            return found
    with contextlib.suppress(OSError):
        path.unlink()
    return None


def _save(path: Path, function: Any) -> None:
    """Keep a compiled function, if this kind can be kept and the disk takes it."""
    try:
        entry = serialize_executable.serialize(function)[0]
    except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError):
        return
    with contextlib.suppress(OSError):
        atomic.write_bytes(path, hashlib.sha256(entry).digest() + entry)
        files = sorted((one.stat().st_mtime, one.stat().st_size, one) for one in path.parent.iterdir())
        excess = sum(size for _, size, _ in files) - MOST_BYTES
        for _, size, file in files:
            if excess <= 0:
                break
            file.unlink()
            excess -= size
