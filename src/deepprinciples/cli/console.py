"""What all commands share on the terminal: errors as one line, progress, and what a run says at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from deepprinciples.errors import DeepprinciplesError, OutOfMemory, Stopped, one_line


@contextmanager
def one_line_errors(debug: bool, again: Sequence[str] = ()) -> Iterator[None]:
    """Turn errors into lines on stderr and an exit code: 1 where nobody expected them.

    A run that is out of memory is resumed, with the options `again`, in this process's place: only a fresh one has all
    memory to itself.
    """
    try:
        yield
    except OutOfMemory as error:
        with suppress(OSError):
            typer.echo(str(error), err=True)
            sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "deepprinciples.cli.main", "resume", error.run, *again])
    except DeepprinciplesError as error:
        if debug:
            raise
        stem = "" if isinstance(error, Stopped) else "error: "
        from deepprinciples.report.formatting import clean  # a message may quote an untrusted file

        with suppress(OSError):  # a closed terminal takes nothing
            for line in str(error).splitlines() or [type(error).__name__]:
                typer.echo(f"{stem}{clean(line)}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("stopped; the run directory is incomplete", err=True)
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        if debug:
            raise
        from deepprinciples.report.formatting import clean

        with suppress(OSError):
            typer.echo(f"error: {clean(one_line(error))}; add --debug for the traceback", err=True)
        raise typer.Exit(1) from None


def tell(path: Path, summary: dict[str, Any], console: Any, show: Sequence[str] | None = None) -> None:
    """Print the verdict of a run, the further sections asked for, and where the report lies."""
    from deepprinciples.report import terminal, terminal_sections

    terminal.verdict_table(summary, console)
    for section in dict.fromkeys(show or []):
        terminal_sections.TABLE[section](summary, console)
    console.print(f"Report: {path / 'report.html'}", soft_wrap=True, highlight=False)


def listen(bar: Any) -> Any:
    """Turn the study's progress into the terminal's."""
    from deepprinciples.study.protocol import Progress

    state: dict[str, Any] = {"done": 0, "total": 1, "text": ""}

    def show(**news: Any) -> None:
        state.update(news)
        bar.update(state["done"], state["total"], state["text"])

    return Progress(
        begin=lambda total: show(total=total),
        phase=lambda text: show(text=text),
        advance=lambda steps: show(done=state["done"] + steps),
        say=bar.say,
    )
