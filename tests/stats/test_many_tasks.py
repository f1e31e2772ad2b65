"""Numbers over several tasks, against hand work and twins (scipy, statsmodels, scikit-posthocs)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats
from statsmodels.stats import multitest

from deepprinciples.errors import DataError
from deepprinciples.stats import many_tasks


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_iqm_weights_its_edges(rng):
    """The aggregate over tasks would jump when one seed is added."""
    assert many_tasks.iqm([5.0, 1.0, 2.0, 100.0, 3.0]) == pytest.approx((0.75 * 2 + 3 + 0.75 * 5) / 2.5)
    values = rng.normal(size=(3, 40))
    assert many_tasks.iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=1))
    assert many_tasks.iqm(values, axis=0).shape == (40,)
    assert many_tasks.iqm([4.0]) == 4.0
    assert many_tasks.iqm([-math.inf, 1.0, 2.0, math.inf]) == 1.5, "two lost runs lie outside the middle half"
    assert np.isnan(many_tasks.iqm([[1.0, 2.0, 3.0, math.nan], [1.0, 2.0, 3.0, 4.0]])).tolist() == [True, False]


def test_stratified_bootstrap_resamples_inside_tasks(rng):
    """Easy against hard tasks would count as uncertainty, or few seeds would look certain."""
    far_apart = rng.normal(size=(5, 4)) * 0.01 + np.array([0.0, 10.0, 20.0, 30.0])
    found = many_tasks.stratified_bootstrap(far_apart, statistic=np.mean, draws=2_000)
    assert found.value == pytest.approx(far_apart.mean()) and found.high - found.low < 0.05
    error = np.sqrt(far_apart.var(axis=0, ddof=1).sum() / 5) / 4
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1), "standard error of a stratified mean"
    assert many_tasks.stratified_bootstrap(far_apart[:1]).high == math.inf
    assert many_tasks.stratified_bootstrap(far_apart, draws=200) == many_tasks.stratified_bootstrap(
        far_apart, draws=200
    )


def test_friedman_and_nemenyi(rng):
    """Ranks over many tasks would mislead."""
    scores = rng.normal(size=(12, 4)) + np.array([0, 0, 0, 2.0])
    found = many_tasks.friedman(scores)
    assert found[:2] == pytest.approx(stats.friedmanchisquare(*scores.T))
    assert found[3:] == pytest.approx(_iman_davenport_twin(scores))
    assert found.ranks.argmin() == 3 and found.ranks.sum() == 10
    assert many_tasks.friedman(-scores, higher_is_better=False).ranks == pytest.approx(found.ranks)
    assert many_tasks.friedman(np.ones((5, 3))).p == 1.0
    # Demsar 2006, table 5: q = 2.728 for 5 methods.
    assert many_tasks.nemenyi_distance(5, 14) == pytest.approx(2.728 * math.sqrt(30 / (6 * 14)), rel=1e-3)
    beyond = np.abs(found.ranks[:, None] - found.ranks[None, :]) >= many_tasks.nemenyi_distance(4, 12)
    oracle = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy() <= 0.05
    assert beyond.any() and (beyond == oracle).all()


def _iman_davenport_twin(scores: np.ndarray) -> tuple[float, float]:
    """The F of a two-way analysis of variance of the ranks, methods against what tasks and methods leave."""
    ranks = stats.rankdata(-scores, axis=1)
    n, k = ranks.shape
    between = n * ((ranks.mean(axis=0) - ranks.mean()) ** 2).sum()
    within = ((ranks - ranks.mean(axis=1, keepdims=True)) ** 2).sum()
    f = between / (k - 1) / ((within - between) / ((k - 1) * (n - 1)))
    return f, stats.f.sf(f, k - 1, (k - 1) * (n - 1))


def test_friedman_with_ties_and_with_tasks_that_agree(rng):
    """Ties would make the test blunt, and tasks that all rank alike end in a division by zero."""
    scores = rng.integers(0, 4, size=(9, 4)).astype(float)
    found = many_tasks.friedman(scores)
    assert found[3:] == pytest.approx(_iman_davenport_twin(scores))
    ranks = stats.rankdata(-scores, axis=1)
    groups = sum(t**3 - t for row in ranks for t in np.unique(row, return_counts=True)[1])
    demsars = 12 * 9 / (4 * 5) * ((ranks.mean(axis=0) ** 2).sum() - 4 * 5**2 / 4)
    assert found.statistic == pytest.approx(demsars / (1 - groups / (9 * 4 * (16 - 1)))) and found.statistic > demsars
    alike = many_tasks.friedman(np.tile([3.0, 2.0, 1.0], (4, 1)) + np.arange(4.0)[:, None])
    assert (alike.statistic, alike.f, alike.f_p) == (pytest.approx(8.0), math.inf, pytest.approx(1 / 6**3))
    assert many_tasks.friedman(np.tile([2.0, 2.0, 1.0], (4, 1))).f_p == pytest.approx(1 / 3**3)
    for same in (np.ones((5, 3)), np.full((5, 3), -np.inf)):  # as well as where every run diverged
        assert many_tasks.friedman(same)[3:] == (0.0, 1.0) and many_tasks.friedman(same).p == 1.0


def test_probability_of_improvement_counts_all_pairs(rng):
    """One method would be called better over tasks by a number that is not the share of runs it wins."""
    a, b = np.round(rng.normal(0.3, 1, (7, 3)), 1), np.round(rng.normal(size=(5, 3)), 1)
    twin = np.mean([stats.mannwhitneyu(a[:, t], b[:, t]).statistic / 35 for t in range(3)])
    found = many_tasks.probability_of_improvement(a, b)
    assert found.value == pytest.approx(twin) and found.low < twin < found.high
    by_hand = many_tasks.probability_of_improvement([[2, 0], [3, 1]], [[1, 1], [3, 1]])
    assert by_hand.value == (2.5 / 4 + 1 / 4) / 2
    assert many_tasks.probability_of_improvement(a[:1], b)[1:] == (0.0, 1.0)
    scale = np.array([1.0, 1e3, 1e-3])
    assert many_tasks.probability_of_improvement(a * scale, b * scale) == found, "tasks need no common scale"
    with pytest.raises(DataError, match="same tasks"):
        many_tasks.probability_of_improvement(a, b[:, :2])


def test_the_interval_of_an_improvement_covers(rng):
    """An interval called 95 % would hold the truth less often, worst at few runs."""
    truth, covered = stats.norm.cdf(0.5 / math.sqrt(2)), 0
    for _ in range(400):
        a, b = rng.normal(0.5, 1, (5, 6)), rng.normal(size=(5, 6))
        _, low, high = many_tasks.probability_of_improvement(a, b, draws=400)
        covered += low <= truth <= high
    assert covered / 400 >= 0.93


def test_optimality_gap_and_performance_profile_by_hand(rng):
    """A method that is far beyond the target on one task would make up for failing on others."""
    scores = np.array([[0.5, 3.0], [0.9, 0.2]])  # [runs, tasks]
    assert many_tasks.optimality_gap(scores.ravel()) == pytest.approx((0.5 + 0.0 + 0.1 + 0.8) / 4)
    assert many_tasks.optimality_gap(scores, target=2.0, axis=0) == pytest.approx([1.3, 0.9])
    gap = many_tasks.stratified_bootstrap(rng.uniform(size=(6, 4)), statistic=many_tasks.optimality_gap, draws=200)
    assert gap.low < gap.value < gap.high
    profile = many_tasks.performance_profile(scores, [0.0, 0.2, 0.5, 0.9, 3.0])
    assert profile.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0], "above, not at"
    many, grid = rng.normal(size=(10, 5)), np.linspace(-3, 3, 50)
    twin = [np.mean([np.mean([many[r, t] > tau for r in range(10)]) for t in range(5)]) for tau in grid]
    assert many_tasks.performance_profile(many, grid) == pytest.approx(twin)
    area = np.trapezoid(many_tasks.performance_profile(many, np.linspace(-9, 9, 20001)), np.linspace(-9, 9, 20001)) - 9
    assert area == pytest.approx(many.mean(), abs=2e-3), "the area below a profile is the mean"


def test_screening_p_values(rng):
    """A screening of many tricks would claim too many or too few."""
    assert many_tasks.benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    many = rng.uniform(size=30) ** 3
    assert many_tasks.benjamini_hochberg(many) == pytest.approx(multitest.multipletests(many, method="fdr_bh")[1])
    assert many_tasks.benjamini_hochberg([]).size == 0


def test_the_band_of_a_profile_by_hand_and_against_its_twin(rng):
    """Lost: a band that is another statistic's, or too narrow at few runs."""
    low, high = many_tasks.profile_band([[1.0], [2.0]], [0.0, 1.5, 2.0])  # one of the two is drawn
    assert (low.tolist(), high.tolist()) == ([1.0, 0.0, 0.0], [1.0, 1.0, 0.0])
    low, high = many_tasks.profile_band([[1.0]], [0.0, 2.0])
    assert (low.tolist(), high.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    scores, grid = rng.normal(size=(8, 3)), [-1.0, 0.0, 0.7]
    low, high = many_tasks.profile_band(scores, grid, confidence=0.8, draws=20_000)
    for place, t in enumerate(grid):
        above = lambda values, axis, t=t: (values > t).mean(axis=axis)
        twin = many_tasks.stratified_bootstrap(scores, statistic=above, confidence=0.8, draws=20_000, seed=1)
        assert (low[place], high[place]) == pytest.approx((twin.low, twin.high), abs=1e-12)  # multiples of 1 / 21
