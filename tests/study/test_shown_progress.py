"""Progress in a notebook: one line of a cell, updated in place."""

import io
import sys
import time
import types

from rich.console import Console

from deepprinciples.report import terminal
from deepprinciples.study import shown_progress


def test_the_time_left_leaves_compiling_out():
    """Lost: after five minutes of compiling, hours that nobody has to wait."""
    now, stream = [0.0], io.StringIO()
    progress = shown_progress.listen(terminal.Progress(Console(file=stream, width=80), clock=lambda: now[0], every=0.0))
    progress.begin(100)
    for arm, seconds in (("a", 300.0), ("b", 200.0)):
        progress.phase(f"compiling {arm}")
        now[0] += seconds
        progress.phase(f"tuning {arm}")
        for _ in range(2):
            now[0] += 5.0
            progress.advance(10)
    assert stream.getvalue().splitlines() == [
        "  0%", "  0%  compiling a", "  0%  tuning a", " 10%  45 s left  tuning a", " 20%  40 s left  tuning a",
        " 20%  40 s left  compiling b", " 20%  40 s left  tuning b", " 30%  35 s left  tuning b",
        " 40%  30 s left  tuning b",
    ]  # fmt: skip


def test_the_time_left_is_that_of_steps_that_are_trained():
    """Lost: a resumed run of hours that promises minutes, since what was done before took no time now."""
    now, stream = [0.0], io.StringIO()
    progress = shown_progress.listen(terminal.Progress(Console(file=stream, width=80), clock=lambda: now[0], every=0.0))
    progress.begin(100)
    for seconds, count, steps in ((1.0, progress.skip, 30), (10.0, progress.advance, 10), (1.0, progress.skip, 30)):
        now[0] += seconds
        count(steps)
    assert stream.getvalue().splitlines() == ["  0%", " 30%", " 40%  1 min 0 s left", " 70%  30 s left"]


def test_the_clock_goes_on_while_a_program_compiles():
    """Lost: a bar that stands still for minutes, as if the program hung. Nothing is said to it meanwhile."""
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    with terminal.Progress(console) as bar:
        shown_progress.listen(bar).phase("compiling a")
        time.sleep(1.3)
        shown = stream.getvalue()
    assert "0:00:00 compiling a" in shown and "0:00:01 compiling a" in shown


def test_a_notebook_shows_one_line_that_is_updated(monkeypatch):
    """Lost: minutes before a cell that shows nothing, or hundreds of lines below it."""
    shown = []
    handle = types.SimpleNamespace(update=lambda one: shown.append(one.data))
    kernel = types.SimpleNamespace(kernel=object())
    names = {"TextDisplayObject": Text, "display": lambda one, display_id: handle}
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: kernel))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(**names))
    progress = shown_progress.default()
    progress.begin(200)
    progress.phase("training")
    progress.advance(200)
    assert len(shown) == 2 and shown[0].startswith("0%") and shown[1] == "100%  training"


def test_elsewhere_nothing_is_printed(capsys, monkeypatch):
    """Lost: a script's own output, among lines that it did not ask for."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    progress = shown_progress.default()
    progress.begin(2)
    progress.advance(2)
    assert capsys.readouterr() == ("", "")


class Text:
    def __init__(self, data):
        self.data = data
