"""How a verdict reads to a person: one sentence a comparison, and the clauses of a headline.

The words are fixed and decided in verdicts.py; here they only meet their numbers, rounded so that a difference
lines up with its interval and no bound clear of 0 is shown as 0. Nothing is computed or judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Terms(NamedTuple):
    """What the verdicts of one family need beside the numbers."""

    metric: str
    sign: int  # 1 where a higher score is better, else -1
    alpha: float
    delta: float
    meaningful: float
    min_pairs: int
    least: int  # pairs at which the smallest possible p, after Holm, can reach alpha


def sentence(row: Mapping[str, Any], gain: NDArray[np.float64], margin: float, terms: Terms) -> str:
    """Say the verdict of one comparison with its numbers.

    Args:
        row: from `verdicts.compare`, without its sentence; gain: paired differences [n], above 0 where `a` is better.
        margin: TOST p after Holm; terms: of the family.
    Returns:
        One or two sentences.
    """
    a, b, n, p = row["a"], row["b"], row["n"], row["p_adjusted"]
    count = f"wins {(gain > 0).sum()}" + (f", ties {(gain == 0).sum()}," if (gain == 0).any() else "")
    effect = f"{_difference(row)} {terms.metric} {_interval(row)}, {count} of {n} {plural('pair', n)}"
    verdict = row["verdict"]
    if verdict == "too few pairs":
        said = f"too few pairs to judge {a} against {b}: {effect} (n = {n}, {terms.min_pairs} are needed)."
    elif verdict == "equivalent":
        said = f"{a} and {b} are equivalent within {terms.delta:.3g}: {effect}, {_p(margin)} (TOST) after Holm."
    elif verdict == "no evidence":
        said = f"no evidence that {a} differs from {b}: {effect}, {_p(p)} after Holm{_limits(row, terms)}."
    else:
        said = f"{a} is {verdict} than {b}: {effect}, {_p(p)} after Holm; {_size(row, terms)}."
    gone = row["diverged"]
    if gone["a"] or gone["b"]:
        said += f" Diverged, counted as the worst outcome: {a} {gone['a']}, {b} {gone['b']} of {n}."
    return said


def _limits(row: Mapping[str, Any], terms: Terms) -> str:
    n, p, visible = row["n"], row["p_adjusted"], row["smallest_visible"]
    if n < terms.least:
        return f" (with so many comparisons n = {n} can show nothing; {terms.least} pairs are needed)"
    if p <= terms.alpha:
        return " (the test alone would say so, but the interval holds 0)"
    return f" (n = {n} is too small to see less than {visible:.2g})" if visible else ""


def _size(row: Mapping[str, Any], terms: Terms) -> str:
    if row["meaningful"]:
        return "meaningful"
    chance, (low, high) = row["probability"], row["probability_interval"]
    if row["verdict"] == "worse":
        chance, low, high = 1 - chance, 1 - high, 1 - low
    return (
        f"not shown to be meaningful: the better arm wins a pair with probability {chance:.2g} "
        f"[{low:.2g}, {high:.2g}], asked are {terms.meaningful:.2g} and an interval above 0.5"
    )


def clauses(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Gather what a headline says of all comparisons, one clause for each baseline and word.

    Args:
        comparisons: from `verdicts.compare`.
    Returns:
        The clauses; empty without comparisons.
    """
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
    said = [f"{_join(arms)} {plural('is', len(arms))} better than {b}" for b, arms in better.items()]
    said += [f"{_join(arms)} {plural('is', len(arms))} equivalent to {b}" for b, arms in equivalent.items()]
    said += [f"no evidence that {_join(arms, 'or')} differs from {b}" for b, arms in silent.items()]
    return said + (["too few pairs for a verdict"] if few else [])


def plural(word: str, count: int) -> str:
    """Put a noun, or "is", into the number that goes with a count."""
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
