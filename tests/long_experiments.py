"""Experiments whose toys take too long for every change: `make long` runs them, `make test` does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_experiments import SLOW, script
from test_experiments import test_the_script_runs_and_says_its_verdicts as run


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_script_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a script may break unseen."""
    run(name, tmp_path, capsys)


def test_anomalies_are_told_apart_even_by_toys(capsys: pytest.CaptureFixture[str]) -> None:
    """Else the scores of a GAN, an autoencoder and a forest are not comparable, or the script breaks unseen."""
    found = script("gan_anomaly").main("steps=40", "seeds=2")
    printed = capsys.readouterr().out
    assert set(found) == {"tissue", "digits"} and all(len(areas) == 5 for areas in found.values())
    assert found["tissue"]["isolation_forest"] > 0.9 and found["tissue"]["feature_distance"] > 0.8
    assert "tissue       autoencoder: ROC-AUC" in printed and "cannot be judged" in printed
