"""Verdicts on scores of one's own: any table gives what a comparison would say of it, and a bad one is one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import deepprinciples as dp
from deepprinciples.errors import ConfigError, DataError
from deepprinciples.stats import verdicts

RNG = np.random.default_rng(0)
SEEDS = RNG.normal(size=12)
SCORES = {"plain": SEEDS, "mine": SEEDS + 1 + 0.1 * RNG.normal(size=12), "same": SEEDS}
TABLE = np.stack(list(SCORES.values()))


def test_the_verdicts_are_those_of_a_comparison() -> None:
    """Lost: one set of statistics; scores from elsewhere would be judged by other rules than the package's."""
    found = dp.judge(SCORES, metric="accuracy", comparisons="all")
    rows = verdicts.compare(
        TABLE, np.zeros_like(TABLE, bool), list(SCORES), pairs=[(1, 0), (2, 0), (2, 1)], higher_is_better=True,
        metric="accuracy",
    )  # fmt: skip
    assert found.summary["comparisons"] == rows and found.sentences == [row["sentence"] for row in rows]
    assert [row["verdict"] for row in rows] == ["better", "no evidence", "worse"]
    table = found.to_dataframe()
    assert table.verdict.tolist() == ["better", "no evidence", "worse"] and table.a.tolist() == ["mine", "same", "same"]
    assert table.low[0] < table.difference[0] < table.high[0] and table.p_adjusted[0] == rows[0]["p_adjusted"]


FORMS: dict[str, Any] = {
    "array": (TABLE, list(SCORES)),
    "lists": (TABLE.tolist(), list(SCORES)),
    "frame": (pd.DataFrame(SCORES), None),
    "xarray": (xr.DataArray(TABLE.T, coords={"arm": list(SCORES)}, dims=("seed", "arm")), None),
    "of objects": (TABLE.astype(object), list(SCORES)),
    "three axes": (np.stack([TABLE - 0.5, TABLE + 0.5], axis=2), list(SCORES)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_says_the_same(form: str) -> None:
    """Lost: arms and blocks taken for one another."""
    scores, names = FORMS[form]
    found, known = dp.judge(scores, names), dp.judge(SCORES)
    assert found.to_dataframe().verdict.tolist() == known.to_dataframe().verdict.tolist() == ["better", "no evidence"]
    for row, other in zip(found.summary["comparisons"], known.summary["comparisons"], strict=True):
        assert row["n"] == other["n"] == 12 and row["p"] == other["p"]
        assert row["difference"] == pytest.approx(other["difference"])


def test_seeds_of_one_search_count_once() -> None:
    """Lost: honesty; three seeds of each of four searches are not twelve independent blocks."""
    coords = {"arm": list(SCORES), "block": ("seed", np.repeat(np.arange(6), 2))}
    found = dp.judge(xr.DataArray(TABLE, coords=coords, dims=("arm", "seed")))
    assert [row["n"] for row in found.summary["comparisons"]] == [6, 6]
    given = dp.judge(TABLE, list(SCORES), blocks=np.repeat(np.arange(6), 2))
    assert given.summary["comparisons"] == found.summary["comparisons"]
    few = dp.judge(TABLE, list(SCORES), blocks=np.repeat(np.arange(4), 3)).sentences
    assert "for the settings found" in few[0]


def test_a_score_that_is_no_number_is_the_worst() -> None:
    """Lost: runs that diverged would be left out, and the method that loses most of them would win."""
    scores = {**SCORES, "mine": np.where(np.arange(12) == 3, np.nan, SCORES["mine"])}
    (row, _) = dp.judge(scores).summary["comparisons"]
    assert row["diverged"] == {"a": 1, "b": 0} and row["difference"] < 1
    bounded = dp.judge(scores, worst=-100.0).summary["comparisons"][0]
    assert bounded["difference"] < -7
    lost = dp.judge({"a": [None, 1.0], "b": [0.5, 2.0]}).summary["arms"][0]
    assert lost["diverged"] == 1


def test_too_few_blocks_cannot_be_judged() -> None:
    """Lost: what to do; or a verdict on two seeds."""
    found = dp.judge({"a": [1.0, 2.0], "b": [2.0, 3.0]})
    assert "cannot be judged with 2 blocks; 6 are needed" in found.sentences[0]
    assert found.to_dataframe().verdict.item() == "cannot be judged"


def test_it_can_be_read() -> None:
    """Lost: the verdict in a terminal and in a notebook."""
    found = dp.judge(SCORES, metric="accuracy", title="Mine against plain")
    told = repr(found)
    assert told.startswith("Mine against plain") and "mine - plain" in told
    assert found.headline in " ".join(told.split())
    html = found._repr_html_()
    assert "<table" in html and "better" in html and "<script" not in html


def test_smaller_may_be_better() -> None:
    """Lost: the sign of every verdict on errors."""
    found = dp.judge(SCORES, direction="min", baseline="mine", equivalence_margin=0.0)
    assert found.to_dataframe().verdict.tolist() == ["better", "better"]
    assert dp.judge(SCORES, equivalence_margin=5.0).to_dataframe().verdict.tolist() == ["equivalent", "equivalent"]


@pytest.mark.parametrize(("scores", "more", "said"), [
    ({"a": [1, 2], "b": [1]}, {}, "scores: b has 1 and a 2; expected as many for every arm"),
    ([[1, 2], [1]], {}, "scores: arm 1 has 1 and arm 0 2; expected"),
    ({"a": [1, 2]}, {}, "scores: found one arm; expected two or more"),
    (np.zeros((2, 0)), {}, r"scores: found shape \[2, 0\]; expected \[arms, blocks\]"),
    (3.0, {}, r"scores: found shape \[\]; expected"),
    ({}, {}, r"scores: found shape \[0, 0\]; expected"),
    ({"a": ["x", "y"], "b": [1, 2]}, {}, "a: holds something else than numbers"),
    ({"a": ["1", "2"], "b": [1, 2]}, {}, "a: holds something else than numbers"),
    (TABLE, {"names": ["a", "b"]}, "names: found 2; expected 3"),
    (TABLE, {"names": ["a", "b", "a"]}, 'names: "a" stands twice'),
    (TABLE, {"blocks": [0, 1]}, "blocks: found 2; expected 12"),
    (xr.DataArray(TABLE, dims=("x", "y")), {}, "scores: found dimensions x, y; expected arm and one more"),
])  # fmt: skip
def test_a_bad_table_is_one_line(scores: Any, more: dict[str, Any], said: str) -> None:
    """Lost: what to mend."""
    with pytest.raises(DataError, match=said) as error:
        dp.judge(scores, **more)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("more", "said"), [
    ({"baseline": "plane"}, 'baseline: no arm "plane"; did you mean "plain"'),
    ({"direction": "up"}, "direction: found 'up'; expected max or min"),
    ({"comparisons": "some"}, "comparisons: found 'some'; expected baseline or all"),
    ({"confidence": 2.0}, "confidence: found 2.0; expected between 0 and 1"),
])  # fmt: skip
def test_a_bad_argument_is_one_line(more: dict[str, Any], said: str) -> None:
    """Lost: what to mend."""
    with pytest.raises(ConfigError, match=said):
        dp.judge(SCORES, **more)
