"""The page on other tools: its Python blocks run; those of libraries that are not installed are left to `make long`."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import jax
import pytest

import deepprinciples as dp
from deepprinciples.cli.options import Tracker
from deepprinciples.interop import torch_names
from deepprinciples.learners import TABLES

PAGE = (Path(__file__).parents[1] / "docs" / "from_and_to_other_tools.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CONFIG: dict[str, Any] = {
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 10, "probes": [], "seeds": 2},
}


def missing(block: str) -> list[str]:
    """List the libraries of a block that are not installed."""
    names = re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE)
    return [name for name in names if importlib.util.find_spec(name) is None]


def run_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], set[str]]:
    """Run the blocks of the page in order: what they leave behind, and which libraries were not there."""
    monkeypatch.chdir(folder)
    space: dict[str, Any] = {"config": CONFIG, "__name__": "reader"}
    lacking: set[str] = set()
    with jax.numpy_rank_promotion("allow"):
        for number, block in enumerate(BLOCKS):
            if missing(block):
                lacking |= set(missing(block))
            else:
                exec(compile(block, f"Python block {number} of the page", "exec", dont_inherit=True), space)
    return space, lacking


def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the lines that hand data of another library over; a reader copies code that nobody tried."""
    space, lacking = run_blocks(tmp_path, monkeypatch)
    assert lacking <= {"datasets", "grain", "tensorflow"} and len(BLOCKS) == 7
    assert len(list((tmp_path / "runs").iterdir())) >= 6 and "arm" in space["numbers"]


def test_the_page_names_every_tracker() -> None:
    """Lost: a tracker that nobody finds, or an extra that cannot be installed."""
    for name in Tracker:
        assert f"| `{name}` | `deepprinciples[track-{name}]` |" in PAGE


def test_every_model_is_on_the_page_with_its_naming() -> None:
    """Lost: which models travel to and from PyTorch; a new one stands on neither side until somebody decides."""
    rows = re.findall(r"^\| (`.*`) \| (in and out|in,|no:)", PAGE, re.MULTILINE)
    found = {how: {name for names, one in rows if one == how for name in re.findall(r"`(\w+)`", names)}
             for how in ("in and out", "in,", "no:")}  # fmt: skip
    assert found["in and out"] == set(torch_names.MODELS)
    converted = {name for name, factory in TABLES["model"].items() if hasattr(factory, "from_torch")}
    assert found["in,"] == converted
    assert found["no:"] == set(TABLES["model"]) - set(torch_names.MODELS) - converted


@pytest.mark.parametrize("name", sorted(set(TABLES["model"]) - set(torch_names.MODELS)))
def test_a_model_without_pytorchs_naming_says_so(name: str) -> None:
    """Lost: the way out, for every model that the tables of names leave out."""
    with pytest.raises(dp.errors.ConfigError, match=f'"{name}"; expected mlp, cnn, .*use the naming "own"'):
        torch_names.twins({"name": name}, {})
