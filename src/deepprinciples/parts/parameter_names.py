"""Names of parameters, such as "layer_00/linear/kernel", and the patterns that choose among them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax

from deepprinciples.types import PyTree, path_to_names

Patterns = str | Sequence[str]
_MOST_SHOWN = 3


def name_of(path: tuple[Any, ...]) -> str:
    """Name a leaf by JAX's path to it."""
    return "/".join(path_to_names(path))


def names_of(tree: PyTree) -> list[str]:
    """List the names of the leaves of a tree, in its order."""
    return [name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def as_patterns(patterns: Patterns) -> list[str]:
    """Return one pattern or several as a list."""
    return [patterns] if isinstance(patterns, str) else list(patterns)


def matches(patterns: Patterns, name: str) -> bool:
    """Check whether a name fits a pattern: * is any text, "/" included, ? one character, [ab] one of these."""
    return any(fnmatchcase(name, one) for one in as_patterns(patterns))


def unmatched(patterns: Patterns, names: Sequence[str]) -> list[str]:
    """Describe each pattern that fits no name, with the closest names; one clause each."""
    return [
        f"no parameter matches {_quoted(one)}{_nearest(one, names)}"
        for one in as_patterns(patterns)
        if not any(matches(one, name) for name in names)
    ]


def _nearest(pattern: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern[:80], names, n=_MOST_SHOWN, cutoff=0.0)
    return f"; the nearest are {', '.join(map(_quoted, close))}" if close else "; the model has no parameters"


def _quoted(text: str) -> str:
    return json.dumps(text[:80])
