"""A run that was stopped or killed, and resumed, is the run that never was: same results, log, verdicts, to the bit."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optax
import pytest
from small_runs import KINDS, STUDY, stopped_at, told

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.errors import ConfigError, IntegrityError, ResourceError, Stopped
from deepprinciples.runs import checkpoints, directory
from deepprinciples.study import progress_store
from deepprinciples.study.planning import program_cache


@pytest.mark.parametrize("kind", [pytest.param("compare", marks=pytest.mark.slow), "train", "game"])
def test_a_run_stopped_anywhere_goes_on_to_the_same_bits(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preempted machine would change the result."""
    command, config = KINDS[kind]
    whole = getattr(dp, command)(config, tmp_path / "whole")
    places = 0
    for count in (1, 5, 14, 27):
        folder = tmp_path / str(count)
        if not stopped_at(count, kind, folder, monkeypatch):
            break
        moved = folder.rename(tmp_path / f"moved {count}")
        run = dp.resume(moved)
        assert told(run.path) == told(whole.path), count
        assert directory.status(run.path)["state"] == "finished"
        shutil.rmtree(moved)
        places += 1
    assert places >= 2
    before = {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()}
    dp.resume(whole.path)
    assert before == {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()}


def test_a_run_with_pruned_weights_goes_on_with_its_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that were removed before the stop would be back after it, or the recorded ones be lost."""
    tables = {"prune": {"begin": 0.1, "end": 0.7, "rewind": True, "rewind_to": 0.1}, "quantize": {"bits": 5.0}}
    study = {**STUDY, "weights": tables}
    whole = dp.train(study, tmp_path / "whole")
    for count in (3, 6):
        assert stopped_at(count, ("train", study), tmp_path / str(count), monkeypatch)
        assert told(dp.resume(tmp_path / str(count)).path) == told(whole.path)


def test_a_run_that_keeps_its_best_state_goes_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a run that was stopped after its best evaluation forgets it, or a patient one begins to wait anew."""
    arms = {"last": {}, "patient": {"train": {"keep": "best", "patience": 2}}}
    few = {**STUDY["study"], "metric": "cross_entropy", "searches": 3, "trials": 2, "tuning_seeds": 1, "keep": 2}
    few["tune"] = {"optimizer.learning_rate": {"low": 2.0, "high": 9.0}}  # the loss goes up and down
    study = {**STUDY, "arms": arms, "study": few}
    whole = dp.compare(study, tmp_path / "whole")
    assert (whole.results.kept_step.sel(arm="patient") < 20).any()
    for count in (3, 14):  # while it tunes, and while it trains on fresh seeds
        assert stopped_at(count, ("compare", study), tmp_path / str(count), monkeypatch)
        assert told(dp.resume(tmp_path / str(count)).path) == told(whole.path)
    fewer = dp.compare({**study, "study": {**few, "searches": 2}}, tmp_path / "fewer")
    longer = dp.add_seeds(fewer.path, 3, tmp_path / "longer")
    assert longer.results.isel(seed=slice(2), search=slice(2)).identical(fewer.results)
    assert longer.results.kept_step.identical(whole.results.kept_step)


@pytest.mark.parametrize("more", [{}, {"pruning": {"name": "successive_halving", "factor": 2, "rungs": 2}}])
def test_what_was_done_before_is_counted_apart(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: the time left of a resumed run, were its known steps counted as trained in no time; or its percentages."""
    few = {**STUDY["study"], "searches": 3, "trials": 2, "tuning_seeds": 1, **more}
    study = {**STUDY, "study": few, "arms": {"plain": {}, "momentum": {"optimizer.momentum": 0.5}}}
    counts = {"total": 0, "advance": 0, "skip": 0}

    def count(key: str, steps: int) -> None:
        counts[key] += steps

    def progress(*keys: str) -> dp.Progress:
        counts.update(dict.fromkeys(counts, 0))
        return dp.Progress(
            begin=functools.partial(count, "total"), **{key: functools.partial(count, key) for key in keys}
        )

    dp.compare(study, tmp_path / "whole", progress=progress("advance", "skip"))
    whole = dict(counts)
    assert whole["skip"] == 0 and (more or whole["advance"] == whole["total"])
    assert stopped_at(15, ("compare", study), tmp_path / "run", monkeypatch)
    assert "0-tune-0" in str(os.listdir(tmp_path / "run" / progress_store.FOLDER))
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    dp.resume(tmp_path / "run", progress=progress("advance", "skip"))
    assert counts["skip"] > 0 and counts["skip"] + counts["advance"] == whole["advance"]
    dp.resume(tmp_path / "again", progress=progress("advance"))
    assert counts["advance"] == whole["advance"]


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study that was stopped in its first run."""
    assert stopped_at(3, "compare", tmp_path / "run", monkeypatch)
    return tmp_path / "run"


def test_what_cannot_be_resumed_exactly_is_told(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's last bits would pass for the same run; or other data for the data that were tuned on."""
    real = directory.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(directory, "fingerprint", lambda: {**real, "cores": 999})
        with pytest.raises(IntegrityError, match=r"cores: \d+, here 999.*--allow-inexact"):
            dp.resume(stopped)
        run = dp.resume(stopped, allow_inexact=True)
    assert any("not exact: resumed elsewhere" in line for line in run.summary["warnings"])


def test_a_damaged_checkpoint_is_passed_over_or_ends_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run would start from scratch in silence, or the damage would go unseen."""
    whole = dp.compare(STUDY, tmp_path / "whole")
    stopped = tmp_path / "run"
    assert stopped_at(35, "compare", stopped, monkeypatch)
    folder = stopped / progress_store.FOLDER
    assert sorted(os.listdir(folder)) == ["0-tune-0.safetensors", "under-way.safetensors"]
    for name in sorted(os.listdir(folder)):  # a phase that was done, and the one under way
        copy = tmp_path / name
        shutil.copytree(stopped, copy)
        (copy / progress_store.FOLDER / name).write_bytes(b"")
        with pytest.raises(IntegrityError, match=f"{name}: .* without --strict its phase begins again"):
            dp.resume(copy, strict=True)
        run = dp.resume(copy)
        assert any("a damaged checkpoint was passed over" in line for line in run.summary["warnings"])
        assert run.results.identical(whole.results)
    for path in folder.iterdir():
        path.write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="none of 2 checkpoints can be used"):
        dp.resume(stopped)


def test_two_processes_cannot_hold_one_run(stopped: Path) -> None:
    """Two processes would write into each other's files."""
    with directory.locked(stopped):
        code = f"import deepprinciples as dp; dp.resume({str(stopped)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"is in use by process {os.getpid()} on " in done.stderr


def test_a_full_disk_stops_the_run_and_spares_the_last_checkpoint(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk would cost the run, or go unseen until there is nothing to resume."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises((ResourceError, OSError), match=r"No space left"):
            dp.resume(stopped)
    assert checkpoints.load(stopped / progress_store.FOLDER) is not None


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """A traceback would come out, or files be written where nobody asked."""
    with pytest.raises(IntegrityError, match="no such directory"):
        dp.resume(tmp_path / "nothing")
    with pytest.raises(IntegrityError, match="status.json"):
        dp.resume(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="holds files"):
        (tmp_path / "file").touch()
        dp.train(STUDY, tmp_path)


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deepprinciples.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def test_signals_from_outside(tmp_path: Path) -> None:
    """A scheduler's warning would be lost in the compiler, or the command not go on from there."""
    (tmp_path / "study.toml").write_text(configs.dumps(STUDY))
    out = tmp_path / "run"
    run = start("compare", str(tmp_path / "study.toml"), "--out", str(out))
    wait_for(out / "status.json")  # the compiler is at work
    begun = time.monotonic()
    run.terminate()
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 75 and time.monotonic() - begun < 10, errors
    assert errors.strip().endswith(f"stopped by SIGTERM; go on with: deepprinciples resume {out}")
    run = start("resume", str(out))
    words, errors = run.communicate(timeout=120)
    assert run.returncode == 0 and "Comparisons" in words, errors
    assert directory.status(out)["state"] == "finished"


def test_a_stop_while_the_result_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that measured its shape, and was stopped after it wrote that down, would be taken for another run."""
    from deepprinciples.engine import autotune
    from deepprinciples.runs import arrays

    monkeypatch.setattr(autotune, "WORTH", 0)
    study = {**STUDY, "train": {**STUDY["train"], "parallel": "auto"}}

    def stop(*_: object) -> None:
        raise Stopped("stopped by SIGTERM")

    with monkeypatch.context() as patch:
        patch.setattr(arrays, "save_dataset", stop)
        with pytest.raises(Stopped, match="resume"):
            dp.train(study, tmp_path / "run")
    assert "layouts" in (tmp_path / "run" / "config.toml").read_text()
    assert dp.resume(tmp_path / "run").summary["arms"][0]["n"] == 1
    with pytest.raises(IntegrityError, match="state"):
        (tmp_path / "run" / "status.json").write_text("{}")
        dp.resume(tmp_path / "run")


def test_a_shape_that_was_measured_is_told_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat of the run would measure anew, perhaps choose another shape, and end in other bits."""
    from deepprinciples.engine import autotune

    monkeypatch.setattr(autotune, "WORTH", 0)
    study = {**STUDY, "train": {**STUDY["train"], "parallel": "auto"}}
    assert stopped_at(3, ("train", study), tmp_path / "run", monkeypatch)
    run = dp.resume(tmp_path / "run")
    row = run.summary["programs"][0]
    assert row["measured"] and configs.load(run.path / "config.toml")["train"]["layouts"] == {"run": row["shape"]}


@pytest.mark.slow
def test_a_function_that_changed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a run with one function would be joined with half of it with another."""
    from deepprinciples.domains.registry import TABLES

    def halved(strength: float) -> Any:
        return lambda *, factor=0.5: optax.scale(strength * factor)

    study = {**STUDY, "transforms": {"halve": {"factor": 0.5}}}
    for name, strength in (("same", 1.0), ("other", 3.0)):
        with monkeypatch.context() as patch:
            patch.setitem(TABLES["transforms"], "halve", halved(1.0))
            assert stopped_at(3, ("train", study), tmp_path / name, monkeypatch)
            patch.setitem(TABLES["transforms"], "halve", halved(strength))
            program_cache._kept.clear()
            if name == "same":
                assert not [w for w in dp.resume(tmp_path / name).summary["warnings"] if "not exact" in w]
                continue
            with pytest.raises(IntegrityError, match="run: its program is another than the run began with"):
                dp.resume(tmp_path / name)
            with monkeypatch.context() as once:  # stopped again, it knows what it was allowed
                looks: list[int] = []

                def soon(self: progress_store.ProgressStore, looks: list[int] = looks) -> bool:
                    looks.append(1)
                    if len(looks) == 3:
                        self.stop.receive(signal.SIGTERM, None)
                    return True

                once.setattr(progress_store.ProgressStore, "_is_time", soon)
                with pytest.raises(Stopped):
                    dp.resume(tmp_path / name, allow_inexact=True)
            run = dp.resume(tmp_path / name)
            assert "not exact: run went on with another program than it began with" in run.summary["warnings"]
