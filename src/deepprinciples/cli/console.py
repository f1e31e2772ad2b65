"""What all commands share on the terminal: errors as one line, progress, and what a run says at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from deepprinciples.errors import ConfigError, DeepprinciplesError, Stopped, one_line


@contextmanager
def one_line_errors(debug: bool) -> Iterator[None]:
    """Turn errors into lines on stderr and an exit code: 1 where nobody expected them."""
    try:
        yield
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


@contextmanager
def working(plugin: Path | None, debug: bool, opening: str = "") -> Iterator[tuple[Any, Any]]:
    """Give a long command its console and its bar; errors become lines.

    Args:
        plugin: a user's file of parts.
        debug: show tracebacks.
        opening: the first line, printed before JAX is loaded; "" where the output is for another program.
    """
    with one_line_errors(debug):
        from deepprinciples.report import terminal

        console = terminal.console()
        with terminal.Progress(console) as bar:
            if opening:
                bar.say(opening)
            add_parts(plugin)
            yield console, bar


def counted(value: Any, word: str) -> str:
    """Return a number with its noun; what is no number stands as it is, since its config is still to be checked."""
    from deepprinciples.report.formatting import number

    return f"{number(value)} {word}{'s' * (value != 1)}"


def add_parts(plugin: Path | None) -> None:
    """Add the parts of a user's file, where there is one."""
    if plugin is not None:
        from deepprinciples.study import plugins

        plugins.add_parts(plugin)


def list_runs(folder: Path) -> Iterator[str]:
    """Return a line for each run directory of a folder, the newest first.

    Raises:
        ConfigError: the folder is not there.
    """
    from deepprinciples.report.formatting import clean
    from deepprinciples.runs import directory

    if not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder; runs are kept in runs/ of the folder in which a command was given")
    found = [path for path in folder.iterdir() if (path / directory.STATUS).is_file()]
    for path in sorted(found, key=lambda path: (path / directory.STATUS).stat().st_mtime, reverse=True):
        state, verdict = "damaged", ""
        with suppress(DeepprinciplesError):
            state = str(directory.status(path).get("state"))
            verdict = str(directory.load(path).summary.get("headline", "")) if state == "finished" else ""
        yield clean(f"{state:<9} {path}  {verdict}").rstrip()
    if not found:
        yield f"no runs in {folder}"


def tell(run: Any, console: Any, bar: Any, show: Sequence[str] | None = None) -> None:
    """Print the verdict of a run in place of the bar, the further sections asked for, and where the report lies."""
    from deepprinciples.report import terminal, terminal_sections

    bar.close()
    terminal.verdict_table(run.summary, console)
    for section in dict.fromkeys(show or []):
        terminal_sections.TABLE[section](run.summary, console)
    console.print(f"Report: {run.path / 'report.html'}", soft_wrap=True, highlight=False)
