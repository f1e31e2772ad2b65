"""Names of parameters, such as "layer_00/linear/kernel", and the patterns that choose among them.

What a model keeps beside its parameters is named by its place in the state: "state/batch_stats/layer_00/norm/mean".
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax

from deepprinciples.types import PyTree, path_to_names

Patterns = str | Sequence[str]
STATE = "state/"  # how the names of a model's state begin where they stand beside those of its parameters
_COLLECTION = "batch_stats"  # of Linen, between a name's beginning and the path of its layer
_MOST_SHOWN = 3


def name_of(path: tuple[Any, ...]) -> str:
    """Name a leaf by JAX's path to it."""
    return "/".join(path_to_names(path))


def names_of(tree: PyTree) -> list[str]:
    """List the names of the leaves of a tree, in its order."""
    return [name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def names_with_state(params: PyTree, state: PyTree) -> list[str]:
    """List the names of a model's parameters and of what it keeps beside them, in the order of their leaves."""
    return names_of(params) + [f"{STATE}{name}" for name in names_of(state)]


def place_of(name: str) -> str:
    """Return what a pattern is held against: of "state/batch_stats/layer_00/norm/mean" it is "layer_00/norm/mean"."""
    if not name.startswith(STATE):
        return name
    return "/".join(word for word in name.removeprefix(STATE).split("/") if word != _COLLECTION)


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
