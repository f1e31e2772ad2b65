"""Checkpoints: a safetensors file for each finished phase of a run, and one for the lanes under way.

Each is written whole or not at all (see `atomic`). Its metadata holds facts as JSON and the SHA-256 of facts and
arrays, which is checked whenever it is read. All facts known so far are in every file, so the newest that
verifies says where the run stands. No jax is imported here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deepprinciples.errors import IntegrityError
from deepprinciples.runs import arrays, files

UNDER_WAY = "under-way"
SCHEMA_VERSION = 2
_SUFFIX = ".safetensors"
_PART = re.compile(r"\.[0-9a-f]{16}\.part")


class Saved(NamedTuple):
    """One file: arrays by name, and facts as plain data."""

    arrays: Mapping[str, Any]
    facts: dict[str, Any]


class Checkpoint(NamedTuple):
    """Where a run stands: the newest facts, arrays by the file's name, and a line for each damaged file."""

    facts: dict[str, Any]
    saved: dict[str, Mapping[str, Any]]
    damaged: tuple[str, ...] = ()


def save(folder: Path | str, name: str, values: Mapping[str, Any], facts: Mapping[str, Any], number: int) -> Path:
    """Write one file of a run's checkpoints.

    Args:
        folder: holds the checkpoints of one run; made where it is missing.
        name: of the phase, or UNDER_WAY.
        values: numpy arrays by name.
        facts: plain data, all that is known so far.
        number: higher than that of any file before.

    Returns:
        The file.

    Raises:
        OSError: the disk is full or failed; the files before are untouched.
        IntegrityError: the folder is a link; the files before are untouched.
    """
    folder = _not_a_link(folder)
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():  # of a save that was killed
        if _PART.fullmatch(left.name):
            left.unlink()
    text = json.dumps(files.plain({**facts, "schema_version": SCHEMA_VERSION, "number": number}), allow_nan=False)
    content = arrays.save_flat(values, {"facts": text, "sha256": _checksum(values, text)})
    files.write_bytes(folder / f"{name}{_SUFFIX}", content)
    return folder / f"{name}{_SUFFIX}"


def drop(folder: Path | str, name: str) -> None:
    """Delete one file of a run's checkpoints, where it is there."""
    (_not_a_link(folder) / f"{name}{_SUFFIX}").unlink(missing_ok=True)


def _not_a_link(folder: Path | str) -> Path:
    if Path(folder).is_symlink():
        raise IntegrityError(f"{folder}: is a link; expected the folder of the run's own checkpoints")
    return Path(folder)


def _checksum(values: Mapping[str, Any], text: str) -> str:
    import numpy as np

    found = hashlib.sha256(text.encode("utf-8"))
    for name in sorted(values):
        array = np.asarray(values[name], order="C")
        found.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def read(path: Path | str) -> Saved:
    """Read one file and check it.

    Raises:
        IntegrityError: it is damaged, no checkpoint, or of another version.
    """
    content = arrays.content_of(path)
    values = arrays.load_flat(content, path)
    try:
        known = arrays.header(content)["__metadata__"]
        text, checksum = known["facts"], known["sha256"]
        facts = files.parse_json(text)
        version, number = facts["schema_version"], facts["number"]
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(f"{path}: has no facts beside its arrays; expected a checkpoint") from None
    if checksum != _checksum(values, text):
        raise IntegrityError(f"{path}: is damaged (its SHA-256 is not the one in it)")
    if version != SCHEMA_VERSION or type(number) is not int:
        raise IntegrityError(
            f"{path}: schema_version {version}, expected {SCHEMA_VERSION}; another version of deepprinciples wrote it"
        )
    return Saved(values, facts)


def load(folder: Path | str) -> Checkpoint | None:
    """Read all that verifies; None where nothing was ever saved.

    Raises:
        IntegrityError: there are files and none verifies, or the folder is a link.
    """
    good: dict[str, Saved] = {}
    damaged: list[str] = []
    for path in sorted(_not_a_link(folder).glob(f"*{_SUFFIX}")):
        try:
            good[path.stem] = read(path)
        except IntegrityError as error:
            damaged.append(str(error))
    if not good:
        if damaged:
            raise IntegrityError(f"{folder}: none of {len(damaged)} checkpoints can be used; the first: {damaged[0]}")
        return None
    newest = max(good.values(), key=lambda one: one.facts["number"])
    return Checkpoint(newest.facts, {name: one.arrays for name, one in good.items()}, tuple(damaged))
