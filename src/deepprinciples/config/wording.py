"""Values, types and limits in a few words, for error messages of one line.

Whatever a user gave is cut short and made printable here, so that a message can neither flood nor command a terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_PLURALS = {"data": "data", "loss": "losses", "gan_loss": "GAN losses"}
_NOUNS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


def in_words(interval: str) -> str:
    """Describe what an interval such as "[0, 1)" allows."""
    low, high = (end.strip() for end in interval[1:-1].split(","))
    words = []
    if low != "-inf":
        words.append(("of at least " if interval[0] == "[" else "above ") + low)
    if high != "inf":
        words.append(("at most " if interval[-1] == "]" else "below ") + high)
    return " and ".join(words)


def noun(hint: Any) -> str:
    """Name what a type hint asks for."""
    if hint in _NOUNS:
        return _NOUNS[hint]
    if hint is type(None):
        return "nothing"
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(shown(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple or hint is tuple:
        return "a list"
    if hint is Callable or get_origin(hint) is Callable:
        return "a function from Python"
    return "a table" if isinstance(get_origin(hint) or hint, type) else str(hint)


def shown(value: Any) -> str:
    """Describe a value in an error message: short, on one line, without control characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, int) and abs(value) >= 2**70:
        return "a whole number of more than 64 bits"
    if isinstance(value, (int, float)):
        return repr(float(value) if isinstance(value, float) else int(value))
    if value is None:
        return "nothing"
    words: dict[Any, str] = {list: "a list", tuple: "a list", dict: "a table"}
    name = getattr(value, "__name__", None)
    return words.get(type(value)) or (f"the function {name}" if callable(value) and name else type(value).__name__)


def quoted(text: str) -> str:
    """Put a text into double quotes, cut to 60 characters and made printable."""
    cut = text if len(text) <= 60 else text[:57] + "..."
    inner = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in cut)
    return '"' + inner.replace('"', '\\"') + '"'


def suggestion(word: Any, names: Iterable[str]) -> str:
    """Return `; did you mean "..."?` where one of the names is close."""
    if not isinstance(word, str):
        return ""
    close = difflib.get_close_matches(word[:80], list(names), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def plural(kind: str) -> str:
    """Return the plural of a kind."""
    return _PLURALS.get(kind, kind if kind.endswith("s") else kind + "s")


def joined(names: Iterable[str]) -> str:
    """List names in order, with commas."""
    return ", ".join(sorted(names))


def singular(kind: str) -> str:
    """Return the word for one part of a kind: the chains' kinds are plurals."""
    if kind in ("penalties", "weights"):
        return {"penalties": "penalty", "weights": "reparameterization"}[kind]
    plurals = ("regularizers", "transforms", "groups", "test_sets")
    return (kind[:-1] if kind in plurals else kind).replace("_", " ")
