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

from deepprinciples.report import formatting
from deepprinciples.report.rich_text import Voice, ruled, that_fits

_COLUMNS = 4  # budgets that 80 columns hold


def budget(summary: Mapping[str, Any], console: Console) -> None:
    """Print the best validation score to expect of a few budgets, and which arm leads from where to where.

    Args:
        summary: the dict of `summary.json`; any value may be None.
        console: where to print.
    """
    say, told = Voice(console), formatting.table(summary.get("budget"))
    rows = [(row, formatting.series(row, "trials", "expected", "spread")) for row in formatting.rows(told.get("arms"))]
    if not any(series for _, series in rows):
        say.line(_nothing(summary, "budget"))
        return
    shown = _some([int(n) for n, *_ in max((series for _, series in rows), key=len)])
    metric = formatting.shorten(formatting.name(summary.get("metric")), 24)
    table = ruled(say(f"Best validation {metric} to expect of so many trials (± luck)", "bold"))
    table.add_column(say("arm"), overflow="fold", min_width=8)
    for count in shown:
        table.add_column(say(f"{formatting.number(count)} trial{'s' * (count != 1)}"), justify="right")
    for row, series in rows:
        held = {int(n): (best, spread) for n, best, spread in series}
        cells = [
            f"{formatting.number(held[n][0])} ± {formatting.number(held[n][1], 2)}" if n in held else formatting.NOTHING
            for n in shown
        ]
        table.add_row(say(formatting.name(row.get("name"))), *(say(cell) for cell in cells))
    console.print(that_fits(console, table))
    for row in formatting.rows(told.get("leaders")):
        if formatting.sentences(row.get("arms")):
            say.line(leader(row))
    say.line(LUCK, "dim")


LUCK = (
    "The luck is that of which trials one search makes, out of those of all searches; scores are those of the "
    "validation split, and a diverged trial counts as the worst."
)


def leader(row: Mapping[str, Any]) -> str:
    """Say which arm leads from which budget to which."""
    arms = formatting.sentences(row.get("arms"))
    first, last = row.get("first"), row.get("last")
    span = f"With {formatting.number(first)}" + (f" to {formatting.number(last)}" if last != first else "")
    trials = f"{span} trial{'s' * (last != 1)}"
    return f"{trials} {', '.join(arms)} {'leads' if len(arms) == 1 else 'are level'}."


def _some(counts: list[int]) -> list[int]:
    """Take at most four budgets by equal factors, the first and the last among them."""
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
    say, rows = Voice(console), formatting.rows(summary.get("importance"))
    if not rows:
        say.line(_nothing(summary, "importance"))
        return
    console.print(that_fits(console, _importance(say, rows), _importance(say, rows, stacked=True)))
    say.line(RANGE, "dim")


def _importance(say: Voice, rows: list[Mapping[str, Any]], *, stacked: bool = False) -> Table:
    """Return the table of importance; stacked, a narrow one whose interval stands below the share."""
    table = ruled(say("What the scores of the trials depend on (share of their variance)", "bold"))
    table.add_column(say("arm"), overflow="fold")
    for name in ("setting", "seed") if stacked else ("setting", "interval", "seed"):
        table.add_column(say(name), justify="right", no_wrap=True)
    table.add_column(say("of what the setting decides"), overflow="fold")
    for row in rows:
        shares = [say(formatting.share(row.get("setting"))), say(formatting.shares(row.get("interval")))]
        shares = [Text("\n").join(shares)] if stacked else shares
        seed, parameters = say(formatting.share(row.get("seed"))), say(formatting.parameters(row))
        table.add_row(say(formatting.name(row.get("name"))), *shares, seed, parameters)
    return table


RANGE = (
    "Shares are those in the range that was searched: a wider one makes its setting matter more. Seed is what is left "
    "to luck at one setting."
)


def rates(summary: Mapping[str, Any], console: Console) -> None:
    """Print what a range test saw of each arm, and the lines to paste into a config.

    Args:
        summary: the dict of `summary.json` of a lr-find run; any value may be None.
        console: where to print.
    """
    say, rows = Voice(console), formatting.rows(summary.get("rates"))
    table = ruled(say("Learning rates at which the training loss ...", "bold"))
    table.add_column(say("arm"), overflow="fold", min_width=8)
    for name in ("falls fastest", "breaks", "breaks, over seeds", "tune in"):
        table.add_column(say(name), justify="right")
    for row in rows:
        steepest, _, *others = formatting.rate_cells(row)
        table.add_row(*(say(cell) for cell in (formatting.name(row.get("name")), steepest, *others)))
    console.print(that_fits(console, table))
    for row in rows:
        if row.get("note"):
            say.line(f"{formatting.name(row.get('name'))}: {formatting.name(row.get('note'))}", "yellow")
    if summary.get("headline") is not None:
        say.line(formatting.name(summary.get("headline")), "bold")
    for line in formatting.paste(rows):
        console.print(say(line), soft_wrap=True)  # a line broken by the terminal could not be pasted


TABLE: Mapping[str, Callable[[Mapping[str, Any], Console], None]] = MappingProxyType(
    {"budget": budget, "importance": importance}
)
