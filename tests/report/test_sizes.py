"""Sizes of models in the report and the terminal: there where arms differ in them, and the numbers of the summary."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from deepprinciples.report import page, table_rows, terminal
from deepprinciples.report.figures import mpl_style, size_plots

SIZES = [(23050, 92200, 22784), (23050, 26000, 22784), (1098, 4392, 1056)]


@pytest.fixture
def sized(study):
    """A study of three arms whose models differ in size."""
    results, summary, manifest = study(arms=("float", "int8", "small"), seeds=6, layers=2, steps=4)
    keys = ("parameters", "bytes", "multiply_adds")
    rows = [
        {**row, "size": dict(zip(keys, size, strict=True))} for row, size in zip(summary["arms"], SIZES, strict=True)
    ]
    return results, {**summary, "arms": rows}, manifest


def printed(summary):
    stream = io.StringIO()
    terminal.verdict_table(summary, Console(file=stream, width=80))
    return stream.getvalue()


def test_sizes_are_shown_where_arms_differ_in_them(sized):
    """Lost: the axis that a question of small networks is asked on; or equal numbers in all other studies."""
    results, summary, manifest = sized
    html, said = page.render(results, summary, manifest), printed(summary)
    for words in ("92,200", "26,000", "1,056"):
        assert words in html and words in said
    assert 'id="size"' in html and "multiply-adds an example" in html
    same = {**summary, "arms": [{**row, "size": summary["arms"][0]["size"]} for row in summary["arms"]]}
    for other in (same, {**summary, "arms": [{**row, "size": None} for row in summary["arms"]]}):
        assert 'id="size"' not in page.render(results, other, manifest) and "Size of the models" not in printed(other)
        assert not table_rows.sizes(other).rows and not size_plots.against_size(other)


def test_only_what_differs_has_a_column(sized):
    """Lost: a table that a phone cannot hold."""
    _, summary, _ = sized
    summary["arms"] = summary["arms"][:2]
    assert [title for title, _ in table_rows.sizes(summary).head][:2] == ["arm", "bytes"]
    summary["arms"][1]["size"]["multiply_adds"] = None  # could not be counted: no other number to differ from
    assert [plot.name for plot in size_plots.against_size(summary)] == ["size-bytes"]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_points_stand_at_their_sizes_and_the_line_joins_the_best(sized, direction):
    """Lost: an arm drawn at the size of another, or a front of those that a smaller one beats."""
    _, summary, _ = sized
    means = [0.9, 0.95, 0.7]
    for row, mean in zip(summary["arms"], means, strict=True):
        row |= {"mean": mean, "interval": [mean - 0.01, mean + 0.01]}
    with mpl_style.style():
        plot = size_plots.against_size({**summary, "direction": direction})[0]
    front, *rest = [line.get_xydata() for line in plot.figure.axes[0].lines]
    points = [tuple(line[0]) for line in rest if len(line) == 1]
    np.testing.assert_allclose(points, [(size[1], mean) for size, mean in zip(SIZES, means, strict=True)])
    expected = [(4392, 0.7), (26000, 0.95)] if direction == "max" else [(4392, 0.7)]
    np.testing.assert_allclose(front, expected)
