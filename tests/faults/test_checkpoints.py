"""Checkpoints: after any crash and any damage, what loads is what was saved, or nothing does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepprinciples.errors import IntegrityError
from deepprinciples.runs import checkpoints, files

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "count": np.array(7, np.int32),
    "key": np.array([1, 2], np.uint32),
    "nothing": np.zeros((0, 3), np.float64),
}
FACTS = {"phase": "0/report", "steps": 12, "rate": 0.1}


def same(found: checkpoints.Checkpoint, arrays: dict = ARRAYS) -> bool:
    """Tell whether arrays came back to the bit, with their types."""
    return list(found.arrays) == list(arrays) and all(
        np.array_equal(found.arrays[name], one) and found.arrays[name].dtype == one.dtype
        for name, one in arrays.items()
    )


def newer(number: int) -> dict[str, np.ndarray]:
    return {**ARRAYS, "count": np.array(number, np.int32)}


class Killed(BaseException):
    """Stands for the end of the process: nothing but the kernel cleans up after it."""


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    """A resumed run would go on from another state."""
    assert checkpoints.latest(tmp_path / "none") is None
    for number in range(4):
        checkpoints.save(tmp_path / "c", newer(number), {**FACTS, "number": number})
    found = checkpoints.latest(tmp_path / "c")
    assert found is not None and same(found, newer(3)) and found.facts == {**FACTS, "number": 3} and found.step == 3
    assert sorted(os.listdir(tmp_path / "c")) == ["step-2", "step-3"]


def _calls(monkeypatch: pytest.MonkeyPatch, until: int, fail: BaseException) -> list[str]:
    """Let the first `until` writes, flushes and renames pass; `fail` at the next, a write after half of its bytes."""
    seen: list[str] = []
    for name in ("fsync", "replace", "mkdir", "open"):
        real = getattr(os, name)

        def call(*args: object, real: object = real, name: str = name, **more: object) -> object:
            writes = name != "open" or (len(args) > 1 and isinstance(args[1], int) and args[1] & os.O_CREAT)
            if writes:
                seen.append(name)
                if len(seen) > until:
                    if name == "fsync":  # torn: the last bytes never reached the disk
                        os.ftruncate(args[0], os.fstat(args[0]).st_size // 2) if os.fstat(args[0]).st_size else None
                    raise fail
            return real(*args, **more)  # type: ignore[operator]

        monkeypatch.setattr(os, name, call)
    return seen


@pytest.mark.parametrize("fail", [Killed(), OSError(28, "No space left on device"), OSError(5, "Input/output error")])
def test_every_crash_point_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: BaseException, account: Callable[..., None]
) -> None:
    """P1: a night of training would be lost to a kill in the middle of a save."""
    points = 0
    for until in range(100):
        folder = tmp_path / str(until)
        checkpoints.save(folder, newer(0), FACTS)
        with monkeypatch.context() as patch:
            if isinstance(fail, Killed):  # the dead clean up nothing
                patch.setattr(shutil, "rmtree", lambda *_, **__: None)
                patch.setattr(Path, "unlink", lambda *_, **__: None)
            _calls(patch, until, fail)
            try:
                checkpoints.save(folder, newer(1), FACTS)
                done = True
            except (Killed, OSError):
                done = False
        found = checkpoints.latest(folder)
        assert found is not None and (same(found, newer(0)) or same(found, newer(1))) and (not done or found.step == 1)
        checkpoints.save(folder, newer(2), FACTS)
        assert same(checkpoints.latest(folder), newer(2))  # type: ignore[arg-type]
        assert all(name.startswith("step-") for name in os.listdir(folder))
        points += not done
        if done:
            break
    assert points >= 6
    account("P1", fault=type(fail).__name__ if isinstance(fail, Killed) else str(fail), points=points, lost=0)


def test_the_newest_that_verifies_is_the_latest(tmp_path: Path) -> None:
    """A damaged newest checkpoint would end the run, or be passed over without a word."""
    for number in range(2):
        checkpoints.save(tmp_path, newer(number), FACTS)
    (tmp_path / "step-1" / checkpoints.STATE).write_bytes(b"")
    found = checkpoints.latest(tmp_path)
    assert found is not None and same(found, newer(0)) and "step-1" in found.skipped[0]
    assert checkpoints.save(tmp_path, newer(2), FACTS).name == "step-2"
    for path in tmp_path.glob("step-*"):
        (path / checkpoints.MANIFEST).unlink()
    with pytest.raises(IntegrityError, match="none of 2 checkpoints can be used"):
        checkpoints.latest(tmp_path)


def test_a_manifest_of_a_later_version_or_of_nonsense_is_refused(tmp_path: Path) -> None:
    """A colleague's newer file would be half understood; a forged one would end in a traceback."""
    place = checkpoints.save(tmp_path, ARRAYS, FACTS)
    told = json.loads((place / checkpoints.MANIFEST).read_text())
    for change in ({"schema_version": 99}, {"files": 7}, {"step": []}, {"arrays": {}}, {"facts": None},
                   {"files": {checkpoints.STATE: {"bytes": 10**18, "sha256": ""}}}):  # fmt: skip
        forged = {**told, **change}
        forged.pop("sha256")
        forged["sha256"] = files.seal(forged)
        (place / checkpoints.MANIFEST).write_text(json.dumps(forged))
        with pytest.raises(IntegrityError):
            checkpoints.read(place)
    (place / checkpoints.MANIFEST).write_text('{"facts": "\\ud800"}')
    with pytest.raises(IntegrityError, match="half of a character"):
        checkpoints.read(place)
