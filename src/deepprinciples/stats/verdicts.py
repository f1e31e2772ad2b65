"""What may be said of the arms of a study: which p-values are adjusted together, and when a word is allowed.

The formulas are in `paired_tests`, the sentences in `sentences`. Functions return plain dicts of strings, booleans,
ints, floats, lists and None (for what cannot be computed).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepprinciples.errors import ConfigError, DataError
from deepprinciples.stats import paired_tests, planning, sentences

CLAIM_SEEDS = 30  # Noether: P(A > B) = 0.75 is found 95 times in 100


def compare(
    scores: ArrayLike,
    diverged: ArrayLike,
    names: Sequence[str],
    *,
    pairs: Iterable[tuple[int, int]],
    higher_is_better: bool,
    blocks: Sequence[int] | None = None,
    tuned: Collection[str] = (),
    metric: str = "score",
    bound: float | None = None,
    confidence: float = 0.95,
    equivalence_margin: float = 0.0,
    min_win_probability: float = 0.75,
    min_pairs: int = planning.MIN_BLOCKS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare pairs of arms; every comparison made belongs to one family.

    The unit is the block. Where an arm of a pair was tuned, the seeds that report the setting of one search are one
    block and enter as their mean, so the luck of the search is in every test and interval. Where neither was tuned,
    each seed is a block. With fewer searches than `min_pairs` the seeds are compared as they are, and the verdict
    speaks "for the settings found": it makes no claim about the methods.

    "better" and "worse" need both: sign-flip p after Holm <= 1 - confidence, and an interval of the difference without
    0. "equivalent" needs a margin above 0, TOST p after Holm <= 1 - confidence, and the interval inside +- the margin;
    it goes before "better", because the user said that less does not matter. The TOST p-values are a Holm family of
    their own: for one pair the two null hypotheses cannot both be true. "cannot be judged" means that so few blocks
    could not reach the level whatever their scores. `p` is None below min_pairs.

    Args:
        scores: [arm, seed], column k from seed k in every arm; diverged: bool [arm, seed]; these lanes count as worst.
        names: of the arms; pairs: (i, j) compares arm i (a) with arm j (b).
        higher_is_better, metric, bound: direction, name, and worst possible value of the metric, if it has one.
        blocks: the search whose setting each seed reports [seed]; tuned: names of the arms that searched.
        confidence: of every interval; 1 - confidence is the familywise error.
        equivalence_margin: differences below it count as none; 0 does not ask.
        min_win_probability: P(winner beats loser) asked of a meaningful gain. min_pairs: below it, no p and no verdict.
        seed: of resampling and random sign patterns.
    Returns:
        One dict per pair: a, b, n (blocks), unit ("search" or "seed"), difference (mean of a - b), interval,
        probability (that a beats b, whichever direction is better), probability_interval, p, p_adjusted, correlation,
        smallest_visible (difference found with 80 % power after correction), needed (blocks from which the family can
        be judged), identical (equal to the bit in all seeds), diverged {"a", "b"} (lanes), lanes, meaningful (also for
        "worse": the winner's gain), verdict ("better", "worse", "equivalent", any of them + " for the settings found",
        "no evidence", "cannot be judged"; of a), sentence.
    Raises:
        DataError: shapes, names, blocks and pairs do not fit. ConfigError: an impossible confidence or margin.
    """
    values, lost = _judged(scores, diverged, names, higher_is_better=higher_is_better, bound=bound)
    wanted = list(pairs)
    _check(wanted, len(names), confidence, equivalence_margin)
    alpha, family, sign = 1 - confidence, max(1, len(wanted)), 1 if higher_is_better else -1
    least = max(min_pairs, planning.can_show(min_pairs, family, confidence)["needed"])
    terms = sentences.Terms(metric, sign, alpha, equivalence_margin, min_win_probability, min_pairs, least)
    searched = [any(names[k] in tuned for k in pair) for pair in wanted]
    if blocks is not None and len(blocks) != values.shape[1]:
        raise DataError(f"blocks: found {len(blocks)}; expected {values.shape[1]}; give one for each seed")
    count = len(set(blocks)) if blocks is not None else 0
    by_search = [one and count >= min_pairs for one in searched]
    reduced = block_means(values, blocks) if blocks is not None and any(by_search) else values
    used = [reduced if one else values for one in by_search]
    sides = [(held[i], held[j]) for held, (i, j) in zip(used, wanted, strict=True)]
    gaps = [paired_tests.differences(a, b) for a, b in sides]
    tests = _tested(gaps, equivalence_margin=equivalence_margin, seed=seed, min_pairs=min_pairs)
    rows = []
    for k, (i, j) in enumerate(wanted):
        gap = gaps[k]
        row = _measured(*sides[k], sign=sign, confidence=confidence, seed=seed)
        visible = _visible(gap, alpha=alpha / family) if gap.size >= least else None
        row |= {"a": names[i], "b": names[j], "unit": "search" if by_search[k] else "seed"}
        row |= {"p": tests[k].p, "p_adjusted": tests[k].adjusted, "smallest_visible": visible, "needed": least}
        same = bool((values[i] == values[j]).all() and not (lost[i] & lost[j]).all())
        row |= {"identical": same, "lanes": values.shape[1]}
        row["diverged"] = {"a": int(lost[i].sum()), "b": int(lost[j].sum())}
        row |= _verdict(row, tests[k].margin, terms, conditional=searched[k] and not by_search[k])
        row["sentence"] = sentences.sentence(row, sign * gap, tests[k].margin, terms)
        rows.append(row)
    return rows


def block_means(values: NDArray[np.floating], blocks: ArrayLike) -> NDArray[np.float64]:
    """Average the scores of each block.

    Args:
        values: [..., seed]; blocks: the block of each seed [seed].
    Returns:
        float64 [..., block], in rising order of the block's number.
    """
    number = np.asarray(blocks)
    return np.stack([values[..., number == one].mean(axis=-1, dtype=np.float64) for one in np.unique(number)], axis=-1)


def arm_rows(
    scores: ArrayLike,
    diverged: ArrayLike,
    names: Sequence[str],
    *,
    higher_is_better: bool,
    blocks: Sequence[int] | None = None,
    tuned: Collection[str] = (),
    bound: float | None = None,
    best: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Describe each arm alone. Its interval says nothing about a paired difference: for that, `compare`.

    The interval is over blocks: the means of an arm's searches where it was tuned, else its seeds.

    Args:
        as in `compare`. best: the metric's best possible value, if it has one; no interval passes it or `bound`.
    Returns:
        One dict per arm: name, n (runs), blocks, mean (diverged lanes count as worst; None where all diverged and the
        metric has no bound), interval (Nones for one block), diverged (lanes), diverged_interval (Wilson interval of
        the rate).
    Raises:
        DataError: shapes and names do not fit.
    """
    values, lost = _judged(scores, diverged, names, higher_is_better=higher_is_better, bound=bound)
    lowest, highest = (bound, best) if higher_is_better else (best, bound)
    ends = (-math.inf if lowest is None else lowest, math.inf if highest is None else highest)
    rows = []
    for name, row, gone in zip(names, values, lost, strict=True):
        units = block_means(row, blocks) if blocks is not None and name in tuned else row
        mean = paired_tests.mean_interval(units, confidence=confidence, seed=seed, bounds=ends)
        rate = paired_tests.wilson(int(gone.sum()), gone.size, confidence=confidence)
        known = bound is not None or not gone.all()  # else nothing was measured, and any number would be made up
        interval = [_plain(mean.low), _plain(mean.high)] if known and units.size > 1 else [None, None]
        rows.append(
            {
                "name": name,
                "n": int(row.size),
                "blocks": int(units.size),
                "mean": _plain(mean.value) if known else None,
                "interval": interval,
                "diverged": int(gone.sum()),
                "diverged_interval": [_plain(rate.low), _plain(rate.high)],
            }
        )
    return rows


def headline(
    comparisons: Sequence[Mapping[str, Any]],
    arms: Sequence[Mapping[str, Any]],
    metric: str,
    *,
    claim_seeds: int = CLAIM_SEEDS,
) -> str:
    """Return the verdict of a study in one sentence.

    Args:
        comparisons: from `compare`; arms: from `arm_rows`; metric: its name; claim_seeds: fewer are called exploratory.
    Returns:
        The sentence.
    """
    seeds = min((int(row["n"]) for row in arms), default=0)
    clauses = sentences.clauses(comparisons) or ["nothing was compared"]
    gone = [f"{row['name']} {row['diverged']} of {row['n']}" for row in arms if row["diverged"]]
    if gone:
        clauses.append("diverged: " + ", ".join(gone))
    note = f" (exploratory: {seeds} {sentences.plural('seed', seeds)}; a claim needs {claim_seeds})"
    return f"On {metric}: {'; '.join(clauses)}{note if seeds < claim_seeds else ''}."


def _judged(
    scores: ArrayLike, diverged: ArrayLike, names: Sequence[str], *, higher_is_better: bool, bound: float | None
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    found = np.asarray(scores)
    if found.ndim != 2 or found.shape[0] != len(names) or not found.size:
        raise DataError(
            f"scores: found shape {found.shape}; expected [{len(names)} arms, 1 or more seeds]; give one row per name"
        )
    values = paired_tests.worst_case(scores, diverged, higher_is_better=higher_is_better, bound=bound)
    return values, np.asarray(diverged, dtype=bool) | ~np.isfinite(found.astype(np.float64))


def _check(pairs: Sequence[tuple[int, int]], arms: int, confidence: float, equivalence_margin: float) -> None:
    for i, j in pairs:
        if i == j or not (0 <= i < arms and 0 <= j < arms):
            raise DataError(f"pairs: found ({i}, {j}); expected two different arms from 0 to {arms - 1}; fix the pair")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence: found {confidence}; expected between 0 and 1; 0.95 is usual")
    if not 0 <= equivalence_margin < math.inf:
        raise ConfigError(
            f"equivalence_margin: found {equivalence_margin}; expected 0 (no margin) or a positive number"
        )


class _Tests(NamedTuple):
    """The p-values of one comparison: of the difference, before and after Holm, and of equivalence after Holm."""

    p: float | None
    adjusted: float | None
    margin: float


def _tested(
    gaps: Sequence[NDArray[np.float64]], *, equivalence_margin: float, seed: int, min_pairs: int
) -> list[_Tests]:
    # Holm compares p with alpha / family: the more comparisons, the finer the p that must be resolved.
    draws = min(100_000, max(10_000, 1_000 * len(gaps)))
    enough = [gap.size >= min_pairs for gap in gaps]
    held = list(zip(gaps, enough, strict=True))
    p = [paired_tests.sign_flip_test(gap, draws=draws, seed=seed) if ok else 1.0 for gap, ok in held]
    margins = [paired_tests.equivalence_p(gap, delta=equivalence_margin) if ok else 1.0 for gap, ok in held]
    adjusted, apart = paired_tests.holm(p).tolist(), paired_tests.holm(margins).tolist()
    return [_Tests(p[k], adjusted[k], apart[k]) if ok else _Tests(None, None, 1.0) for k, ok in enumerate(enough)]


def _visible(gap: NDArray[np.float64], *, alpha: float) -> float | None:
    # Without spread the formula says 0, which no finite sample can promise.
    if gap.size < 2 or np.ptp(gap) == 0.0:
        return None
    return _plain(planning.minimum_detectable(float(gap.std(ddof=1)), gap.size, alpha=alpha))


def _measured(
    a: NDArray[np.floating], b: NDArray[np.floating], *, sign: int, confidence: float, seed: int
) -> dict[str, Any]:
    difference = paired_tests.paired_difference(a, b, confidence=confidence, seed=seed)
    chance = paired_tests.probability_of_superiority(sign * a, sign * b, confidence=confidence)
    return {
        "a": "",
        "b": "",
        "n": int(a.size),
        "difference": _plain(difference.value),
        "interval": [_plain(difference.low), _plain(difference.high)],
        "probability": _plain(chance.value),
        "probability_interval": [_plain(chance.low), _plain(chance.high)],
        "p": None,
        "p_adjusted": None,
        "correlation": _plain(paired_tests.correlation(a, b)),
    }


def _verdict(row: Mapping[str, Any], margin: float, terms: sentences.Terms, *, conditional: bool) -> dict[str, Any]:
    low, high = row["interval"]
    p, known = row["p_adjusted"], low is not None and high is not None
    scope = sentences.SETTINGS if conditional else ""
    if p is None:
        return {"verdict": "cannot be judged", "meaningful": False}
    if known and margin <= terms.alpha and max(-low, high) <= terms.equivalence_margin:
        return {"verdict": "equivalent" + scope, "meaningful": False}
    if not known or p > terms.alpha or low <= 0 <= high:
        few = row["n"] < terms.least and not row["identical"]
        return {"verdict": "cannot be judged" if few else "no evidence", "meaningful": False}
    better = row["difference"] * terms.sign > 0
    chance, bottom = row["probability"], row["probability_interval"][0]
    if not better:
        chance, bottom = 1 - chance, 1 - row["probability_interval"][1]
    return {
        "verdict": ("better" if better else "worse") + scope,
        "meaningful": bool(bottom > 0.5 and chance >= terms.min_win_probability - 1e-12),
    }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
