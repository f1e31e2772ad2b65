"""Progress in a notebook: one line of a cell, updated in place."""

import sys
import types

from deepprinciples.study import shown_progress


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
