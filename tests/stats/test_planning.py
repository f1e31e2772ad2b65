"""How much a study can show, against hand work, brute force and statsmodels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from statsmodels.stats import power

from deepprinciples.errors import ConfigError
from deepprinciples.stats import planning


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_expected_validation_performance_is_unbiased(rng):
    """A method tuned with more trials would look better than it is."""
    scores = [0.5, 0.9, 0.6, 0.7]
    assert planning.expected_validation_performance(scores, 2) == pytest.approx(0.78333, abs=5e-6)
    x = rng.normal(size=9)
    for n in (1, 4, 9):
        subsets = list(itertools.combinations(x, n))
        assert planning.expected_validation_performance(x, n) == pytest.approx(np.mean([max(s) for s in subsets]))
        worst = planning.expected_validation_performance(x, n, higher_is_better=False)
        assert worst == pytest.approx(np.mean([min(s) for s in subsets]))
    assert math.isfinite(planning.expected_validation_performance(rng.normal(size=3_000), 1_500))
    with pytest.raises(ConfigError, match="1 to 4"):
        planning.expected_validation_performance(scores, 5)


def test_noether_sample_size():
    """The default of 30 seeds would not be enough for the claim it supports."""
    assert planning.noether_n(0.75, two_sided=False) == 29
    assert planning.noether_n(0.75) == planning.noether_n(0.25) == 35
    with pytest.raises(ConfigError, match="0.5"):
        planning.noether_n(0.5)


@pytest.mark.parametrize(("n", "alpha"), [(3, 0.05), (8, 0.05), (20, 0.01), (30, 0.05 / 45)])
def test_minimum_detectable_matches_statsmodels(n, alpha):
    """ "n too small to see less than ..." would name a wrong number."""
    effect = power.TTestPower().solve_power(nobs=n, alpha=alpha, power=0.8)
    assert planning.minimum_detectable(2.0, n, alpha=alpha) == pytest.approx(2 * effect, rel=1e-4)
    assert planning.minimum_detectable(1.0, 1) == math.inf
