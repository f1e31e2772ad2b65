"""Examples that are trees of arrays: dicts and tuples whose leaves share their first axis, checked leaf by leaf.

A message names the leaf by its path, such as `data.targets.boxes`. Single arrays are checked in array_checks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.array_checks import (
    as_array,
    numbers_of,
    plural,
    refuse_floats,
    refuse_integers,
    refuse_no_label,
    show,
)
from deepprinciples.types import Split

Bounds = int | Mapping[str, int]
IDS = "raise the vocabulary or map rare ids to one"
LABELS = "number the classes from 0; -1 is no label"


class Leaves(NamedTuple):
    """What the leaves of a source hold.

    vocabulary: ids in the inputs lie below it; classes: labels in the targets lie below it, and -1 is no label. An int
    bounds every leaf of whole numbers with further axes ([N, T], [N, H, W]), and the one array of targets; a table
    bounds the leaves it names. 0 is no bound.
    """

    vocabulary: Bounds = 0
    classes: Bounds = 0
    allow_nonfinite: bool = False


def is_tree(value: Any) -> bool:
    """Check whether a value is a table or a tuple of arrays; a list is an array's rows."""
    return isinstance(value, (Mapping, tuple))


def map_leaves(function: Callable[[Any, str], Any], tree: Any, path: str) -> Any:
    """Apply function(leaf, path) to every leaf of a tree; the result has the same structure."""
    if not is_tree(tree):
        return function(tree, path)
    items = list(tree.items() if isinstance(tree, Mapping) else enumerate(tree))
    if not tree:
        raise DataError(f"{path}: found an empty {'table' if isinstance(tree, Mapping) else 'tuple'}, expected arrays")
    if wrong := [key for key, _ in items if not isinstance(key, int) and not _is_name(key)]:
        raise DataError(f"{path}: found the key {str(wrong[0])[:40]!r}, expected names of letters, digits, _ and -")
    found = {key: map_leaves(function, one, f"{path}.{key}") for key, one in items}
    if isinstance(tree, Mapping):
        return found
    return type(tree)(*found.values()) if hasattr(tree, "_fields") else tuple(found.values())


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and key.replace("-", "_").isidentifier() and len(key) <= 100


def leaves_of(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """List (path, leaf) of a tree, in order."""
    found: list[tuple[str, Any]] = []
    map_leaves(lambda leaf, where: found.append((where, leaf)), tree, path)
    yield from found


def joined(parts: Sequence[Split]) -> Split:
    """Put the examples of several parts of the same structure one after another."""

    def one(*trees: Any) -> Any:
        rows = zip(*([leaf for _, leaf in leaves_of(tree)] for tree in trees), strict=True)
        return map_leaves(lambda leaf, _: np.concatenate(next(rows)), trees[0], "")

    return Split(*map(one, *parts))


def take(tree: Any, rows: Any) -> Any:
    """Select examples of every leaf, by numbers or by a slice."""
    return map_leaves(lambda leaf, _: leaf[rows], tree, "")


def convert(part: Split, prefix: str, leaves: Leaves, like: Split | None = None) -> tuple[Split, tuple[str, ...]]:
    """Check inputs and targets leaf by leaf, and bring them to float32, int32 and bool.

    Floats become float32. Whole numbers stay whole (int32); uint8 becomes float32 in [0, 1] in inputs and int32 in
    targets. A leaf called `mask` of the inputs has to keep something of every example, one of the targets something of
    some example.

    Args:
      part: inputs and targets, arrays or trees of them.
      prefix: what the paths in messages begin with, such as `data.` or `data.test_`.
      leaves: what they hold.
      like: the converted training part, which other parts have to look like.
    """
    notes: list[str] = []
    check = lambda leaf, path: _leaf(leaf, path, path.removeprefix(prefix), leaves, notes)
    found = Split(*(map_leaves(check, tree, prefix + side) for side, tree in part._asdict().items()))
    _refuse_unknown(leaves.vocabulary, found.inputs, "data.vocabulary")
    _refuse_unknown(leaves.classes, found.targets, "data.classes")
    _refuse_lengths(found, prefix)
    if like is not None:
        refuse_other(found.inputs, like.inputs, f"{prefix}inputs")
        refuse_other(found.targets, like.targets, f"{prefix}targets")
    return found, tuple(dict.fromkeys(notes))


def _leaf(value: Any, path: str, place: str, leaves: Leaves, notes: list[str]) -> np.ndarray:
    """Check one leaf, which stands at `place` of its part, such as `targets.boxes`."""
    x = as_array(value, path)
    if 0 in x.shape:
        raise DataError(f"{path}: found shape {show(x.shape)}, expected no axis of length 0")
    side, _, name = place.partition(".")
    target = side == "targets"
    if x.dtype.kind in "iu" and (target or x.dtype != np.uint8):
        bound = _bound(leaves.classes if target else leaves.vocabulary, name, x)
        least = -1 if target and x.ndim > 1 else 0
        low = least if bound or (target and not name) else None
        noun, fix = ("label", LABELS) if target else ("id", IDS)
        refuse_integers(x, path, low=low, high=bound, noun=noun, fix=fix)
        x = x.astype(np.int32)
        if target and not name and x.ndim > 1:
            refuse_no_label(x, path)
    elif target and x.dtype.kind == "f":
        refuse_floats(x, path, "drop or fill these examples")
        x = x.astype(np.float32)
    elif not target and x.dtype.kind != "b":
        x, more = numbers_of(x, path, leaves.allow_nonfinite)
        x = x.astype(np.float32)
        notes += more
    if name.split(".")[-1] == "mask":
        _refuse_all_masked(x, path, every=not target)
    return x


def _bound(bounds: Bounds, name: str, array: np.ndarray) -> int:
    if isinstance(bounds, Mapping):
        return bounds.get(name, 0)
    return bounds if array.ndim > 1 or not name else 0


def _refuse_all_masked(mask: np.ndarray, path: str, *, every: bool) -> None:
    empty = ~np.any(mask.reshape(len(mask), -1), axis=1)
    if empty.any() if every else empty.all():
        found = plural(int(empty.sum()), "example")
        fix = "1 marks what counts, 0 padding"
        raise DataError(f"{path}: is 0 everywhere in {found}, first number {int(np.argmax(empty))}; {fix}")


def _refuse_unknown(bounds: Bounds, tree: Any, where: str) -> None:
    if not isinstance(bounds, Mapping):
        return
    names = [path.lstrip(".") for path, _ in leaves_of(tree)]
    for name in bounds:
        if name not in names:
            raise DataError(f'{where}: names no leaf "{name}"; the leaves are {", ".join(names) or "one array"}')


def _refuse_lengths(part: Split, prefix: str) -> None:
    count = len(next(leaf for _, leaf in leaves_of(part.inputs)))
    for side, tree in part._asdict().items():
        for path, leaf in leaves_of(tree, f"{prefix}{side}"):
            if len(leaf) != count:
                raise DataError(
                    f"{path}: found {plural(len(leaf), 'example')}, expected {count} as in the other leaves; the first "
                    "axis counts the examples"
                )


def refuse_other(tree: Any, like: Any, where: str) -> None:
    """Raise where a part has other leaves than the training part, or leaves of other shapes or types."""
    found, expected = (dict(leaves_of(one, where)) for one in (tree, like))
    if found.keys() != expected.keys() or type(tree) is not type(like):
        names = ["/".join(sorted(one)).replace(f"{where}.", "").replace("/", ", ") for one in (found, expected)]
        raise DataError(f"{where}: found leaves {names[0]}, expected {names[1]} as in the training part")
    for path, leaf in found.items():
        other = expected[path]
        if leaf.shape[1:] != other.shape[1:]:
            raise DataError(
                f"{path}: found examples of shape {show(leaf.shape[1:])}, expected {show(other.shape[1:])} as in the "
                "training part"
            )
        if leaf.dtype != other.dtype:
            raise DataError(f"{path}: found {leaf.dtype}, expected {other.dtype} as in the training part")
