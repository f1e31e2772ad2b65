"""A user's own factories, from a trusted Python file given with --plugin: the one way code enters a command."""

from __future__ import annotations

import importlib.util
from collections.abc import MutableMapping
from pathlib import Path
from typing import cast

from deepprinciples.errors import ConfigError
from deepprinciples.learners import TABLES

added: list[Path] = []  # the files of this process, in order


def add_parts(path: Path) -> None:
    """Run a Python file and add its `TABLES` (kind -> name -> factory) to what a config can name.

    Args:
        path: the file; it is trusted and runs as the user.

    Raises:
        ConfigError: it cannot be run, has no TABLES, names an unknown kind, or takes a name that is taken.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"--plugin {path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises is theirs to see
        raise ConfigError(f"--plugin {path}: {type(error).__name__}: {error}") from error
    tables = getattr(module, "TABLES", None)
    if not isinstance(tables, dict):
        raise ConfigError(f'--plugin {path}: expected TABLES = {{"transforms": {{"mine": mine}}}}, found none')
    for kind, table in tables.items():
        if kind not in TABLES:
            raise ConfigError(f"--plugin {path}: no kind {kind!r} (kinds: {', '.join(TABLES)})")
        if not isinstance(table, dict) or not all(callable(factory) for factory in table.values()):
            raise ConfigError(
                f'--plugin {path}: TABLES[{kind!r}]: expected a dict of factories, such as {{"mine": mine}}'
            )
        for name, factory in table.items():
            if name in TABLES[kind]:
                raise ConfigError(f"--plugin {path}: {kind} {name!r} exists already; give yours another name")
            cast(MutableMapping, TABLES[kind])[name] = factory
    added.append(path.resolve())
