"""Experiments whose toys take too long for every change: `make long` runs them, `make test` does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_experiments import SLOW, script
from test_experiments import test_the_script_runs_and_says_its_verdicts as run


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_script_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a script may break unseen."""
    run(name, tmp_path, capsys)


def test_anomalies_are_told_apart_even_by_toys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the scores of a GAN, an autoencoder and a forest are not comparable, or the script breaks unseen."""
    monkeypatch.chdir(tmp_path)
    script("gan_anomaly").main("steps=40", "seeds=2")
    printed = capsys.readouterr().out
    areas = {tuple(words): float(area) for *words, area in re.findall(r"(\w+) +(\w+): ROC-AUC (\S+)", printed)}
    assert len(areas) == 20
    assert areas["tissue", "isolation_forest"] > 0.9 and areas["tissue", "feature_distance"] > 0.8
    assert printed.count("cannot be judged") == 16


def test_a_student_learns_from_its_own_teacher_even_as_a_toy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the one script that trains twice may break unseen."""
    monkeypatch.chdir(tmp_path)
    run = script("quantization_and_distillation").main("steps=20", "seeds=2", "width=12")
    printed = capsys.readouterr().out
    assert printed.count(": accuracy ") == 10 and "small_distilled: accuracy " in printed
    assert "int8_after: accuracy " in printed and "778 parameters, 1,016 bytes, 744 multiply-adds" in printed
    assert not [line for line in run.summary["warnings"] if "data.teacher" in line], "every seed has its own teacher"


def test_maps_of_toy_networks_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the one script that explains networks may break unseen."""
    monkeypatch.chdir(tmp_path)
    script("saliency_maps").main("seeds=2", "examples=4", "steps=20", "size=200")
    printed = capsys.readouterr().out
    assert "Chance in the box: 0." in printed and len(re.findall(r"\n *(\w+) +\w+: -?\d", printed)) == 4 * 8
    assert printed.count("cannot be judged") == 4 * 7


def test_a_cloned_toy_is_paid_for_its_meters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the one script that goes from cloning to reinforcement may break unseen."""
    monkeypatch.chdir(tmp_path)
    script("driving_by_reinforcement").main("steps=1", "seeds=2", "cloning=20")
    printed = capsys.readouterr().out
    assert "cloned: " in printed and all(f"{arm}: " in printed for arm in ("shaken", "improved", "scratch"))
    assert printed.count("] m\n") == 4 and "cannot be judged" in printed


def test_digits_are_transferred_even_by_toys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the one script that begins from its own networks may break unseen."""
    monkeypatch.chdir(tmp_path)
    script("transfer_digits").main("steps=20", "searches=2", "pretraining=20")
    printed = capsys.readouterr().out
    assert "0 to 4: accuracy 0." in printed and printed.count(": accuracy ") == 6
