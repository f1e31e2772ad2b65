"""The page's tables and sentences about searches: how arms were tuned, what that promised, where scores spread.

Every function returns finished HTML; every value goes through `formatting.escape`. No statistics are made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepprinciples.report import formatting, search_text
from deepprinciples.report.html_tables import bullets, confidence, grid, person

_SHARES = ("search", "seed", "rest")


def tuning(summary: Mapping[str, Any]) -> str:
    """Return how the arms were tuned, with the values that lie on an edge in most searches."""
    protocol = formatting.table(summary.get("protocol"))
    trials, seeds, searches = (protocol.get(key) for key in ("trials", "tuning_seeds", "searches"))
    lines = []
    if trials:
        budget = f"{search_text.count(trials, 'trial')} with {search_text.count(seeds, 'tuning seed')} each"
        lines.append(
            f"Every arm got the same budget: {search_text.count(searches or 1, 'search')} of {budget}, judged on "
            "validation data; what each search chose was trained on seeds of its own, and judged once on test data."
        )
    for row in formatting.rows(summary.get("arms")):
        if row.get("on_edge") is True:
            edges = ", ".join(formatting.sentences(row.get("edges"))) or "value"
            arm = formatting.name(row.get("name"))
            lines.append(
                f"{arm}: in most searches the best {edges} is on the edge of its range, which may be too narrow."
            )
    return bullets(lines) if lines else "<p>Nothing was tuned.</p>"


def promises(summary: Mapping[str, Any]) -> str:
    """Return validation scores when a setting was chosen and with fresh seeds; empty where nothing was tuned."""
    held = [row for row in formatting.rows(summary.get("arms")) if formatting.table(row.get("promise"))]
    if not held:
        return ""
    places = formatting.decimals(formatting.table(row["promise"]).get("interval") for row in held)
    metric = formatting.name(summary.get("metric"))
    head = [
        ("arm", "text"), ("promised", ""), ("fresh", ""), ("drop", ""), (f"{confidence(summary)} interval", ""),
        ("", "short"),
    ]  # fmt: skip
    words = (
        f"Promised is the validation {metric} with which a setting won its search, fresh is that of the same setting "
        "with new seeds; both are means over searches. The best of many noisy scores is lucky too (the winner's "
        "curse), so a small drop is normal."
    )
    body = [_promise(row, places) for row in held]
    return f"<h3>What the searches promised</h3><p>{formatting.escape(words)}</p>" + grid(head, body, "Promises")


def _promise(row: Mapping[str, Any], places: int | None) -> list[str]:
    one = formatting.table(row.get("promise"))
    flag = '<span class="word flag">falls short</span>' if one.get("broken") is True else ""
    cells = [
        formatting.estimate(one.get("promised"), one.get("interval"), places=places),
        formatting.estimate(one.get("fresh"), one.get("interval"), places=places),
        formatting.estimate(one.get("drop"), one.get("interval"), signed=True, places=places),
        formatting.bounds(one.get("interval"), signed=True, places=places),
    ]
    return [person(row.get("name")), *map(formatting.escape, cells), flag]


def variance(summary: Mapping[str, Any]) -> str:
    """Return where the spread of each arm's test scores comes from; empty where that is not known."""
    rows = formatting.rows(summary.get("arms"))
    held = [row for row in rows if any(formatting.finite(value) is not None for value in _shares(row))]
    if not held:
        return ""
    words = (
        "Shares of the variance of an arm's test scores. Search: which setting a search happened to find. Seed: what a "
        "seed does to all arms alike, which a paired difference does not contain. Rest: the luck of a single run."
    )
    head = [("arm", "text"), ("", "short"), *((name, "") for name in _SHARES)]
    body = [_variance(row) for row in held]
    return f"<h3>Where the scores' spread comes from</h3><p>{words}</p>" + grid(head, body, "Shares of variance")


def _shares(row: Mapping[str, Any]) -> list[Any]:
    known = formatting.table(row.get("variance"))
    return [known.get(name) for name in _SHARES]


def _variance(row: Mapping[str, Any]) -> list[str]:
    shares = _shares(row)
    widths = [min(1.0, max(0.0, formatting.finite(value) or 0.0)) for value in shares]
    parts = "".join(
        f'<i class="{name}" style="width:{100 * w:.1f}%"></i>' for name, w in zip(_SHARES, widths, strict=True)
    )
    cells = [
        f'<i class="key {name}"></i>{formatting.escape(formatting.share(value))}'
        for name, value in zip(_SHARES, shares, strict=True)
    ]
    if not search_text.in_searches(row):
        cells[0] = formatting.NOTHING  # an arm that was not tuned has no search to vary
    return [person(row.get("name")), f'<span class="bar" aria-hidden="true">{parts}</span>', *cells]


def importance(summary: Mapping[str, Any]) -> str:
    """Return what the scores of the trials depend on, setting or seed; empty where that was not looked at."""
    rows = formatting.rows(summary.get("importance"))
    if not rows:
        return ""
    title = "<h3>Setting or seed?</h3>"
    if not any(row.get("setting") is not None or formatting.rows(row.get("parameters")) for row in rows):
        notes = {formatting.name(row.get("name")): formatting.parameters(row) for row in rows if row.get("note")}
        if len(set(notes.values())) == 1:
            return f"{title}<p>{formatting.escape(next(iter(notes.values())))}.</p>"
        return title + bullets(f"{name}: {note}" for name, note in notes.items()) if notes else ""
    head = [
        ("arm", "text"), ("setting", ""), (f"{confidence(summary)} interval", ""), ("seed", ""),
        ("of what the setting decides", "text"),
    ]  # fmt: skip
    words = (
        "How much of the variance of the trials' validation scores the setting decides, and how much is left to the "
        "seed, in the range that was searched; a diverged trial counts as the worst."
    )
    return f"{title}<p>{words}</p>" + grid(head, [_importance(row) for row in rows], "Importance")


def _importance(row: Mapping[str, Any]) -> list[str]:
    shares = [
        formatting.share(row.get("setting")),
        formatting.shares(row.get("interval")),
        formatting.share(row.get("seed")),
    ]
    return [person(row.get("name")), *(formatting.escape(cell) for cell in [*shares, formatting.parameters(row)])]
