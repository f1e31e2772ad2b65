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
from types import TracebackType
from typing import IO, Any, cast

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from deepprinciples.report import sections, text
from deepprinciples.report.voice import Voice, ruled

_COLORS = {"better": "green", "worse": "red", "equivalent": "blue"}
_EVERY = 5.0  # seconds between plain lines


def verdict_table(summary: Mapping[str, Any], console: Console) -> None:
    """Print the arms, the comparisons, the verdict in one sentence, warnings and cost.

    Args:
      summary: the dict of `summary.json`; any value may be None.
      console: where to print; without a terminal no color is used.
    """
    say = Voice(console)
    arms, comparisons = text.rows(summary.get("arms")), text.rows(summary.get("comparisons"))
    say.line(text.name(summary.get("title")), "bold")
    if summary.get("rates") is not None:
        sections.rates(summary, console)
    elif arms:
        console.print(_arms(say, summary, arms))
    if comparisons:
        console.print(_comparisons(say, comparisons))
    if summary.get("headline") is not None and summary.get("rates") is None:
        say.line(text.name(summary.get("headline")), "bold")
    for warning in text.sentences(summary.get("warnings")):
        say.line(f"warning: {warning}", "yellow")
    cost = text.table(summary.get("cost"))
    told = [
        f"{text.number(cost.get('model_steps'))} model steps" if cost.get("model_steps") is not None else "",
        text.duration(cost.get("seconds")) if cost.get("seconds") is not None else "",
        f"compiling {text.duration(cost['compile_seconds'])} of work"
        if cost.get("compile_seconds") is not None
        else "",
    ]
    if any(told):
        say.line("cost: " + ", ".join(part for part in told if part), "dim")
    if _probes(cost) and summary.get("rates") is None:
        say.line(_probes(cost), "dim")


def console() -> Console:
    """Give a console on the standard output that outlives it: a closed terminal or pipe makes it mute, no more."""
    return Console(file=cast(IO[str], _Steady(sys.stdout)))


class _Steady:
    """A stream whose reader may go away."""

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
        return f"probes: {text.percent(cost['probe_share'])} of the training time"
    looked = cost.get("probed_steps_share")
    return (
        f"probes: looked at {text.percent(looked)} of the steps (train.time_probes = true times them)" if looked else ""
    )


def _arms(say: Voice, summary: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> Table:
    table = ruled(say("Arms", "bold"))
    table.add_column(say("arm"), overflow="fold", min_width=8)
    table.add_column(say(text.shorten(summary.get("metric"), 16)), justify="right")
    table.add_column(say("interval"), justify="right")
    table.add_column(say("diverged"), justify="right")
    table.add_column(say("tuned to"), overflow="fold")
    places = text.decimals(row.get("interval") for row in rows)
    for row in rows:
        tuned = say(text.settings(row.get("tuned_point"), short=True))
        if row.get("on_edge") is True:
            tuned.append_text(say(" (on the edge)", "yellow"))
        failed, count = row.get("diverged"), row.get("n")
        lost = text.NOTHING if failed is None else f"{text.number(failed)} of {text.number(count)}"
        table.add_row(
            say(text.name(row.get("name"))),
            say(text.estimate(row.get("mean"), row.get("interval"), places=places)),
            say(text.bounds(row.get("interval"), places=places)),
            say(lost, "red" * bool(failed)),
            tuned,
        )
    return table


def replay_table(found: Mapping[str, Any], console: Console) -> None:
    """Print the last steps of a lane that was run again, and where it failed.

    Args:
        found: `lane`, `diverged_at`, `cause`, `notes`, and `looks`: rows of `step`, `loss`, three norms, `first_bad`.
        console: where to print.
    """
    say = Voice(console)
    table = ruled(say(f"Last steps of {text.name(found['lane'])}", "bold"))
    for name in ("step", "loss", "gradient norm", "update norm", "parameter norm"):
        table.add_column(say(name), justify="right")
    table.add_column(say("first not finite"), overflow="fold")
    for row in found["looks"]:
        numbers = [row[key] for key in ("loss", "gradient_norm", "update_norm", "parameter_norm")]
        table.add_row(
            say(str(row["step"])),
            *(say(f"{value:.4g}") for value in numbers),
            say(text.name(row["first_bad"]) if row["first_bad"] else "", "red"),
        )
    console.print(table)
    if found["diverged_at"] < 0:
        console.print(say("It did not diverge."))
    else:
        console.print(say(f"Diverged at step {found['diverged_at']}: {_CAUSES[found['cause']]}", "red"))
    for note in found["notes"]:
        console.print(say(note, "yellow"), soft_wrap=True)


_CAUSES = {
    "init": "already the loss of the initial weights is not finite.",
    "data": "the minibatch of this step holds a number that is not finite.",
    "update": "the steps before led the weights there, or this one did.",
}


def _comparisons(say: Voice, rows: list[Mapping[str, Any]]) -> Table:
    table = ruled(say("Comparisons (first minus second; p after Holm)", "bold"))
    table.add_column(say("comparison"), overflow="fold", min_width=12)
    table.add_column(say("difference"), justify="right")
    table.add_column(say("interval"), justify="right")
    table.add_column(say("P(wins)"), justify="right")
    table.add_column(say("p"), justify="right")
    table.add_column(say("verdict"), overflow="fold", min_width=11)
    places = text.decimals(row.get("interval") for row in rows)
    for row in rows:
        verdict = text.name(row.get("verdict"))
        table.add_row(
            say(f"{text.name(row.get('a'))} - {text.name(row.get('b'))}"),
            say(text.estimate(row.get("difference"), row.get("interval"), signed=True, places=places)),
            say(text.bounds(row.get("interval"), signed=True, places=places)),
            say(text.number(row.get("probability"), 2)),
            say(text.probability(row.get("p_adjusted"))),
            say(verdict, _COLORS.get(verdict, "")),
        )
    return table


class Progress:
    """How far a long job is; made by `progress`. Use it as a context manager or call `close()`."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._say, self._clock = Voice(console), clock
        self._start: float | None = None
        self._first, self._told, self._last = 0.0, float("-inf"), ""
        self._bar: Bar | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.percentage:>3.0f}%"), BarColumn(24), _Words())
            self._bar = Bar(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=1.0, words=Text(""))
            self._bar.start()

    def update(self, done: float, total: float, words: str = "") -> None:
        """Tell that `done` of `total` is done, and in a few words what is being done."""
        now = self._clock()
        if self._start is None:
            self._start, self._first = now, done
        share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
        left = self._left(now, done, total)
        if self._bar is not None:
            told = self._say(", ".join(part for part in (left, words) if part))
            self._bar.update(self._task, completed=share, words=told)
            return
        if now - self._told < _EVERY and (share < 1 or self._last == "100%"):
            return
        self._told, self._last = now, f"{int(100 * share)}%"
        self._say.line("  ".join(part for part in (f"{self._last:>4}", left, words) if part))

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._say.line(line, "dim")

    def _left(self, now: float, done: float, total: float) -> str:
        moved = done - self._first
        if self._start is None or moved <= 0 or done >= total:
            return ""
        return f"{text.duration((now - self._start) * (total - done) / moved)} left"

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        self.close()


def progress(console: Console, *, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Show how far a long job is: a bar with the time left on a terminal, otherwise a plain line every five seconds.

    Time is monotonic: a changed clock or a sleeping machine never gives a negative time left.

    Args:
      console: where to print.
      clock: seconds that never go back; given by tests only.

    Returns:
      An object with `update(done, total, words)` and `close()`, which is also a context manager.
    """
    return Progress(console, clock)


class _Words(TextColumn):
    """The words beside the bar, as text: a column with a format string would read markup in them."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Any) -> Text:
        words: Text = task.fields["words"]
        return words
