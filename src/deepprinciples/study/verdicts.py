"""What may be said of the arms of a study, in words and numbers.

This room holds the family of comparisons: which p-values are adjusted together, when a word is allowed, and how it
reads to a person. The formulas are in statistics.py; tables and pages are made elsewhere, from the plain dicts returned
here, which hold nothing but strings, booleans, ints, floats, lists and None (for what cannot be computed).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepprinciples.errors import ConfigError, DataError
from deepprinciples.study import statistics

CLAIM_SEEDS = 30  # Noether: P(A > B) = 0.75 is found 95 times in 100


class _Words(NamedTuple):
    """What the verdicts of one family need beside the numbers."""

    metric: str
    sign: int  # 1 where a higher score is better, else -1
    alpha: float
    delta: float
    meaningful: float
    min_pairs: int
    least: int  # pairs at which the smallest possible p, after Holm, can reach alpha


def compare(
    scores: ArrayLike,
    diverged: ArrayLike,
    names: Sequence[str],
    *,
    pairs: Iterable[tuple[int, int]],
    higher_is_better: bool,
    metric: str = "score",
    bound: float | None = None,
    confidence: float = 0.95,
    delta: float = 0.0,
    meaningful: float = 0.75,
    min_pairs: int = 6,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Judge pairs of arms; every comparison made belongs to one family.

    "better" and "worse" need both: sign-flip p after Holm <= 1 - confidence, and an interval of the difference without
    0. "equivalent" needs delta > 0, TOST p after Holm <= 1 - confidence, and the interval inside +-delta; it goes
    before "better", because the user said that less than delta does not matter. The TOST p-values are a Holm family of
    their own: for one pair the two null hypotheses cannot both be true. `p` is None below min_pairs.

    Args:
        scores: [arm, seed], column k from seed k in every arm; diverged: bool [arm, seed]; these lanes count as worst.
        names: of the arms; pairs: (i, j) compares arm i (a) with arm j (b).
        higher_is_better, metric, bound: direction, name, and worst possible value of the metric, if it has one.
        confidence: of every interval; 1 - confidence is the familywise error. delta: margin of equivalence, 0 for none.
        meaningful: P(winner beats loser) asked of a meaningful gain. min_pairs: below it, no p and no verdict.
        seed: of resampling and random sign patterns.
    Returns:
        One dict per pair: a, b, n, difference (mean of a - b), interval, probability (that a beats b, whichever
        direction is better), probability_interval, p, p_adjusted, correlation, smallest_visible (difference found with
        80 % power after correction), diverged {"a", "b"}, meaningful (also for "worse": the winner's gain), verdict
        ("better", "worse", "equivalent", "no evidence", "too few pairs"; of a), sentence.
    Raises:
        DataError: shapes, names and pairs do not fit. ConfigError: an impossible confidence or delta.
    """
    values, lost = _judged(scores, diverged, names, higher_is_better=higher_is_better, bound=bound)
    wanted = list(pairs)
    _check(wanted, len(names), confidence, delta)
    alpha, family, sign = 1 - confidence, max(1, len(wanted)), 1 if higher_is_better else -1
    least = max(min_pairs, math.ceil(1 - 1e-9 + math.log2(family / alpha)))
    words = _Words(metric, sign, alpha, delta, meaningful, min_pairs, least)
    rows = [_measured(values[i], values[j], sign=sign, confidence=confidence, seed=seed) for i, j in wanted]
    gaps = [statistics.differences(values[i], values[j]) for i, j in wanted]
    p, adjusted, margins = _tested(gaps, delta=delta, seed=seed) if values.shape[1] >= min_pairs else _untested(gaps)
    for k, (i, j) in enumerate(wanted):
        row, gap = rows[k], gaps[k]
        visible = _visible(gap, alpha=alpha / family) if gap.size >= least else None
        row |= {"a": names[i], "b": names[j], "p": p[k], "p_adjusted": adjusted[k], "smallest_visible": visible}
        row["diverged"] = {"a": int(lost[i].sum()), "b": int(lost[j].sum())}
        row |= _verdict(row, margins[k], words)
        row["sentence"] = _sentence(row, sign * gap, margins[k], words)
    return rows


def arm_rows(
    scores: ArrayLike,
    diverged: ArrayLike,
    names: Sequence[str],
    *,
    higher_is_better: bool,
    bound: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Describe each arm alone. Its interval says nothing about a paired difference: for that, `compare`.

    Args:
        as in `compare`.
    Returns:
        One dict per arm: name, n, mean (diverged lanes count as worst), interval, diverged (lanes), diverged_interval
        (Wilson interval of the rate).
    Raises:
        DataError: shapes and names do not fit.
    """
    values, lost = _judged(scores, diverged, names, higher_is_better=higher_is_better, bound=bound)
    rows = []
    for name, row, gone in zip(names, values, lost, strict=True):
        mean = statistics.mean_interval(row, confidence=confidence, seed=seed)
        rate = statistics.wilson(int(gone.sum()), gone.size, confidence=confidence)
        rows.append(
            {
                "name": name,
                "n": int(row.size),
                "mean": _plain(mean.value),
                "interval": [_plain(mean.low), _plain(mean.high)],
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
    """Say the verdict of a study in one sentence.

    Args:
        comparisons: from `compare`; arms: from `arm_rows`; metric: its name; claim_seeds: fewer are called exploratory.
    Returns:
        The sentence.
    """
    seeds = min((int(row["n"]) for row in arms), default=0)
    clauses = _clauses(comparisons) or ["nothing was compared"]
    gone = [f"{row['name']} {row['diverged']} of {row['n']}" for row in arms if row["diverged"]]
    if gone:
        clauses.append("diverged: " + ", ".join(gone))
    note = f" (exploratory: {seeds} {_plural('seed', seeds)}; {claim_seeds} make a claim)"
    return f"On {metric}: {'; '.join(clauses)}{note if seeds < claim_seeds else ''}."


def _judged(
    scores: ArrayLike, diverged: ArrayLike, names: Sequence[str], *, higher_is_better: bool, bound: float | None
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    found = np.asarray(scores)
    if found.ndim != 2 or found.shape[0] != len(names) or not found.size:
        raise DataError(
            f"scores: found shape {found.shape}; expected [{len(names)} arms, 1 or more seeds]; give one row per name"
        )
    values = statistics.worst_case(scores, diverged, higher_is_better=higher_is_better, bound=bound)
    return values, np.asarray(diverged, dtype=bool) | ~np.isfinite(found.astype(np.float64))


def _check(pairs: Sequence[tuple[int, int]], arms: int, confidence: float, delta: float) -> None:
    for i, j in pairs:
        if i == j or not (0 <= i < arms and 0 <= j < arms):
            raise DataError(f"pairs: found ({i}, {j}); expected two different arms from 0 to {arms - 1}; mend the pair")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence: found {confidence}; expected between 0 and 1; 0.95 is usual")
    if not 0 <= delta < math.inf:
        raise ConfigError(f"delta: found {delta}; expected 0 (no margin) or a positive number; give the margin's size")


def _tested(
    gaps: Sequence[NDArray[np.float64]], *, delta: float, seed: int
) -> tuple[list[float], list[float], list[float]]:
    # Holm compares p with alpha / family: the more comparisons, the finer the p that must be resolved.
    draws = min(100_000, max(10_000, 1_000 * len(gaps)))
    p = [statistics.sign_flip_test(gap, draws=draws, seed=seed) for gap in gaps]
    margins = [statistics.equivalence_p(gap, delta=delta) for gap in gaps]
    return p, statistics.holm(p).tolist(), statistics.holm(margins).tolist()


def _untested(gaps: Sequence[NDArray[np.float64]]) -> tuple[list[None], list[None], list[float]]:
    return [None] * len(gaps), [None] * len(gaps), [1.0] * len(gaps)


def _visible(gap: NDArray[np.float64], *, alpha: float) -> float | None:
    # Without spread the formula says 0, which no finite sample can promise.
    if gap.size < 2 or np.ptp(gap) == 0.0:
        return None
    return _plain(statistics.minimum_detectable(float(gap.std(ddof=1)), gap.size, alpha=alpha))


def _measured(
    a: NDArray[np.floating], b: NDArray[np.floating], *, sign: int, confidence: float, seed: int
) -> dict[str, Any]:
    difference = statistics.paired_difference(a, b, confidence=confidence, seed=seed)
    chance = statistics.probability_of_superiority(sign * a, sign * b, confidence=confidence)
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
        "correlation": _plain(statistics.correlation(a, b)),
    }


def _verdict(row: Mapping[str, Any], margin: float, words: _Words) -> dict[str, Any]:
    low, high = row["interval"]
    if row["p_adjusted"] is None:
        return {"verdict": "too few pairs", "meaningful": False}
    known = low is not None and high is not None
    if known and margin <= words.alpha and max(-low, high) <= words.delta:
        return {"verdict": "equivalent", "meaningful": False}
    if not known or row["p_adjusted"] > words.alpha or low <= 0 <= high:
        return {"verdict": "no evidence", "meaningful": False}
    better = row["difference"] * words.sign > 0
    chance, bottom = row["probability"], row["probability_interval"][0]
    if not better:
        chance, bottom = 1 - chance, 1 - row["probability_interval"][1]
    return {
        "verdict": "better" if better else "worse",
        "meaningful": bool(bottom > 0.5 and chance >= words.meaningful - 1e-12),
    }


def _sentence(row: Mapping[str, Any], gain: NDArray[np.float64], margin: float, words: _Words) -> str:
    a, b, n, p = row["a"], row["b"], row["n"], row["p_adjusted"]
    count = f"wins {(gain > 0).sum()}" + (f", ties {(gain == 0).sum()}," if (gain == 0).any() else "")
    effect = f"{_difference(row)} {words.metric} {_interval(row)}, {count} of {n} {_plural('pair', n)}"
    verdict = row["verdict"]
    if verdict == "too few pairs":
        said = f"too few pairs to judge {a} against {b}: {effect} (n = {n}, {words.min_pairs} are needed)."
    elif verdict == "equivalent":
        said = f"{a} and {b} are equivalent within {words.delta:.3g}: {effect}, {_p(margin)} (TOST) after Holm."
    elif verdict == "no evidence":
        said = f"no evidence that {a} differs from {b}: {effect}, {_p(p)} after Holm{_limits(row, words)}."
    else:
        said = f"{a} is {verdict} than {b}: {effect}, {_p(p)} after Holm; {_size(row, words)}."
    gone = row["diverged"]
    if gone["a"] or gone["b"]:
        said += f" Diverged, counted as the worst outcome: {a} {gone['a']}, {b} {gone['b']} of {n}."
    return said


def _limits(row: Mapping[str, Any], words: _Words) -> str:
    n, p, visible = row["n"], row["p_adjusted"], row["smallest_visible"]
    if n < words.least:
        return f" (with so many comparisons n = {n} can show nothing; {words.least} pairs are needed)"
    if p <= words.alpha:
        return " (the test alone would say so, but the interval holds 0)"
    return f" (n = {n} is too small to see less than {visible:.2g})" if visible else ""


def _size(row: Mapping[str, Any], words: _Words) -> str:
    if row["meaningful"]:
        return "meaningful"
    chance, (low, high) = row["probability"], row["probability_interval"]
    if row["verdict"] == "worse":
        chance, low, high = 1 - chance, 1 - high, 1 - low
    return (
        f"not shown to be meaningful: the better arm wins a pair with probability {chance:.2g} "
        f"[{low:.2g}, {high:.2g}], asked are {words.meaningful:.2g} and an interval above 0.5"
    )


def _clauses(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    better: dict[str, list[str]] = {}
    equivalent: dict[str, list[str]] = {}
    silent: dict[str, list[str]] = {}
    few = 0
    for row in comparisons:
        a, b, verdict = row["a"], row["b"], row["verdict"]
        if verdict in ("better", "worse"):
            winner, loser = (a, b) if verdict == "better" else (b, a)
            hedge = "" if row["meaningful"] else ", not shown to be meaningful"
            better.setdefault(loser, []).append(f"{winner} ({_difference(row, flip=verdict == 'worse')}{hedge})")
        elif verdict == "too few pairs":
            few += 1
        else:
            (equivalent if verdict == "equivalent" else silent).setdefault(b, []).append(a)
    said = [f"{_join(arms)} {_plural('is', len(arms))} better than {b}" for b, arms in better.items()]
    said += [f"{_join(arms)} {_plural('is', len(arms))} equivalent to {b}" for b, arms in equivalent.items()]
    said += [f"no evidence that {_join(arms, 'or')} differs from {b}" for b, arms in silent.items()]
    return said + (["too few pairs for a verdict"] if few else [])


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plural(word: str, count: int) -> str:
    return word if count == 1 else "are" if word == "is" else f"{word}s"


def _join(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _format(row: Mapping[str, Any]) -> str:
    # Two digits of the interval's width, so that the numbers line up; more only where an end would round to 0.
    low, high = row["interval"]
    if low is None or high is None or high <= low or max(abs(low), abs(high)) >= 1e6 or high - low < 1e-7:
        return "z.3g"
    digits = 1 - math.floor(math.log10(high - low))
    nearest = min(abs(low), abs(high))
    if nearest > 0:
        digits = max(digits, min(digits + 2, -math.floor(math.log10(nearest))))
    return f"z.{max(0, digits)}f"


def _difference(row: Mapping[str, Any], *, flip: bool = False) -> str:
    return f"{-row['difference'] if flip else row['difference']:+{_format(row)}}"


def _interval(row: Mapping[str, Any]) -> str:
    return "[" + ", ".join("?" if end is None else f"{end:{_format(row)}}" for end in row["interval"]) + "]"


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
