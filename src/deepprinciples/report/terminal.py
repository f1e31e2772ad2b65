"""The report in the terminal: tables and a verdict for a person, progress with the time that is left.

Names are printed as plain text: markup and escape sequences inside them have no effect. What is printed also reads well
in a file or a pipe, 80 columns wide and without color.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from deepprinciples.report import formatting, rich_text, search_text, terminal_sections

_COLORS = {"better": "green", "worse": "red", "equivalent": "blue"}
_EVERY = 5.0  # seconds between plain lines


def verdict_table(summary: Mapping[str, Any], console: Console) -> None:
    """Print the arms, the comparisons, the verdict in one sentence, warnings and cost.

    Args:
      summary: the dict of `summary.json`; any value may be None.
      console: where to print; without a terminal no color is used.
    """
    arms, comparisons = formatting.rows(summary.get("arms")), formatting.rows(summary.get("comparisons"))
    tested = summary.get("rates") is not None
    rich_text.line(console, formatting.name(summary.get("title")), "bold")
    if tested:
        terminal_sections.rates(summary, console)
    elif arms:
        ways = ((False, False), (True, False), (True, True))
        rich_text.show(console, *(_arms(console, summary, arms, *way) for way in ways))
        terminal_sections.sizes(summary, console)
    if comparisons:
        rich_text.show(console, *(_comparisons(console, comparisons, stacked) for stacked in (False, True)))
        if known := search_text.can_show(summary):
            rich_text.line(console, known, "dim")
    if words := search_text.kept(summary):
        rich_text.line(console, words, "dim")
    if summary.get("headline") is not None and not tested:
        rich_text.line(console, formatting.name(summary.get("headline")), "bold")
    for one in formatting.rows(summary.get("test_sets")):
        rich_text.line(console, formatting.name(one.get("headline")))
    for warning in formatting.sentences(summary.get("warnings")):
        is_note = warning.startswith("note: ")
        words = warning if is_note else f"warning: {warning.removeprefix('warning: ')}"
        rich_text.line(console, words, "dim" if is_note else "yellow")
    cost = formatting.table(summary.get("cost"))
    for words in (_spent(cost), "" if tested else _probes(cost)):
        if words:
            rich_text.line(console, words, "dim")


def _spent(cost: Mapping[str, Any]) -> str:
    steps, seconds, compiling = (cost.get(key) for key in ("model_steps", "seconds", "compile_seconds"))
    parts = [f"{formatting.number(steps)} model steps"] if steps is not None else []
    parts += [formatting.duration(seconds)] if seconds is not None else []
    parts += [f"compiling {formatting.duration(compiling)} of work"] if compiling is not None else []
    return f"cost: {', '.join(parts)}" if parts else ""


def console() -> Console:
    """Return a console on the standard output that outlives it: a closed terminal or pipe makes it mute, no more."""
    return Console(file=cast(IO[str], _Steady(sys.stdout)))


class _Steady:
    """Stream whose reader may go away."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._lost = stream, False

    def write(self, words: str) -> int:
        if not self._lost:
            try:
                return self._stream.write(words)
            except OSError:
                self._lose()
        return len(words)

    def flush(self) -> None:
        if not self._lost:
            try:
                self._stream.flush()
            except OSError:
                self._lose()

    def _lose(self) -> None:
        self._lost = True
        with contextlib.suppress(OSError, ValueError):  # else the interpreter would fail on it when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _probes(cost: Mapping[str, Any]) -> str:
    if cost.get("probe_share") is not None:
        return f"probes: {formatting.percent(cost['probe_share'])} of the training time"
    looked = cost.get("probed_steps_share")
    return (
        f"probes: looked at {formatting.percent(looked)} of the steps (train.time_probes = true times them)"
        if looked
        else ""
    )


def _arms(
    console: Console, summary: Mapping[str, Any], rows: list[Mapping[str, Any]], split: bool, stacked: bool
) -> Table:
    """Return the table of arms; narrower with tuned values split from their ranges, and intervals below the means."""
    metric = formatting.shorten(summary.get("metric"), 16)
    places = formatting.decimals(row.get("interval") for row in rows)
    body = []
    for row in rows:
        mean = formatting.estimate(row.get("mean"), row.get("interval"), places=places)
        interval = formatting.bounds(row.get("interval"), places=places)
        failed, n = row.get("diverged"), row.get("n")
        lost = formatting.NOTHING if failed is None else f"{formatting.number(failed)} of {formatting.number(n)}"
        cells: list[str | Text] = [mean, interval, rich_text.plain(console, lost, "red" * bool(failed))]
        if stacked:
            diverged = [rich_text.plain(console, f"{lost} diverged", "red")] if failed else []
            cells = [rich_text.stacked(console, [mean, interval, *diverged])]
        body.append([formatting.name(row.get("name")), *cells, _tuned(console, row, split)])
    titles = (metric,) if stacked else (metric, "interval", "diverged")
    tuned = rich_text.folding("tuned to", no_wrap=not split)
    columns = [rich_text.folding("arm", min_width=8), *rich_text.numbers(*titles), tuned]
    return rich_text.grid(console, "Arms", columns, body)


def _tuned(console: Console, row: Mapping[str, Any], split: bool) -> Text:
    values = search_text.tuned(row, short=True) or [formatting.NOTHING]
    lines = [part for value in values for part in (value.replace(" (", "\n(").split("\n") if split else [value])]
    edge = [rich_text.plain(console, "on the edge", "yellow")] if row.get("on_edge") is True else []
    return rich_text.stacked(console, [*lines, *edge])


def replay_table(found: Mapping[str, Any], console: Console) -> None:
    """Print the last steps of a lane that was run again, and where it failed.

    Args:
        found: `lane`, `diverged_at`, `cause`, `notes`, and `looks`: rows of `step`, `loss`, three norms, `first_bad`.
        console: where to print.
    """
    titles = ("step", "loss", "gradient norm", "update norm", "parameter norm")
    body: list[list[str | Text]] = [
        [str(row["step"]), *(f"{row[key]:.4g}" for key in ("loss", "gradient_norm", "update_norm", "parameter_norm")),
         rich_text.plain(console, formatting.name(row["first_bad"]) if row["first_bad"] else "", "red")]
        for row in found["looks"]
    ]  # fmt: skip
    title = f"Last steps of {formatting.name(found['lane'])}"
    columns = [*rich_text.numbers(*titles, no_wrap=False), rich_text.folding("first not finite")]
    rich_text.show(console, rich_text.grid(console, title, columns, body))
    if found["diverged_at"] < 0:
        console.print(rich_text.plain(console, "It did not diverge."))
    else:
        words = f"Diverged at step {found['diverged_at']}: {_CAUSES[found['cause']]}"
        console.print(rich_text.plain(console, words, "red"))
    for note in found["notes"]:
        console.print(rich_text.plain(console, note, "yellow"), soft_wrap=True)


_CAUSES = {
    "init": "already the loss of the initial weights is not finite.",
    "data": "the minibatch of this step holds a number that is not finite.",
    "update": "the steps before led the weights there, or this one did.",
}


def _comparisons(console: Console, rows: list[Mapping[str, Any]], stacked: bool) -> Table:
    """Return the table of comparisons; stacked, a narrow one with p below the verdict and without the chance to win."""
    places = formatting.decimals(row.get("interval") for row in rows)
    body = []
    for row in rows:
        p = formatting.probability(row.get("p_adjusted"))
        verdict = rich_text.plain(console, formatting.name(row.get("verdict")), _color(row.get("verdict")))
        difference = formatting.estimate(row.get("difference"), row.get("interval"), signed=True, places=places)
        interval = formatting.bounds(row.get("interval"), signed=True, places=places)
        cells: list[str | Text] = [difference, interval, formatting.number(row.get("probability"), 2), p]
        if stacked:
            verdict = rich_text.stacked(console, [verdict, f"p {p}" if p.startswith("<") else f"p = {p}"])
            cells = [rich_text.stacked(console, [difference, interval])]
        body.append([f"{formatting.name(row.get('a'))} - {formatting.name(row.get('b'))}", verdict, *cells])
    titles = ("difference",) if stacked else ("difference", "interval", "P(wins)", "p")
    names = [rich_text.folding("comparison", min_width=12), rich_text.folding("verdict", min_width=11)]
    title = "Comparisons (first minus second; p after Holm)"
    return rich_text.grid(console, title, [*names, *rich_text.numbers(*titles)], body)


def _color(verdict: Any) -> str:
    """Return the style of a verdict; one that holds for the settings found only is dimmed."""
    word, conditional = search_text.verdict(verdict)
    return " ".join(["dim"] * (conditional and word in _COLORS) + [_COLORS.get(word, "")])


class Progress(contextlib.closing):
    """How far a long job is: a bar with the time left on a terminal, otherwise a plain line every few seconds.

    It is a context manager. Time is monotonic: a changed clock or a sleeping machine never gives a negative time left.

    Args:
      console: where to print.
      clock: seconds that never go back; given by tests only.
      every: seconds between plain lines.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic, every: float = _EVERY) -> None:
        super().__init__(self)
        self._console, self._clock, self._every = console, clock, every
        self._first: float | None = None
        self._worked, self._seen, self._busy = 0.0, 0.0, 0.0
        self._shown, self._last = float("-inf"), ""
        self._bar: Bar | None = None
        if console.is_terminal:
            words = TextColumn("{task.fields[words]}", markup=False)  # a name that looks like markup stays as it is
            columns = (TextColumn("{task.percentage:>3.0f}%"), BarColumn(24), TimeElapsedColumn(), words)
            self._bar = Bar(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=1.0, words="")
            self._bar.start()

    def update(self, done: float, total: float, words: str = "", skipped: float = 0.0) -> None:
        """Show that `done` of `total` is done, `skipped` of it without work, and in a few words what is being done."""
        now, worked = self._clock(), done - skipped
        if self._first is None:
            self._first = self._worked = worked
        elif worked > self._worked:  # the time since the last word counts; what passed while compiling does not
            self._busy += now - self._seen
        self._worked, self._seen = worked, now
        share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
        left = self._left(done, total)
        if self._bar is not None:
            shown = rich_text.plain(self._console, ", ".join(part for part in (left, words) if part))
            self._bar.update(self._task, completed=share, words=shown.plain)
            return
        if now - self._shown < self._every and (share < 1 or self._last == "100%"):
            return
        self._shown, self._last = now, f"{int(100 * share)}%"
        rich_text.line(self._console, "  ".join(part for part in (f"{self._last:>4}", left, words) if part))

    def say(self, line: str) -> None:
        """Print a line that stays."""
        rich_text.line(self._console, line, "dim")

    def _left(self, done: float, total: float) -> str:
        moved = self._worked - (self._first or 0.0)
        if moved <= 0 or done >= total:
            return ""
        return f"{formatting.duration(self._busy * (total - done) / moved)} left"

    def close(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.stop()
