"""A config as a dictionary: read from a file, changed by dotted paths, written as TOML.

Nothing here knows what a key means; `config.resolve` checks that. A config is data: no value is evaluated, imported or
expanded, whatever it looks like. Chains are ordered tables, so the order of keys is kept everywhere.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from deepprinciples.config.marks import MOST_WRITTEN, is_long, is_marked, mark
from deepprinciples.config.wording import quoted, shown
from deepprinciples.errors import ConfigError
from deepprinciples.runs.files import MAX_BYTES, MAX_DEPTH, check_depth, parse_json, read_text

SCHEMA_VERSION = 1

_MAX_TOML_BYTES = 2**20  # the standard library's TOML reader is slow Python; a config is a page, not a book
_LONG_KEY = re.compile(r"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){33}")
_WORD = re.compile(r"[A-Za-z_~./][\w~./:+-]*")


def load(path: Path | str) -> dict[str, Any]:
    """Read a config from a .toml or .json file.

    Args:
        path: the file. UTF-8, with or without a byte-order mark.

    Returns:
        The dictionary as written; `config.resolve` checks it.

    Raises:
        ConfigError: the file is missing, empty, too large, too deep, ambiguous, not in its format, or was written by a
            later version or from Python with values no file can hold.
    """
    config = read(path)
    if marks := marked(config):
        raise ConfigError(
            *(
                f"{path}: {key} stands for a value given from Python; run it from Python again, or name a part instead"
                for key in marks
            )
        )
    return config


def marked(config: Mapping[str, Any]) -> list[str]:
    """List the paths of a written config that stand for what was given from Python."""
    return [key for key, leaf in flatten(config).items() if is_marked(leaf)]


def read(path: Path | str) -> dict[str, Any]:
    """Read a config as `load` does, with the marks that stand for values given from Python."""
    path = Path(path)
    try:
        config = _parse(path)
        check_depth(config)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a config in TOML or JSON") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: expected a table at the top, found {shown(config)}")
    return config


def _parse(path: Path) -> Any:
    if path.suffix not in (".toml", ".json"):
        raise ValueError("expected a file that ends in .toml or .json")
    if path.suffix == ".json":
        text = read_text(path, MAX_BYTES, links=True)
        return parse_json(text) if text.strip() else _empty()
    text = read_text(path, _MAX_TOML_BYTES, links=True)
    return _parse_toml(text) if text.strip() else _empty()


def _empty() -> Any:
    raise ValueError("the file is empty; expected sections such as [data], [model], [loss], [optimizer]")


def _parse_toml(text: str) -> dict[str, Any]:
    if _LONG_KEY.search(text):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {str(error)[:200]}") from None


def override(config: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Apply settings of the command line, PATH=VALUE, in order.

    Args:
        config: the config to start from; it is left as it is.
        settings: such as "optimizer.learning_rate=1e-3", "model.initializer={name='normal', stddev=0.05}". A value is
            TOML; what is not TOML but looks like a word or a file name is taken as text.

    Returns:
        The changed config.

    Raises:
        ConfigError: a setting has no "=", an impossible path or an unreadable value; all of them at once.
    """
    edits, problems = {}, []
    for setting in settings:
        path, equals, text = setting.partition("=")
        path = path.strip()
        try:
            if not equals or not path:
                raise ValueError("expected PATH=VALUE, such as train.steps=100")
            split(path)
            edits[path] = _value(text.strip())
        except ValueError as error:
            problems.append(f"{quoted(path)[1:-1]}: {error}")
    if problems:
        raise ConfigError(*problems)
    return changes(config, edits)


def _value(text: str) -> Any:
    try:
        found = _parse_toml(f"value = {text}")
        check_depth(found)
    except ValueError:
        found = {}
    if list(found) == ["value"]:
        return found["value"]
    if _WORD.fullmatch(text):
        return text
    raise ValueError(f"expected a TOML value such as 0.1, true, [1, 2] or 'text', found {quoted(text)}")


def changes(base: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """Apply changes given as {dotted path: value}.

    A table that names a part, or is empty, replaces what was there; any other table is merged into it. A new name
    replaces the section too, for the keywords of the old part mean nothing to the new one.

    Args:
        base: the config to start from; it is left as it is.
        edits: such as {"model.skip": "residual", "model.initializer": {"name": "glorot_normal"}}.

    Returns:
        The changed config. Sections on the way that are missing are made.

    Raises:
        ConfigError: a path leads through something that is no table.
    """
    config = copy(base)
    for path, value in edits.items():
        *parents, leaf = _keys(path)
        if leaf == "name" and parents:
            _forget(config, parents, value)
    for path, value in edits.items():
        _set(config, path, copy(value) if isinstance(value, Mapping) else value)
    return config


def _forget(config: dict[str, Any], keys: list[str], name: Any) -> None:
    table: Any = config
    for key in keys:
        if not isinstance(table, dict) or key not in table:
            return
        table, parent = table[key], table
    if isinstance(table, dict) and table.get("name", keys[-1]) != name:
        parent[keys[-1]] = {}


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = _keys(path)
    table = config
    for key in parents:
        child = table.setdefault(key, {})
        if isinstance(child, str):
            child = table[key] = {"name": child}
        if not isinstance(child, dict):
            raise ConfigError(f"{path}: {key} holds {shown(child)}, expected a table")
        table = child
    if isinstance(value, dict) and value and not names_part(value) and isinstance(table.get(leaf, {}), (dict, str)):
        if isinstance(table.get(leaf), str) and value:
            table[leaf] = {"name": table[leaf]}
        table.setdefault(leaf, {})
        for key, item in value.items():
            _set(config, f"{path}.{key}", item)
    else:
        table[leaf] = value


def names_part(value: Any) -> bool:
    """Check whether a table names a part, so that it stands for a whole section."""
    return isinstance(value, Mapping) and ("name" in value or "factory" in value)


def split(path: str) -> list[str]:
    """Split a dotted path into its words.

    Raises:
        ValueError: a word is empty, or there are too many.
    """
    words = path.split(".")
    if not all(word.strip() == word and word for word in words):
        raise ValueError("expected words joined by dots, such as optimizer.learning_rate")
    if len(words) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return words


def _keys(path: str) -> list[str]:
    """Return the keys on the way to a value; below an arm and below study.tune a dotted path is itself one key."""
    try:
        words = split(path)
    except ValueError as error:
        raise ConfigError(f"{quoted(path)[1:-1]}: {error}") from None
    if words[0] == "arms" and len(words) > 3 and words[2] == "tune":
        return [*words[:3], *_range_keys(words[3:])]
    if words[0] == "arms" and len(words) > 2:
        return [*words[:2], ".".join(words[2:])]
    if words[:2] == ["study", "tune"] and len(words) > 2:
        return [*words[:2], *_range_keys(words[2:])]
    return words


def _range_keys(words: list[str]) -> list[str]:
    if len(words) > 1 and words[-1] in ("low", "high", "scale"):
        return [".".join(words[:-1]), words[-1]]
    return [".".join(words)]


def at(config: Mapping[str, Any], path: str) -> Any:
    """Read a config at a dotted path; None where there is nothing."""
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """List the leaves of a config by dotted path; an empty table, and each change of an arm, is a leaf."""
    return dict(_leaves(config, ()))


def _leaves(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if len(above) > MAX_DEPTH:
        raise ConfigError(f"config: nested deeper than {MAX_DEPTH} levels")
    whole = len(above) == 2 and above[0] == "arms"
    for key, value in table.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value and not (whole and key != "tune"):
            yield from _leaves(value, path)
        else:
            yield ".".join(path), value


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Build the nested config from {dotted path: leaf}; the inverse of `flatten`."""
    config: dict[str, Any] = {}
    for path, value in leaves.items():
        *parents, leaf = _keys(path)
        table = config
        for key in parents:
            table = table.setdefault(key, {})
        table[leaf] = value
    return config


def copy(value: Any, depth: int = 0) -> Any:
    """Copy tables and lists; other leaves, arrays among them, are shared, and arrays of one number become it."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"config: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {key: copy(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [copy(item, depth + 1) for item in value]
    scalar = getattr(value, "shape", None) == () and callable(getattr(value, "item", None))  # NumPy, PyTorch or JAX
    return value.item() if scalar else value


def dumps(config: Mapping[str, Any]) -> str:
    """Write a config as TOML, one section a table, everything inside it on lines of its own, in order.

    Functions and arrays given from Python become readable marks such as "<function halve>", which `load` refuses.
    """
    lines = [f"schema_version = {SCHEMA_VERSION}"]
    tables: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    for name, section in config.items():
        if not isinstance(section, Mapping):
            lines += _line(name, section)
        elif name == "arms":
            tables += [((name, arm), edits) for arm, edits in section.items()]
        else:
            tables.append(((name,), section))
    for names, table in tables:
        lines += ["", "[" + ".".join(map(_key, names)) + "]"]
        lines += [line for key, value in table.items() for line in _line(key, value)]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> list[str]:
    return [] if value is None or key == "schema_version" else [f"{_key(key)} = {_inline(value)}"]


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        items = [f"{_key(key)} = {_inline(item)}" for key, item in value.items() if item is not None]
        return "{ " + ", ".join(items) + " }" if items else "{}"
    if isinstance(value, (list, tuple)):
        if is_long(value, MOST_WRITTEN):
            return _inline(mark(value))
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    known = isinstance(value, (bool, int, float, str, datetime.date, datetime.time))
    return tomli_w.dumps({"v": value if known else mark(value)})[len("v = ") : -1]


def _key(key: str) -> str:
    return tomli_w.dumps({str(key): 0})[: -len(" = 0\n")]
