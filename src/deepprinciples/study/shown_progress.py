"""The progress of a study where a person sees it: on a terminal's bar, or in the output of a notebook's cell."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from deepprinciples.study.protocol import Progress


def listen(bar: Any) -> Progress:
    """Turn the study's progress into that of a bar, see `report.terminal.Progress`."""
    state: dict[str, Any] = {"done": 0, "total": 1, "text": "", "skipped": 0}

    def show(**news: Any) -> None:
        state.update(news)
        bar.update(state["done"], state["total"], state["text"], state["skipped"])

    return Progress(
        begin=lambda total: show(total=total),
        phase=lambda text: show(text=text),
        advance=lambda steps: show(done=state["done"] + steps),
        say=bar.say,
        skip=lambda steps: show(done=state["done"] + steps, skipped=state["skipped"] + steps),
    )


def default() -> Progress:
    """Return a line that is updated in place where this process is a notebook's, else a progress that shows nothing."""
    if not _in_notebook():
        return Progress()
    from IPython.display import TextDisplayObject, display
    from rich.console import Console

    from deepprinciples.report import terminal

    class Line(TextDisplayObject):
        def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
            del cycle
            printer.text(self.data)

    handle = display(Line(" "), display_id=True)
    shown = _LastLine(lambda text: handle.update(Line(text)))
    console = Console(file=shown, width=100, force_jupyter=False, force_terminal=False)
    bar = terminal.Progress(console, every=0.5)
    return listen(bar)._replace(say=print)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _LastLine(io.StringIO):
    """A file that shows the last line written to it."""

    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__()
        self._show = show

    def write(self, text: str) -> int:
        if text.strip():
            self._show(text.strip())
        return len(text)
