"""A lane that failed: which step, why, and the steps before it, seen again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import NET, STUDY, stopped_at
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.cli.main import app
from deepprinciples.engine import autotune, rerun
from deepprinciples.engine.divergence import causes
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.results.finished_run import Run

X = np.random.RandomState(0).randn(60, 3).astype(np.float32)
X[::5, 1] = np.nan
OWN = {"name": "arrays", "inputs": X, "targets": np.arange(60) % 2, "batch_size": 8, "allow_nonfinite": True}


def study(**changes: Any) -> dict[str, Any]:
    return {**STUDY, "study": {"metric": "accuracy", "seeds": 3}, **changes}


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A study in which one arm stands and the others fail, from where they start and from where they go."""
    arms = {
        "plain": {"transforms.clip_by_value": {"max_value": 1e3}},
        "fast": {"optimizer.learning_rate": 1e12},
        "wide": {"model.initializer": {"name": "normal", "stddev": 1e38}},
    }
    return dp.compare(study(arms=arms), tmp_path_factory.mktemp("lost") / "run")


def test_the_cause_is_told_from_what_is_at_hand() -> None:
    """Whoever looks for the fault would look in the wrong place."""
    at = np.array([[-1, 0, 5], [0, 3, -1]])
    losses = np.array([[np.nan, np.nan, np.nan], [0.1, 0.1, 0.1]])
    found = causes(at, lambda: losses, lambda block, step: (block, step) == (1, 3))
    assert found.tolist() == [[0, 1, 3], [3, 2, 0]]
    assert causes(np.array([[4]]), lambda: pytest.fail("asked for nothing"), lambda *_: False).tolist() == [[3]]


def test_a_run_says_why_its_lanes_failed(lost: Run) -> None:
    """A night would end in "diverged" and nothing to go by."""
    assert lost.results.diverged_by.values.tolist() == [[""] * 3, ["update"] * 3, ["init"] * 3]
    assert [row["diverged_by"] for row in lost.summary["arms"]] == [{}, {"update": 3}, {"init": 3}]
    assert any(
        "wide: 3 of 3 lanes diverged" in w and "(by the initial weights 3)" in w for w in lost.summary["warnings"]
    )
    assert "(init)" in (lost.path / "report.html").read_text()


@pytest.mark.parametrize("lane", ["plain/1", "fast/2", "wide/0"])
def test_a_lane_is_seen_again_as_it_was(lost: Run, lane: str) -> None:
    """What is shown would be another run's failure."""
    arm, seed = lane.split("/")
    found = dp.replay(lost.path, lane, last=5)
    kept = lost.results.sel(arm=arm, seed=int(seed))
    assert (found.diverged_at, found.cause, found.notes) == (int(kept.diverged_at), str(kept.diverged_by.values), [])
    for look in found.looks:
        at = look.step // 2 * 2
        if look.step == at and at < (found.diverged_at if found.cause else 20):
            seen = np.linalg.norm(kept.gradient_norm.sel(step=at))  # one number a layer
            np.testing.assert_allclose(look.gradient_norm, seen, rtol=1e-5)
    if arm == "plain":
        assert [look.step for look in found.looks] == [15, 16, 17, 18, 19] and not any(k.first_bad for k in found.looks)
        assert found.looks[-1].loss < found.looks[0].loss + 1
    else:
        assert found.looks[-1].step == found.diverged_at and not np.isfinite(found.looks[-1].loss)
        first = next(look for look in found.looks if look.first_bad)
        assert first.first_bad.split()[0] in ("activation", "loss", "gradient", "update", "state")
        assert found.diverged_at - first.step <= 1, "the step before may have lost the weights"


def test_bad_data_are_found_in_the_minibatch(tmp_path: Path) -> None:
    """The optimizer would be blamed for a hole in the data."""
    run = dp.train({**study(data=OWN), "train": {"steps": 20, "seeds": 3, "probes": []}}, tmp_path / "run")
    at = run.results.diverged_at.values[0]
    assert (at >= 0).all() and set(run.results.diverged_by.values.ravel()) == {"data"}
    with pytest.raises(ConfigError, match="data.inputs"):  # the arrays are not in the run's config
        dp.replay(run.path, "1")


def test_a_stopped_run_is_replayed_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours would be trained again to see the last step, or another state be looked at."""
    config = {**STUDY, "train": {**STUDY["train"], "steps": 40, "evaluate_every": 4, "seeds": 2}}
    whole = dp.train(config, tmp_path / "whole")
    assert stopped_at(6, ("train", config), tmp_path / "run", monkeypatch)
    begun = []
    real = rerun._Call.begun
    monkeypatch.setattr(rerun._Call, "begun", lambda *given: begun.append(real(*given)) or begun[-1])
    one, other = dp.replay(whole.path, "1"), dp.replay(tmp_path / "run", "1")
    assert one.looks == other.looks and len(one.looks) == 8
    assert [start for _, start in begun] == [0, 6]


@pytest.mark.slow
def test_a_trial_is_replayed_where_its_search_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The point that failed in the search could not be seen, or the wrong one would be."""
    assert stopped_at(35, "compare", tmp_path / "run", monkeypatch)  # 30 looks are of the search
    seen = dp.replay(tmp_path / "run", "plain/trial-1/2147483648", last=1)
    whole = dp.resume(tmp_path / "run")
    again = dp.replay(whole.path, "plain/trial-1/2147483648", last=1)
    assert seen.looks == again.looks and seen.looks[0].step == 19
    with pytest.raises(ConfigError, match="no trial 3"):
        dp.replay(whole.path, "plain/trial-3/2147483648")


def test_what_cannot_be_replayed_is_told(lost: Run, tmp_path: Path) -> None:
    """A slip would end in a traceback."""
    for lane, line in {
        "plian/0": "no arm 'plian'; expected ARM/SEED or ARM/trial-T/SEED (arms: plain, fast, wide)",
        "plain/9": "no seed '9'; expected one from 0 to 2",
        "plain/trial-0/2147483648": "no trials, since nothing was tuned; expected ARM/SEED",
    }.items():
        with pytest.raises(ConfigError) as caught:
            dp.replay(lost.path, lane)
        assert line in str(caught.value)
    with pytest.raises(IntegrityError, match="no such directory"):
        dp.replay(tmp_path / "none", "0")


def test_the_command_shows_a_table(lost: Run) -> None:
    """A person at a terminal would get no answer."""
    told = CliRunner().invoke(app, ["replay", str(lost.path), "fast/0", "--last", "3"])
    assert told.exit_code == 0, told.output
    assert "Last steps of fast/0" in told.output and "gradient norm" in told.output
    assert f"Diverged at step {int(lost.results.diverged_at.sel(arm='fast', seed=0))}: the steps before" in told.output


def test_a_machine_that_does_not_repeat_itself_is_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactness would be claimed where there is none."""
    monkeypatch.setattr(autotune, "repeats_itself", lambda *_: False)
    run = dp.train({**STUDY, "model": NET["model"]}, tmp_path / "run")
    assert "run: not exact: the first step, taken twice, gave different bits" in run.summary["warnings"]
    assert json.loads((run.path / "manifest.json").read_text())["programs"][0]["repeats_itself"] is False
