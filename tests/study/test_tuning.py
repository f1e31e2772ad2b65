"""The search: equal budgets for all arms, chosen on validation data, edges flagged and widened."""

from types import SimpleNamespace

import numpy as np
import pytest

from deepprinciples.parts import search_methods
from deepprinciples.stats import searches, trials
from deepprinciples.stats.trials import Axis

LOG, LINEAR = Axis(1e-3, 1.0, True), Axis(-1.0, 3.0, False)
ASK = search_methods.sobol().ask


def drawn(space, count, seed):
    """Ask for settings as a search does."""
    return trials.settings(space, ASK(count, seed, np.zeros((0, len(space))), np.zeros(0)))


def test_axes_map_the_unit_interval_by_hand():
    """Half of a log range would not be its geometric middle, and small rates never tried."""
    np.testing.assert_allclose(LOG.at(np.array([0, 1 / 3, 0.5, 1])), [1e-3, 1e-2, 10**-1.5, 1.0])
    np.testing.assert_allclose(LINEAR.at(np.array([0, 0.25, 1])), [-1, 0, 3])


def test_widening_moves_an_end_by_the_length_of_the_range():
    """A wider search would miss the optimum or leave the range it had."""
    down, up = LOG.widened(down=True, up=False), LOG.widened(down=False, up=True)
    np.testing.assert_allclose([down.low, down.high, up.low, up.high], [1e-6, 1.0, 1e-3, 1e3])
    assert LINEAR.widened(down=True, up=True) == Axis(-5.0, 7.0, False)
    assert LOG.widened(down=False, up=False) == LOG


def test_a_space_reads_the_config():
    """A log axis would be searched linearly."""
    space = trials.space(
        {"a": {"low": 1e-3, "high": 1, "scale": "log"}, "b": {"low": -1, "high": 3, "scale": "linear"}}
    )
    assert space == {"a": LOG, "b": LINEAR}


def test_every_arm_gets_the_same_points():
    """One arm would be luckier with its trials than another."""
    points = drawn({"x": LOG, "y": LINEAR}, 8, seed=(0,))
    assert points == drawn({"x": LOG, "y": LINEAR}, 8, seed=(0,))
    assert points != drawn({"x": LOG, "y": LINEAR}, 8, seed=(1,))
    renamed = drawn({"other": LOG, "y": LINEAR}, 8, seed=(0,))
    assert [p["other"] for p in renamed] == [p["x"] for p in points]


def test_points_cover_the_range_evenly():
    """Trials would pile up: of 8 Sobol points each eighth of the log range holds exactly one."""
    for seed in range(5):
        values = np.array([p["x"] for p in drawn({"x": LOG}, 8, seed=(seed,))])
        eighths = np.floor(8 * np.log(values / LOG.low) / np.log(LOG.high / LOG.low))
        assert sorted(eighths) == list(range(8))


def test_points_are_what_the_program_sees():
    """The reported rate would not be the one that trained: lanes hold float32."""
    for point in drawn({"x": LOG}, 5, seed=(0,)):
        assert point["x"] == float(np.float32(point["x"])) and isinstance(point["x"], float)


def test_selection_takes_the_best_mean_and_the_first_of_equals():
    """A lucky seed would choose the setting."""
    scores = np.array([[0.9, 0.1], [0.6, 0.6], [0.6, 0.6], [0.2, 0.3]])
    assert trials.select(scores, higher_is_better=True) == 1
    assert trials.select(scores, higher_is_better=False) == 3


@pytest.mark.parametrize(("best", "found"), [(0, {"x": (True, False)}), (1, {}), (2, {"x": (False, True)})])
def test_an_optimum_at_an_end_of_what_was_tried_is_flagged(best, found):
    """A search space that is too narrow would go unseen."""
    assert trials.edges([{"x": 0.1}, {"x": 0.2}, {"x": 0.9}], best, {"x": LOG}) == found


def test_one_trial_has_no_edges():
    """Every study with one trial would be told that its space is too narrow."""
    assert trials.edges([{"x": 0.1}], 0, {"x": LOG}) == {}


# --- the search within a study --------------------------------------------------------------------------------------


def test_arms_have_equal_budgets_and_equal_points(study):
    """The arm that was tuned more would win."""
    found = study.results
    assert found.tuning_score.shape == (3, 7, 3, 2)
    assert np.isfinite(found.tuning_score.values).all()
    points = found.tuning_point.sel(parameter="optimizer.learning_rate").values
    np.testing.assert_array_equal(points, np.broadcast_to(points[:1], points.shape))
    assert len(np.unique(points)) == 7 * 3, "searches share a scramble: they are no independent blocks"


def test_the_best_point_of_an_arm_is_reported_and_used(study):
    """Another setting would be judged than the one that was chosen."""
    found = study.results
    for row in study.summary["arms"]:
        own = found.sel(arm=row["name"])
        best = np.argmax(own.tuning_score.mean("replicate").values, axis=1)
        np.testing.assert_array_equal(own.chosen_trial, best)
        values = own.tuning_point.values[:, :, 0]
        chosen = values[np.arange(7), best]
        assert row["chosen"] == [{"optimizer.learning_rate": value} for value in chosen]
        assert row["tuned_point"] == {"optimizer.learning_rate": float(np.median(chosen))}
        assert sum(row["regions"][0]["counts"]) == 7
        assert not row["on_edge"], "of 3 trials 2 lie on an edge whatever the scores: nothing to warn of"


def test_extend_widens_an_edge_and_keeps_what_was_tried(small, finish):
    """A space that is too low would be widened the wrong way, or the first trials be paid for and lost."""
    arms = {"plain": {}, "again": {}}
    config = small(
        arms=arms, **{"study.widen_rounds": 2, "study.searches": 2, "study.metric": "cross_entropy", "train.probes": []}
    )
    config["study"]["tune"] = {"optimizer.learning_rate": {"low": 1e-5, "high": 1e-4, "scale": "log"}}
    finished = finish(config)
    for found in finished.searches.values():
        for one in found:
            rates = [point["optimizer.learning_rate"] for point in one.points]
            assert one.scores.shape == (9, 2) and len(rates) == 9
            assert all(1e-5 <= rate <= 1e-4 for rate in rates[:3])
            assert max(rates[3:6]) <= 1e-3 and max(rates[6:]) <= 1e-1 and min(rates) >= 1e-5
            axis = one.axes["optimizer.learning_rate"]
            np.testing.assert_allclose([axis.low, axis.high], [1e-5, 1e-1])  # 1 decade, then 2, then 4
            assert one.best == int(np.argmin(one.scores.mean(axis=1))) and rates[one.best] == max(rates) > 1e-3
            assert one.edges == {"optimizer.learning_rate": (False, True)}
    (program,) = finished.programs
    # None where an earlier run of the tests has left the program.
    assert program["compiles"] <= 1
    assert program["lanes"] == 2 * 2 * (9 * 2 + 1), "the cost leaves out what extending took"


@pytest.mark.parametrize(
    ("axis", "low", "high"),
    [
        (Axis(0.2, 0.8, False, "[0, 1)"), 0.0, 0.9),
        (Axis(0.5, 0.95, False, "[0, 1)"), 0.05, 0.975),
        (Axis(0.5, 1.0, False, "[0, 1]"), 0.0, 1.0),
        (Axis(1e-2, 0.5, True, "(0, 1)"), 2e-4, 0.75),
        (Axis(0.1, 1.0, False, "(0, inf)"), 0.05, 1.9),
    ],
)
def test_widening_stays_within_what_the_part_allows(axis, low, high):
    """A negative dropout or a momentum above 1 would be tried, win by accident, and be reported as tuned."""
    wide = axis.widened(down=True, up=True)
    np.testing.assert_allclose([wide.low, wide.high], [low, high], atol=1e-12)
    again = wide.widened(down=True, up=True).widened(down=True, up=True)
    ends = [float(end) for end in axis.allowed[1:-1].split(",")]
    assert ends[0] <= again.low and again.high <= ends[1]
    assert again.low > ends[0] or axis.allowed[0] == "["
    assert again.high < ends[1] or axis.allowed[-1] == "]"


def test_a_search_goes_on_only_in_blocks_that_need_it():
    """A search whose optimum lies within its space would be widened with the others, and no block be a block."""
    rounds = []

    def train(label, rows, share):
        rounds.append((label, len(rows)))
        rate = np.array([[point["x"] for point in points] for _, points in rows])
        return SimpleNamespace(final={"m": -abs(rate - 0.9)}, diverged_at=np.full(rate.shape, -1), seconds=1.0)

    space = {"x": Axis(0.0, 1.0, False)}
    budget = searches.Budget(5, 1, [[b] for b in range(20)], 3, ASK)
    skipped = []
    found, seconds = searches.run_searches(train, {"a": space}, budget, searches.Judge("m", True, None), skipped.append)
    need = [len(one.points) == 10 for one in found["a"]]
    assert 0 < sum(need) < 20 and rounds == [("tune-0", 100), ("tune-1", 5 * sum(need))] and seconds == 2.0
    assert sum(skipped) == 5 * (20 - sum(need)), "the time left would be wrong"
    for one, widened in zip(found["a"], need, strict=True):
        first = [point["x"] for point in one.points[:5]]
        at_edge = max(first, key=lambda x: -abs(x - 0.9)) in (min(first), max(first))
        assert widened == at_edge and one.chosen["x"] == max((p["x"] for p in one.points), key=lambda x: -abs(x - 0.9))
