"""The page on other tools says what there is; its blocks run in test_docs.py and, all of them, in long_trackers.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import deepprinciples as dp
from deepprinciples.cli.options import Tracker
from deepprinciples.interop import torch_names
from deepprinciples.learners import TABLES

PAGE = (Path(__file__).parents[1] / "docs" / "from_and_to_other_tools.md").read_text(encoding="utf-8")


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
