"""The proof of `make science` itself: its runs fit together, its networks are the paper's, its page hides nothing."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import proof
import pytest
from proof import Figure

from deepprinciples import config as configs
from deepprinciples.learners.assembly import from_config

GOOD = Figure(21, "a network", "60 to 70 %", "65.00 %", True)
BAD = Figure(22, "a task", "below 1", "2.00", False)
BESIDE = Figure(21, "our network", "", "64.00 %", None)


def test_a_missed_goal_stands_in_the_page_and_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Lost: a page that looks well because it leaves out what went wrong."""
    page = tmp_path / "science.md"
    assert proof.main(page, [lambda: iter([GOOD, BAD, BESIDE])]) == 1
    text = page.read_text(encoding="utf-8")
    assert "1 of 2 hold." in text and "Missed: a task: 2.00, expected below 1." in text
    assert "| 22 | a task | below 1 | 2.00 | **missed** |" in text and "| 21 | our network | 64.00 % |" in text
    assert "a task: 2.00; MISSED" in capsys.readouterr().out
    assert proof.main(page, [lambda: iter([GOOD, BESIDE])]) == 0 and "1 of 1 hold." in page.read_text(encoding="utf-8")


def test_the_runs_fit_together() -> None:
    """Lost: `make science` fails after minutes, and nobody had noticed."""
    known = [(title, config) for title, config, _ in proof.mnist_1d_configs()]
    known += [(cell, proof.adding_config(cell)) for cell in ("lstm", "rnn")]
    known += [("copy", proof.copying_config(60))]
    assert len(known) == 8
    for title, config in known:
        resolved = configs.resolve(config, from_config.KINDS)
        data = from_config.dataset(resolved)
        assert not from_config.check(resolved, data), title
        if "network" in title or "MLP" in title or "CNN" in title:
            assert len(data.train.inputs) == (100 if "in order" in title else 4000) and data.batch_size == 100


@pytest.mark.parametrize(("width", "expected"), [(100, 40 * 100 + 100 + 100 * 100 + 100 + 100 * 10 + 10), (0, 5210)])
def test_the_networks_are_the_papers(width: int, expected: int) -> None:
    """Lost: other networks held against the published accuracies. Parameters of the CNN: 150 + 2 1900 + 1260."""
    model = proof.skip_mlp(width=width, outputs=10) if width else proof.paper_cnn(outputs=10)
    key = jax.random.key(0, impl="threefry2x32")
    params, _ = jax.jit(model.init)(key, np.zeros((1, 40, 1), np.float32))
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    assert sum(sizes) == expected
    first = params["first"] if width else params["convolution_0"]
    bound = (1 / 40) ** 0.5 if width else (1 / 5) ** 0.5
    for leaf in (first["kernel"], first["bias"]):
        assert 0.8 * bound < float(np.abs(leaf).max()) <= bound
