"""The critical difference diagram: what it joins and where it puts methods."""

from __future__ import annotations

import numpy as np
import pytest

from deepprinciples.report.figures import plots, ranking
from deepprinciples.report.figures.mpl_style import WIDTH


def test_groups_are_the_longest_runs_within_the_distance():
    """Lost otherwise: a bar over methods that the test tells apart, or one bar drawn inside another."""
    assert ranking.groups([1.0, 2.0, 3.0, 5.5], 2.0) == [(0, 2)]
    assert ranking.groups([1.0, 2.0, 3.0, 4.5], 2.0) == [(0, 2), (2, 3)]
    assert ranking.groups([1.0, 4.0, 7.0], 2.0) == []
    assert ranking.groups([1.5, 1.5, 3.0], 9.0) == [(0, 2)]


def test_methods_stand_at_their_ranks_and_the_best_is_left(tmp_path):
    """Lost otherwise: a name beside another's rank, the bar of the distance too long, or text off the page."""
    names, ranks, distance = ["slow", "good", "poor", "middling"], [3.25, 1.25, 3.5, 2.0], 1.5
    plot = ranking.critical_difference(names, ranks, distance)
    lines = [line.get_xydata() * WIDTH for line in plot.figure.get_children() if hasattr(line, "get_xydata")]
    scale = lines[1][1, 0] - lines[1][0, 0]  # the ruler, from rank 1 to rank 4
    assert lines[0][1, 0] - lines[0][0, 0] == pytest.approx(distance / 3 * scale)
    elbows = [line for line in lines if len(line) == 3]
    assert [line[0, 0] for line in elbows] == pytest.approx([100 + (r - 1) / 3 * scale for r in sorted(ranks)])
    words = {item.get_text(): item for item in plot.figure.texts}
    assert words["good 1.2"].get_ha() == "right" and words["poor 3.5"].get_ha() == "left"
    assert words["good 1.2"].get_position()[1] > words["middling 2.0"].get_position()[1]
    assert "2 groups" in plot.alt
    heights = [y for item in plot.figure.texts for y in [item.get_position()[1]]]
    assert min(heights) > 0 and max(heights) < 1 and np.isfinite(heights).all()
    first = [path.read_bytes() for path in plots.save_all([plot], tmp_path / "one")]
    assert len(first) == 2 and first == [
        path.read_bytes()
        for path in plots.save_all([ranking.critical_difference(names, ranks, distance)], tmp_path / "two")
    ]
