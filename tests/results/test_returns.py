"""Returns of learners that act: the numbers of a summary, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deepprinciples.results import returns

EIGHT = np.array([8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0])  # the middle half is 3, 4, 5, 6
OTHER = np.array([0.0, 4.0, 5.5, 0.0, 0.0, 0.0, 0.0, 200.0])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_returns_by_hand(sign):
    """Lost: the definitions that the field reports by, or a metric that is taken for its opposite."""
    scores = {"a": sign * EIGHT, "b": sign * OTHER}
    found = returns.of_arms(scores, [("b", "a")], higher_is_better=sign > 0, confidence=0.95)
    one, two = found["arms"]
    assert (one["name"], one["n"], one["iqm"]) == ("a", 8, sign * 4.5)
    assert one["interval"][0] < sign * 4.5 < one["interval"][1]
    assert two["iqm"] == sign * 1.0  # of 0, 0, 0, 4
    # Of 64 pairs b wins: with 4 against 1, 2, 3 and half of 4; with 5.5 against 1 to 5; with 200 all 8.
    (row,) = found["improvement"]
    assert (row["a"], row["b"], row["probability"]) == ("b", "a", (3.5 + 5 + 8) / 64)
    for t, share, low, high in zip(found["thresholds"], one["profile"], one["low"], one["high"], strict=True):
        assert share == np.mean(sign * t < EIGHT) and low <= share <= high
    assert {one["profile"][0], one["profile"][-1]} == {0.0, 1.0}


def test_a_single_run_has_no_interval():
    """Lost: infinity in a file of JSON, or a band that looks like knowledge."""
    found = returns.of_arms({"a": EIGHT[:1], "b": OTHER[:1]}, [("a", "b")], higher_is_better=True, confidence=0.95)
    assert [row["interval"] for row in (*found["arms"], *found["improvement"])] == [None] * 3
    assert found["arms"][0]["iqm"] == 8.0 and found["improvement"][0]["probability"] == 1.0
