"""Values, types and limits in a few words, for error messages of one line.

Whatever a user gave is cut short and made printable here, so that a message can neither flood nor command a terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_MOST_SHOWN = 20  # unknown keys in one message
_PLURALS = {
    "data": "data",
    "loss": "losses",
    "gan_loss": "GAN losses",
    "search": "search methods",
    "pruning": "pruning methods",
}
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


# What people write for a name of ours.
_SHORT = {
    "acc": "accuracy", "auc": "roc_auc", "batch": "batch_size", "beta1": "b1", "beta2": "b2", "bs": "batch_size",
    "ce": "softmax_cross_entropy", "crossentropy": "softmax_cross_entropy", "cross_entropy": "softmax_cross_entropy",
    "epochs": "steps", "grad_clip": "clip_by_global_norm", "hidden": "width", "hidden_size": "width", "iou": "mean_iou",
    "layers": "depth", "lr": "learning_rate", "num_layers": "depth", "num_steps": "steps", "opt": "optimizer",
    "units": "width", "wd": "weight_decay", "xavier": "glorot_normal", "kaiming": "he_normal",
}  # fmt: skip


def suggestion(word: Any, names: Iterable[str]) -> str:
    """Return `; did you mean "..."?` where a name is close, in any case, or where `word` is short for one."""
    if not isinstance(word, str):
        return ""
    found = nearest(word, names)
    return f'; did you mean "{found}"?' if found else ""


def nearest(word: str, names: Iterable[str]) -> str:
    """Return the name that was meant, or an empty string."""
    word, known = word[:80].lower(), {name.lower(): name for name in names}
    if _SHORT.get(word) in known:
        return known[_SHORT[word]]
    close = difflib.get_close_matches(word, known, n=1)
    return known[close[0]] if close else ""


def unknown_keys(
    keys: list[str],
    known: list[str],
    prefix: str,
    owner: str,
    problems: list[str],
    elsewhere: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Add a line for each key that is not known; `elsewhere` maps keys of other sections to their paths."""
    paths = elsewhere() if keys else {}
    takes = f"({owner} takes: {', '.join(known)})" if known else f"({owner} takes no keys)"
    for key in keys[:_MOST_SHOWN]:
        deeper = paths.get(key) or ("" if nearest(key, known) else paths.get(_SHORT.get(key.lower(), ""), ""))
        guess = f'; did you mean "{deeper}"?' if deeper else suggestion(key, known)
        problems.append(f"{prefix}{word(key)}: unknown key{guess} {takes}")
    if len(keys) > _MOST_SHOWN:
        problems.append(f"{prefix.removesuffix('.') or 'config'}: {len(keys) - _MOST_SHOWN} more unknown keys")


def word(key: Any) -> str:
    """Make a key fit to be shown in a message."""
    return quoted(str(key))[1:-1]


def plural(kind: str) -> str:
    """Return the plural of a kind."""
    return _PLURALS.get(kind, kind if kind.endswith("s") else kind + "s")


def listed(kind: str, tables: Mapping[str, Iterable[str]]) -> str:
    """List the parts of a kind in order, such as "probes: gradient_norm, rank"."""
    return f"{plural(kind)}: {', '.join(sorted(tables.get(kind, ()))) or 'none'}"


def singular(kind: str) -> str:
    """Return the word for one part of a kind: the chains' kinds are plurals."""
    if kind in ("penalties", "weights"):
        return {"penalties": "penalty", "weights": "reparameterization"}[kind]
    plurals = ("regularizers", "transforms", "groups", "test_sets")
    return (kind[:-1] if kind in plurals else kind).replace("_", " ")
