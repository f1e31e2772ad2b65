"""What a smaller search would have found, against hand work and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from typer.testing import CliRunner

from deepprinciples.cli.main import app
from deepprinciples.stats import budget, planning
from deepprinciples.stats.searches import Judge, Search
from deepprinciples.stats.trials import Axis

AXES = {"rate": Axis(0.1, 1.0, False)}


def searched(scores, diverged=None):
    scores = np.array(scores, np.float32)
    lost = np.full(scores.shape, -1) if diverged is None else np.where(diverged, 7, -1)
    return Search(AXES, [{"rate": 0.5}] * len(scores), scores, lost, 0, {}, np.ones(len(scores)))


def test_the_best_of_n_by_hand():
    """Lost: the curve of a method that needs more trials looks like that of one that needs few."""
    told = budget.against_budget({"a": [np.array([[0.5], [0.9]]), np.array([[0.6], [0.7]])]}, 4, higher_is_better=True)
    (row,) = told["arms"]
    assert row["trials"] == [1, 2, 3, 4] and told["leaders"] == []
    np.testing.assert_allclose(row["expected"], [0.675, 0.7833333, 0.85, 0.9])
    # Of the six pairs three have the best 0.9, two 0.7 and one 0.6.
    np.testing.assert_allclose(row["spread"][1], np.std([0.9, 0.9, 0.9, 0.7, 0.7, 0.6]))
    assert row["spread"][3] == 0 and (row["low"][1], row["high"][1]) == (0.7, 0.9)
    assert (row["low"][0], row["high"][0]) == (0.5, 0.7)
    (down,) = budget.against_budget({"a": [np.array([[0.5], [0.9], [0.6], [0.7]])]}, 4, higher_is_better=False)["arms"]
    np.testing.assert_allclose(down["expected"], [0.675, 0.5666667, 0.525, 0.5])
    assert (down["low"][1], down["high"][1]) == (0.5, 0.6)


@pytest.mark.parametrize("higher", [True, False])
def test_the_band_is_the_spread_over_all_subsets(higher):
    """Lost: the band around the curve is some other number."""
    scores = np.random.default_rng(1).normal(size=7) * 1e200  # squares would overflow
    for n in (1, 3, 7):
        best = [max(s) if higher else min(s) for s in itertools.combinations(scores / 1e200, n)]
        found = planning.spread_of_best(scores, n, higher_is_better=higher)
        np.testing.assert_allclose(found / 1e200, np.std(best), atol=1e-12)


def test_a_diverged_trial_is_the_worst_of_the_study():
    """Lost: an arm that often breaks is easy to tune, because its broken trials are forgotten."""
    tuned = {
        "calm": [searched([[2.0, 4.0]]), searched([[9.0, 1.0]])],
        "wild": [searched([[1.0, 2.0], [1.0, 3.0]], [[False, True], [False, False]])],  # frozen at a finite score
    }
    scores = budget.trial_scores(tuned, Judge("mse", False, None))
    assert [len(one) for one in scores.values()] == [2, 1]
    np.testing.assert_array_equal(scores["wild"][0], [[1.0, 9.0], [1.0, 3.0]])
    np.testing.assert_array_equal(scores["calm"][1], [[9.0, 1.0]])
    found = budget.trial_scores(tuned, Judge("accuracy", True, 0.0))
    np.testing.assert_array_equal(found["wild"][0], [[1.0, 0.0], [1.0, 3.0]])
    assert budget.trial_scores({}, Judge("accuracy", True, 0.0)) == {}


def test_who_leads_at_which_budget():
    """Lost: which method to take when there is time for three trials only."""
    steady, lucky = np.full((5, 1), 0.8), np.array([[0.0], [0.9], [0.0], [0.0], [0.85]])
    found = budget.against_budget({"steady": [steady], "lucky": [lucky]}, 5, higher_is_better=True)
    assert found["leaders"] == [
        {"arms": ["steady"], "first": 1, "last": 3},
        {"arms": ["lucky"], "first": 4, "last": 5},
    ]
    even = budget.against_budget({"a": [steady], "b": [steady], "c": [lucky[:3]]}, 3, higher_is_better=True)["leaders"]
    assert even[0] == {"arms": ["a", "b"], "first": 1, "last": even[0]["last"]} and even[-1]["last"] == 3


def test_a_long_search_is_told_in_few_numbers():
    """Lost: a summary of a long search grows beyond what a reader opens."""
    scores = np.random.default_rng(0).normal(size=(5_000, 1))
    (row,) = budget.against_budget({"a": [scores]}, 5_000, higher_is_better=True)["arms"]
    assert row["trials"][0] == 1 and row["trials"][-1] == 5_000 and len(row["trials"]) <= budget.MOST
    assert (np.diff(row["expected"]) > 0).all()


def test_a_study_tells_and_shows_its_search(study):
    """Lost: the numbers of a finished run, in its summary or at the command that asks for them."""
    summary = study.summary
    rows = summary["budget"]["arms"]
    assert [row["name"] for row in rows] == ["plain", "clipping", "tanh"]
    for row in rows:
        scores = study.results.tuning_score.sel(arm=row["name"]).mean("replicate").values
        assert row["trials"] == [1, 2, 3], "a budget is a search's, however many searches there were"
        np.testing.assert_allclose(row["expected"][0], scores.mean(), rtol=1e-6)
        best = [max(three) for three in itertools.combinations(scores.reshape(-1), 3)]
        np.testing.assert_allclose(row["expected"][-1], np.mean(best), rtol=1e-6)
    assert [row["name"] for row in summary["importance"]] == ["plain", "clipping", "tanh"]
    done = CliRunner().invoke(app, ["report", str(study.path), "--show", "importance", "--show", "budget"])
    assert done.exit_code == 0, done.output
    after = done.stdout.split(summary["headline"])[1]
    assert after.index("share of their variance") < after.index("Best validation accuracy") < after.index("Report:")
    assert "3 trials" in after and " leads." in after or " are level." in after
