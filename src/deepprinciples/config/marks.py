"""Short marks for what no config file holds: functions, arrays and other objects given from Python."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

MOST_WRITTEN = 10_000  # entries of a list that a config file holds
_MOST_DESCRIBED = 100  # and a description
_MARK = re.compile(r"<(function|array|object) .*>")


def described(value: Any) -> Any:
    """Copy tables and lists, with a short mark in the place of arrays, long lists and other objects.

    Args:
        value: a config, or a part of one.

    Returns:
        Plain values that JSON can hold; of an array its type, shape and hash, such as "<array float32 (6, 2) 0f3a...>".
    """
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return mark(value) if is_long(value, _MOST_DESCRIBED) else [described(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else mark(value)


def mark(value: Any) -> str:
    """Name a value that no file holds in a few words; equal arrays have equal marks."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "shape") or isinstance(value, (list, tuple)):
        return _array_mark(value) or f"<object {type(value).__name__}>"
    word = "function" if callable(value) else "object"
    return f"<{word} {getattr(value, '__name__', type(value).__name__)}>"


def _array_mark(value: Any) -> str:
    """Name an array by type, shape and hash; "" where it is no array of numbers or texts."""
    import numpy as np  # only a config from Python holds arrays, and to read one from a file should be quick

    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception:  # a ragged list, or whatever another library raises
        return ""
    if array.dtype.hasobject:
        return ""
    digest = hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()[:16]
    return f"<array {array.dtype} {array.shape} {digest}>"


def is_long(value: Any, most: int) -> bool:
    """Check whether a list has more than `most` leaves."""
    left, level = most, [value]
    while level and left >= 0:
        items = [item for one in level for item in one]
        left -= len(items)
        level = [item for item in items if isinstance(item, (list, tuple))]
    return left < 0


def is_marked(leaf: Any) -> bool:
    """Check whether a leaf stands for a value from Python; it may be a table, or a list of tables."""
    if isinstance(leaf, (Mapping, list, tuple)):
        return any(map(is_marked, leaf.values() if isinstance(leaf, Mapping) else leaf))
    return isinstance(leaf, str) and bool(_MARK.fullmatch(leaf))
