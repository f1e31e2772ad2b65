"""Data sets of other libraries that fit in memory, read example by example into arrays.

Nothing of those libraries is imported; values go through `np.asarray`. `parts.splitting` has batches from a loader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from deepprinciples.errors import DataError, one_line
from deepprinciples.parts.data.own import arrays, examples
from deepprinciples.parts.splitting.array_checks import as_array, show
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.splitting.trees import is_tree, leaves_of, map_leaves
from deepprinciples.types import Size, Split


def dataset(
    *,
    items: Any,
    validation_items: Any = None,
    test_items: Any = None,
    inputs: str = "inputs",
    targets: str = "targets",
    task: Literal["classification", "regression"] = "classification",
    classes: Size = 0,
    tokens: Size = 0,
    allow_nonfinite: bool = False,
) -> Source:
    """Use a data set of another library that fits in memory: of PyTorch, Hugging Face, grain, tf.data, or a list.

    Every example is a pair (input, target) or a dict, and is read once: what a data set draws at random, such as its
    own augmentation, stays as it was drawn. Inputs and targets may be trees, as those of `examples`. Parts that are not
    given are cut out of `items`. Source: yours. License: yours.

    Args:
      items: the examples: what can be iterated again and again, or has a length and is read by number.
      validation_items: a fixed validation part, or None.
      test_items: a fixed test part, or None.
      inputs: key of the inputs where an example is a dict.
      targets: key of the targets where an example is a dict.
      task: "classification" or "regression".
      classes: number of classes; 0 counts them as the largest label + 1.
      tokens: number of token ids where inputs are tokens; 0 for other inputs.
      allow_nonfinite: let NaN and infinity in the inputs pass.

    Returns:
      Source of these examples, as arrays.

    Raises:
      DataError: for a one-shot iterator, an example of the wrong form, or examples of different shapes.

    References: none.
    """
    given = {"": items, "validation_": validation_items, "test_": test_items}
    parts = {
        name: _stacked(one, inputs, targets, f"data.{name}items") for name, one in given.items() if one is not None
    }
    sides = {name + side: tree for name, part in parts.items() for side, tree in part._asdict().items()}
    if any(map(is_tree, parts[""])):
        return examples(**sides, vocabulary=tokens, classes=classes, allow_nonfinite=allow_nonfinite)
    return arrays(**sides, task=task, classes=classes, tokens=tokens, allow_nonfinite=allow_nonfinite)


def _stacked(items: Any, inputs: str, targets: str, where: str) -> Split:
    """Read every example of a data set, and stack them leaf by leaf."""
    pairs: list[Split] = []
    try:
        for example in _each(items, where):
            pairs.append(_pair(example, inputs, targets, f"{where}: example {len(pairs)}"))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{where}: reading example {len(pairs)} failed: {one_line(error)}") from error
    if not pairs:
        raise DataError(f"{where}: holds no example, expected at least one")
    rows = [
        {path.lstrip("."): _array(leaf, f"{where}: example {k}, {path.lstrip('.')}")
         for path, leaf in leaves_of(pair._asdict())}
        for k, pair in enumerate(pairs)
    ]  # fmt: skip
    for k, row in enumerate(rows):
        found, expected = ({path: show(leaf.shape) for path, leaf in one.items()} for one in (row, rows[0]))
        for path in expected | found:
            if found.get(path) != expected.get(path):
                raise DataError(
                    f"{where}: {path} of example {k} has shape {found.get(path, 'none')}, expected "
                    f"{expected.get(path, 'none')} as in example 0; crop, resize or pad the examples to one shape"
                )
    stacked = lambda _, path: np.stack([row[path.lstrip(".")] for row in rows])
    return Split(**map_leaves(stacked, pairs[0]._asdict(), ""))


def _array(leaf: Any, where: str) -> np.ndarray:
    return as_array(leaf, where) if np.ndim(leaf) else np.asarray(leaf)


def _each(items: Any, where: str) -> Iterable[Any]:
    """Return the examples in order; what has only a length and numbers need not raise at its end."""
    if hasattr(items, "__iter__"):
        if iter(items) is items:
            raise DataError(
                f"{where}: found a one-shot iterator ({type(items).__name__}); give the data set itself, or list(...)"
            )
        return items
    if hasattr(items, "__getitem__") and hasattr(items, "__len__"):
        return (items[k] for k in range(len(items)))
    raise DataError(f"{where}: found {type(items).__name__}; expected a list, or what has __getitem__ and __len__")


def _pair(example: Any, inputs: str, targets: str, where: str) -> Split:
    if isinstance(example, Mapping):
        for name in (inputs, targets):
            if name not in example:
                raise DataError(f'{where} has no "{name}"; it has {", ".join(map(repr, example))}')
        return Split(example[inputs], example[targets])
    if isinstance(example, tuple | list) and len(example) == 2:
        return Split(*example)
    raise DataError(f"{where} is a {type(example).__name__}, expected a pair (input, target) or a dict")
