"""The numbers under every verdict, against theory, hand work and twins (scipy, statsmodels)."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import multitest, proportion, weightstats

from deepprinciples.errors import DataError
from deepprinciples.stats import paired_tests as st


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_no_jax_is_imported():
    """A user who only opens a report would wait for jax and need its memory."""
    code = "import sys, deepprinciples.stats.verdicts; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_small_samples_get_students_t(rng):
    """At 5 to 19 seeds the interval of the mean would be too narrow."""
    for n in (2, 5, 19):
        values = rng.normal(3, 2, n)
        expected = weightstats.DescrStatsW(values).tconfint_mean(alpha=0.1)
        assert st.mean_interval(values, confidence=0.9) == pytest.approx((values.mean(), *expected))


def _bca_twin(values: np.ndarray, confidence: float) -> np.ndarray:
    """Efron's BCa written out, with its own resamples, at Hesterberg's level."""
    n = values.size
    means = values[np.random.default_rng(99).integers(0, n, (40_000, n))].mean(axis=1)
    z0 = stats.norm.ppf((means < values.mean()).mean())
    left_out = (values.sum() - values) / (n - 1)
    gap = left_out.mean() - left_out
    a = (gap**3).sum() / (6 * (gap**2).sum() ** 1.5)
    z = z0 + math.sqrt(n / (n - 1)) * stats.t.ppf([(1 - confidence) / 2, (1 + confidence) / 2], n - 1)
    return np.quantile(means, stats.norm.cdf(z0 + z / (1 - a * z)))


def test_large_samples_get_bca(rng):
    """From 20 seeds on a skewed metric would get a symmetric interval."""
    values = rng.exponential(1.0, 25)
    found = st.mean_interval(values)
    assert found[1:] == pytest.approx(_bca_twin(values, 0.95), abs=0.02)
    assert found.high - found.value > 1.2 * (found.value - found.low)
    assert found == st.mean_interval(values), "the same call gave another interval"


def test_thousands_of_seeds_take_little_memory_and_the_same_numbers(monkeypatch, rng):
    """Lost: the report of 10,000 runs, for gigabytes of resamples; or numbers that depend on how they are cut."""
    values = rng.normal(0.02, 1, 4_000)
    tracemalloc.start()
    found = st.mean_interval(values), st.sign_flip_test(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120 * 2**20, "9,999 resamples of 4,000 values are 320 MB at once"
    monkeypatch.setattr(st, "DRAWN", 4_000 * 777)
    assert found == (st.mean_interval(values), st.sign_flip_test(values))


@pytest.mark.parametrize("n", [20, 30])
def test_bca_is_students_t_where_values_are_normal(n):
    """The interval of a mean would lose a tenth of its width from 19 seeds to 20, and the truth with it."""
    values = stats.norm.ppf((np.arange(n) + 0.5) / n)
    low, high = weightstats.DescrStatsW(values).tconfint_mean()
    found = st.mean_interval(values)
    assert (found.high - found.low) / (high - low) == pytest.approx(1.0, abs=0.025)


@pytest.mark.parametrize("n", [20, 30])
def test_bca_covers_what_it_says(monkeypatch, rng, n):
    """An interval called 95 % would hold the truth in 93 % of all studies."""
    monkeypatch.setattr(st, "RESAMPLES", 999)  # coverage hardly depends on it, time does
    samples = rng.normal(size=(800, n))
    covered = [low <= 0.0 <= high for _, low, high in (st.mean_interval(x, seed=i) for i, x in enumerate(samples))]
    exact = np.abs(stats.ttest_1samp(samples, 0.0, axis=1).statistic) <= stats.t.ppf(0.975, n - 1)
    assert np.mean(covered) >= max(0.93, np.mean(exact) - 0.01), "Student's t covers 95 % of normal samples"


def test_an_interval_is_cut_at_the_bounds_of_the_metric(rng):
    """An accuracy of 104 %, or an error below 0."""
    values = np.array([0.99, 1.0, 0.9, 1.0, 0.97])
    free, cut = st.mean_interval(values), st.mean_interval(values, bounds=(0.0, 1.0))
    assert free.high > 1.0 and cut == (free.value, free.low, 1.0)
    assert st.mean_interval([0.3], bounds=(0.0, 1.0)) == (0.3, 0.0, 1.0)
    assert st.mean_interval(-values, bounds=(-1.0, 0.0)).low == -1.0
    assert st.mean_interval(values, bounds=(-math.inf, 0.5)).high == free.value, "the mean is never left outside"


@pytest.mark.parametrize("n", [2, 19, 20, 40])
def test_constant_values_have_no_width(n):
    """Identical runs would end in NaN or a crash."""
    assert st.mean_interval(np.full(n, 0.1)) == (0.1, 0.1, 0.1)


def test_one_value_says_nothing_about_spread():
    """One seed would look certain."""
    assert st.mean_interval([0.3]) == (0.3, -math.inf, math.inf)


def test_t_interval_covers_at_five_seeds(rng):
    """An interval called 95 % would hold the truth less often."""
    covered = [low <= 0 <= high for _, low, high in map(st.mean_interval, rng.normal(size=(4_000, 5)))]
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [np.inf, 1.0], [[1.0, 2.0]]])
def test_impossible_inputs_are_refused_in_one_line(bad):
    """A NaN would spread silently into the verdict."""
    with pytest.raises(DataError) as error:
        st.mean_interval(bad)
    assert "\n" not in str(error.value)


def test_differences_are_paired_and_rounding_is_a_tie():
    """0.1 + 0.2 against 0.3 would count as a win."""
    assert st.differences([0.1 + 0.2, 1.0, 5.0], [0.3, 0.5, 6.0]).tolist() == [0.0, 0.5, -1.0]
    single = np.float32([1 / 3])
    assert st.differences(np.nextafter(single, np.float32(1)), single).tolist() == [0.0]
    assert st.differences(np.float64([1 / 3 + 1e-9]), np.float64([1 / 3]))[0] > 0
    with pytest.raises(DataError, match="3 and 2"):
        st.differences([1, 2, 3], [1, 2])


def test_pairing_narrows_the_interval(rng):
    """Sharing seeds between arms would buy nothing."""
    luck = rng.normal(size=15)
    a, b = luck + rng.normal(0.3, 0.1, 15), luck + rng.normal(0, 0.1, 15)
    found = st.paired_difference(a, b)
    expected = stats.ttest_rel(a, b).confidence_interval()
    assert found == pytest.approx((np.mean(a - b), expected.low, expected.high))


def test_correlation_matches_scipy_and_is_nan_when_undefined(rng):
    """The reported gain from pairing would be wrong, or a constant arm would warn."""
    a, b = rng.normal(size=(2, 12))
    assert st.correlation(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert math.isnan(st.correlation(a, np.ones(12)))
    assert math.isnan(st.correlation(a[:2], b[:2]))


def test_superiority_counts_pairs_and_half_ties():
    """P(A > B) would ignore ties, or compare runs of different seeds."""
    found = st.probability_of_superiority([1, 2, 3, 10], [0, 2, 4, 9])
    assert found.value == 2.5 / 4
    shifted = st.probability_of_superiority([1, 2, 3, 4], [0, 1, 2, 3])
    assert shifted.value == 1.0, "seed k must be compared with seed k"
    exact = stats.binomtest(17, 20).proportion_ci(0.95, method="exact")
    wins = np.r_[np.ones(17), -np.ones(3)]
    assert st.probability_of_superiority(wins, np.zeros(20))[1:] == pytest.approx((exact.low, exact.high))
    assert st.probability_of_superiority(np.ones(8), np.zeros(8))[1:] == pytest.approx((0.025 ** (1 / 8), 1.0))


@pytest.mark.parametrize("n", [6, 10, 20])
@pytest.mark.parametrize(("lose", "tie"), [(0.5, 0.0), (0.1, 0.0), (0.01, 0.0), (0.05, 0.1), (0.2, 0.6), (0.0, 0.1)])
def test_superiority_interval_covers_near_the_edge_and_with_ties(rng, n, lose, tie):
    """A trick that wins nearly always would be called certain at small n (Wilson's interval fails here)."""
    counts, weights = _outcomes(n, lose, tie)
    truth = 1 - lose - tie / 2
    covered = 0.0
    for (losses, ties), weight in zip(counts, weights, strict=True):
        signs = np.r_[-np.ones(losses), np.zeros(ties), np.ones(n - losses - ties)]
        _, low, high = st.probability_of_superiority(signs, np.zeros(n))
        covered += weight * (low <= truth <= high)
    assert covered >= 0.95 - 1e-9


def _outcomes(n: int, lose: float, tie: float) -> tuple[list[tuple[int, int]], np.ndarray]:
    counts = [(k, t) for k in range(n + 1) for t in range(n + 1 - k)]
    rows = [(k, t, n - k - t) for k, t in counts]
    weights = stats.multinomial.pmf(rows, n, [lose, tie, 1 - lose - tie])
    keep = weights > 1e-9
    return [c for c, kept in zip(counts, keep, strict=True) if kept], weights[keep]


def _flip_twin(d: np.ndarray) -> float:
    """Every pattern by brute force; rounding removed by exact integers."""
    hits = [abs(np.dot(signs, d)) >= abs(d.sum()) for signs in itertools.product((-1, 1), repeat=d.size)]
    return float(np.mean(hits))


def test_sign_flip_is_exact_and_ties_count(rng):
    """p would be wrong, worst on accuracies, where many patterns give the same sum."""
    for n in (1, 6, 9, 12):
        whole = rng.integers(-4, 7, n)
        assert st.sign_flip_test(whole) == _flip_twin(whole)
        assert st.sign_flip_test(whole / 360) == _flip_twin(whole), "rounding broke the ties"
    d = rng.normal(0.4, 1, 11)
    scipys = stats.permutation_test(
        (d, np.zeros_like(d)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert st.sign_flip_test(d) == pytest.approx(scipys.pvalue)


def test_smallest_p_is_two_in_two_to_the_n():
    """Too few pairs could look convincing."""
    for n in (1, 5, 6, 16):
        assert st.sign_flip_test(np.arange(1.0, n + 1)) == 2 / 2**n
    assert st.sign_flip_test(np.full(20, 0.1)) == 1 / 10_001, "a drawn p is never 0"
    assert st.sign_flip_test(np.zeros(20)) == 1.0


def test_drawn_p_agrees_with_exact_p(rng):
    """The p-value would jump at 17 pairs."""
    d = rng.normal(0.5, 1, 17)
    signs = 1 - 2 * ((np.arange(2**17)[:, None] >> np.arange(17)) & 1)
    exact = (np.abs(signs @ d) >= abs(d.sum()) - 1e-9).mean()
    assert st.sign_flip_test(d, draws=50_000) == pytest.approx(exact, abs=4 * math.sqrt(exact / 50_000))
    assert st.sign_flip_test(np.r_[d, 0, 0], seed=3) == st.sign_flip_test(d, seed=3)
    assert st.sign_flip_test(d / np.abs(d).max() * 1.5e308) == st.sign_flip_test(d), "exploded scores overflow the sum"


def test_adjusted_p_values(rng):
    """Many comparisons would make false claims likely."""
    p = [0.01, 0.04, 0.03, 0.005]
    assert st.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    many = rng.uniform(size=30) ** 3
    assert st.holm(many) == pytest.approx(multitest.multipletests(many, method="holm")[1])
    assert st.holm([]).size == 0


def test_equivalence_matches_statsmodels(rng):
    """ "Equivalent" would be said too easily or never."""
    a, b = rng.normal(size=(2, 14))
    assert st.equivalence_p(a - b, delta=0.7) == pytest.approx(weightstats.ttost_paired(a, b, -0.7, 0.7)[0])
    assert [st.equivalence_p([0.1] * 8, delta=delta) for delta in (0.0, 0.1, 0.2)] == [1.0, 1.0, 0.0]
    assert st.equivalence_p([0.0], delta=1.0) == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 20), (3, 20), (20, 20), (1, 1)])
def test_wilson_matches_statsmodels(k, n):
    """Divergence rates would carry a wrong interval."""
    assert st.wilson(k, n)[1:] == pytest.approx(proportion.proportion_confint(k, n, method="wilson"), abs=1e-12)
    assert st.wilson(0, 0)[1:] == (0.0, 1.0)


def test_diverged_lanes_take_the_worst_outcome():
    """An arm would look good because its failures were dropped."""
    scores, diverged = np.array([[0.9, 0.8, np.nan], [0.7, 0.6, 0.5]]), np.array([[0, 1, 0], [0, 0, 0]], bool)
    assert st.worst_case(scores, diverged, higher_is_better=True, bound=0.0).tolist() == [[0.9, 0, 0], [0.7, 0.6, 0.5]]
    assert st.worst_case(scores, diverged, higher_is_better=True).tolist() == [[0.9, 0.5, 0.5], [0.7, 0.6, 0.5]]
    loss = np.float32([[1, 40, np.inf], [2, 3, 4]])
    worst = st.worst_case(loss, diverged, higher_is_better=False)
    assert worst.tolist() == [[1, 40, 40], [2, 3, 4]] and worst.dtype == np.float32
    nothing = st.worst_case(np.full((2, 2), np.nan), np.ones((2, 2), bool), higher_is_better=True)
    assert nothing.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(DataError, match="diverged"):
        st.worst_case(scores, diverged[0], higher_is_better=True)
