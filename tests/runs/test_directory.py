"""The run directory: never overwritten, safely named, and honest about what made it."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepprinciples.errors import ConfigError, IntegrityError, ResourceError
from deepprinciples.runs import arrays, directory, files


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("What lets a 16-layer MLP learn?", "what-lets-a-16-layer-mlp-learn"),
        ("../../etc/passwd", "etc-passwd"),
        ("Zürich\n\x00 naïve", "zurich-naive"),
        ("🦜", "run"),
        ("", "run"),
        ("..", "run"),
        (".hidden", "hidden"),
        ("CON", "run-con"),
        ("com1.txt", "run-com1.txt"),
        ("a\\b/c", "a-b-c"),
        ("x" * 300, "x" * 60),
    ],
)
def test_any_title_gives_a_safe_name(title: str, name: str) -> None:
    """A title is the user's; the name of a directory must be every system's."""
    assert directory.slug(title) == name
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)


def test_runs_are_numbered_and_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yesterday's result must not be lost to today's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo-7").mkdir(parents=True)
    (tmp_path / "runs" / "demo-new").mkdir()
    assert [directory.create(None, "Demo").name for _ in range(2)] == ["demo-8", "demo-9"]
    assert directory.create(None, "other").as_posix() == "runs/other-1"
    directory.create("deep/er/own", "x")
    with pytest.raises(ConfigError, match="^deep/er/own: holds files already and nothing is overwritten"):
        directory.create("deep/er/own", "x")
    (tmp_path / "empty").mkdir()
    assert directory.create(tmp_path / "empty", "x") == tmp_path / "empty"


def test_a_useless_place_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise hours of training end at a directory that cannot be written."""
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match="is a file, expected a directory"):
            directory.check_free(out)
    directory.check_free(tmp_path / "a" / "b")
    directory.check_free(None)
    monkeypatch.setattr(directory.os, "access", lambda *_: False)
    with pytest.raises(ResourceError, match="cannot be written"):
        directory.create(tmp_path / "a" / "b", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_two_runs_that_want_one_directory_exactly_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that both found it free would mix their files."""
    barrier, look = threading.Barrier(2), directory.check_free

    def look_and_wait(out: Path | None) -> None:
        look(out)
        barrier.wait(timeout=10)

    def race(out: Path) -> str:
        try:
            return str(directory.create(out, "x"))
        except ConfigError as error:
            return str(error)

    monkeypatch.setattr(directory, "check_free", look_and_wait)
    with ThreadPoolExecutor(2) as pool:
        for number in range(50):
            out = tmp_path / f"run-{number}"
            assert sorted(pool.map(race, [out, out])) == [
                str(out), f"{out}: was taken by another run just now; give a new directory to --out",
            ]  # fmt: skip


def test_the_manifest_says_what_ran_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result without versions cannot be repeated; one with a password cannot be shared."""
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    monkeypatch.setenv("XLA_FLAGS", "--flag")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("MY_JAX_TOKEN", "secret")
    found = directory.manifest(device="cpu", width=4)
    assert found["schema_version"] == 2 and found["device"] == "cpu" and found["width"] == 4
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["created"])
    assert {"python", "jax", "numpy", "deepprinciples"} <= set(found["versions"])
    assert found["environment"]["JAX_ENABLE_X64"] == "0" and found["environment"]["XLA_FLAGS"] == "--flag"
    assert found["cores"] >= 1 and "secret" not in str(found)


def _finished(path: Path) -> Path:
    files.write_text(path / "config.toml", "title = 'x'\n")
    files.write_json(path / "summary.json", {"schema_version": 1, "headline": "even"})
    arrays.save_dataset(xr.Dataset({"score": (("seed",), np.array([0.5]))}), path / "results.nc")
    files.write_json(path / "manifest.json", directory.manifest(files=directory.file_hashes(path)))
    return path


def test_a_run_is_opened_from_wherever_it_was_moved(tmp_path: Path) -> None:
    """Runs are copied and renamed; nothing in them may name the old place."""
    run = directory.load(_finished(directory.create(tmp_path / "old", "x")).rename(tmp_path / "new"))
    assert run.summary["headline"] == "even" and run.config == "title = 'x'\n"
    assert directory.results(run.path, run.manifest)["score"].item() == 0.5
    assert set(run.manifest["files"]) == {"config.toml", "results.nc", "summary.json"}


def test_a_damaged_run_is_one_line(tmp_path: Path) -> None:
    """A missing, changed or later file is named."""
    path = _finished(directory.create(tmp_path / "run", "x"))
    (tmp_path / "first-1").mkdir()
    with pytest.raises(IntegrityError, match='no such directory; .*; did you mean ".*first-1"'):
        directory.load(tmp_path / "first")
    with pytest.raises(IntegrityError, match="no such directory"):
        directory.load(tmp_path / "other")
    content = (path / "results.nc").read_bytes()
    (path / "results.nc").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"results\.nc: was changed after the run"):
        directory.load(path)
    (path / "results.nc").unlink()
    with pytest.raises(IntegrityError, match=r"results\.nc: is missing though the manifest lists it"):
        directory.load(path)
    files.write_json(path / "manifest.json", {"schema_version": 9})
    with pytest.raises(IntegrityError, match="schema_version 9 was written by a later version"):
        directory.load(path)
    files.write_json(path / "manifest.json", [1])
    with pytest.raises(IntegrityError, match="expected a table at the top"):
        directory.load(path)
    (path / "summary.json").unlink()
    with pytest.raises(IntegrityError, match=r"summary\.json is missing; expected the directory of a finished run"):
        directory.load(path)


def test_a_manifest_cannot_make_us_read_elsewhere(tmp_path: Path) -> None:
    """File names in a stranger's manifest are not followed."""
    path = _finished(directory.create(tmp_path / "run", "x"))
    (tmp_path / "secret").write_text("x")
    files.write_json(
        path / "manifest.json", {"schema_version": 1, "files": {"../secret": "0" * 64, "/etc/passwd": "0" * 64}}
    )
    assert directory.load(path).config
