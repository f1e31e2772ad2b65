"""Checkpoints: `step-N/` directories that are whole or not there, checked by hashes whenever they are read.

A checkpoint is arrays (one safetensors file) and a manifest with facts, shapes, types and the SHA-256 of both. It is
written beside its place, flushed and renamed. There is no pointer to the latest one: the latest is the newest that
verifies. An old one goes only after a new one has been read back. This room imports no jax.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deepprinciples.errors import IntegrityError
from deepprinciples.runs import files
from deepprinciples.runs.arrays import load_flat, save_flat

STATE, MANIFEST = "state.safetensors", "manifest.json"
SCHEMA_VERSION = 1
_PLACE = re.compile(r"step-(0|[1-9]\d{0,17})")
_HALF = re.compile(r"\.[0-9a-f]{16}\.half")


class Checkpoint(NamedTuple):
    """What was saved: arrays by name, and facts as plain data; `skipped` tells newer ones that did not verify."""

    step: int
    arrays: Mapping[str, Any]
    facts: dict[str, Any]
    skipped: tuple[str, ...] = ()


def save(folder: Path | str, arrays: Mapping[str, Any], facts: Mapping[str, Any], *, keep: int = 2) -> Path:
    """Write the next checkpoint and let older ones go, once the new one has been read back.

    Args:
        folder: holds the checkpoints of one run; made where it is missing.
        arrays: numpy arrays by name.
        facts: plain data.
        keep: how many to keep, 1 or more.

    Returns:
        Its directory, `folder/step-N`, with N one above the highest there was.

    Raises:
        OSError: the disk is full or failed; the checkpoints before are untouched.
        IntegrityError: the folder is a link, or what was written reads back otherwise; the checkpoints before are
            untouched.
    """
    folder = Path(folder)
    if folder.is_symlink():
        raise IntegrityError(f"{folder}: is a link; expected a folder, since old checkpoints in it are deleted")
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():  # of a save that was killed
        if _HALF.fullmatch(left.name):
            _drop(left)
    newest = next(_places(folder), None)
    step = int(newest.name[5:]) + 1 if newest else 0
    half, place = folder / f".{secrets.token_hex(8)}.half", folder / f"step-{step}"
    half.mkdir()
    try:
        content = save_flat(arrays)
        files.write_bytes(half / STATE, content)
        files.write_text(half / MANIFEST, _manifest(step, content, arrays, facts))
        os.replace(half, place)
    except BaseException:
        _drop(half)
        raise
    files.sync_folder(folder)
    read(place)
    for older in list(_places(folder))[keep:]:
        _drop(older)
    return place


def _drop(place: Path) -> None:
    """Delete a checkpoint's directory; one that holds anything that no save wrote is not ours and stays."""
    with contextlib.suppress(OSError):
        if all(path.name in (STATE, MANIFEST) or path.suffix == ".part" for path in place.iterdir()):
            shutil.rmtree(place, ignore_errors=True)


def _manifest(step: int, content: bytes, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    told = files.plain(
        {
            "schema_version": SCHEMA_VERSION,
            "step": step,
            "facts": facts,
            "arrays": {name: _described(array) for name, array in arrays.items()},
            "files": {STATE: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}},
        }
    )
    return json.dumps({**told, "sha256": files.seal(told)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _described(array: Any) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": list(array.shape)}


def read(place: Path | str) -> Checkpoint:
    """Read one checkpoint; nothing is built from a file before its hash is right.

    Raises:
        IntegrityError: it is damaged, not whole, or of a later version.
    """
    place = Path(place)
    told = _sealed(place / MANIFEST)
    try:
        step, facts, described = int(told["step"]), dict(told["facts"]), told["arrays"]
        size, expected = int(told["files"][STATE]["bytes"]), str(told["files"][STATE]["sha256"])
    except (KeyError, TypeError, ValueError):
        raise IntegrityError(f"{place / MANIFEST}: expected the manifest of a checkpoint") from None
    try:
        with files.open_regular(place / STATE) as file:  # a size that is not the file's is not allocated
            content = file.read(size + 1) if os.fstat(file.fileno()).st_size == size else b""
    except (OSError, ValueError, MemoryError) as error:
        raise IntegrityError(f"{place / STATE}: cannot be read ({error})") from None
    if len(content) != size or hashlib.sha256(content).hexdigest() != expected:
        raise IntegrityError(f"{place / STATE}: is damaged (its size or SHA-256 is not the manifest's)")
    arrays = load_flat(content, place / STATE)
    if {name: _described(array) for name, array in arrays.items()} != described:
        raise IntegrityError(f"{place / STATE}: its arrays are not those that the manifest lists")
    return Checkpoint(step, {name: arrays[name] for name in described}, facts)


def _sealed(path: Path) -> dict[str, Any]:
    """Read a manifest whose own hash is right."""
    told = files.read_json(path)
    if not isinstance(told, dict):
        raise IntegrityError(f"{path}: expected the manifest of a checkpoint")
    if told.pop("sha256", None) != files.seal(told):
        raise IntegrityError(f"{path}: was changed after it was written (its SHA-256 is not the one in it)")
    if told.get("schema_version") != SCHEMA_VERSION:
        raise IntegrityError(
            f"{path}: schema_version {told.get('schema_version')}, expected {SCHEMA_VERSION}; it was written by "
            "another version of deepprinciples"
        )
    return told


def latest(folder: Path | str) -> Checkpoint | None:
    """Find the newest checkpoint that verifies; None where none was ever written.

    Raises:
        IntegrityError: there are checkpoints and none verifies.
    """
    skipped: list[str] = []
    for place in _places(Path(folder)):
        try:
            return read(place)._replace(skipped=tuple(skipped))
        except IntegrityError as error:
            skipped.append(str(error))
    if skipped:
        raise IntegrityError(f"{folder}: none of {len(skipped)} checkpoints can be used; the newest: {skipped[0]}")
    return None


def _places(folder: Path) -> Iterator[Path]:
    """Yield the checkpoints' directories, the newest first."""
    found = folder.iterdir() if folder.is_dir() else iter(())
    named = [path for path in found if _PLACE.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]
    yield from sorted(named, key=lambda path: int(path.name[5:]), reverse=True)
