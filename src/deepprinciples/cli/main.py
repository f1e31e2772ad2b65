"""The command line: thin, and quick to answer. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from deepprinciples.cli import data_commands, run_commands, training_commands
from deepprinciples.cli.console import one_line_errors
from deepprinciples.cli.options import Debug, app
from deepprinciples.errors import ConfigError, Stopped, not_written

COMMANDS = (training_commands, run_commands, data_commands)  # importing them adds their commands to the app


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The TOML file to write. Never overwritten.")] = Path("comparison.toml"),
    debug: Debug = False,
) -> None:
    """Write a small commented config to start from."""
    with one_line_errors(debug):
        if file.exists():
            raise ConfigError(f"{file}: is there already and is not overwritten; name another file")
        try:
            file.write_text(resources.files("deepprinciples.cli").joinpath("starter.toml").read_text(encoding="utf-8"))
        except OSError as error:
            raise not_written(file, error) from None
        typer.echo(f"{file} is written. Run it with: deepprinciples compare {file}")


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="Such as model, optimizer, transforms.")] = None,
    debug: Debug = False,
) -> None:
    """List the parts that a config can name."""
    with one_line_errors(debug):
        from deepprinciples.cli.part_cards import kept, list_parts

        typer.echo(list_parts(kept(), kind))


@app.command()
def show(
    part: Annotated[list[str], typer.Argument(metavar="[KIND] NAME", help="Such as adam, or: model mlp.")],
    debug: Debug = False,
) -> None:
    """Show the card of a part: what it does, formula, hyper-parameters, reference."""
    with one_line_errors(debug):
        from deepprinciples.cli.part_cards import card, kept, kind_of

        if len(part) > 2:
            raise ConfigError(f"show: found {len(part)} words, expected a name or a kind and a name")
        cards = kept()
        typer.echo(card(cards, part[0] if len(part) == 2 else kind_of(cards, part[0]), part[-1]))


@app.command()
def doctor(debug: Debug = False) -> None:
    """Show devices and versions, and check that this machine repeats itself bit for bit."""
    with one_line_errors(debug):
        from deepprinciples.cli.doctor import examine

        for line in examine():
            typer.echo(line)


def _answered(words: list[str]) -> bool:
    """Answer `list` and `show` without options here: before typer reads a word of a command, it loads pydantic."""
    command, *rest = words or [""]
    if any(word.startswith("-") for word in rest) or (command, bool(rest)) == ("show", False) or len(rest) > 2:
        return False
    try:
        if command == "show":
            show(rest)
        elif command == "list" and len(rest) < 2:
            list_(rest[0] if rest else None)
        else:
            return False
    except typer.Exit as end:
        raise SystemExit(end.exit_code) from None
    return True


def main() -> None:
    """Run the command line; a run that was stopped leaves at once, without waiting for a compiler at work."""
    try:
        if not _answered(sys.argv[1:]):
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
