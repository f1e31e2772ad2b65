"""Commands that look at runs and their parameters, from replay to export and import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepprinciples.cli.console import counted, list_runs, one_line_errors, tell, working
from deepprinciples.cli.options import Changes, ConfigFile, Debug, Form, Out, Plugin, RunFolder, Show, Tracker, app
from deepprinciples.errors import ConfigError


@app.command()
def replay(
    run: RunFolder,
    lane: Annotated[str, typer.Argument(help="ARM/SEED, ARM/trial-T/SEED, or SEED of a train run.")],
    last: Annotated[int, typer.Option(min=1, help="How many steps to look at.")] = 8,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Run one lane again and show its last steps: where a number stopped being finite, and why."""
    with working(plugin, debug, f"{run}: running {lane} again") as (console, bar):
        from deepprinciples.analysis import replay as replays
        from deepprinciples.report import terminal

        found = replays.replay(run, lane, last=last, progress=lambda text: bar.update(0, 1, text))
        bar.close()
        terminal.replay_table(found._asdict() | {"looks": [one._asdict() for one in found.looks]}, console)


@app.command()
def probe(
    run: RunFolder,
    examples: Annotated[int, typer.Option(help="Training examples to measure on.")] = 512,
    out: Out = None,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Measure trained weights: every probe, the spectrum, the loss around and between solutions."""
    with working(plugin, debug, f"{run}: measuring the trained weights") as (console, bar):
        from deepprinciples.analysis import probing

        done = probing.probe(run, out, examples=examples, progress=lambda text: bar.update(0, 1, text))
        bar.close()
        console.print(f"Report: {done.path / 'report.html'}", soft_wrap=True, highlight=False)


@app.command()
def explain(
    run: RunFolder,
    changes: Changes = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="An attribution; may be repeated. By default all."),
    ] = None,
    examples: Annotated[int, typer.Option(help="Test examples to explain, the first ones.")] = 8,
    arm: Annotated[str, typer.Option("--arm", "-a", help="One of the arms of a comparison.")] = "",
    seeds: Annotated[int, typer.Option(help="How many of the seeds kept, the first ones.")] = 1,
    output: Annotated[Path | None, typer.Option(help="The folder to write to; by default figures/ of the run.")] = None,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Draw which parts of the inputs the answers rest on, and score the maps; occlusion.size=2 changes a method."""
    with working(plugin, debug, f"{run}: explaining {counted(examples, 'example')}") as (console, bar):
        from deepprinciples import config as configs
        from deepprinciples.report import terminal_sections
        from deepprinciples.results.finished_run import load

        found = load(run)
        sections = configs.override({name: {} for name in method or ()}, changes or [])
        bar.update(0, 1, "explaining")
        made = found.explain(sections or None, examples=examples, arm=arm, seeds=seeds)
        files = made.write(output or found.path / "figures", "-".join(filter(None, ("attributions", arm))))
        bar.close()
        terminal_sections.attributions(made.means(), console)
        for line in [*made.notes, *(f"Written: {path}" for path in files)]:
            console.print(line, soft_wrap=True, highlight=False, markup=False)


@app.command()
def generate(
    run: RunFolder,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What the text begins with.")] = "",
    length: Annotated[int, typer.Option(help="Tokens to add.")] = 200,
    count: Annotated[int, typer.Option(help="How many texts.")] = 1,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token; 1 draws as the model says.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Only the k likeliest tokens count; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Only the likeliest tokens of this probability count; 1 for all.")] = 1.0,
    beam: Annotated[int, typer.Option(help="Search for the likeliest texts, keeping so many; 0 draws.")] = 0,
    key: Annotated[int, typer.Option(help="Of the draws; the same key gives the same texts.")] = 0,
    arm: Annotated[str, typer.Option("--arm", "-a", help="One of the arms of a comparison.")] = "",
    seed: Annotated[int, typer.Option(help="One of the seeds kept.")] = 0,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Let a trained language model write text, or one of pairs the target of a source."""
    with working(plugin, debug) as (console, _):
        from deepprinciples.results.finished_run import load

        made = load(run).generate(
            prompt, length=length, count=count, temperature=temperature, top_k=top_k, top_p=top_p, beam=beam, key=key,
            arm=arm, seed=seed,
        )  # fmt: skip
        console.print(str(made), soft_wrap=True, highlight=False, markup=False)


@app.command()
def report(
    run: RunFolder,
    figures: Annotated[
        bool, typer.Option("--figures", help="Write each figure as SVG and PNG too, into figures/ of the run.")
    ] = False,
    show: Show = None,
    table: Annotated[Form | None, typer.Option(help="Print the verdicts as such a table, and do nothing else.")] = None,
    debug: Debug = False,
) -> None:
    """Write the report of a run again and show its verdicts."""
    with working(None, debug, f"{run}: writing the report" if table is None else "") as (console, bar):
        from deepprinciples.results.finished_run import load

        loaded = load(run)
        if table is not None:
            bar.close()
            typer.echo(loaded.table(table.value), nl=False)
            return
        loaded.report(loaded.path / "report.html", figures=figures)
        tell(loaded, console, bar, show)


@app.command()
def track(
    run: RunFolder,
    to: Annotated[list[Tracker], typer.Argument(metavar="TRACKER", help="tensorboard, wandb, mlflow or trackio.")],
    folder: Annotated[Path | None, typer.Option(help="Where its files go.")] = None,
    project: Annotated[str, typer.Option(help="The project, or in MLflow the experiment.")] = "deepprinciples",
    debug: Debug = False,
) -> None:
    """Give a finished run to an experiment tracker."""
    with one_line_errors(debug):
        from deepprinciples.analysis import tracking

        for name in to:
            typer.echo(f"Tracked: {tracking.track(run, name, folder=folder, project=project)}")


@app.command(name="open")
def open_(run: RunFolder, debug: Debug = False) -> None:
    """Open the report of a run in a browser."""
    with one_line_errors(debug):
        page = run / "report.html"
        if not page.is_file():
            raise ConfigError(f"{page}: is not there; write it with: deepprinciples report {run}")
        typer.echo(f"Report: {page}")
        typer.launch(page.resolve().as_uri())


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="The folder that holds run directories.")] = Path("runs"),
    debug: Debug = False,
) -> None:
    """List the runs of a folder, the newest first: state, directory and verdict."""
    with one_line_errors(debug):
        for line in list_runs(folder):
            typer.echo(line)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run of train, or of compare with study.keep.")],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write. Never overwritten.")],
    arm: Annotated[str, typer.Option(help="One of the arms of a comparison.")] = "",
    seed: Annotated[int | None, typer.Option(help="One of the seeds kept, by default the first.")] = None,
    naming: Annotated[str, typer.Option(help="torch (names and layouts of PyTorch) or own.")] = "torch",
    debug: Debug = False,
) -> None:
    """Write the trained parameters of one seed, and the state beside them, as a safetensors file."""
    with working(None, debug) as (_, bar):
        from deepprinciples.analysis import exchange

        path = exchange.export_parameters(run, out, arm=arm, seed=seed, naming=naming)
        bar.close()
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
    """Check a file of parameters against the model of a config, and write it in our own naming."""
    with one_line_errors(debug):
        from deepprinciples import config as configs

        given = configs.override(configs.load(config), changes or [])
    with working(plugin, debug) as (_, bar):
        from deepprinciples.analysis import exchange

        path = exchange.import_file(file, given, out, naming=naming)
        bar.close()
        typer.echo(f"Parameters: {path}")
