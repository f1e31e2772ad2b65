"""Sections that the terminal shows when they are asked for: a search against its budget, and what its scores depend on.

And the table of a range test, which has no verdict. Numbers come with the summary; none are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deepprinciples.report import formatting, rich_text
from deepprinciples.report.search_text import count

_COLUMNS = 4  # budgets that 80 columns hold


def budget(summary: Mapping[str, Any], console: Console) -> None:
    """Print the best validation score to expect of a few budgets, and which arm leads from where to where.

    Args:
        summary: the dict of `summary.json`; any value may be None.
        console: where to print.
    """
    known = formatting.table(summary.get("budget"))
    rows = [(row, formatting.series(row, "trials", "expected", "spread")) for row in formatting.rows(known.get("arms"))]
    if not any(series for _, series in rows):
        rich_text.line(console, _nothing(summary, "budget"))
        return
    shown = _some([int(n) for n, *_ in max((series for _, series in rows), key=len)])
    body = []
    for row, series in rows:
        held = {int(n): f"{formatting.number(best)} ± {formatting.number(spread, 2)}" for n, best, spread in series}
        body.append([formatting.name(row.get("name")), *(held.get(n, formatting.NOTHING) for n in shown)])
    title = f"Best validation {formatting.shorten(summary.get('metric'), 24)} to expect of so many trials (± luck)"
    columns = [
        rich_text.folding("arm", min_width=8),
        *rich_text.numbers(*(count(n, "trial") for n in shown), no_wrap=False),
    ]
    rich_text.show(console, rich_text.grid(console, title, columns, body))
    for row in formatting.rows(known.get("leaders")):
        if formatting.sentences(row.get("arms")):
            rich_text.line(console, leader(row))
    rich_text.line(console, LUCK, "dim")


LUCK = (
    "The luck is that of which trials one search makes, out of those of all searches; scores are those of the "
    "validation split, and a diverged trial counts as the worst."
)


def attributions(means: Mapping[str, Mapping[str, float]], console: Console) -> None:
    """Print the mean of every metric of attributions, attribution -> metric -> value."""
    names = list(next(iter(means.values()), {}))
    if names:
        body = [[name, *(formatting.number(row[key], 3) for key in names)] for name, row in means.items()]
        columns = [rich_text.folding("attribution", min_width=8), *rich_text.numbers(*names, no_wrap=False)]
        rich_text.show(console, rich_text.grid(console, "What the maps are worth, mean over examples", columns, body))


def leader(row: Mapping[str, Any]) -> str:
    """Return a sentence on which arm leads from which budget to which."""
    arms, first, last = formatting.sentences(row.get("arms")), row.get("first"), row.get("last")
    span = f"{formatting.number(first)} to " if last != first else ""
    return f"With {span}{count(last, 'trial')} {', '.join(arms)} {'leads' if len(arms) == 1 else 'are level'}."


def _some(counts: list[int]) -> list[int]:
    """Choose at most four budgets by equal factors, the first and the last among them."""
    if len(counts) <= _COLUMNS:
        return counts
    wanted = [counts[-1] ** (k / (_COLUMNS - 1)) for k in range(_COLUMNS)]
    return sorted({min(counts, key=lambda n: abs(n - goal)) for goal in wanted})


def _nothing(summary: Mapping[str, Any], key: str) -> str:
    if summary.get(key) is None:
        return f"This run was made by a version that did not keep its {key}; run it again to see it."
    return f"There is no {key} to show: nothing was tuned."


def importance(summary: Mapping[str, Any], console: Console) -> None:
    """Print what the scores of each arm's trials depend on: setting or seed, and which hyper-parameter.

    Args:
        summary: the dict of `summary.json`; any value may be None.
        console: where to print.
    """
    rows = formatting.rows(summary.get("importance"))
    if not rows:
        rich_text.line(console, _nothing(summary, "importance"))
        return
    rich_text.show(console, *(_importance(console, rows, stacked) for stacked in (False, True)))
    rich_text.line(console, RANGE, "dim")


def _importance(console: Console, rows: list[Mapping[str, Any]], stacked: bool) -> Table:
    """Return the table of importance; stacked, a narrow one whose interval stands below the share."""
    body = []
    for row in rows:
        shares = [formatting.share(row.get("setting")), formatting.shares(row.get("interval"))]
        cells = [rich_text.stacked(console, shares)] if stacked else shares
        seed, decided = formatting.share(row.get("seed")), formatting.parameters(row)
        body.append([formatting.name(row.get("name")), *cells, seed, decided])
    titles = ("setting", "seed") if stacked else ("setting", "interval", "seed")
    columns = [rich_text.folding("arm"), *rich_text.numbers(*titles), rich_text.folding("of what the setting decides")]
    title = "What the scores of the trials depend on (share of their variance)"
    return rich_text.grid(console, title, columns, body)


RANGE = (
    "Shares are those in the range that was searched: a wider one makes its setting matter more. Seed is what is left "
    "to luck at one setting."
)


def sizes(summary: Mapping[str, Any], console: Console) -> None:
    """Print the sizes of the arms' models beside their means; nothing where all are alike.

    Args:
        summary: the dict of `summary.json`; any value may be None.
        console: where to print.
    """
    keys, rows = formatting.sizes(summary), formatting.rows(summary.get("arms"))
    if not keys:
        return
    places = formatting.decimals(row.get("interval") for row in rows)
    body: list[list[str | Text]] = [
        [formatting.name(row.get("name")), *(formatting.whole(formatting.table(row.get("size")).get(k)) for k in keys),
         formatting.estimate(row.get("mean"), row.get("interval"), places=places)]
        for row in rows
    ]  # fmt: skip
    titles = [*(key.replace("_", "-") for key in keys), formatting.shorten(summary.get("metric"), 16)]
    columns = [rich_text.folding("arm", min_width=8), *rich_text.numbers(*titles)]
    rich_text.show(console, rich_text.grid(console, "Size of the models", columns, body))


def rates(summary: Mapping[str, Any], console: Console) -> None:
    """Print what a range test saw of each arm, and the lines to paste into a config.

    Args:
        summary: the dict of `summary.json` of a lr-find run; any value may be None.
        console: where to print.
    """
    rows = formatting.rows(summary.get("rates"))
    titles = ("falls fastest", "breaks", "breaks, over seeds", "tune in")
    columns = [rich_text.folding("arm", min_width=8), *rich_text.numbers(*titles, no_wrap=False)]
    cells = [(formatting.name(row.get("name")), formatting.rate_cells(row)) for row in rows]
    body = [[name, steepest, *others] for name, (steepest, _, *others) in cells]
    title = "Learning rates at which the training loss ..."
    rich_text.show(console, rich_text.grid(console, title, columns, body))
    for row in rows:
        if row.get("note"):
            note = f"{formatting.name(row.get('name'))}: {formatting.name(row.get('note'))}"
            rich_text.line(console, note, "yellow")
    if summary.get("headline") is not None:
        rich_text.line(console, formatting.name(summary.get("headline")), "bold")
    for words in formatting.paste(rows):  # a line broken by the terminal could not be pasted
        console.print(rich_text.plain(console, words), soft_wrap=True)


TABLE: Mapping[str, Callable[[Mapping[str, Any], Console], None]] = MappingProxyType(
    {"budget": budget, "importance": importance}
)
