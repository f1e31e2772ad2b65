"""The command line: thin, and quick to answer. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deepprinciples.cli.console import listen, one_line_errors, tell
from deepprinciples.errors import Stopped

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
Section = StrEnum("Section", ["budget", "importance"])
Show = Annotated[
    list[Section] | None, typer.Option(help="Print more: best score against trials, or what decided the scores.")
]
Plugin = Annotated[
    Path | None, typer.Option("--plugin", help="A trusted Python file whose TABLES adds factories of yours.")
]
Plan = Annotated[bool, typer.Option("--plan", help="Print what would run and what it could show; run nothing.")]
Debug = Annotated[bool, typer.Option(help="Show the traceback of an error.")]


@app.command()
def compare(
    config: ConfigFile,
    changes: Changes = None,
    out: Out = None,
    name: Name = "",
    plugin: Plugin = None,
    show: Show = None,
    plan: Plan = False,
    debug: Debug = False,
) -> None:
    """Compare the arms of a config and give a verdict."""
    _run("compare", config, changes, plugin, debug, show, plan, out=out, name=name)


@app.command()
def train(
    config: ConfigFile,
    changes: Changes = None,
    out: Out = None,
    name: Name = "",
    plugin: Plugin = None,
    plan: Plan = False,
    debug: Debug = False,
) -> None:
    """Train one method, on one seed or many (train.seeds)."""
    _run("train", config, changes, plugin, debug, plan=plan, out=out, name=name)


@app.command(name="lr-find")
def lr_find(
    config: ConfigFile,
    changes: Changes = None,
    low: Annotated[float, typer.Option(help="The learning rate at the first step.")] = 1e-6,
    high: Annotated[float, typer.Option(help="The learning rate after the last step.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Steps of a run.")] = 200,
    seeds: Annotated[int, typer.Option(help="Runs of each arm.")] = 5,
    out: Out = None,
    name: Name = "",
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Guess a range of learning rates to tune in, from short runs in which the rate rises."""
    options: dict[str, Any] = {"low": low, "high": high, "steps": steps, "seeds": seeds}
    _run("lr-find", config, changes, plugin, debug, out=out, name=name, **options)


def _run(
    kind: str,
    config: Path,
    changes: Changes,
    plugin: Path | None,
    debug: bool,
    show: Show = None,
    plan: bool = False,
    **more: Any,
) -> None:
    own = ["--plugin", str(plugin)] if plugin is not None else []
    with one_line_errors(debug):
        from deepprinciples import config as configs

        command_of: Any = "compare" if kind == "compare" else "train"
        given = configs.override(configs.load(config), changes or [], command=command_of)  # before jax: a typo shows
        from deepprinciples.report import terminal
        from deepprinciples.study import commands, plugins

        if plugin is not None:
            plugins.add_parts(plugin)
        if plan:
            for line in commands.plan(given, "train" if kind == "train" else "compare"):
                typer.echo(line)
            return
        console = terminal.console()
        said = [word for key, value in more.items() if key not in ("out", "name") for word in (f"--{key}", f"{value}")]
        asked = shlex.join(["deepprinciples", kind, str(config), *(changes or []), *said, *own])
        with terminal.progress(console) as bar:
            call: Any = getattr(commands, kind.replace("-", "_"))
            more["name"] = more["name"] or config.stem
            run = call(given, **more, progress=listen(bar), command=asked)
        tell(run.path, run.summary, console, show)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The directory of a run that was stopped or killed.")],
    plugin: Plugin = None,
    allow_inexact: Annotated[
        bool, typer.Option(help="Continue although machine or versions changed; the result is marked.")
    ] = False,
    allow_data_change: Annotated[
        bool, typer.Option(help="Go on though the data changed; the result is labelled.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="Refuse where the newest checkpoint is damaged.")] = False,
    debug: Debug = False,
) -> None:
    """Resume an interrupted run from its latest checkpoint."""
    allowed = {"allow_inexact": allow_inexact, "allow_data_change": allow_data_change, "strict": strict}
    _go_on("resume", (run,), plugin, debug, **allowed)


@app.command()
def add_seeds(
    run: Annotated[Path, typer.Argument(help="The directory of a finished run.")],
    seeds: Annotated[int, typer.Option(help="Total number of seeds.")],
    out: Out = None,
    plugin: Plugin = None,
    allow_inexact: Annotated[
        bool, typer.Option(help="Continue although machine or versions changed; the result is marked.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Add seeds to a finished run, in a new run directory; tuning is not repeated."""
    _go_on("add_seeds", (run, seeds, out), plugin, debug, allow_inexact=allow_inexact)


def _go_on(name: str, given: tuple[Any, ...], plugin: Path | None, debug: bool, **allowed: bool) -> None:
    with one_line_errors(debug):
        from deepprinciples.report import terminal
        from deepprinciples.study import commands, plugins

        if plugin is not None:
            plugins.add_parts(plugin)
        console = terminal.console()
        with terminal.progress(console) as bar:
            call: Any = getattr(commands, name)
            done = call(*given, **allowed, progress=listen(bar))
        tell(done.path, done.summary, console)


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    lane: Annotated[str, typer.Argument(help="ARM/SEED, ARM/trial-T/SEED, or SEED of a train run.")],
    last: Annotated[int, typer.Option(min=1, help="How many steps to look at.")] = 8,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Run one lane of a run again and look at its last steps: where a number stopped being finite, and why."""
    with one_line_errors(debug):
        from deepprinciples.analysis import replay as replays
        from deepprinciples.report import terminal
        from deepprinciples.study import plugins

        if plugin is not None:
            plugins.add_parts(plugin)
        console = terminal.console()
        with terminal.progress(console) as bar:
            found = replays.replay(run, lane, last=last, progress=lambda text: bar.update(0, 1, text))
        terminal.replay_table(found._asdict() | {"looks": [one._asdict() for one in found.looks]}, console)


@app.command()
def probe(
    run: Annotated[Path, typer.Argument(help="The directory of a finished run of train.")],
    examples: Annotated[int, typer.Option(help="Training examples to measure on.")] = 512,
    out: Out = None,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Measure the trained weights of a run: every probe, the spectrum, the loss around and between solutions."""
    with one_line_errors(debug):
        from deepprinciples.analysis import probing
        from deepprinciples.report import terminal
        from deepprinciples.study import plugins

        if plugin is not None:
            plugins.add_parts(plugin)
        console = terminal.console()
        with terminal.progress(console) as bar:
            done = probing.probe(run, out, examples=examples, progress=lambda text: bar.update(0, 1, text))
        console.print(f"Report: {done.path / 'report.html'}", soft_wrap=True, highlight=False)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    figures: Annotated[
        bool, typer.Option("--figures", help="Write each figure as SVG and PNG too, into figures/ of the run.")
    ] = False,
    show: Show = None,
    debug: Debug = False,
) -> None:
    """Write the report of a run again and show its verdicts."""
    with one_line_errors(debug):
        from deepprinciples.report import terminal
        from deepprinciples.results.finished_run import load

        loaded = load(run)
        loaded.report(loaded.path / "report.html", figures=figures)
        tell(loaded.path, loaded.summary, terminal.console(), show)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run of train, or of compare with study.keep.")],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write. Never overwritten.")],
    arm: Annotated[str, typer.Option(help="One of the arms of a comparison.")] = "",
    seed: Annotated[int | None, typer.Option(help="One of the seeds kept, by default the first.")] = None,
    naming: Annotated[str, typer.Option(help="torch (names and layouts of PyTorch) or own.")] = "torch",
    debug: Debug = False,
) -> None:
    """Write the trained parameters of one seed as a safetensors file."""
    with one_line_errors(debug):
        from deepprinciples.analysis import exchange

        path = exchange.export_parameters(run, out, arm=arm, seed=seed, naming=naming)
        typer.echo(f"Parameters: {path}")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A safetensors file, with names of PyTorch or our own.")],
    config: ConfigFile,
    out: Annotated[Path, typer.Argument(help="The safetensors file to write. Never overwritten.")],
    changes: Changes = None,
    naming: Annotated[str, typer.Option(help="torch, own, or auto: by the names found.")] = "auto",
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Check a file of parameters against the model of a config and write it in our own naming."""
    with one_line_errors(debug):
        from deepprinciples import config as configs

        given = configs.override(configs.load(config), changes or [])
        from deepprinciples.analysis import exchange

        if plugin is not None:
            from deepprinciples.study import plugins

            plugins.add_parts(plugin)
        path = exchange.import_file(file, given, out, naming=naming)
        typer.echo(f"Parameters: {path}")


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="Such as model, optimizer, transforms.")] = None,
    debug: Debug = False,
) -> None:
    """List the parts a config can name."""
    with one_line_errors(debug):
        from deepprinciples.cli.part_cards import list_parts
        from deepprinciples.learners import TABLES

        typer.echo(list_parts(TABLES, kind))


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help="Such as model.")],
    name: Annotated[str, typer.Argument(help="Such as mlp.")],
    debug: Debug = False,
) -> None:
    """Show the card of a part: what it does, formula, hyper-parameters, reference."""
    with one_line_errors(debug):
        from deepprinciples.cli.part_cards import card
        from deepprinciples.learners import TABLES

        typer.echo(card(TABLES, kind, name))


@app.command()
def doctor(debug: Debug = False) -> None:
    """Show devices and versions, and check that this machine repeats itself bit for bit."""
    with one_line_errors(debug):
        from deepprinciples.cli.doctor import examine

        for line in examine():
            typer.echo(line)


def main() -> None:
    """Run the command line; a run that was stopped leaves at once, without waiting for a compiler at work."""
    try:
        app()
    except SystemExit as end:
        if end.code == Stopped.exit_code:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(Stopped.exit_code)
        raise


if __name__ == "__main__":
    main()
