"""When memory runs out, a run goes on in a fresh process: as wide once more where it had run, then half as wide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tomli_w
from small_runs import STUDY, told

import deepprinciples as dp
from deepprinciples.engine import run as engine
from deepprinciples.errors import IntegrityError, OutOfMemory, ResourceError
from deepprinciples.study import memory
from deepprinciples.study.memory import UnderWay

RUN = {**STUDY, "train": {**STUDY["train"], "seeds": 16}}
FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 123456789 bytes."


def crowded(monkeypatch: pytest.MonkeyPatch, *, most: int, after: int = 0) -> list[int]:
    """Let calls of more than `most` blocks fail from the call `after` on; returns the widths that were tried."""
    real, widths = engine.place, []

    def place(tree: Any, mesh: Any, *, shared: bool) -> Any:
        if shared and isinstance(tree, tuple) and isinstance(tree[0], np.ndarray) and tree[0].dtype == np.int32:
            widths.append(engine_width[0])
            if engine_width[0] > most and len(widths) > after:
                raise jax.errors.JaxRuntimeError(FULL)
        return real(tree, mesh, shared=shared)

    engine_width = [0]
    chunk = engine._run_chunk

    def run_chunk(call: Any, *given: Any) -> Any:
        engine_width[0] = call.program.layout.blocks
        return chunk(call, *given)

    monkeypatch.setattr(engine, "place", place)
    monkeypatch.setattr(engine, "_run_chunk", run_chunk)
    return widths


def test_the_width_halves_until_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night would end in an error that a narrower program would have avoided."""
    blocks = 16 // min(jax.device_count(), 16)
    with monkeypatch.context() as patch:
        widths = crowded(patch, most=max(blocks // 4, 1))
        for width in (blocks, blocks // 2):
            with pytest.raises(OutOfMemory) as caught:
                if width == blocks:
                    dp.train(RUN, tmp_path / "run")
                else:
                    dp.resume(tmp_path / "run")
            assert str(caught.value).endswith(f"deepprinciples resume {tmp_path / 'run'}")
            assert f"it goes on with {width // 2} in a fresh process" in str(caught.value)
        run = dp.resume(tmp_path / "run")
    assert widths[:2] == [blocks, blocks // 2] and set(widths[2:]) == {blocks // 4}
    assert any(f"run: memory ran out with {blocks}, {blocks // 2} lanes a device" in w for w in run.summary["warnings"])
    shapes = {"run": {"mode": "map", "blocks": blocks // 4, "chunks": 1}}
    assert run.summary["programs"][0]["shape"] == shapes["run"]
    plain = dp.train({**RUN, "train": {**RUN["train"], "layouts": shapes}}, tmp_path / "narrow")
    assert told(run.path)["results.nc"] == told(plain.path)["results.nc"]
    assert 'mode = "map"' in run.config  # a repeat is as narrow from the start


def test_what_had_run_is_tried_once_more_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that takes memory for a moment would make a whole run narrower."""
    whole = dp.train(RUN, tmp_path / "whole")
    with monkeypatch.context() as patch:
        crowded(patch, most=0, after=5)
        with pytest.raises(OutOfMemory, match="it goes on with 8 in a fresh process"):
            dp.train(RUN, tmp_path / "run")
    again = dp.resume(tmp_path / "run")
    assert told(again.path)["results.nc"] == told(whole.path)["results.nc"]


def test_a_call_under_way_begins_again_narrower_and_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lanes of one width would be read as lanes of another, or lanes that were done be trained twice."""
    limited = {**RUN, "train": {**RUN["train"], "max_parallel": 4}}
    wide = 4 * jax.device_count()
    with monkeypatch.context() as patch:
        crowded(patch, most=0, after=13)  # in the second call
        with pytest.raises(OutOfMemory, match="goes on with 4"):
            dp.train(limited, tmp_path / "run")
    with monkeypatch.context() as patch:
        widths = crowded(patch, most=2)
        with pytest.raises(OutOfMemory, match="goes on with 2"):
            dp.resume(tmp_path / "run")
        run = dp.resume(tmp_path / "run")
    assert widths[0] == 4 and widths[1:] == [2] * (10 * (16 - wide) // (wide // 2))
    whole = dp.train(limited, tmp_path / "whole")
    np.testing.assert_allclose(run.results.score, whole.results.score, atol=0.1)
    np.testing.assert_allclose(run.results.validation_loss, whole.results.validation_loss, rtol=1e-4)


def test_one_block_that_does_not_fit_is_told_with_bytes() -> None:
    """It would be tried for ever."""
    with pytest.raises(ResourceError, match=r"memory: a: 3 lanes at once need 7,000 bytes, and about [\d,]+ are free"):
        memory.narrower(None, UnderWay("a", {"mode": "map", "blocks": 1, "chunks": 1}, 3, 7000), ran=False)
    other = UnderWay("a", {"mode": "map", "blocks": 5, "chunks": 1}, 2, 7000)
    assert memory.narrower(None, other, ran=True) == {"shape": other.shape, "points": 2, "ran_out": [10]}
    twice = memory.narrower({"ran_out": [10]}, other, ran=True)
    assert (twice["shape"]["blocks"], twice["ran_out"]) == (2, [10, 10])


def test_other_errors_of_jax_stay_what_they_are() -> None:
    """A mistake in a model would be taken for a lack of memory."""
    with pytest.raises(jax.errors.JaxRuntimeError), memory.told():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
    with pytest.raises(OutOfMemory), memory.told():
        raise MemoryError


def test_a_status_that_was_written_by_hand_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strange shape would end in a traceback, or in a huge program."""
    with monkeypatch.context() as patch:
        crowded(patch, most=0)
        with pytest.raises(OutOfMemory):
            dp.train(RUN, tmp_path / "run")
    status = tmp_path / "run" / "status.json"
    good = json.loads(status.read_text())
    for odd in (7, {"run": 7}, {"run": {"shape": {}, "points": 1, "ran_out": []}},
                {"run": {**good["narrowed"]["run"], "ran_out": ["x"]}}):  # fmt: skip
        status.write_text(json.dumps({**good, "narrowed": odd}))
        with pytest.raises(IntegrityError, match="status.json"):
            dp.resume(tmp_path / "run")


@pytest.mark.slow
def test_the_command_line_goes_on_by_itself(tmp_path: Path) -> None:
    """Nobody is there at night to type the command."""
    (tmp_path / "small.toml").write_text(tomli_w.dumps(RUN))
    (tmp_path / "full.py").write_text(
        "import jax\nfrom deepprinciples.engine import run\nreal = run._run_chunk\n"
        "def chunk(call, *given):\n    if call.program.layout.blocks > 4:\n"
        f"        raise jax.errors.JaxRuntimeError({FULL!r})\n    return real(call, *given)\n"
        "run._run_chunk = chunk\nTABLES = {}\n"
    )
    command = [sys.executable, "-m", "deepprinciples.cli.main", "train", str(tmp_path / "small.toml")]
    options = ["--out", str(tmp_path / "run"), "--plugin", str(tmp_path / "full.py")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "memory ran out with 8 lanes a device; it goes on with 4" in done.stderr
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"
