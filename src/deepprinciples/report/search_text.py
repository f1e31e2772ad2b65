"""What searches chose and what they could show, in plain words for the page and for the terminal.

Numbers come with the summary; none are made here. Escaping, color and layout belong to the callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepprinciples.report import formatting

SETTINGS = " for the settings found"  # ends a verdict that makes no claim about the methods


def verdict(value: Any) -> tuple[str, bool]:
    """Return the word of a verdict, and whether it holds for the settings found only."""
    words = formatting.name(value)
    return words.removesuffix(SETTINGS), words.endswith(SETTINGS)


def in_searches(row: Mapping[str, Any]) -> int:
    """Return how many searches the runs of an arm come from, 0 where it was not tuned."""
    return len(formatting.rows(row.get("chosen")))


def runs(row: Mapping[str, Any]) -> str:
    """Return how many runs an arm has, and from how many searches: "30 in 10 searches"."""
    searches = in_searches(row)
    return formatting.number(row.get("n")) + (f" in {count(searches, 'search')}" if searches else "")


def pairs(row: Mapping[str, Any]) -> str:
    """Return what a comparison counts as one pair, and how many there are: "10 searches", "30 seeds"."""
    n = row.get("n")
    return (
        count(n, formatting.name(row.get("unit"))) if isinstance(n, int) and row.get("unit") else formatting.number(n)
    )


def count(number: Any, noun: str) -> str:
    """Return a number with its noun: "1 search", "10 searches"."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{formatting.number(number)} {noun if number == 1 else plural}"


def tuned(row: Mapping[str, Any], *, short: bool = False) -> list[str]:
    """Return each tuned value of an arm with its range over the searches: "learning_rate = 0.028 (0.008 to 0.05)".

    Args:
      row: of an arm, from the summary.
      short: keep the last word of a path where that is unambiguous.
    """
    typical, points = formatting.table(row.get("tuned_point")), formatting.rows(row.get("chosen"))
    words = formatting.last_words(typical) if short else list(map(str, typical))
    return [
        f"{formatting.name(word)} = {_typical(value, [point.get(path) for point in points])}"
        for word, (path, value) in zip(words, typical.items(), strict=True)
    ]


def _typical(value: Any, chosen: list[Any]) -> str:
    held = [number for one in chosen if (number := formatting.finite(one)) is not None]
    middle = formatting.finite(value)
    if middle is None or len(held) < 2:
        return formatting.setting(value)
    low, high = _brief(min(held)), _brief(max(held))
    return _brief(middle) + (f" ({low} to {high})" if low != high else "")


def _brief(value: float) -> str:
    return formatting.number(value, 2) if abs(value) < 100 or abs(value) >= 1e5 else f"{value:.0f}"


def can_show(summary: Mapping[str, Any]) -> str:
    """Return what so many searches or seeds could show at best, whatever their scores; empty where it is not known."""
    protocol, compared = formatting.table(summary.get("protocol")), formatting.rows(summary.get("comparisons"))
    known = formatting.table(protocol.get("can_show"))
    blocks, needed, least = (
        protocol.get("blocks"),
        formatting.finite(known.get("needed")),
        formatting.finite(known.get("p")),
    )
    if not compared or not isinstance(blocks, int) or needed is None or least is None:
        return ""
    unit = "search" if protocol.get("searches") else "seed"
    level = formatting.finite(protocol.get("confidence"))
    alpha = formatting.number(1 - (0.95 if level is None else level), 2)
    after = f" after Holm over {count(len(compared), 'comparison')}" if len(compared) > 1 else ""
    said = (
        f"With {count(blocks, unit)} per arm the smallest p that can be reached{after} is "
        f"{formatting.number(least, 2) if least >= 1e-4 else 'below 0.0001'}; {count(int(needed), unit)} are needed "
        f"for {alpha}."
    )
    if unit == "search" and any(row.get("unit") == "seed" for row in compared):
        return f"{said} So seeds were compared, and that makes no claim about the methods."
    visible = formatting.finite(known.get("difference"))
    if visible is None or blocks < needed:
        return said
    size = formatting.number(visible, 2)
    spread = "standard deviation" if size == "1" else "standard deviations"
    between = "searches" if unit == "search" else "seeds"
    return f"{said} A true difference of {size} {spread} of the differences between {between} is found 4 times in 5."


def kept(summary: Mapping[str, Any]) -> str:
    """Return the steps after which the judged states were reached; empty where these are the last ones in all arms."""
    found = [
        f"{formatting.name(row.get('name'))} {formatting.number(row.get('kept_step'))}"
        for row in formatting.rows(summary.get("arms"))
        if row.get("kept_step") is not None
    ]
    steps = formatting.number(formatting.table(summary.get("protocol")).get("steps"))
    return f"Judged after so many of {steps} steps, the median of the runs: {', '.join(found)}." if found else ""


def budget(summary: Mapping[str, Any]) -> list[str]:
    """Return how the arms were tuned, with the values that lie on an edge in most searches; empty without tuning."""
    protocol = formatting.table(summary.get("protocol"))
    trials, seeds, searches = (protocol.get(key) for key in ("trials", "tuning_seeds", "searches"))
    lines = []
    if trials:
        each = f"{count(trials, 'trial')} with {count(seeds, 'tuning seed')} each"
        lines.append(
            f"Every arm got the same budget: {count(searches or 1, 'search')} of {each}, scored on validation data; "
            "the setting that each search chose was trained on seeds of its own, and scored once on test data."
        )
    for row in formatting.rows(summary.get("arms")):
        if row.get("on_edge") is True:
            edges, arm = ", ".join(formatting.sentences(row.get("edges"))) or "value", formatting.name(row.get("name"))
            lines.append(
                f"{arm}: in most searches the best {edges} is on the edge of its range, which may be too narrow."
            )
    return lines


def notes(summary: Mapping[str, Any]) -> list[str]:
    """Return why the importance of arms is not known: one sentence where it is the same for all of them."""
    rows = [row for row in formatting.rows(summary.get("importance")) if row.get("note")]
    found = [(formatting.name(row.get("name")), formatting.parameters(row)) for row in rows]
    return [found[0][1]] if len({note for _, note in found}) == 1 else [f"{name}: {note}" for name, note in found]
