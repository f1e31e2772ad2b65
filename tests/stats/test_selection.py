"""What searches chose and promised, and whose luck the spread of the scores is, where it was planted."""

from __future__ import annotations

import numpy as np
import pytest

from deepprinciples.stats import selection
from deepprinciples.stats.searches import Judge, Search
from deepprinciples.stats.trials import Axis

RATE = Axis(1e-4, 1.0, True)


def search(chosen, *, edge=False, trials=8, scores=None, lost=None):
    points = [{"rate": 1e-3}] * (trials - 1) + [{"rate": chosen}]
    scores = np.zeros((trials, 2)) if scores is None else np.asarray(scores)
    lost = np.full(scores.shape, -1) if lost is None else np.asarray(lost)
    return Search(
        {"rate": RATE}, points, scores, lost, trials - 1, {"rate": (False, True)} if edge else {}, np.ones(trials)
    )


def test_how_often_each_region_won():
    """Lost: whether searches agree on a setting, or each found another."""
    found = selection.chosen([search(rate) for rate in (2e-4, 2e-2, 3e-2, 5e-2, 1.0)])
    assert found["points"] == [{"rate": rate} for rate in (2e-4, 2e-2, 3e-2, 5e-2, 1.0)]
    assert found["typical"] == {"rate": 3e-2}
    (region,) = found["regions"]
    assert region["counts"] == [1, 0, 1, 2, 1]
    np.testing.assert_allclose(region["ends"], 10 ** np.linspace(-4, 0, 6))
    assert selection.chosen([]) == {"points": [], "typical": {}, "regions": [], "edges": []}


@pytest.mark.parametrize(("edges", "trials", "warned"), [(6, 8, ["rate"]), (5, 8, []), (1, 8, []), (10, 4, [])])
def test_an_edge_is_a_warning_in_most_blocks_only(edges, trials, warned):
    """Lost: trust in a warning that one block of ten gives by luck, and that few trials always give."""
    searches = [search(1.0, edge=k < edges, trials=trials) for k in range(10)]
    assert selection.chosen(searches)["edges"] == warned


def test_the_promise_is_the_winning_score():
    """Lost: the optimism of choosing the best of many; a diverged run of the winner counts as the worst."""
    judge = Judge("accuracy", True, 0.0)
    one = search(1.0, trials=2, scores=[[0.1, 0.2], [0.9, 0.7]])
    other = search(1.0, trials=2, scores=[[0.1, 0.2], [0.9, 0.7]], lost=[[-1, -1], [-1, 3]])
    np.testing.assert_allclose(selection.promises([one, other], judge), [0.8, 0.45])


def test_a_fragile_setting_breaks_its_promise():
    """Lost: the sign that a setting won by luck."""
    promised = np.array([0.98, 1.0, 0.97, 1.0, 1.0, 0.98, 1.0, 1.0])
    fragile = np.array([0.98, 0.7, 0.97, 0.6, 0.8, 0.75, 0.98, 0.7])
    found = selection.winners_curse(promised, fragile, higher_is_better=True)
    assert found["broken"] and found["drop"] == pytest.approx((promised - fragile).mean())
    assert found["interval"][0] > 0
    steady = selection.winners_curse(promised, promised - 0.01, higher_is_better=True)
    assert not steady["broken"] and steady["drop"] == pytest.approx(0.01)
    loss = selection.winners_curse(1 - promised, 1 - fragile, higher_is_better=False)
    assert loss["broken"] and loss["drop"] == pytest.approx(found["drop"])
    assert selection.winners_curse(promised[:1], fragile[:1], higher_is_better=True)["interval"] == [None, None]


def test_shares_of_variance_are_the_planted_ones():
    """Lost: whether more searches or more seeds would sharpen a verdict."""
    draw = np.random.default_rng(0)
    blocks, seeds = 4000, 3
    search_luck, seed = draw.normal(size=(2, blocks, 1)), draw.normal(size=(1, blocks, seeds))
    scores = 2 * search_luck + 1.5 * seed + draw.normal(size=(2, blocks, seeds))
    number = np.repeat(np.arange(blocks), seeds)
    total = 4 + 2.25 + 1
    for row in selection.variance_shares(scores.reshape(2, -1), number, [True, True]):
        np.testing.assert_allclose(
            [row["search"], row["seed"], row["rest"]], [4 / total, 2.25 / total, 1 / total], atol=0.02
        )
        assert sum(row.values()) == pytest.approx(1.0)


def test_an_untuned_arm_has_no_search_to_share():
    """Lost: a share of a search that was never made."""
    draw = np.random.default_rng(1)
    seed = draw.normal(size=3000)
    scores = np.stack([seed + draw.normal(size=3000), seed + draw.normal(size=3000)])
    for row in selection.variance_shares(scores, range(3000), [False, False]):
        assert row["search"] == 0.0
        np.testing.assert_allclose([row["seed"], row["rest"]], [0.5, 0.5], atol=0.03)
    assert selection.variance_shares(np.ones((1, 4)), [0, 0, 1, 1], [True])[0] == {
        "search": None,
        "seed": None,
        "rest": None,
    }
    assert selection.variance_shares(scores[:, :4], range(4), [True, True])[0]["search"] is None, "one run a block"


def test_a_transform_that_never_acts_is_named():
    """Lost: a clip whose bound nothing ever reaches passes for one that does no good."""
    rates = {"clip": np.zeros((3, 4)), "other": np.eye(4), "absent": np.full((3, 4), np.nan)}
    rates["clip"][0, 2] = np.nan
    assert selection.never_acted(rates) == ["clip"]
