"""The names of the package: each says what it takes, returns and raises, and its example runs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.report import page

CONFIG: dict[str, Any] = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 20, "probes": []},
    "study": {"seeds": 6},
    "arms": {"plain": {}, "tanh": {"model.activation": "tanh"}},
}
MODULES = [name for name in dp.__all__ if isinstance(getattr(dp, name), ModuleType)]
TYPES = (
    "Aux", "Environment", "Info", "Learner", "Metric", "Model", "Objective", "Scalar", "State", "minimize", "traits",
)  # fmt: skip
FUNCTIONS = [name for name in dp.__all__ if name not in (*MODULES, *TYPES)]  # the docs use the types
METHODS = {f"Run.{name}": getattr(dp.Run, name) for name in ("to_dataframe", "trials", "model", "explain", "generate")}
DOCUMENTED = {**{name: getattr(dp, name) for name in FUNCTIONS}, **METHODS}


def sections(documented: Any) -> dict[str, str]:
    """Split a docstring at its headings."""
    parts = re.split(r"^(\w+):\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_version_is_that_of_the_distribution() -> None:
    """Lost: what to write into a bug report."""
    assert dp.__version__ == metadata.version("deepprinciples")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dp.nothing  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_name_is_described(name: str) -> None:
    """Lost: help(dp.judge)."""
    found = sections(getattr(dp, name))
    assert "Example" in found
    if inspect.isfunction(getattr(dp, name)):
        assert {"Args", "Returns", "Raises"} <= set(found)
        told = found["Args"]
        missing = [one for one in inspect.signature(getattr(dp, name)).parameters if not re.search(rf"\b{one}\b", told)]
        assert missing == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("rank", "probe"))) for name in DOCUMENTED]
)
def test_every_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the first thing that is copied."""
    monkeypatch.chdir(tmp_path)
    # Reports take longest, and have tests of their own.
    monkeypatch.setattr(page, "write", lambda path, *given, **options: path)
    Path("mine.toml").write_text(dp.config.dumps(CONFIG), encoding="utf-8")
    example = textwrap.dedent(sections(DOCUMENTED[name])["Example"])
    if "runs/first" in example:
        dp.train(CONFIG, "runs/first")
    exec(compile(example, f"example of dp.{name}", "exec"), {"dp": dp, "np": np, "config": CONFIG, "__name__": name})


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_is_in_it(name: str) -> None:
    """Lost: the way to a part or a formula."""
    assert getattr(dp, name).__doc__


def test_parts_and_statistics_are_there_by_name() -> None:
    """Lost: dp.parts.models.mlp, dp.stats.friedman; each function of the statistics says what it computes."""
    code = "import deepprinciples as dp; dp.parts.models.mlp, dp.parts.losses, dp.parts.initializers"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
    assert all(inspect.getdoc(getattr(dp.stats, name)) for name in dp.stats.__all__)
    with pytest.raises(AttributeError, match="module 'deepprinciples' has no attribute 'jugde'"):
        dp.jugde  # noqa: B018


def test_the_names_cost_nothing_until_they_are_used() -> None:
    """Lost: an instant `import deepprinciples`, `dp.judge` and `dp.load`."""
    code = (
        "import sys, deepprinciples as dp; assert not {'numpy', 'jax', 'xarray', 'matplotlib'} & set(sys.modules);"
        "dp.judge, dp.load, dp.Run, dp.stats, dp.experiment, dp.load_config, dp.rank; sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
