"""The experiment on transfer, with random weights in the place of the published ones."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from test_transfer import published as published

import deepprinciples as dp
from deepprinciples import config

ROOT = Path(__file__).parents[2]


def test_a_pretrained_tail_is_trained_even_as_a_toy(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the one script that begins from published weights may break unseen."""
    spec = importlib.util.spec_from_file_location("transfer", ROOT / "experiments" / "transfer_learning.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    digits = {"name": "trunk_features", "of": "digits", "first_layer": 15, "size": 32}
    toy = config.load(ROOT / "configs" / "transfer_learning.toml")
    arms = {name: toy["arms"][name] for name in ("frozen", "gradual", "tail_from_scratch")}
    toy = {
        **toy,
        "data": {**digits, "train_size": 40, "batch_size": 20},
        "test_sets": {"twitter": digits},
        "arms": arms,
    }
    small = ("train.steps=20", "study.searches=1", "study.trials=2", "study.seeds=2")
    run = dp.experiment(toy)(module.main.__wrapped__)(*small, out=tmp_path / "run")
    assert re.search(r"gradual: accuracy 0.*, on Twitter's 0\.", capsys.readouterr().out)
    assert len(run.summary["programs"]) == 2
