"""The application, and the options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

SECTIONS = {
    "Train": ("compare", "train", "lr-find", "resume", "add-seeds"),
    "Look at a run": ("runs", "open", "report", "track", "replay", "probe", "explain", "generate"),
    "Parts and configs": ("init", "list", "show", "data"),
    "Parameters": ("export", "import"),
    "This machine": ("doctor",),
}


class _Sections(TyperGroup):
    """The commands under headings, each with its whole first line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, (self.commands[name].help or "").partition("\n")[0]) for name in names])


app = typer.Typer(
    name="deepprinciples",
    cls=_Sections,
    help="Compare training methods as one compiled program: many seeds, many settings, an honest verdict.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Changes = Annotated[list[str] | None, typer.Argument(metavar="PATH=VALUE", help="Overrides, such as train.steps=200.")]
ConfigFile = Annotated[Path, typer.Argument(help="A TOML or JSON file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The run directory, by default runs/<name>-<number>. Never overwritten."),
]
Name = Annotated[str, typer.Option("--name", "-n", help="Stem of the default run directory.")]
Section = StrEnum("Section", ["budget", "importance"])
Show = Annotated[
    list[Section] | None, typer.Option(help="Print more: best score against trials, or what decided the scores.")
]
Tracker = StrEnum("Tracker", ["tensorboard", "wandb", "mlflow", "trackio"])
Track = Annotated[
    list[Tracker] | None,
    typer.Option("--track", help="Give the finished run to an experiment tracker; may be repeated."),
]
Form = StrEnum("Form", ["markdown", "latex", "csv"])
Plugin = Annotated[
    Path | None, typer.Option("--plugin", help="A Python file you trust; its TABLES add your factories.")
]
Executor = Annotated[
    str | None, typer.Option("--executor", help="Train on a Dask cluster, dask:tcp://HOST:PORT; by default here.")
]
Plan = Annotated[bool, typer.Option("--plan", help="Print what would run and what it could show; run nothing.")]
Arms = Annotated[list[str] | None, typer.Option("--arm", "-a", help="Compare only this arm; may be repeated.")]
Inexact = Annotated[
    bool,
    typer.Option("--allow-inexact", help="Continue although machine or versions changed; the result is marked."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"deepprinciples {metadata.version('deepprinciples')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version
