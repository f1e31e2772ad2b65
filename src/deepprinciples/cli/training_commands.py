"""Commands that train: compare, train, lr-find, resume, add-seeds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from deepprinciples.cli.console import counted, one_line_errors, tell, working
from deepprinciples.cli.options import (
    Arms,
    Changes,
    ConfigFile,
    Debug,
    Executor,
    Inexact,
    Name,
    Out,
    Plan,
    Plugin,
    RunFolder,
    Show,
    Track,
    app,
)


@app.command()
def compare(
    config: ConfigFile,
    changes: Changes = None,
    arms: Arms = None,
    out: Out = None,
    name: Name = "",
    plugin: Plugin = None,
    show: Show = None,
    track: Track = None,
    plan: Plan = False,
    executor: Executor = None,
    debug: Debug = False,
) -> None:
    """Compare the arms of a config and give a verdict."""
    _run("compare", config, changes, plugin, debug, show, plan, arms, track, out=out, name=name, executor=executor)


@app.command()
def train(
    config: ConfigFile,
    changes: Changes = None,
    out: Out = None,
    name: Name = "",
    plugin: Plugin = None,
    track: Track = None,
    plan: Plan = False,
    executor: Executor = None,
    debug: Debug = False,
) -> None:
    """Train one method, on one seed or many (train.seeds)."""
    _run("train", config, changes, plugin, debug, plan=plan, track=track, out=out, name=name, executor=executor)


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
    """Suggest a range of learning rates to tune in, from short runs with a rising rate."""
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
    arms: Arms = None,
    track: Track = None,
    **more: Any,
) -> None:
    with one_line_errors(debug):
        from deepprinciples import config as configs

        _check_trackers(track)  # now, and not after hours of training
        command_of: Any = "compare" if kind == "compare" else "train"
        given = configs.override(configs.load(config), changes or [], command=command_of)  # before jax: a typo shows
        given = configs.only_arms(given, arms) if arms else given
    with working(plugin, debug, "" if plan else _opening(kind, config, given, more)) as (console, bar):
        from deepprinciples.study import commands
        from deepprinciples.study.shown_progress import listen

        if plan:
            for line in commands.plan(given, command_of):
                typer.echo(line)
            return
        words = [
            word
            for key, value in more.items()
            if key not in ("out", "name", "executor")
            for word in (f"--{key}", f"{value}")
        ]
        words += [word for arm in arms or [] for word in ("--arm", arm)]
        words += ["--plugin", str(plugin)] if plugin is not None else []
        asked = shlex.join(["deepprinciples", kind, str(config), *(changes or []), *words])
        call: Any = getattr(commands, kind.replace("-", "_"))
        more["name"] = more["name"] or config.stem
        run = call(given, **more, progress=listen(bar), command=asked)
        tell(run, console, bar, show)
        for name in track or []:
            from deepprinciples.analysis import tracking

            console.print(f"Tracked: {tracking.track(run, name)}", soft_wrap=True, highlight=False, markup=False)


def _opening(kind: str, config: Path, given: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Say what a command begins with, from the config alone: nothing of it is checked yet."""
    from deepprinciples.config.settings import Train

    train = given.get("train")
    known = {**Train()._asdict(), **(train if isinstance(train, Mapping) else {}), **options}
    steps = f"{counted(known['steps'], 'step')} each"
    if kind == "compare":
        arms = given.get("arms")
        return f"{config}: comparing {counted(len(arms) if isinstance(arms, Mapping) else 0, 'arm')}, {steps}"
    what = "training" if kind == "train" else "looking for learning rates,"
    return f"{config}: {what} {counted(known['seeds'], 'seed')}, {steps}"


def _check_trackers(track: Track) -> None:
    for name in track or []:
        from deepprinciples.analysis import tracking

        tracking.check(name)


@app.command()
def resume(
    run: RunFolder,
    plugin: Plugin = None,
    allow_inexact: Inexact = False,
    allow_data_change: Annotated[
        bool, typer.Option("--allow-data-change", help="Continue although the data changed; the result is marked.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse where the newest checkpoint is damaged.")] = False,
    executor: Executor = None,
    debug: Debug = False,
) -> None:
    """Resume an interrupted run from its latest checkpoint."""
    with working(plugin, debug, f"{run}: resuming") as (console, bar):
        from deepprinciples.study import commands
        from deepprinciples.study.shown_progress import listen

        allowed: dict[str, Any] = {
            "allow_inexact": allow_inexact,
            "allow_data_change": allow_data_change,
            "strict": strict,
        }
        done = commands.resume(run, **allowed, progress=listen(bar), executor=executor)
        tell(done, console, bar)


@app.command()
def add_seeds(
    run: RunFolder,
    seeds: Annotated[int, typer.Option("--seeds", "-s", help="Total number of seeds.")],
    out: Out = None,
    plugin: Plugin = None,
    allow_inexact: Inexact = False,
    debug: Debug = False,
) -> None:
    """Add seeds to a finished run, in a new run directory."""
    with working(plugin, debug, f"{run}: adding seeds, {seeds} in all") as (console, bar):
        from deepprinciples.study import commands
        from deepprinciples.study.shown_progress import listen

        done = commands.add_seeds(run, seeds, out, allow_inexact=allow_inexact, progress=listen(bar))
        tell(done, console, bar)
