"""How the terminal is spoken to: words that can do nothing but be read, and plain tables for them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deepprinciples.report import text


class Voice:
    """Turns words into rich text that the console's encoding can hold and that is never read as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, words: str, style: str = "") -> Text:
        safe = text.clean(words).replace("\u2212", "-").replace(text.NOTHING, "-")
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
