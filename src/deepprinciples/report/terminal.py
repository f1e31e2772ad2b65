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

from deepprinciples.report import formatting, search_text, terminal_sections
from deepprinciples.report.rich_text import Voice, ruled, that_fits

_COLORS = {"better": "green", "worse": "red", "equivalent": "blue"}
_EVERY = 5.0  # seconds between plain lines


def verdict_table(summary: Mapping[str, Any], console: Console) -> None:
    """Print the arms, the comparisons, the verdict in one sentence, warnings and cost.

    Args:
      summary: the dict of `summary.json`; any value may be None.
      console: where to print; without a terminal no color is used.
    """
    say = Voice(console)
    arms, comparisons = formatting.rows(summary.get("arms")), formatting.rows(summary.get("comparisons"))
    say.line(formatting.name(summary.get("title")), "bold")
    if summary.get("rates") is not None:
        terminal_sections.rates(summary, console)
    elif arms:
        ways: list[dict[str, bool]] = [{}, {"split": True}, {"split": True, "stacked": True}]
        console.print(that_fits(console, *(_arms(say, summary, arms, **way) for way in ways)))
    if comparisons:
        console.print(that_fits(console, _comparisons(say, comparisons), _comparisons(say, comparisons, stacked=True)))
        if known := search_text.can_show(summary):
            say.line(known, "dim")
    if summary.get("headline") is not None and summary.get("rates") is None:
        say.line(formatting.name(summary.get("headline")), "bold")
    for one in formatting.rows(summary.get("test_sets")):
        say.line(formatting.name(one.get("headline")))
    for warning in formatting.sentences(summary.get("warnings")):
        say.line(f"warning: {warning.removeprefix('warning: ')}", "yellow")
    cost = formatting.table(summary.get("cost"))
    told = [
        f"{formatting.number(cost.get('model_steps'))} model steps" if cost.get("model_steps") is not None else "",
        formatting.duration(cost.get("seconds")) if cost.get("seconds") is not None else "",
        f"compiling {formatting.duration(cost['compile_seconds'])} of work"
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
        return f"probes: {formatting.percent(cost['probe_share'])} of the training time"
    looked = cost.get("probed_steps_share")
    return (
        f"probes: looked at {formatting.percent(looked)} of the steps (train.time_probes = true times them)"
        if looked
        else ""
    )


def _arms(
    say: Voice, summary: Mapping[str, Any], rows: list[Mapping[str, Any]], *, split: bool = False, stacked: bool = False
) -> Table:
    """Return the table of arms; narrower with tuned values split from their ranges, and intervals below the means."""
    metric = formatting.shorten(summary.get("metric"), 16)
    places = formatting.decimals(row.get("interval") for row in rows)
    table = ruled(say("Arms", "bold"))
    table.add_column(say("arm"), overflow="fold", min_width=8)
    for name in (metric,) if stacked else (metric, "interval", "diverged"):
        table.add_column(say(name), justify="right", no_wrap=True)
    table.add_column(say("tuned to"), overflow="fold", no_wrap=not split)
    for row in rows:
        mean = formatting.estimate(row.get("mean"), row.get("interval"), places=places)
        interval = formatting.bounds(row.get("interval"), places=places)
        failed, count = row.get("diverged"), row.get("n")
        lost = formatting.NOTHING if failed is None else f"{formatting.number(failed)} of {formatting.number(count)}"
        numbers = [say(mean), say(interval), say(lost, "red" * bool(failed))]
        if stacked:
            numbers[2].append(" diverged")
            numbers = [Text("\n").join(numbers if failed else numbers[:2])]
        table.add_row(say(formatting.name(row.get("name"))), *numbers, _tuned(say, row, split))
    return table


def _tuned(say: Voice, row: Mapping[str, Any], split: bool) -> Text:
    values = search_text.tuned(row, short=True) or [formatting.NOTHING]
    lines = [part for value in values for part in (value.replace(" (", "\n(").split("\n") if split else [value])]
    edge = [say("on the edge", "yellow")] if row.get("on_edge") is True else []
    return Text("\n").join([*map(say, lines), *edge])


def replay_table(found: Mapping[str, Any], console: Console) -> None:
    """Print the last steps of a lane that was run again, and where it failed.

    Args:
        found: `lane`, `diverged_at`, `cause`, `notes`, and `looks`: rows of `step`, `loss`, three norms, `first_bad`.
        console: where to print.
    """
    say = Voice(console)
    table = ruled(say(f"Last steps of {formatting.name(found['lane'])}", "bold"))
    for name in ("step", "loss", "gradient norm", "update norm", "parameter norm"):
        table.add_column(say(name), justify="right")
    table.add_column(say("first not finite"), overflow="fold")
    for row in found["looks"]:
        numbers = [row[key] for key in ("loss", "gradient_norm", "update_norm", "parameter_norm")]
        table.add_row(
            say(str(row["step"])),
            *(say(f"{value:.4g}") for value in numbers),
            say(formatting.name(row["first_bad"]) if row["first_bad"] else "", "red"),
        )
    console.print(that_fits(console, table))
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


def _comparisons(say: Voice, rows: list[Mapping[str, Any]], *, stacked: bool = False) -> Table:
    """Return the table of comparisons; stacked, a narrow one with p below the verdict and without the chance to win."""
    table = ruled(say("Comparisons (first minus second; p after Holm)", "bold"))
    table.add_column(say("comparison"), overflow="fold", min_width=12)
    table.add_column(say("verdict"), overflow="fold", min_width=11)
    for name in ("difference",) if stacked else ("difference", "interval", "P(wins)", "p"):
        table.add_column(say(name), justify="right", no_wrap=True)
    places = formatting.decimals(row.get("interval") for row in rows)
    for row in rows:
        p = formatting.probability(row.get("p_adjusted"))
        verdict = say(formatting.name(row.get("verdict")), _color(row.get("verdict")))
        difference = say(formatting.estimate(row.get("difference"), row.get("interval"), signed=True, places=places))
        interval = say(formatting.bounds(row.get("interval"), signed=True, places=places))
        numbers = [difference, interval, say(formatting.number(row.get("probability"), 2)), say(p)]
        if stacked:
            verdict = Text("\n").join([verdict, say(f"p {p}" if p.startswith("<") else f"p = {p}")])
            numbers = [Text("\n").join([difference, interval])]
        table.add_row(say(f"{formatting.name(row.get('a'))} - {formatting.name(row.get('b'))}"), verdict, *numbers)
    return table


def _color(verdict: Any) -> str:
    """Return the style of a verdict; one that holds for the settings found only is dimmed."""
    word, conditional = search_text.verdict(verdict)
    return " ".join(["dim"] * (conditional and word in _COLORS) + [_COLORS.get(word, "")])


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
        return f"{formatting.duration((now - self._start) * (total - done) / moved)} left"

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
