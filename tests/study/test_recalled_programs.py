"""Programs recalled from disk: a second run compiles and traces nothing, and gives the very bits of the first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.engine import autotune, compile_cache, recalled
from deepprinciples.engine.lane import traced_lane
from deepprinciples.engine.lane.packed_log import pack
from deepprinciples.learners.assembly import from_config
from deepprinciples.study.planning import program_cache

Make = Callable[..., Any]
FEW = {"study.searches": 2, "study.trials": 2, "study.tuning_seeds": 1, "train.steps": 8}
TWO: dict[str, Any] = {"plain": {}, "slow": {"optimizer.momentum": 0.5}}


@pytest.fixture(autouse=True)
def _new_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(compile_cache.SETTING, str(tmp_path / "cache"))
    monkeypatch.setattr(program_cache, "_kept", OrderedDict())


def compare(config: Any, path: Path) -> Any:
    """Run as a new process would: nothing is kept but on disk."""
    program_cache._kept.clear()
    return dp.compare(config, path)


def forbid(monkeypatch: pytest.MonkeyPatch, *names: tuple[Any, str]) -> None:
    for module, name in names:

        def never(*args: Any, _name: str = name, **keywords: Any) -> Any:
            raise AssertionError(f"{_name} was called")

        monkeypatch.setattr(module, name, never)


WORK = (compile_cache, "_compile"), (traced_lane, "trace"), (from_config, "check")


def test_the_cache_changes_no_bit_and_saves_all_compiling(
    small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run of a config would wait for what the first has done, or give other results."""
    monkeypatch.setenv(compile_cache.SETTING, "off")
    runs = [compare(small(**FEW), tmp_path / "off")]
    monkeypatch.setenv(compile_cache.SETTING, str(tmp_path / "cache"))
    runs.append(compare(small(**FEW), tmp_path / "cold"))
    forbid(monkeypatch, *WORK)
    runs.append(compare(small(**FEW), tmp_path / "warm"))
    first, *others = [(tmp_path / name / "results.nc").read_bytes() for name in ("off", "cold", "warm")]
    assert others == [first, first]
    compiles = [[row["compiles"] for row in run.summary["programs"]] for run in runs]
    assert compiles == [[1, 1], [1, 1], [0, 0]]
    seconds = sum(row["compile_seconds"] for row in runs[2].summary["programs"])
    assert seconds < sum(row["compile_seconds"] for row in runs[1].summary["programs"]) / 2


def test_what_comes_after_a_run_compiles_nothing(small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who adds seeds, or looks at a run again, would wait for the compiler."""
    compare(small(**FEW), tmp_path / "run")
    program_cache._kept.clear()
    forbid(monkeypatch, *WORK[:2])
    more = dp.add_seeds(tmp_path / "run", seeds=4, out=tmp_path / "more")
    assert [row["compiles"] for row in more.summary["programs"]] == [0, 0]
    program_cache._kept.clear()
    dp.resume(tmp_path / "run")
    dp.load(tmp_path / "run").report(tmp_path / "report.html")


ALONE = """
import sys
import deepprinciples as dp
run = dp.train({
    "data": {"name": "adding", "length": 4, "size": 40, "batch_size": 8}, "loss": {"name": "mse"},
    "model": {"name": "rnn", "width": 4}, "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 2, "probes": []}, "study": {"metric": "mse"},
}, sys.argv[1])
print(run.summary["programs"][0]["compiles"])
"""


def test_a_process_that_only_loads_finds_lapack(tmp_path: Path) -> None:
    """The second run of a recurrent network, whose first weights are orthogonal, would end in a segmentation fault."""
    asks = [[sys.executable, "-c", ALONE, str(tmp_path / name)] for name in ("first", "again")]
    done = [subprocess.run(ask, capture_output=True, text=True, env={**os.environ}) for ask in asks]
    assert [(one.returncode, one.stdout) for one in done] == [(0, "1\n"), (0, "0\n")]
    assert (tmp_path / "again" / "results.nc").read_bytes() == (tmp_path / "first" / "results.nc").read_bytes()


def test_a_program_that_calls_an_unknown_library_is_traced(tmp_path: Path) -> None:
    """What such a library needs before it is called would be missing in a process that only loads."""
    names = {"init": "0" * 64}
    devices = jax.devices()[:1]
    folder = compile_cache._folder(devices)
    assert folder is not None
    (folder / names["init"]).write_bytes(b"")
    traced = recalled.Traced({}, pack({"loss": np.zeros(2, np.float32)}), {}, 0, "")
    for target, kept in (("lapack_sgeqrf_ffi", True), ("gpuhybrid_geqp3_ffi", False)):
        recalled.keep(target, devices, names, [f"stablehlo.custom_call @{target}(%0)"], traced)
        assert (compile_cache.read_note(target, devices) is not None) == kept


def test_other_code_is_another_program(small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an update the results would be those of the code before it."""
    compare(small(TWO, **FEW), tmp_path / "before")
    monkeypatch.setattr(program_cache, "_code", lambda: "changed")
    run = compare(small(TWO, **FEW), tmp_path / "after")
    assert [row["compiles"] for row in run.summary["programs"]] == [1]


def test_the_code_is_known_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit of the package would not be seen."""
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "part.py"
    found = []
    for text in ("a = 1", "a = 2", "a = 1"):
        file.write_text(text)
        monkeypatch.setattr("deepprinciples.__file__", str(tmp_path / "__init__.py"))
        found.append(program_cache._code.__wrapped__())
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("lost", ["function", "note"])
def test_a_program_in_part_is_made_anew(small: Make, tmp_path: Path, lost: str) -> None:
    """An entry that went for lack of space would end the run."""
    compare(small(TWO, **FEW), tmp_path / "first")
    folder = next((tmp_path / "cache").iterdir())
    for entry in folder.iterdir():
        is_note = entry.read_bytes()[32:33] in (b"{", b"t")
        if is_note == (lost == "note"):
            entry.unlink()
    again = compare(small(TWO, **FEW), tmp_path / "again")
    assert [row["compiles"] for row in again.summary["programs"]] == [1]
    assert (tmp_path / "again" / "results.nc").read_bytes() == (tmp_path / "first" / "results.nc").read_bytes()


def test_what_was_measured_is_not_measured_again(small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run would take another shape by chance, and other bits with it."""
    monkeypatch.setattr(autotune, "WORTH", 0.0)
    first = compare(small(TWO, **FEW), tmp_path / "first")
    assert first.summary["programs"][0]["measured"]
    forbid(monkeypatch, (autotune, "measure"), *WORK[:2])
    again = compare(small(TWO, **FEW), tmp_path / "again")
    one, other = (run.summary["programs"][0] for run in (first, again))
    assert all(one[key] == other[key] for key in ("measured", "shape", "mode", "width"))
    assert (tmp_path / "again" / "results.nc").read_bytes() == (tmp_path / "first" / "results.nc").read_bytes()
