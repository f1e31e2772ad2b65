"""Checkpoints: after any crash and any damage, what loads is what was saved, or nothing does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepprinciples.errors import IntegrityError
from deepprinciples.runs import arrays, checkpoints

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "count": np.array(7, np.int32),
    "key": np.array([1, 2], np.uint32),
    "nothing": np.zeros((0, 3), np.float64),
}
FACTS = {"phase": "0/report", "steps": 12, "rate": 0.1}


def same(found: checkpoints.Checkpoint | None, name: str, values: dict[str, np.ndarray]) -> bool:
    """Check that arrays came back to the bit, with their types."""
    there = found.saved.get(name, {}) if found else {}
    return sorted(there) == sorted(values) and all(
        np.array_equal(there[key], one) and there[key].dtype == one.dtype for key, one in values.items()
    )


def newer(number: int) -> dict[str, np.ndarray]:
    return {**ARRAYS, "count": np.array(number, np.int32)}


class Killed(BaseException):
    """Stands for the end of the process: nothing but the kernel cleans up after it."""


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    """A resumed run would continue from another state."""
    assert checkpoints.load(tmp_path / "none") is None
    folder = tmp_path / "c"
    checkpoints.save(folder, "0-tune-0", newer(0), FACTS, 1)
    for number in range(2, 5):
        checkpoints.save(folder, checkpoints.UNDER_WAY, newer(number), {**FACTS, "rate": number}, number)
    found = checkpoints.load(folder)
    assert found is not None and found.facts == {**FACTS, "rate": 4, "number": 4, "schema_version": 2}
    assert same(found, "0-tune-0", newer(0)) and same(found, checkpoints.UNDER_WAY, newer(4))
    assert sorted(os.listdir(folder)) == ["0-tune-0.safetensors", "under-way.safetensors"]
    checkpoints.drop(folder, checkpoints.UNDER_WAY)
    checkpoints.drop(folder, checkpoints.UNDER_WAY)
    assert list(checkpoints.load(folder).saved) == ["0-tune-0"]  # type: ignore[union-attr]


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

    def advance(folder: Path) -> None:  # lanes go on, then their phase ends
        checkpoints.save(folder, checkpoints.UNDER_WAY, newer(2), FACTS, 3)
        checkpoints.save(folder, "1", newer(3), FACTS, 4)

    for until in range(100):
        folder = tmp_path / str(until)
        checkpoints.save(folder, "0", newer(0), FACTS, 1)
        checkpoints.save(folder, checkpoints.UNDER_WAY, newer(1), FACTS, 2)
        with monkeypatch.context() as patch:
            if isinstance(fail, Killed):  # the dead clean up nothing
                patch.setattr(Path, "unlink", lambda *_, **__: None)
            _calls(patch, until, fail)
            try:
                advance(folder)
                done = True
            except (Killed, OSError):
                done = False
        found = checkpoints.load(folder)
        assert found is not None and not found.damaged and same(found, "0", newer(0))
        lanes = [number for number in (1, 2) if same(found, checkpoints.UNDER_WAY, newer(number))]
        ended = same(found, "1", newer(3))
        assert len(lanes) == 1 and (ended or "1" not in found.saved) and lanes[0] >= 1 + ended and ended >= done
        assert found.facts["number"] == (4 if ended else 1 + lanes[0])
        advance(folder)
        assert sorted(os.listdir(folder)) == ["0.safetensors", "1.safetensors", "under-way.safetensors"]
        points += not done
        if done:
            break
    assert points >= 8
    account("P1", fault=type(fail).__name__ if isinstance(fail, Killed) else str(fail), points=points, lost=0)


def test_the_newest_that_verifies_tells_where_a_run_stands(tmp_path: Path) -> None:
    """A damaged newest checkpoint would end the run, or be passed over without a word."""
    for number in range(2):
        checkpoints.save(tmp_path, str(number), newer(number), {"rate": number}, number)
    (tmp_path / "1.safetensors").write_bytes(b"")
    found = checkpoints.load(tmp_path)
    assert found is not None and found.facts["rate"] == 0 and same(found, "0", newer(0))
    assert len(found.damaged) == 1 and "1.safetensors" in found.damaged[0]
    (tmp_path / "0.safetensors").write_bytes(b"\0" * 99)
    with pytest.raises(IntegrityError, match="none of 2 checkpoints can be used"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize(
    "facts", [{"schema_version": 99, "number": 1}, {"schema_version": 2}, {"schema_version": 2, "number": True}, [], 7]
)
def test_facts_of_a_later_version_or_of_nonsense_are_refused(tmp_path: Path, facts: object) -> None:
    """A colleague's newer file would be half understood; a forged one would end in a traceback."""
    text = json.dumps(facts)
    metadata = {"facts": text, "sha256": checkpoints._checksum(ARRAYS, text)}
    (tmp_path / "0.safetensors").write_bytes(arrays.save_flat(ARRAYS, metadata))
    with pytest.raises(IntegrityError, match=r"schema_version|expected a checkpoint"):
        checkpoints.read(tmp_path / "0.safetensors")


def test_a_file_of_parameters_is_no_checkpoint(tmp_path: Path) -> None:
    """Weights of another program would be taken for the state of a run."""
    arrays.save_arrays(ARRAYS, tmp_path / "0.safetensors")
    with pytest.raises(IntegrityError, match="expected a checkpoint"):
        checkpoints.load(tmp_path)
