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

SETTINGS = " for the settings found"  # ends a verdict that speaks of settings, not of methods


class Terms(NamedTuple):
    """What the verdicts of one family need beside the numbers."""

    metric: str
    sign: int  # 1 where a higher score is better, else -1
    alpha: float
    equivalence_margin: float
    min_win_probability: float
    min_pairs: int
    least: int  # blocks at which the smallest possible p, after Holm, can reach alpha


def sentence(row: Mapping[str, Any], gain: NDArray[np.float64], margin: float, terms: Terms) -> str:
    """Return the verdict of one comparison with its numbers.

    Args:
        row: from `verdicts.compare`, without its sentence; gain: paired differences [n], above 0 where `a` is better.
        margin: TOST p after Holm; terms: of the family.
    Returns:
        One or two sentences.
    """
    a, b, n, p = row["a"], row["b"], row["n"], row["p_adjusted"]
    count = f"wins {(gain > 0).sum()}" + (f", ties {(gain == 0).sum()}," if (gain == 0).any() else "")
    unit = "search" if row["unit"] == "search" else "pair"
    effect = f"{_difference(row)} {terms.metric} {_interval(row)}, {count} of {n} {plural(unit, n)}"
    word = row["verdict"]
    verdict = word.removesuffix(SETTINGS)
    if row["identical"] and verdict != "equivalent":
        said = (
            f"{a} and {b} have the same score, to the bit, in all {row['lanes']} {plural('run', row['lanes'])}: what "
            "they differ in changed nothing that the metric sees."
        )
    elif verdict == "cannot be judged":
        said = (
            f"{a} against {b} cannot be judged with {n} {plural('block', n)}; {terms.least} are needed"
            f"{_family(terms)}: {effect}."
        )
    elif verdict == "equivalent":
        within = f"equivalent within {terms.equivalence_margin:.3g}"
        said = f"{a} and {b} are {within}: {effect}, {_p(margin)} (TOST) after Holm."
    elif verdict == "no evidence":
        said = f"no evidence that {a} differs from {b}: {effect}, {_p(p)} after Holm{_limits(row, terms)}."
    else:
        said = f"{a} is {verdict} than {b}: {effect}, {_p(p)} after Holm; {_size(row, terms)}."
    if word != verdict:
        said = (
            f"for the settings found, {said} This makes no claim about the methods: other searches might have found "
            f"other settings (at least {terms.min_pairs} searches are needed)."
        )
    gone = row["diverged"]
    if gone["a"] or gone["b"]:
        said += f" Diverged, counted as the worst outcome: {a} {gone['a']}, {b} {gone['b']} of {row['lanes']}."
    return said


def _family(terms: Terms) -> str:
    return "" if terms.least == terms.min_pairs else " for so many comparisons"


def _limits(row: Mapping[str, Any], terms: Terms) -> str:
    n, p, visible = row["n"], row["p_adjusted"], row["smallest_visible"]
    if p <= terms.alpha:
        return " (the test alone would say so, but the interval holds 0)"
    return f" ({n} {plural(row['unit'], n)} are too few to see less than {visible:.2g})" if visible else ""


def _size(row: Mapping[str, Any], terms: Terms) -> str:
    if row["meaningful"]:
        return "meaningful"
    chance, (low, high) = row["probability"], row["probability_interval"]
    if row["verdict"].startswith("worse"):
        chance, low, high = 1 - chance, 1 - high, 1 - low
    return (
        f"not shown to be meaningful: the better arm wins a pair with probability {chance:.2g} "
        f"[{low:.2g}, {high:.2g}], asked are {terms.min_win_probability:.2g} and an interval above 0.5"
    )


def clauses(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Gather what a headline says of all comparisons, one clause for each baseline and word.

    Args:
        comparisons: from `verdicts.compare`.
    Returns:
        The clauses; empty without comparisons.
    """
    better: dict[tuple[str, str], list[str]] = {}
    equivalent: dict[tuple[str, str], list[str]] = {}
    silent: dict[str, list[str]] = {}
    identical: dict[str, list[str]] = {}
    few = ""
    for row in comparisons:
        a, b, word = row["a"], row["b"], row["verdict"]
        verdict = word.removesuffix(SETTINGS)
        scope = "for the settings found, " if word != verdict else ""
        if verdict in ("better", "worse"):
            winner, loser = (a, b) if verdict == "better" else (b, a)
            hedge = "" if row["meaningful"] else ", not shown to be meaningful"
            gain = f"{winner} ({_difference(row, flip=verdict == 'worse')}{hedge})"
            better.setdefault((scope, loser), []).append(gain)
        elif verdict == "equivalent":
            equivalent.setdefault((scope, b), []).append(a)
        elif row["identical"]:
            identical.setdefault(b, []).append(a)
        elif verdict == "cannot be judged":
            few = f"cannot be judged with {row['n']} {plural('block', row['n'])}; {row['needed']} are needed"
        else:
            silent.setdefault(b, []).append(a)
    said = [f"{scope}{_join(arms)} {plural('is', len(arms))} better than {b}" for (scope, b), arms in better.items()]
    said += [
        f"{scope}{_join(arms)} {plural('is', len(arms))} equivalent to {b}" for (scope, b), arms in equivalent.items()
    ]
    said += [f"no evidence that {_join(arms, 'or')} differs from {b}" for b, arms in silent.items()]
    said += [f"{_join(arms)} gave the very scores of {b}, to the bit" for b, arms in identical.items()]
    return said + ([few] if few else [])


def plural(word: str, count: int) -> str:
    """Return a noun, or "is", in the number that goes with a count."""
    if count == 1:
        return word
    return {"is": "are", "search": "searches"}.get(word, f"{word}s")


def _join(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def with_interval(row: Mapping[str, Any], spec: str = ".4g") -> str:
    """Write the mean of an arm with its interval, "0.823 [0.810, 0.835]".

    Args:
        row: of `run.summary["arms"]`: its mean, and its interval, which one block has not.
        spec: format of each number.
    """
    (low, high), mean = row["interval"], row["mean"]
    said = "not finite" if mean is None else f"{mean:{spec}}"
    return said if low is None or high is None else f"{said} [{low:{spec}}, {high:{spec}}]"


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
