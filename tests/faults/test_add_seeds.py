"""A finished run is given more seeds: those it had stay as they are, to the bit, and no search is made again."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import GAME, KINDS, STUDY, told
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError, IntegrityError, Stopped
from deepprinciples.results.finished_run import Run
from deepprinciples.runs import arrays
from deepprinciples.study import commands, progress_store
from deepprinciples.study.planning import plan


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A finished study and a finished game."""
    room = tmp_path_factory.mktemp("runs")
    return {kind: getattr(dp, KINDS[kind][0])(KINDS[kind][1], room / kind) for kind in ("compare", "game")}


def contents(path: Path) -> dict[str, bytes]:
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


@pytest.mark.parametrize("kind", ["compare", pytest.param("game", marks=pytest.mark.slow)])
def test_more_seeds_are_those_of_a_run_that_had_them_from_the_start(
    kind: str, runs: dict[str, Run], tmp_path: Path
) -> None:
    """Adding seeds would change the ones that were seen, or cost the whole search again."""
    config, section, key = {"compare": (STUDY, "study", "searches"), "game": (GAME, "train", "seeds")}[kind]
    before = contents(runs[kind].path)
    count = len(runs[kind].results.seed)
    longer = dp.add_seeds(runs[kind].path, count + 4, tmp_path / "longer")
    assert contents(runs[kind].path) == before
    xs, ys = runs[kind].results, longer.results
    assert ys.seed.values.tolist() == list(range(count + 4))
    kept = {"seed": slice(count), "search": slice(count)} if kind == "compare" else {"seed": slice(count)}
    assert ys.isel(kept).identical(xs)
    shapes = {row["arms"][0]: row["shape"] for row in runs[kind].summary["programs"]}
    longer_config: dict[str, Any] = {**config, section: {**config[section], key: count + 4}}
    longer_config["train"] = {**longer_config["train"], "layouts": shapes}
    whole = getattr(dp, KINDS[kind][0])(longer_config, tmp_path / "whole")
    assert whole.results.identical(ys)
    if kind == "game":
        one, other = (arrays.load_arrays(run.path / "parameters.safetensors") for run in (longer, whole))
        assert list(one) == list(other) and len(one) == count + 4
        for a, b in zip(leaves(one), leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        assert longer.summary["comparisons"] == whole.summary["comparisons"]


def leaves(tree: Any) -> list[Any]:
    return [leaf for one in tree.values() for leaf in (leaves(one) if isinstance(one, dict) else [one])]


def test_nothing_is_searched_again(runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more searches would cost as much as the study."""
    from deepprinciples.engine import run as engine_run

    asked: list[list[int]] = []
    real = engine_run._run_chunk
    monkeypatch.setattr(
        engine_run,
        "_run_chunk",
        lambda call, blocks, count, *k: (
            asked.append([one.seed for one in blocks[:count]]) or real(call, blocks, count, *k)
        ),
    )
    dp.add_seeds(runs["compare"].path, 9, tmp_path / "longer")
    trained = [seed for seeds in asked for seed in seeds]
    new = [2**31 + k for k in range(14, 18)]
    assert sorted(set(trained)) == [7, 8, *new], "searches and seeds that are in the checkpoint were trained again"
    assert len(trained) == 2 * (2 + 3 * 4)  # two groups


@pytest.mark.slow
def test_searches_that_were_widened_stay_as_they_are(tmp_path: Path) -> None:
    """A round of wider trials would be taken for another search's, since not every search has one."""
    tune = {"optimizer.learning_rate": {"low": 1e-3, "high": 3.0, "scale": "log"}}
    study = {**STUDY["study"], "searches": 3, "trials": 5, "widen_rounds": 1, "tune": tune}  # type: ignore[dict-item]
    config = {**STUDY, "arms": {"plain": {}, "momentum": {"optimizer.momentum": 0.5}}, "study": study}
    few = dp.compare(config, tmp_path / "few")
    longer = dp.add_seeds(few.path, 6, tmp_path / "longer")
    shapes = {row["arms"][0]: row["shape"] for row in few.summary["programs"]}
    train = {**STUDY["train"], "layouts": shapes}  # type: ignore[dict-item]
    whole = dp.compare({**config, "train": train, "study": {**study, "searches": 6}}, tmp_path / "whole")
    assert whole.results.identical(longer.results)
    widened = np.isfinite(longer.results.tuning_score.values[0, :, 5:]).all(axis=(1, 2))
    assert 0 < widened.sum() < 6, "no search was widened, or all were, and nothing is shown"


def test_seeds_of_a_tuned_study_come_in_whole_searches() -> None:
    """A block of fewer seeds would count as much as the others."""
    config = {**STUDY, "study": {**STUDY["study"], "seeds": 2, "searches": 6}}
    prepared = plan.resolve("compare", config)
    with pytest.raises(ConfigError, match="--seeds: found 13, expected a multiple of 2: .*; give 14"):
        commands._more_seeds(prepared, 13)
    assert commands._more_seeds(prepared, 14) == {"study.searches": 7}


def test_what_cannot_be_extended_is_told(runs: dict[str, Run], tmp_path: Path) -> None:
    """Nothing would be added, or the wrong thing, without a word."""
    path = runs["compare"].path
    with pytest.raises(ConfigError, match="--seeds: found 7, expected more than the 7 that the run has"):
        dp.add_seeds(path, 7, tmp_path / "new")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        dp.add_seeds(path, 9, path)
    bare = tmp_path / "bare"
    shutil.copytree(path, bare, ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(IntegrityError, match="checkpoints: is missing; without it a run cannot be extended"):
        dp.add_seeds(bare, 9, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_extends(runs: dict[str, Run], tmp_path: Path) -> None:
    """There would be no way to it from the terminal."""
    out = tmp_path / "longer"
    told = CliRunner().invoke(app, ["add-seeds", str(runs["game"].path), "--seeds", "3", "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert len(dp.load(out).results.seed) == 3 and f"Report: {out / 'report.html'}" in told.output


def test_an_extension_that_was_stopped_goes_on(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seeds of the first run would be trained again, or be lost."""
    whole = dp.add_seeds(runs["compare"].path, 12, tmp_path / "whole")
    looks: list[int] = []

    def is_time(self: progress_store.ProgressStore) -> bool:
        looks.append(1)
        if len(looks) == 3:
            self.stop.receive(signal.SIGTERM, None)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(progress_store.ProgressStore, "_is_time", is_time)
        with pytest.raises(Stopped, match="deepprinciples resume"):
            dp.add_seeds(runs["compare"].path, 12, tmp_path / "run")
    assert told(dp.resume(tmp_path / "run").path) == told(whole.path)
