"""The command line: thin, and quick to answer. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from deepprinciples.errors import DeepprinciplesError, Stopped

app = typer.Typer(
    name="deepprinciples",
    help="Compare training methods as one compiled program: many seeds, many settings, an honest verdict.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

Changes = Annotated[
    list[str] | None, typer.Argument(metavar="[PATH=VALUE]...", help="Overrides, such as train.steps=200.")
]
ConfigFile = Annotated[Path, typer.Argument(help="A TOML or JSON file.")]
Out = Annotated[
    Path | None, typer.Option(help="The run directory, by default runs/<name>-<number>. Never overwritten.")
]
Name = Annotated[str, typer.Option(help="Stem of the default run directory.")]
With = Annotated[
    Path | None, typer.Option("--with", help="A trusted Python file whose TABLES adds factories of yours.")
]
Debug = Annotated[bool, typer.Option(help="Show the traceback of an error.")]


@app.command()
def compare(
    config: ConfigFile,
    changes: Changes = None,
    out: Out = None,
    name: Name = "",
    with_: With = None,
    debug: Debug = False,
) -> None:
    """Compare the arms of a config and give a verdict."""
    _run("compare", config, changes or [], out, name, with_, debug)


@app.command()
def train(
    config: ConfigFile,
    changes: Changes = None,
    out: Out = None,
    name: Name = "",
    with_: With = None,
    debug: Debug = False,
) -> None:
    """Train one method, on one seed or many (train.seeds)."""
    _run("train", config, changes or [], out, name, with_, debug)


def _run(
    kind: str, config: Path, changes: list[str], out: Path | None, name: str, with_: Path | None, debug: bool
) -> None:
    with _one_line_errors(debug):
        from deepprinciples import config as configs

        given = configs.override(configs.load(config), changes)  # before jax: a typo answers at once
        from rich.console import Console

        from deepprinciples.report import terminal
        from deepprinciples.study import command, extend

        if with_ is not None:
            extend.add_parts(with_)
        console = Console()
        own = ["--with", str(with_)] if with_ is not None else []
        asked = shlex.join(["deepprinciples", kind, str(config), *changes, *own])
        with terminal.progress(console) as bar:
            call: Any = getattr(command, kind)
            run = call(given, out, name=name or config.stem, progress=_listen(bar), command=asked)
        terminal.verdict_table(run.summary, console)
        console.print(f"Report: {run.path / 'report.html'}", soft_wrap=True, highlight=False)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The directory of a run that was stopped or killed.")],
    with_: With = None,
    allow_nonexact: Annotated[
        bool, typer.Option(help="Go on though machine or versions changed; the result is labelled.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Go on with a run from its last checkpoint, to the result it would have had."""
    with _one_line_errors(debug):
        from rich.console import Console

        from deepprinciples.report import terminal
        from deepprinciples.study import command, extend

        if with_ is not None:
            extend.add_parts(with_)
        console = Console()
        with terminal.progress(console) as bar:
            done = command.resume(run, allow_nonexact=allow_nonexact, progress=_listen(bar))
        terminal.verdict_table(done.summary, console)
        console.print(f"Report: {done.path / 'report.html'}", soft_wrap=True, highlight=False)


def _listen(bar: Any) -> Any:
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
    )


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run directory.")], debug: Debug = False) -> None:
    """Write the report of a run again and show its verdicts."""
    with _one_line_errors(debug):
        from rich.console import Console

        from deepprinciples.report import page, plots, terminal
        from deepprinciples.runs.directory import load

        loaded = load(run)
        results = loaded.results
        page.write(loaded.path / "report.html", results, loaded.summary, loaded.manifest)
        plots.save_all(results, loaded.summary, loaded.path / "figures")
        console = Console()
        terminal.verdict_table(loaded.summary, console)
        console.print(f"Report: {loaded.path / 'report.html'}", soft_wrap=True, highlight=False)


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="Such as model, optimizer, transforms.")] = None,
    debug: Debug = False,
) -> None:
    """List the parts a config can name."""
    with _one_line_errors(debug):
        from deepprinciples.parts.tables import TABLES
        from deepprinciples.study.cards import list_parts

        typer.echo(list_parts(TABLES, kind))


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help="Such as model.")],
    name: Annotated[str, typer.Argument(help="Such as mlp.")],
    debug: Debug = False,
) -> None:
    """Show the card of a part: what it does, formula, hyper-parameters, reference."""
    with _one_line_errors(debug):
        from deepprinciples.parts.tables import NEUTRALS, TABLES
        from deepprinciples.study.cards import card

        typer.echo(card(TABLES, NEUTRALS, kind, name))


@app.command()
def doctor(debug: Debug = False) -> None:
    """Tell devices and versions, and check that this machine repeats itself bit for bit."""
    with _one_line_errors(debug):
        from deepprinciples.study.doctor import examine

        for line in examine():
            typer.echo(line)


@contextmanager
def _one_line_errors(debug: bool) -> Iterator[None]:
    """Turn errors that are the user's to mend into lines on stderr and an exit code."""
    try:
        yield
    except DeepprinciplesError as error:
        if debug:
            raise
        stem = "" if isinstance(error, Stopped) else "error: "
        from deepprinciples.report.text import clean  # a message may quote a stranger's file

        for line in str(error).splitlines() or [type(error).__name__]:
            typer.echo(f"{stem}{clean(line)}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("stopped; the run directory is incomplete", err=True)
        raise typer.Exit(130) from None


def main() -> None:
    """Run the command line; a run that was stopped leaves at once, without waiting for a compiler at work."""
    try:
        app()
    except SystemExit as end:
        if end.code == Stopped.exit_code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(Stopped.exit_code)
        raise


if __name__ == "__main__":
    main()
