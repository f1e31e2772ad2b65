"""A probe of the user's own is drawn in the report, under its own words."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.report.figures import plots

CONFIG: dict[str, Any] = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 8},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 20, "seeds": 2, "probe_every": 5, "probes": ["gradient_norm", "weights"]},
}


def weights(*, signed: bool = False) -> Any:
    """Weights, their <largest> and $mean$.

    More words.
    """

    def probe(info: Any) -> dict[str, Any]:
        top = lambda layer: jnp.max(jnp.stack([jnp.max(x) for x in jax.tree.leaves(layer)]))
        every = jnp.concatenate([x.ravel() for x in jax.tree.leaves(info.params)])
        mean = jnp.mean(every) if signed else jnp.mean(jnp.abs(every))
        return {"top_weight": {name: top(layer) for name, layer in info.params.items()}, "mean_weight": mean}

    return probe


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dp.parts.probes.TABLE, "weights", weights)
    monkeypatch.setitem(dp.parts.probes.TABLE, "signed", functools.partial(weights, signed=True))


@pytest.mark.usefixtures("own")
def test_a_probe_of_ones_own_is_drawn(tmp_path: Path) -> None:
    """Lost: what was measured on purpose, in a page that shows what was not asked for."""
    run = dp.train(CONFIG, tmp_path / "run")
    page = (run.path / "report.html").read_text()
    assert "Weights, their &lt;largest&gt; and $mean$" in page and "More words" not in page
    drawn = {plot.name: plot for plot in plots.figures(run.results, run.summary) if plot.group == "own"}
    assert list(drawn) == ["mean-weight", "top-weight"]
    line = drawn["mean-weight"].figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(line, run.results.mean_weight.isel(arm=0).median("seed"), rtol=1e-6)
    low, high = drawn["mean-weight"].figure.axes[0].get_ylim()
    assert high - low < 3 * np.ptp(line)  # a value far from 0 is seen to move


@pytest.mark.usefixtures("own")
def test_a_probe_without_words_of_its_own_is_drawn(tmp_path: Path) -> None:
    """Lost: the same, where the probe has keywords; and signs, on a scale of logarithms."""
    run = dp.train({**CONFIG, "train": {**CONFIG["train"], "probes": ["signed"]}}, tmp_path / "run")
    assert run.summary["own_probes"]["mean_weight"]["probe"] == "signed"
    assert "Your own probes" in (run.path / "report.html").read_text()


def test_our_probes_are_none_of_the_users(study: Any) -> None:
    """Lost: the reader's trust in the section of one's own."""
    assert "own_probes" not in study.summary and "Your own probes" not in (study.path / "report.html").read_text()


def test_a_part_that_was_there_first_is_not_ours() -> None:
    """Lost: a user's changed function, where a kept program is taken up in its place because it is thought ours."""
    program = (
        "import deepprinciples as dp\n"
        "def mine(): return lambda info: {}\n"
        "dp.parts.probes.TABLE['mine'] = mine\n"
        "from deepprinciples.learners import OURS, TABLES\n"
        "assert TABLES['probe']['mine'] is mine and mine not in OURS and TABLES['probe']['rank'] in OURS\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
