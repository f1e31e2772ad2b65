"""Check 7: a run is read and written where it stands, through no link, and only what is ours is deleted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.errors import DeepprinciplesError, IntegrityError, ResourceError
from deepprinciples.report import page
from deepprinciples.report.figures import plots
from deepprinciples.runs import arrays, checkpoints, directory, files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes as POSIX has them")
SECRET = "my only copy\n"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of every run."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(SECRET)
    return tmp_path / "outside" / "secret"


READERS: dict[str, Callable[[Path], Any]] = {
    "config.toml": dp.load,
    "summary.json": dp.load,
    "results.nc": dp.load,
    "parameters.safetensors": dp.load,
    "manifest.json": dp.load,
    "status.json": directory.status,
    "metrics.jsonl": lambda path: list(files.read_jsonl(path / "metrics.jsonl")),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("how", ["link", "pipe", "folder"])
def test_check_7_only_files_of_the_run_itself_are_read(name: str, how: str, tmp_path: Path, secret: Path) -> None:
    """A report that is shared would show a file of the reader's, or a pipe hang the reader for ever."""
    path = small.finished(tmp_path / "run")
    (path / name).unlink()
    if how == "link":
        (path / name).symlink_to(secret)
    elif how == "pipe":
        os.mkfifo(path / name)
    else:
        (path / name).mkdir()
    with pytest.raises(IntegrityError):
        READERS[name](path)


@pytest.mark.parametrize("name", ["results.nc", "parameters.safetensors"])
def test_check_7_array_files_are_read_through_no_link(name: str, tmp_path: Path) -> None:
    """The file could be another one a moment after it was judged."""
    path = small.finished(tmp_path / "run")
    (path / name).rename(tmp_path / "there")
    (path / name).symlink_to(tmp_path / "there")
    read = arrays.load_dataset if name == "results.nc" else arrays.load_arrays
    assert read(tmp_path / "there")
    with pytest.raises(IntegrityError, match="found a link"):
        read(path / name)


def test_check_7_a_config_may_be_a_link(tmp_path: Path) -> None:
    """Users keep their configs where they like."""
    (tmp_path / "there.toml").write_text("title = 'x'\n")
    (tmp_path / "c.toml").symlink_to(tmp_path / "there.toml")
    assert configs.load(tmp_path / "c.toml") == {"title": "x"}


def test_check_7_taking_hold_of_a_run_empties_no_other_file(tmp_path: Path, secret: Path) -> None:
    """`resume` on a stranger's run would empty the file that its marker leads to."""
    for number, change in enumerate((Path.symlink_to, Path.hardlink_to)):
        path = small.finished(tmp_path / str(number))
        (path / ".deepprinciples").unlink()
        change(path / ".deepprinciples", secret)
        with pytest.raises(IntegrityError), directory.locked(path):
            pass
    assert secret.read_text() == SECRET


def test_check_7_a_run_killed_at_its_marker_can_be_taken_up(tmp_path: Path) -> None:
    """A kill between two calls would make a run that nobody can resume."""
    path = small.finished(tmp_path / "run")
    (path / ".deepprinciples").write_bytes(b"")
    with directory.locked(path):
        assert "process" in (path / ".deepprinciples").read_text()


def test_check_7_a_report_is_written_through_no_link(tmp_path: Path, secret: Path) -> None:
    """`report` on a stranger's run would write over a file of the reader's."""
    path = small.finished(tmp_path / "run")
    run = dp.load(path)
    (path / "report.html").symlink_to(secret)
    (path / "figures").mkdir()
    drawn = plots.figures(run.results, run.summary)
    name = f"{drawn[0].name}.svg"
    (path / "figures" / name).symlink_to(secret)
    page.write(path / "report.html", run.results, run.summary, run.manifest)
    plots.save_all(drawn, path / "figures")
    assert secret.read_text() == SECRET
    assert (path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (path / "linked").symlink_to(secret.parent)
    with pytest.raises(ResourceError, match="is a link"):
        plots.save_all(drawn, path / "linked")
    with pytest.raises(ResourceError, match="cannot be written"):
        page.write(path / "none" / "report.html", run.results, run.summary, run.manifest)
    assert os.listdir(secret.parent) == ["secret"]


def test_check_7_no_folder_is_deleted_that_is_not_ours(tmp_path: Path, secret: Path) -> None:
    """What a user keeps beside the checkpoints would go with them at the end of the run."""
    folder = small.checkpoint(tmp_path / "checkpoints").parent
    (folder / "step-0").mkdir()
    (folder / "step-0" / "notes.txt").write_text("mine")
    (folder / "under-way.txt").write_text("mine")
    (folder / f".{'0' * 16}.part").symlink_to(secret.parent)
    checkpoints.save(folder, checkpoints.UNDER_WAY, small.STATE, {}, 2)
    checkpoints.drop(folder, checkpoints.UNDER_WAY)
    assert sorted(os.listdir(folder)) == ["0-report.safetensors", "step-0", "under-way.txt"]
    assert (folder / "step-0" / "notes.txt").read_text() == "mine" and secret.read_text() == SECRET


def test_check_7_checkpoints_behind_a_link_are_neither_written_nor_deleted(tmp_path: Path) -> None:
    """A stranger's run could delete the checkpoints of another run, or fill a folder of the reader's."""
    other = tmp_path / "other"
    place = small.checkpoint(other)
    (tmp_path / "checkpoints").symlink_to(other)
    folder, name = tmp_path / "checkpoints", "0-report"
    for call in (
        lambda: checkpoints.save(folder, name, small.STATE, {}, 2),
        lambda: checkpoints.drop(folder, name),
        lambda: checkpoints.load(folder),
    ):
        with pytest.raises(IntegrityError, match="is a link"):
            call()
    assert os.listdir(other) == [place.name]


def test_check_7_temporary_names_cannot_be_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write into the folder could lay a link where the next file will be."""
    made = []
    real = os.open

    def note(path: Any, flags: int, *more: Any, **words: Any) -> int:
        if flags & os.O_CREAT:
            made.append((Path(path).name, bool(flags & os.O_EXCL)))
        return real(path, flags, *more, **words)

    monkeypatch.setattr(os, "open", note)
    for _ in range(3):
        files.write_text(tmp_path / "x", "x")
        small.checkpoint(tmp_path / "c")
    assert len(made) >= 6 and len({name for name, _ in made}) == len(made) and all(alone for _, alone in made)


@pytest.mark.parametrize(
    "name", ["../x", "..", "/etc/x", "a/b", "a\\b", "CON", "-rf", "x\ny", "\0", "x" * 300, "🦜", ""]
)
def test_check_7_a_title_stays_in_its_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A title from a stranger's config would choose where on the disk a run is written."""
    monkeypatch.chdir(tmp_path)
    try:
        path = directory.create(None, name)
    except DeepprinciplesError:
        return
    assert path.resolve().is_relative_to(tmp_path / "runs") and path.resolve().parent == tmp_path / "runs"
