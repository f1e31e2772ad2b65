"""Texts and tables for the terminal: words are plain text, and a table is one that fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from deepprinciples.report import formatting


def plain(console: Console, words: str, style: str = "") -> Text:
    """Return words that the console's encoding can hold and that are never read as markup."""
    safe = formatting.clean(words).replace("\u2212", "-").replace(formatting.NOTHING, "-")
    encoding = console.encoding or "utf-8"
    return Text(safe.encode(encoding, "replace").decode(encoding), style=style)


def line(console: Console, words: str, style: str = "") -> None:
    """Print a sentence; only a terminal wraps it."""
    console.print(plain(console, words, style), soft_wrap=not console.is_terminal)


def stacked(console: Console, parts: Iterable[str | Text]) -> Text:
    """Return parts of a cell below each other."""
    return Text("\n").join(part if isinstance(part, Text) else plain(console, part) for part in parts)


def folding(title: str, **options: int | bool) -> Column:
    """Return a column of texts, which may take several lines."""
    return Column(title, overflow="fold", **options)  # type: ignore[arg-type]


def numbers(*titles: str, no_wrap: bool = True) -> list[Column]:
    """Return columns of numbers, which are not broken unless asked."""
    return [Column(title, justify="right", no_wrap=no_wrap) for title in titles]


def grid(console: Console, title: str, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a table with its title at the left; cells that are str become plain text."""
    for column in columns:
        column.header = plain(console, str(column.header))
    made = Table(
        *columns, title=plain(console, title, "bold"), title_justify="left", title_style="", header_style="bold",
        pad_edge=False, box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else plain(console, cell) for cell in row))
    return made


def show(console: Console, *tables: Table) -> None:
    """Print the first table that fits the console without a word broken, or the last one where none does.

    Columns get their widths here: rich would take from the widest one, even below the width of its longest word.
    """
    unbounded = console.options.update_width(10_000)  # a measurement never exceeds the width it is given
    for table in tables:
        needs = [_needs(console, unbounded, column) for column in table.columns]
        for column, need in zip(table.columns, needs, strict=True):
            column.min_width = need.minimum
        spare = console.width - Measurement.get(console, unbounded, table).minimum
        if spare >= 0:
            break
        for column in table.columns:
            column.min_width = None
    else:
        needs, spare = [], 0
    widths = [need.minimum for need in needs]
    while spare and (short := [k for k, need in enumerate(needs) if widths[k] < need.maximum]):
        widths[min(short, key=widths.__getitem__)] += 1
        spare -= 1
    for column, width in zip(table.columns, widths, strict=False):
        column.width = width
    console.print(table)


def _needs(console: Console, options: ConsoleOptions, column: Column) -> Measurement:
    found = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
    most = max([1, *(one.maximum for one in found)])
    return Measurement(most if column.no_wrap else max([1, *(one.minimum for one in found)]), most)
