"""Files of a run: whole or not there, strict, and nothing in them can run."""

from __future__ import annotations

import json
import math
import os
import random
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepprinciples.errors import IntegrityError
from deepprinciples.runs import arrays, files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk must not cost the result that was there before."""
    path = tmp_path / "summary.json"
    files.write_text(path, "old")
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, _full_disk)
            with pytest.raises(OSError, match="No space left"):
                files.write_text(path, "new")
        assert path.read_text() == "old" and os.listdir(tmp_path) == ["summary.json"]


def _full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_write_flushes_file_and_folder_and_keeps_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that is not flushed may be lost with the power."""
    flushed = []
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "x", b"\x00\xff")
    finally:
        os.umask(before)
    assert flushed == [False, True]
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_json_is_strict_and_keeps_its_order(tmp_path: Path) -> None:
    """Other programs read summary.json; NaN in it would stop them."""
    value = {"b": math.nan, "a": [math.inf, 1.5, True, None], "n": np.float32(0.5), "v": np.arange(3), "p": Path("x")}
    files.write_json(tmp_path / "s.json", value)
    found = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    assert found == {"b": None, "a": [None, 1.5, True, None], "n": 0.5, "v": [0, 1, 2], "p": "x"}
    assert list(found) == list(value) and files.read_json(tmp_path / "s.json") == found


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "line 1, column 1: not JSON"),
        (b'{"a": 1, "a": 2}', 'the key "a" is given twice'),
        (b'{"a": NaN}', "expected a number, found NaN"),
        (b"\xff", "line 1: expected UTF-8 text, found byte 0xff"),
        (b"[" * 100_000, "nested deeper than 32 levels"),
        (b" " * (2**24 + 1), "expected at most 16 MiB, found more"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, content: bytes | None, line: str) -> None:
    """A damaged or hostile file is one line, not a traceback."""
    path = tmp_path / "s.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        files.read_json(path)
    assert str(caught.value).startswith(f"{path}: {line}") and "\n" not in str(caught.value)


def test_a_changed_line_of_the_log_is_noticed(tmp_path: Path) -> None:
    """A curve would be drawn from numbers that were never measured."""
    path = tmp_path / "metrics.jsonl"
    rows: list[dict[str, Any]] = [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "loss": math.nan, "arm": "ä"}, {}]
    files.write_jsonl(path, rows)
    assert list(files.read_jsonl(path)) == [rows[0], {**rows[1], "loss": None}, {}]
    whole = path.read_bytes()
    for content in (whole.replace(b"0.3", b"0.4"), whole[:-4], whole.replace(b'"step": 2', b'"step": 3'), b"[]\n"):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="not a row of a run's log, or changed after the run"):
            list(files.read_jsonl(path))
    with pytest.raises(IntegrityError, match="cannot be read"):
        list(files.read_jsonl(tmp_path / "none"))


def _results() -> xr.Dataset:
    return xr.Dataset(
        {
            "score": (("arm", "seed"), np.array([[0.5, np.nan], [np.inf, -1.0]], np.float32)),
            "diverged_at": (("arm", "seed"), np.array([[-1, 5], [2**40, 0]])),
            "better": (("arm",), np.array([True, False])),
            "words": (("arm",), np.array(["ä $x_2$", "<script>"], object)),
            "small": (("arm",), np.array([1, -7], np.int32)),
            "alone": ((), np.float64(0.1)),
        },
        coords={"arm": ["glörot", "plain"], "seed": np.array([0, 2**32 - 1])},
        attrs={"metric": "accuracy", "delta": 0.5},
    )


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    """Whoever opens results.nc must find the numbers, types, texts and order the study had."""
    results = _results()
    before = results.copy(deep=True)
    arrays.save_dataset(results, tmp_path / "results.nc")
    found = arrays.load_dataset(tmp_path / "results.nc")
    xr.testing.assert_identical(found, results)
    xr.testing.assert_identical(results, before)
    assert list(found.data_vars) == list(results.data_vars)
    assert {name: found[name].dtype for name in found.variables} == {n: results[n].dtype for n in results.variables}
    assert (tmp_path / "results.nc").read_bytes()[:3] == b"CDF"


def test_results_that_cannot_be_kept_exactly_are_refused(tmp_path: Path) -> None:
    """A silently rounded number is worse than an error."""
    for values in (np.array([2**53 + 1]), np.array([1j])):
        with pytest.raises(ValueError, match="x: h"):
            arrays.save_dataset(xr.Dataset({"x": (("i",), values)}), tmp_path / "r.nc")
    assert not list(tmp_path.iterdir())


def test_damaged_results_are_one_line(tmp_path: Path) -> None:
    """A file cut off or flipped gives an IntegrityError or a data set, never another exception."""
    path = tmp_path / "results.nc"
    with pytest.raises(IntegrityError, match="cannot be read"):
        arrays.load_dataset(path)
    arrays.save_dataset(_results(), path)
    whole = path.read_bytes()
    generator = random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole[: generator.choice([len(whole), generator.randrange(len(whole))])])
        if damaged:
            damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            arrays.load_dataset(path)
        except IntegrityError as error:
            assert "\n" not in str(error)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    """Transposed and 0-d arrays are where formats go wrong."""
    tree = {
        "layer_00": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3).T, "bias": np.zeros((0, 3))},
        "count": np.int32(7),
    }
    arrays.save_arrays(tree, tmp_path / "p.safetensors", {"step": "3"})
    found: Any = arrays.load_arrays(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(found["layer_00"]["kernel"], tree["layer_00"]["kernel"])
    assert found["layer_00"]["bias"].shape == (0, 3)
    assert found["count"].shape == () and found["count"] == 7 and found["count"].dtype == np.int32
    with pytest.raises(ValueError, match='names without "/"'):
        arrays.save_arrays({"a/b": np.zeros(1)}, tmp_path / "q.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 64, b"\xff" * 64, b"PK\x03\x04 and more of a zip"])
def test_damaged_arrays_are_one_line(tmp_path: Path, content: bytes | None) -> None:
    """Sizes in a hostile header are not believed."""
    path = tmp_path / "p.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        arrays.load_arrays(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_arrays_whose_names_collide_are_refused(tmp_path: Path) -> None:
    """A name that is both an array and a table would lose one of them."""
    from safetensors.numpy import save

    path = tmp_path / "p.safetensors"
    path.write_bytes(save({"a": np.zeros(1), "a/b": np.zeros(1)}))
    with pytest.raises(IntegrityError, match="both an array and a table"):
        arrays.load_arrays(path)
