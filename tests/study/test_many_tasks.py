"""Numbers over several tasks, against hand work and twins (scipy, statsmodels, scikit-posthocs)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats
from statsmodels.stats import multitest

from deepprinciples.study import many_tasks


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
    assert found.ranks.argmin() == 3 and found.ranks.sum() == 10
    assert many_tasks.friedman(-scores, higher_is_better=False).ranks == pytest.approx(found.ranks)
    assert many_tasks.friedman(np.ones((5, 3))).p == 1.0
    # Demsar 2006, table 5: q = 2.728 for 5 methods.
    assert many_tasks.nemenyi_distance(5, 14) == pytest.approx(2.728 * math.sqrt(30 / (6 * 14)), rel=1e-3)
    beyond = np.abs(found.ranks[:, None] - found.ranks[None, :]) >= many_tasks.nemenyi_distance(4, 12)
    oracle = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy() <= 0.05
    assert beyond.any() and (beyond == oracle).all()


def test_screening_p_values(rng):
    """A screening of many tricks would claim too many or too few."""
    assert many_tasks.benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    many = rng.uniform(size=30) ** 3
    assert many_tasks.benjamini_hochberg(many) == pytest.approx(multitest.multipletests(many, method="fdr_bh")[1])
    assert many_tasks.benjamini_hochberg([]).size == 0
