"""When memory runs out, a run ends with one line: which program, how many bytes, and the width to try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import pytest
import tomli_w
from small_runs import STUDY, told
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.cli.main import app
from deepprinciples.engine import run as engine
from deepprinciples.errors import ResourceError
from deepprinciples.study import execute
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.progress_store import UnderWay

RUN = {**STUDY, "train": {**STUDY["train"], "seeds": 16}}
FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123456789 bytes.")


def crowded(monkeypatch: pytest.MonkeyPatch, *, most: int = 0, after: int = 0) -> None:
    """Let segments of more than `most` blocks fail from number `after` on, as JAX does when memory runs out."""
    real, calls = engine.place, []
    chunk = engine._run_chunk

    def run_chunk(call: Any, *given: Any) -> Any:
        def place(tree: Any, mesh: Any, *, shared: bool) -> Any:
            calls.append(1)
            if call.program.layout.blocks > most and len(calls) > after:
                raise FULL
            return real(tree, mesh, shared=shared)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "place", place)
            return chunk(call, *given)

    monkeypatch.setattr(engine, "_run_chunk", run_chunk)


def test_a_run_out_of_memory_ends_with_a_width_to_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night would end in a traceback, or in an error that says nothing of how to avoid it."""
    blocks = 16 // min(jax.device_count(), 16)
    crowded(monkeypatch, most=blocks // 2)
    (tmp_path / "small.toml").write_text(tomli_w.dumps(RUN))
    out = tmp_path / "run"
    done = CliRunner().invoke(app, ["train", str(tmp_path / "small.toml"), "--out", str(out)])
    line = done.stderr.splitlines()[-1]
    assert done.exit_code == 5 and "Traceback" not in done.output
    assert line.startswith(f"error: memory: run: {blocks} lanes at once need ")
    assert f"begin a new run with train.max_parallel = {blocks // 2}, or free some and go on with: " in line
    assert line.endswith(f"deepprinciples resume {out}")
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "failed" and line.removeprefix("error: ") in status["reason"]
    narrower = {**RUN, "train": {**RUN["train"], "max_parallel": blocks // 2}}
    assert dp.train(narrower, tmp_path / "narrower").summary["programs"][0]["shape"]["blocks"] == blocks // 2


def test_a_run_out_of_memory_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that takes memory for a moment would cost the run what it had done."""
    whole = dp.train(RUN, tmp_path / "whole")
    with monkeypatch.context() as patch:
        crowded(patch, after=12)
        with pytest.raises(ResourceError, match="deepprinciples resume"):
            dp.train(RUN, tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    assert told(dp.resume(tmp_path / "run").path) == told(whole.path)


def test_memory_that_runs_out_while_a_program_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that ran before would be blamed, or a traceback come out."""

    def fail(*_: Any) -> None:
        raise FULL

    monkeypatch.setattr(prepared_group, "set_up", fail)
    with pytest.raises(ResourceError, match="memory ran out while a program was compiled .*max_parallel"):
        dp.train(RUN, tmp_path / "run")


def test_one_block_that_does_not_fit_is_described_with_bytes() -> None:
    """Nobody could make it narrower, and the advice to do so would send people in circles."""
    alone = UnderWay("a", {"mode": "map", "blocks": 1, "chunks": 1}, 3, 7000)
    line = str(execute.out_of_memory(FULL, alone, Path("runs/x-1")))
    assert line.startswith("memory: a: 3 lanes at once need 7,000 bytes, and about ") and "smaller model" in line
    assert "max_parallel" not in line
    other = alone._replace(shape={**alone.shape, "blocks": 5}, points=2)
    assert "max_parallel = 5" in str(execute.out_of_memory(MemoryError(), other, Path("runs/x-1")))


def test_other_errors_of_jax_stay_what_they_are() -> None:
    """A mistake in a model would be taken for a lack of memory."""
    for error in (jax.errors.JaxRuntimeError("INTERNAL: something else"), ValueError("Out of memory")):
        assert execute.out_of_memory(error, None, Path("runs/x-1")) is None
