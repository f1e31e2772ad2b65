"""Returns of learners that act, in the report: the numbers of the summary, where there are some."""

from __future__ import annotations

import numpy as np
import pytest

from deepprinciples.report import page, table_rows
from deepprinciples.report.figures import mpl_style, return_plots

RETURNS = {
    "thresholds": [0.0, 10.0, 20.0],
    "arms": [
        {"name": "plain", "n": 4, "iqm": 12.5, "interval": [8.0, 17.0], "profile": [1.0, 0.5, 0.0],
         "low": [1.0, 0.25, 0.0], "high": [1.0, 0.75, 0.0]},
        {"name": "paid", "n": 4, "iqm": 15.0, "interval": [11.0, 19.0], "profile": [1.0, 0.75, 0.25],
         "low": [1.0, 0.5, 0.0], "high": [1.0, 1.0, 0.5]},
    ],
    "improvement": [{"a": "paid", "b": "plain", "probability": 0.81, "interval": [0.62, 0.97]}],
}  # fmt: skip


@pytest.fixture
def acted(study):
    results, summary, manifest = study(arms=("plain", "paid"), seeds=4, layers=2, steps=4)
    return results, {**summary, "returns": RETURNS}, manifest


def test_returns_are_shown_of_learners_that_act_alone(acted):
    """Lost: what reinforcement learning is reported by, or a section of it in every other report."""
    results, summary, manifest = acted
    html = page.render(results, summary, manifest)
    for words in (
        'id="returns"',
        "P(better than plain)",
        "0.81 [0.62, 0.97]",
        "15.0",
        "[11.0, 19.0]",
        "Performance prof",
    ):
        assert words in html
    other = {**summary, "returns": None}
    assert 'id="returns"' not in page.render(results, other, manifest) and not return_plots.profile(other)
    del other["returns"]
    assert 'id="returns"' not in page.render(results, other, manifest)  # a run of an earlier version
    one, two = table_rows.returns(summary).rows
    assert one[-1] == "–" and two[0] == "paid"


def test_lines_and_bands_are_those_of_the_summary(acted):
    """Lost: an arm that is drawn with the runs of another."""
    with mpl_style.style():
        (plot,) = return_plots.profile(acted[1])
    axes = plot.figure.axes[0]
    for line, band, row in zip(axes.lines, axes.collections, RETURNS["arms"], strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([RETURNS["thresholds"], row["profile"]], axis=1))
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (min(row["low"]), max(row["high"]))
    single = {**RETURNS, "arms": [{**row, "interval": None} for row in RETURNS["arms"]]}
    assert not return_plots.profile({**acted[1], "returns": single})  # single runs have a table alone
