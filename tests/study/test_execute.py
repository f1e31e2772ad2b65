"""A study carried out: what is left on disk when something unexpected happens, and what a run without a number says."""

import numpy as np
import pytest
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.cli import main
from deepprinciples.runs import directory
from deepprinciples.study import execute, progress_store

CONFIG = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 8, "seeds": 2, "probes": []},
}
TOML = """
data = {name = "wine", batch_size = 16}
model = {name = "mlp", depth = 1, width = 4}
loss = "softmax_cross_entropy"
optimizer = {name = "sgd", learning_rate = 0.1}
train = {steps = 8, seeds = 2, probes = []}
"""


def broken(*args, **options):
    raise RuntimeError("the disk\nis on fire")


def test_a_run_that_breaks_is_failed_and_goes_on(tmp_path, monkeypatch):
    """Lost: a run that broke looks as if it went on for ever, and all its training is done again."""
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="on fire"):
        patch.setattr(execute, "_write", broken)
        dp.train(CONFIG, tmp_path / "run")
    status = directory.status(tmp_path / "run")
    assert (status["state"], status["reason"]) == ("failed", "RuntimeError: the disk is on fire")
    steps = []
    patch = progress_store.ProgressStore.close
    monkeypatch.setattr(progress_store.ProgressStore, "close", lambda *args: (steps.append(args[1]), patch(*args))[1])
    resumed = dp.resume(tmp_path / "run")
    status = directory.status(tmp_path / "run")
    assert status["state"] == "finished" and "reason" not in status and not steps, "it trained again"
    np.testing.assert_array_equal(resumed.results.score, dp.train(CONFIG, tmp_path / "other").results.score)


def test_an_unexpected_error_is_one_line_on_the_command_line(tmp_path, monkeypatch):
    """Lost: a screen of traceback for a slip in a user's own function."""
    monkeypatch.setattr(execute, "_write", broken)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(TOML)
    found = CliRunner().invoke(main.app, ["train", "c.toml", "--out", "run"])
    assert found.exit_code == 1 and "Traceback" not in found.output
    assert found.output.splitlines()[-1] == "error: RuntimeError: the disk is on fire; add --debug for the traceback"
    shown = CliRunner().invoke(main.app, ["train", "c.toml", "--out", "again", "--debug"])
    assert isinstance(shown.exception, RuntimeError)


@pytest.mark.parametrize(
    "changes",
    [
        {"study": {"metric": "cross_entropy"}, "optimizer": {"name": "sgd", "learning_rate": 1e30}},
    ],
)
def test_a_run_without_a_number_has_none_in_its_headline(tmp_path, changes):
    """Lost: a loss of 0, the best there is, heads the report of a run in which every seed diverged."""
    summary = dp.train({**CONFIG, **changes}, tmp_path / "run").summary
    assert summary["headline"].startswith("No ") and "all 2 seeds diverged" in summary["headline"]
    assert summary["arms"][0]["mean"] is None and summary["arms"][0]["interval"] == [None, None]
