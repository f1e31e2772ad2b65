"""Commands for published data sets: list them, fetch one, say where one lies. They need no JAX."""

from __future__ import annotations

from typing import Annotated

import typer

from deepprinciples.cli.console import one_line_errors
from deepprinciples.cli.options import Debug, app
from deepprinciples.errors import ConfigError

data = typer.Typer(help="List, fetch and find the data sets that are known by name.", no_args_is_help=True)
app.add_typer(data, name="data")

SetName = Annotated[str, typer.Argument(metavar="NAME", help="Of a set, as data list shows it.")]


@data.command(name="list")
def list_(debug: Debug = False) -> None:
    """List the sets, with their size and license."""
    with one_line_errors(debug):
        from deepprinciples.parts.fetched import fetching

        for name, one in fetching.SETS.items():
            state = "here" if fetching.present(name) else "not here"
            typer.echo(f"{name}: {one.what}. {fetching.in_bytes(one.size)}, {state}")
            typer.echo(f"  source: {one.source}")
            typer.echo(f"  license: {one.license}")


@data.command()
def fetch(name: SetName, debug: Debug = False) -> None:
    """Download a set unless it is here; print its folder."""
    with one_line_errors(debug):
        from deepprinciples.parts.fetched import fetching

        typer.echo(fetching.get(_known(name)))


@data.command()
def where(name: SetName, debug: Debug = False) -> None:
    """Check the files of a set; print its folder."""
    with one_line_errors(debug):
        from deepprinciples.parts.fetched import fetching

        typer.echo(fetching.get(_known(name), download=False))


def _known(name: str) -> str:
    from deepprinciples.config.wording import quoted, suggestion
    from deepprinciples.parts.fetched.published import SETS

    if name not in SETS:
        guess = suggestion(name, SETS)
        raise ConfigError(
            f"data: no set {quoted(name)}{guess} (sets that are fetched: {', '.join(sorted(SETS))}; "
            "other data come with the package or are yours)"
        )
    return name
