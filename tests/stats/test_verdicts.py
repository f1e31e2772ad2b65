"""The words a user reads: each may claim only what the numbers allow."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import multitest

from deepprinciples.errors import ConfigError, DataError
from deepprinciples.stats import paired_tests, planning, with_interval
from deepprinciples.stats.verdicts import arm_rows, compare, headline

KEYS = {
    "a", "b", "n", "difference", "interval", "probability", "probability_interval", "p", "p_adjusted", "correlation",
    "smallest_visible", "diverged", "meaningful", "verdict", "sentence", "unit", "needed", "identical", "lanes",
}  # fmt: skip


def judge(a, b, *, diverged=None, names=("a", "b"), higher_is_better=True, **options):
    scores = np.array([a, b])
    lost = np.zeros(scores.shape, bool) if diverged is None else np.array(diverged, bool)
    found = compare(scores, lost, names, pairs=[(0, 1)], higher_is_better=higher_is_better, **options)
    assert set(found[0]) == KEYS and json.loads(json.dumps(found, allow_nan=False)) == found
    return found[0]


@pytest.fixture
def luck():
    return np.random.default_rng(3).normal(0.8, 0.02, 20)


@pytest.fixture
def noise():
    return np.random.default_rng(4).normal(0.0, 0.02, 20)


def test_a_clear_win_is_called_better_and_meaningful(luck, noise):
    """The user would not learn that the trick helps."""
    found = judge(luck + 0.123 + noise, luck, names=("glorot", "plain"), metric="accuracy")
    assert (found["verdict"], found["meaningful"], found["n"]) == ("better", True, 20)
    assert found["probability"] == 1.0 and found["p"] == found["p_adjusted"] < 0.001
    assert found["difference"] == pytest.approx(0.123 + noise.mean())
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    assert found["sentence"].startswith("glorot is better than plain: +0.12")
    assert "accuracy [" in found["sentence"] and "wins 20 of 20 pairs, p < 0.0001 after Holm" in found["sentence"]
    assert found["sentence"].endswith("; meaningful.")


def test_direction_follows_the_metric(luck, noise):
    """A lower loss would be called worse."""
    found = judge(luck + 0.1 + noise, luck, higher_is_better=False)
    assert (found["verdict"], found["meaningful"], found["probability"]) == ("worse", True, 0.0)
    assert found["difference"] > 0, "differences stay a - b in the metric's own unit"
    assert found["probability_interval"] == pytest.approx([0.0, 1 - 0.025 ** (1 / 20)])
    assert "worse than" in found["sentence"] and "wins 0 of 20 pairs" in found["sentence"]
    swapped = judge(luck, luck + 0.1 + noise, higher_is_better=False)
    assert (swapped["verdict"], swapped["meaningful"], swapped["probability"]) == ("better", True, 1.0)
    assert swapped["difference"] == -found["difference"]


def test_a_small_but_certain_gain_is_not_called_meaningful():
    """A gain hidden by seed noise would be sold as a breakthrough."""
    rng = np.random.default_rng(0)
    gain = np.where(np.arange(60) % 10 < 7, 0.01, -0.004) + rng.normal(0, 1e-4, 60)
    found = judge(0.8 + gain, np.full(60, 0.8))
    assert (found["verdict"], found["meaningful"]) == ("better", False)
    assert found["probability"] == pytest.approx(0.7) and found["correlation"] is None
    assert "not shown to be meaningful" in found["sentence"] and "0.75" in found["sentence"]
    assert judge(0.8 + gain, np.full(60, 0.8), min_win_probability=0.7)["meaningful"]
    assert "0.7 [" in judge(np.full(60, 0.8), 0.8 + gain)["sentence"], "a loser's sentence names the winner's chances"


def test_meaningful_needs_an_interval_above_one_half():
    """Six wins of eight would count as a meaningful gain, though a coin does that often."""
    gain = np.array([1.0, 1, 1, 1, 1, 1, -0.01, -0.01])
    for found, word in ((judge(gain, 0 * gain), "better"), (judge(0 * gain, gain), "worse")):
        assert (found["verdict"], found["meaningful"]) == (word, False), "p = 8 / 256 and the interval allow the word"
        assert "probability 0.75 [0.35, 0.97]" in found["sentence"]


def test_no_evidence_tells_what_could_have_been_seen(luck, noise):
    """Absence of evidence would read as evidence of absence."""
    found = judge(luck[:8] + noise[:8], luck[:8])
    assert found["verdict"] == "no evidence" and found["p"] > 0.05 and not found["meaningful"]
    expected = 2 * noise[:8].std(ddof=1) / math.sqrt(8)
    assert expected < found["smallest_visible"] < 2 * expected
    assert f"(8 seeds are too few to see less than {found['smallest_visible']:.2g})" in found["sentence"]


def test_below_six_pairs_no_p_is_printed(luck):
    """Five seeds would end in a p-value that could never be small."""
    found = judge(luck[:5] + 0.1, luck[:5], equivalence_margin=1.0)
    assert found["verdict"] == "cannot be judged"
    assert found["p"] is found["p_adjusted"] is found["smallest_visible"] is None
    assert "p =" not in found["sentence"] and "6 are needed" in found["sentence"]
    one = judge(luck[:1] + 0.1, luck[:1])
    assert one["interval"] == [None, None] and one["difference"] == pytest.approx(0.1)
    assert judge(luck[:6] + 0.1, luck[:6])["p"] == 2 / 2**6


def test_too_many_comparisons_for_the_seeds_are_named(luck):
    """With 6 seeds and 3 comparisons nothing can ever be found; the user would wait for a verdict in vain."""
    scores = np.stack([luck[:6], luck[6:12] + 0.1, luck[12:18] + 0.2])
    found = compare(scores, scores < 0, "xyz", pairs=[(1, 0), (2, 0), (2, 1)], higher_is_better=True)
    assert {row["verdict"] for row in found} == {"cannot be judged"} and found[0]["smallest_visible"] is None
    assert "cannot be judged with 6 blocks; 7 are needed for so many comparisons" in found[0]["sentence"]
    assert "cannot be judged with 6 blocks; 7 are needed" in headline(
        found, arm_rows(scores, scores < 0, "xyz", higher_is_better=True), "x"
    )
    scores = np.stack([luck[:7], luck[:7] + 0.1, luck[:7] + 0.2])
    found = compare(scores, scores < 0, "xyz", pairs=[(1, 0), (2, 0), (2, 1)], higher_is_better=True)
    assert {row["verdict"] for row in found} == {"better"}


def test_holm_runs_over_all_comparisons(luck):
    """Trying many tricks would make one of them win by luck."""
    rng = np.random.default_rng(5)
    scores = luck[:12] + rng.normal(0, 0.02, (6, 12)) + 0.01 * np.arange(6)[:, None]
    found = compare(scores, scores < 0, "abcdef", pairs=[(k, 0) for k in range(1, 6)], higher_is_better=True)
    p = [row["p"] for row in found]
    spread = (scores[1] - scores[0]).std(ddof=1)
    assert found[0]["smallest_visible"] == planning.minimum_detectable(spread, 12, alpha=(1 - 0.95) / 5)
    assert [row["p_adjusted"] for row in found] == pytest.approx(multitest.multipletests(p, method="holm")[1])
    for row in found:
        assert (row["verdict"] == "better") == (row["p_adjusted"] <= 0.05 and row["interval"][0] > 0)


def test_words_need_both_the_test_and_the_interval():
    """The sentence would claim what one of its two numbers denies."""
    gain = np.array([1.0, 1, 1, 1, 1, 1, 60])  # sign-flip p = 2 / 2^7, but one run makes the mean uncertain
    found = judge(gain, np.zeros(7))
    assert found["p_adjusted"] < 0.05 and found["interval"][0] < 0
    assert found["verdict"] == "no evidence" and "the interval holds 0" in found["sentence"]


def test_equivalence_needs_a_margin_and_passes_both_tests(luck):
    """ "No difference" would be claimed without evidence for it."""
    small = np.random.default_rng(6).normal(0, 0.001, 20)
    assert judge(luck + small, luck)["verdict"] == "no evidence"
    found = judge(luck + small, luck, equivalence_margin=0.01)
    assert found["verdict"] == "equivalent" and "equivalent within 0.01" in found["sentence"]
    assert max(map(abs, found["interval"])) <= 0.01
    assert judge(luck + small + 0.005, luck, equivalence_margin=0.01)["verdict"] == "equivalent", (
        "less than equivalence_margin does not matter"
    )
    assert judge(luck + small, luck, equivalence_margin=0.0004)["verdict"] == "no evidence"
    assert judge(luck + small + 0.1, luck, equivalence_margin=0.01)["verdict"] == "better"


def test_equivalence_is_corrected_for_the_family_and_fits_its_interval():
    """Among many comparisons one pair would look equivalent by luck, or the printed interval would leave the margin."""
    gap = np.array([1.0, -1, 2, -2, 3, -3, 1, -1])
    high = judge(gap, 0 * gap)["interval"][1]
    assert judge(gap, 0 * gap, equivalence_margin=0.9 * high)["verdict"] == "no evidence", (
        "TOST passes, the interval does not fit"
    )
    assert paired_tests.equivalence_p(gap, delta=0.9 * high) < 0.05
    assert judge(gap, 0 * gap, equivalence_margin=1.01 * high)["verdict"] == "equivalent"
    arms = np.stack([0 * gap] + [gap] * 4)
    family = [(k, 0) for k in range(1, 5)]
    found = compare(arms, arms != arms, "abcde", pairs=family, higher_is_better=True, equivalence_margin=1.01 * high)
    assert {row["verdict"] for row in found} == {"no evidence"}


def test_identical_arms_come_out_even(luck):
    """A trick that changes nothing would look like something."""
    found = judge(luck, luck)
    assert (found["verdict"], found["p"], found["probability"]) == ("no evidence", 1.0, 0.5)
    assert found["interval"] == [0.0, 0.0] and found["correlation"] == pytest.approx(1.0)
    assert "to the bit" in found["sentence"] and found["smallest_visible"] is None
    assert judge(luck, luck, equivalence_margin=0.01)["verdict"] == "equivalent"
    assert judge(np.full(8, 0.5), np.full(8, 0.5))["correlation"] is None


def test_a_constant_gain_is_found(luck):
    """Arms without spread would crash or be ignored."""
    found = judge(np.full(8, 0.9), np.full(8, 0.8))
    assert (found["verdict"], found["meaningful"], found["p"]) == ("better", True, 2 / 2**8)
    assert found["interval"] == pytest.approx([0.1, 0.1])


def test_diverged_lanes_count_as_the_worst_outcome(luck):
    """An unstable method would win because its failures vanish."""
    lost = np.zeros((2, 20), bool)
    lost[0, :4] = True
    found = judge(luck + 0.01, luck, diverged=lost, bound=0.0)
    assert found["diverged"] == {"a": 4, "b": 0} and found["probability"] == 0.8
    assert found["difference"] == pytest.approx(0.01 * 0.8 - luck[:4].sum() / 20)
    assert "Diverged, counted as the worst outcome: a 4, b 0 of 20" in found["sentence"]
    nan = judge(np.where(lost[0], np.nan, luck + 0.01), luck, bound=0.0)
    assert {**nan, "sentence": ""} == {**found, "sentence": ""}, "a NaN score counts as diverged, flagged or not"


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("bound", [None, 0.0])
def test_arms_that_diverge_altogether_work(luck, higher_is_better, bound):
    """The report of the most instructive comparison would crash."""
    bound = bound if higher_is_better else None
    gone = np.full(20, np.nan)
    both = judge(gone, gone, diverged=np.ones((2, 20)), higher_is_better=higher_is_better, bound=bound)
    assert (both["verdict"], both["p"], both["difference"]) == ("no evidence", 1.0, 0.0)
    one = judge(luck, gone, diverged=[[0] * 20, [1] * 20], higher_is_better=higher_is_better, bound=bound)
    assert (one["verdict"], one["meaningful"], one["diverged"]) == ("better", True, {"a": 0, "b": 20})


def test_huge_frozen_losses_stay_numbers():
    """A loss that exploded before it was frozen would put inf or NaN into the summary."""
    loss = np.float32(np.random.default_rng(1).uniform(0.3, 0.4, (2, 20)))
    loss[0, 3] = 3e38
    found = judge(loss[0], loss[1], diverged=loss > 1, higher_is_better=False)
    assert found["verdict"] == "no evidence" and math.isfinite(found["difference"])


def test_arm_rows_describe_each_arm(luck):
    """The table of arms would not match the runs."""
    scores, lost = np.stack([luck, luck]), np.zeros((2, 20), bool)
    lost[1, :3] = True
    plain, shaky = arm_rows(scores, lost, ["plain", "shaky"], higher_is_better=True, bound=0.0)
    assert set(plain) == {"name", "n", "blocks", "mean", "interval", "diverged", "diverged_interval"}
    assert plain["mean"] == pytest.approx(luck.mean()) and plain["interval"][0] < luck.mean() < plain["interval"][1]
    assert (shaky["name"], shaky["n"], shaky["diverged"]) == ("shaky", 20, 3)
    assert shaky["mean"] == pytest.approx(luck[3:].sum() / 20)
    wilson = stats.binomtest(3, 20).proportion_ci(method="wilson")
    assert shaky["diverged_interval"] == pytest.approx([wilson.low, wilson.high])
    assert arm_rows(scores[:, :1], lost[:, :1], "ab", higher_is_better=True)[0]["interval"] == [None, None]
    assert arm_rows(scores[:, :1], lost[:, :1], "ab", higher_is_better=True, bound=0.0)[0]["interval"] == [None, None]


def _headline(scores, names="abc", lost=None, **options):
    lost = np.zeros(scores.shape, bool) if lost is None else lost
    pairs = [(k, 0) for k in range(1, len(names))]
    found = compare(scores, lost, names, pairs=pairs, higher_is_better=True, bound=0.0, **options)
    return headline(found, arm_rows(scores, lost, names, higher_is_better=True, bound=0.0), "accuracy")


def test_headline_says_it_in_one_sentence(luck, noise):
    """The top of the report would not tell the result, or would oversell 20 seeds."""
    scores = np.stack([luck, luck + 0.1 + noise, luck + noise[::-1]])
    said = _headline(scores, ["plain", "glorot", "clip"])
    assert said.startswith("On accuracy: glorot (+0.099) is better than plain; no evidence that clip differs from")
    assert said.endswith("(exploratory: 20 seeds; a claim needs 30).") and "significant" not in said
    assert "exploratory" not in _headline(np.tile(scores, 2), ["plain", "glorot", "clip"])
    assert "b and c are equivalent to a" in _headline(np.stack([luck] * 3), equivalence_margin=0.01)
    loser = np.stack([luck, luck - 0.1 + 0.1 * noise])
    assert "a (+0.1001) is better than b" in _headline(loser, "ab"), "the gain of the winner, whichever was named first"
    assert "cannot be judged with 5 blocks; 7 are needed" in _headline(scores[:, :5])
    lost = np.zeros(scores.shape, bool)
    lost[0, :7] = True
    assert "diverged: plain 7 of 20" in _headline(scores, ["plain", "glorot", "clip"], lost)
    assert headline([], [], "accuracy").startswith("On accuracy: nothing was compared")


def test_mistakes_are_named():
    """A wrong call would end in a traceback from numpy."""
    scores, lost = np.zeros((2, 6)), np.zeros((2, 6), bool)
    options = {"pairs": [(0, 1)], "higher_is_better": True}
    for names, changed in (("abc", {}), ("ab", {"pairs": [(0, 0)]}), ("ab", {"pairs": [(0, 2)]})):
        with pytest.raises(DataError, match="expected"):
            compare(scores, lost, names, **(options | changed))
    for changed in ({"confidence": 1.0}, {"equivalence_margin": -1.0}, {"equivalence_margin": math.nan}):
        with pytest.raises(ConfigError, match="expected"):
            compare(scores, lost, "ab", **(options | changed))
    with pytest.raises(DataError, match="diverged"):
        compare(scores, lost[:, :3], "ab", **options)
    assert compare(scores, lost, "ab", pairs=[], higher_is_better=True) == []


def _study(rng: np.random.Generator, arms: int, seeds: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of arms that are the same method under other names, as real studies give them."""
    shared = rng.normal(size=seeds)  # what a seed shares between arms
    own = rng.normal(size=(arms, seeds))
    lost = np.zeros((arms, seeds), bool)
    if kind == "accuracy":
        scores = np.round(360 * np.clip(0.9 + 0.02 * shared + 0.02 * own, 0, 1)) / 360
    elif kind == "ceiling":
        scores = rng.binomial(360, 0.995, size=(arms, seeds)) / 360
    elif kind == "skewed":
        scores = -np.exp(0.5 * shared + own)
    else:
        scores = 0.9 + 0.01 * shared + 0.01 * own
        lost = rng.uniform(size=(arms, seeds)) < 0.2
    return scores, lost


def _false_claims(kind: str, studies: int, arms: int, seeds: int) -> int:
    rng, names = np.random.default_rng(11), [f"arm {k}" for k in range(arms)]
    pairs = [(i, j) for i in range(arms) for j in range(i)]
    wrong = 0
    for _ in range(studies):
        scores, lost = _study(rng, arms, seeds, kind)
        found = compare(scores, lost, names, pairs=pairs, higher_is_better=True, bound=0.0 if kind == "lost" else None)
        wrong += any(row["verdict"] in ("better", "worse") for row in found)
    return wrong


def test_identical_arms_are_told_apart_at_most_six_times_in_a_hundred():
    """A/A: a user comparing a method with itself would find a winner too often (familywise, over all comparisons)."""
    kinds = ("accuracy", "ceiling", "skewed", "lost")
    small = [_false_claims(kind, 300, 3, 10) for kind in kinds]
    large = [_false_claims(kind, 100, 3, 20) for kind in kinds]
    assert sum(small + large) <= 0.06 * 400 * len(kinds), (small, large)
    allowed = stats.binom.ppf(0.999, 400, 0.05)  # one kind alone has more sampling noise
    assert max(np.add(small, large)) <= allowed, (small, large)


def test_real_differences_are_found():
    """A verdict that never says "better" would pass the A/A test."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(100):
        scores, lost = _study(rng, 2, 20, "accuracy")
        scores[1] += 0.02
        hits += compare(scores, lost, "ab", pairs=[(1, 0)], higher_is_better=True)[0]["verdict"] == "better"
    assert hits >= 75


# --- blocks ---------------------------------------------------------------------------------------------------------


def blocked(a, b, searches, seeds, *, tuned=("a", "b"), **options):
    """Judge two arms of `searches` searches with `seeds` seeds each."""
    return judge(a, b, blocks=np.repeat(np.arange(searches), seeds).tolist(), tuned=set(tuned), **options)


def test_the_block_mean_is_what_the_tests_count():
    """Thirty seeds of ten searches would pass for thirty pairs, and the luck of the search be forgotten."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.02, (2, 10, 3))
    found = blocked(a.reshape(-1), b.reshape(-1), 10, 3)
    twin = judge(a.mean(axis=1), b.mean(axis=1))
    same = ("n", "difference", "interval", "probability", "probability_interval", "p", "p_adjusted", "smallest_visible")
    assert (found["n"], found["unit"], found["lanes"]) == (10, "search", 30)
    for key in same:
        assert found[key] == pytest.approx(twin[key]), key


def test_mixed_pairs_share_their_blocks():
    """A tuned arm would be paired seed by seed with one that was not, and count thirty pairs where ten searches are."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0.8, 0.02, (3, 24))
    rows = compare(
        scores, scores < 0, ["tuned", "plain", "other"], pairs=[(0, 1), (2, 1)], higher_is_better=True,
        blocks=np.repeat(np.arange(8), 3).tolist(), tuned={"tuned"},
    )  # fmt: skip
    assert [(row["n"], row["unit"]) for row in rows] == [(8, "search"), (24, "seed")]
    gap = (scores[0] - scores[1]).reshape(8, 3).mean(axis=1)
    assert rows[0]["p"] == paired_tests.sign_flip_test(gap)


@pytest.mark.parametrize("searches", [1, 5])
def test_a_few_searches_speak_for_the_settings_found(searches, luck):
    """One lucky search would be sold as a better method."""
    gain = np.resize(luck, 30)
    found = blocked(gain + 0.1, gain, searches, 30 // searches)
    assert found["verdict"] == "better for the settings found" and found["unit"] == "seed" and found["n"] == 30
    assert found["sentence"].startswith("for the settings found, a is better than b")
    assert "no claim about the methods" in found["sentence"] and "6 searches are needed" in found["sentence"]
    rows = arm_rows(np.stack([gain, gain]), np.zeros((2, 30), bool), "ab", higher_is_better=True)
    assert "for the settings found, a (+0.1) is better than b" in headline([found], rows, "x")


def test_equal_to_the_bit_is_said(luck):
    """A trick that changed nothing would read like one whose gain was too small to see."""
    found = judge(luck, luck)
    assert found["identical"] and found["verdict"] == "no evidence"
    assert found["sentence"].startswith("a and b have the same score, to the bit, in all 20 runs")
    assert "to the bit" in headline([found], [], "x")
    lost = judge(luck, luck + 0.1, diverged=np.ones((2, 20), bool))
    assert not lost["identical"], "all that diverged are equal, and say nothing of what the arms do"


def test_no_interval_passes_what_the_metric_can_be():
    """An accuracy would be said to be between 0.9 and 1.06, and an error below 0."""
    scores, none = np.array([[1.0, 0.95, 1.0, 0.98, 1.0, 0.85]]), np.zeros((1, 6), bool)
    (open_ended,) = arm_rows(scores, none, "a", higher_is_better=True)
    (row,) = arm_rows(scores, none, "a", higher_is_better=True, bound=0.0, best=1.0)
    assert open_ended["interval"][1] > 1.0 and row["interval"] == [open_ended["interval"][0], 1.0]
    (row,) = arm_rows(1 - scores, none, "a", higher_is_better=False, best=0.0)
    assert row["interval"][0] == 0.0 and row["interval"][1] > row["mean"]


def test_an_arm_is_described_by_its_searches():
    """The interval of an arm would be that of thirty seeds, though only ten settings were drawn."""
    scores = np.repeat(np.linspace(0.7, 0.9, 10), 3)[None]
    (tuned,) = arm_rows(
        scores, scores < 0, "a", higher_is_better=True, blocks=np.repeat(np.arange(10), 3).tolist(), tuned={"a"}
    )
    (plain,) = arm_rows(scores, scores < 0, "a", higher_is_better=True)
    assert (tuned["n"], tuned["blocks"], plain["blocks"]) == (30, 10, 30)
    assert tuned["mean"] == pytest.approx(plain["mean"])
    assert tuned["interval"] == pytest.approx(list(paired_tests.mean_interval(np.linspace(0.7, 0.9, 10))[1:]))
    assert tuned["interval"][0] < plain["interval"][0]


def test_a_mean_is_written_with_the_interval_that_it_has() -> None:
    """Lost: an experiment run with one search, whose rows have no interval, ended in a TypeError after its training."""
    row = {"mean": 0.8234, "interval": [0.81, 0.835]}
    assert with_interval(row, ".3f") == "0.823 [0.810, 0.835]"
    assert with_interval({**row, "interval": [None, None]}, ".3f") == "0.823"
    assert with_interval({"mean": None, "interval": [None, None]}) == "not finite"
