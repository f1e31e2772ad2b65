"""How the terminal is spoken to: words that can do nothing but be read, and plain tables for them."""

from __future__ import annotations

from rich import box
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from deepprinciples.report import formatting


class Voice:
    """Turns words into rich text that the console's encoding can hold and that is never read as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, words: str, style: str = "") -> Text:
        safe = formatting.clean(words).replace("\u2212", "-").replace(formatting.NOTHING, "-")
        encoding = self.console.encoding or "utf-8"
        return Text(safe.encode(encoding, "replace").decode(encoding), style=style)

    def line(self, words: str, style: str = "") -> None:
        """Print a sentence; only a terminal wraps it."""
        self.console.print(self(words, style), soft_wrap=not self.console.is_terminal)


def ruled(title: Text) -> Table:
    """Return an empty table with its title at the left."""
    return Table(
        title=title, title_justify="left", title_style="", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD
    )


def that_fits(console: Console, *tables: Table) -> Table:
    """Return the first table that fits the console without a word broken, or the last one where none does.

    Columns get their widths here: rich would take from the widest one, even below the width of its longest word.
    """
    unbounded = console.options.update_width(10_000)  # a measurement never exceeds the width it is given
    for table in tables:
        needs = [_needs(console, unbounded, column) for column in table.columns]
        for column, need in zip(table.columns, needs, strict=True):
            column.min_width = need.minimum
        spare = console.width - Measurement.get(console, unbounded, table).minimum
        if spare < 0:
            for column in table.columns:
                column.min_width = None
            continue
        widths = [need.minimum for need in needs]
        while spare and (short := [k for k, need in enumerate(needs) if widths[k] < need.maximum]):
            widths[min(short, key=widths.__getitem__)] += 1
            spare -= 1
        for column, width in zip(table.columns, widths, strict=True):
            column.width = width
        return table
    return tables[-1]


def _needs(console: Console, options: ConsoleOptions, column: Column) -> Measurement:
    found = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
    most = max([1, *(one.maximum for one in found)])
    return Measurement(most if column.no_wrap else max([1, *(one.minimum for one in found)]), most)
