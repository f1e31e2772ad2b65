"""Experiments whose toys take most of a minute: `make long` runs them, `make test` does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_experiments import SLOW
from test_experiments import test_the_script_runs_and_says_its_verdicts as run


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_script_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else a script may break unseen."""
    run(name, tmp_path, capsys)
