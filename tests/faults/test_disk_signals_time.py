"""Disks that fail, signals that come at a bad moment, clocks that jump, readers that go away."""

from __future__ import annotations

import datetime
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from small_runs import KINDS, STUDY, told

import deepprinciples as dp
from deepprinciples import atomic
from deepprinciples.engine import run as engine
from deepprinciples.errors import IntegrityError, ResourceError, Stopped
from deepprinciples.report import page
from deepprinciples.runs import arrays, checkpoints, directory, files
from deepprinciples.study import execute, progress_store, protocol
from deepprinciples.study.planning import prepared_group

MAIN = [sys.executable, "-m", "deepprinciples.cli.main"]
ONE = {**STUDY, "train": {**STUDY["train"], "seeds": 2}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run says when nothing happens to it."""
    return told(dp.train(ONE, tmp_path_factory.mktemp("whole") / "run").path)


def failing(number: int, after: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function pass some times, then fail as the system would."""
    calls = []

    def call(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) > after:
            name = args[0] if args and isinstance(args[0], str | Path) else None
            raise OSError(number, os.strerror(number), *([str(name)] if name else []))
        return real(*args, **more)

    return call


@pytest.mark.parametrize(("module", "call"), [(files, "write_bytes"), (atomic, "sync_folder")])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("after", [3, 9])
def test_a_disk_that_fails_stops_the_run_and_spares_what_was_saved(
    module: Any,
    call: str,
    number: int,
    after: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[str, Any],
) -> None:
    """A failed flush would be taken for a saved one, or a full disk end the run for good. Rows 52 and 53."""
    with monkeypatch.context() as patch:
        patch.setattr(module, call, failing(number, after, getattr(module, call)))
        with pytest.raises((ResourceError, OSError)) as caught:
            dp.train(ONE, tmp_path / "run")
    assert isinstance(caught.value, ResourceError) and caught.value.exit_code == 5
    assert "cannot be written" in str(caught.value) and os.strerror(number) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert told(dp.resume(tmp_path / "run").path) == whole


@pytest.mark.parametrize("name", ["results.nc", "metrics.jsonl", "summary.json", "manifest.json", "report.html"])
def test_a_disk_that_is_full_when_the_result_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    """The end of a night would be a traceback, or half a log be taken for a whole one. Row 55."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "run" / name))

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path | str, *args: Any, **more: Any) -> Any:
            if Path(path) == tmp_path / "run" / name:
                raise full
            return real(path, *args, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", wrapped(files.write_bytes))
        patch.setattr(arrays, "write_bytes", wrapped(arrays.write_bytes))
        patch.setattr(page, "write", wrapped(page.write))
        with pytest.raises(ResourceError) as caught:
            dp.train(ONE, tmp_path / "run")
    expected = (
        f"{tmp_path / 'run' / name}: cannot be written (No space left on device); free some space, then resume with: "
    )
    assert str(caught.value) == f"{expected}deepprinciples resume {tmp_path / 'run'}"
    assert told(dp.resume(tmp_path / "run").path) == whole


@pytest.mark.parametrize("number", [errno.EROFS, errno.EMFILE, errno.EDQUOT])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_compiled(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes of compiling would end in "read-only". Row 54."""
    monkeypatch.setattr(Path, "mkdir", failing(number, 0, Path.mkdir))
    monkeypatch.setattr(prepared_group, "set_up", lambda *_: pytest.fail("compiled"))
    with pytest.raises(ResourceError, match="cannot be written") as caught:
        dp.train(ONE, tmp_path / "run")
    assert str(caught.value) == f"{tmp_path / 'run'}: cannot be written ({os.strerror(number)})"


def test_a_run_whose_directory_is_taken_away_ends(tmp_path: Path) -> None:
    """It would go on for hours and write nowhere, or make a directory where nobody looks. Row 63."""
    path, gone = tmp_path / "run", []

    def advance(steps: int) -> None:
        if not gone and steps:
            gone.append(shutil.rmtree(path))

    with pytest.raises(ResourceError, match="cannot be written .No such file or directory"):
        dp.train(ONE, path, progress=protocol.Progress(advance=advance))
    assert gone and not path.exists()


PHASES: dict[str, tuple[Any, str]] = {
    "eval": (engine, "packed"),
    "save": (checkpoints, "_checksum"),
    "between": (progress_store.ProgressStore, "close"),
    "summary": (execute, "summarize"),
    "log": (files, "write_jsonl"),
    "report": (page, "write"),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_in_any_phase_saves_and_resumes(
    phase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    """A machine that is taken away while it saves or draws would lose the run. Row 57."""
    room, name = PHASES[phase]
    real, sent = getattr(room, name), []

    def call(*args: Any, **more: Any) -> Any:
        if not sent:
            sent.append(name)
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(room, name, call)
        with pytest.raises(Stopped) as caught:
            dp.train(ONE, tmp_path / "run")
    assert caught.value.exit_code == 75 and sent
    assert str(caught.value) == f"stopped by SIGTERM; go on with: deepprinciples resume {tmp_path / 'run'}"
    assert directory.status(tmp_path / "run")["state"] == "stopped"
    assert told(dp.resume(tmp_path / "run").path) == whole


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    """A laptop that slept, or a corrected clock, would give a negative time or a false alarm. Row 60."""
    days = iter(range(10**6))

    def jumping() -> float:
        return 1.8e9 + (-1) ** next(days) * 86400.0

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.fromtimestamp(jumping(), tz)

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr(directory.datetime, "datetime", Jumping)
    run = dp.train(ONE, tmp_path / "run")
    assert told(run.path) == whole
    assert all(value >= 0 for key, value in run.summary["cost"].items() if "seconds" in key)


def test_a_lock_of_a_dead_process_holds_nobody(tmp_path: Path) -> None:
    """Whoever was killed would keep the run for ever; so would a number that another process has now. Row 61."""
    path = directory.create(tmp_path / "run", "x")
    for line in ("process 999999999 on elsewhere", f"process {os.getppid()} on here", "nonsense \x00"):
        (path / ".deepprinciples").write_text(f"A run directory of deepprinciples.\n{line}\n")
        with directory.locked(path):
            with pytest.raises(IntegrityError) as caught, directory.locked(path):
                pass
            assert f"is in use by process {os.getpid()} on " in str(caught.value)
            assert "wait for it or stop it" in str(caught.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config file of a run of some seconds, most of them compiling."""
    path = tmp_path_factory.mktemp("small") / "small.toml"
    path.write_text(tomli_w.dumps(ONE))
    return path


@pytest.mark.slow
def test_a_reader_that_goes_away_and_a_closed_terminal_stop_nothing(
    small: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    """`| head`, or a lost connection, would end a night's run; and another language change its bytes. Rows 59, 67."""
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "XLA_FLAGS": ""}
    plain["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "")
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.Popen(
        [*MAIN, "train", str(small), "--out", str(tmp_path / "run")],
        stdout=writer, stderr=subprocess.PIPE, text=True, env=plain,
    )  # fmt: skip
    os.close(writer)
    while run.poll() is None and not (tmp_path / "run" / "status.json").exists():
        time.sleep(0.05)
    run.send_signal(signal.SIGHUP)
    assert run.wait(timeout=120) == 0, run.stderr.read() if run.stderr else ""
    assert run.stderr is not None and run.stderr.read() == ""
    assert told(tmp_path / "run") == whole


@pytest.mark.slow
def test_the_second_signal_leaves_at_once(small: Path, tmp_path: Path) -> None:
    """Someone in a hurry would have to wait for a compiler or a disk. Row 56."""
    hold = tmp_path / "hold.py"
    hold.write_text(
        "import pathlib, time\nfrom deepprinciples.runs import checkpoints\n"
        "def save(*a, **k):\n    pathlib.Path('saving').touch()\n    time.sleep(60)\n"
        "checkpoints.save = save\nTABLES = {}\n"
    )
    for first, second, code in ((signal.SIGINT, signal.SIGINT, 130), (signal.SIGTERM, signal.SIGTERM, 143)):
        out = tmp_path / str(code)
        command = [*MAIN, "train", str(small), "--out", str(out), "--plugin", str(hold)]
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        while run.poll() is None and not (tmp_path / "saving").exists():
            time.sleep(0.05)
        run.send_signal(first)
        time.sleep(0.3)
        assert run.poll() is None  # it saves
        begun = time.monotonic()
        run.send_signal(second)
        assert run.wait(timeout=10) == code and time.monotonic() - begun < 2
        (tmp_path / "saving").unlink()


@pytest.mark.parametrize("platform", ["cuda", pytest.param("nonsense", marks=pytest.mark.slow)])
def test_a_platform_that_is_not_there_is_told(platform: str, small: Path, tmp_path: Path) -> None:
    """A run that was meant for a GPU would crawl on a CPU, or end in a traceback. Row 51."""
    env = {**os.environ, "JAX_PLATFORMS": platform}
    command = [*MAIN, "train", str(small), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (5, 1)
    assert done.stdout == f"{small}: training 2 seeds, 20 steps each\n"  # before JAX is imported
    assert done.stderr.startswith(f"error: JAX_PLATFORMS={platform}: no such device here (")
    assert "unset it, or install jax for it" in done.stderr and not (tmp_path / "run").exists()


def test_another_setting_of_jax_is_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits of two settings would be joined in one run. Rows 49 and 50."""
    from small_runs import stopped_at

    assert stopped_at(3, ("train", KINDS["train"][1]), tmp_path / "run", monkeypatch)
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", "") + " --xla_cpu_enable_fast_math=false")
    with pytest.raises(IntegrityError) as caught:
        dp.resume(tmp_path / "run")
    assert caught.value.exit_code == 4
    assert "environment.XLA_FLAGS" in str(caught.value) and "--allow-inexact" in str(caught.value)


def test_an_edited_config_is_not_taken_for_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a run at one rate would be joined with half at another. Row 71."""
    from small_runs import stopped_at

    assert stopped_at(3, "train", tmp_path / "run", monkeypatch)
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("learning_rate = 0.1", "learning_rate = 0.2"))
    for allowed in (False, True):
        with pytest.raises(IntegrityError, match="config.toml: was changed since the run began"):
            dp.resume(tmp_path / "run", allow_inexact=allowed)
