"""Examples given from Python as trees of arrays; those given as single arrays, files and streams are in own.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepprinciples.errors import DataError
from deepprinciples.parts.data.sources import Source
from deepprinciples.parts.data.trees import Bounds, Leaves
from deepprinciples.types import Split


def both_or_neither(inputs: Any, targets: Any, name: str) -> Split | None:
    """Return a fixed part, None where neither side of it is given.

    Raises:
      DataError: if only one side is given.
    """
    if (inputs is None) != (targets is None):
        given, missing = ("targets", "inputs") if inputs is None else ("inputs", "targets")
        raise DataError(f"data.{name}_{missing}: found none although {name}_{given} are given; give both or neither")
    return None if inputs is None else Split(inputs, targets)


def examples(
    *,
    inputs: Any,
    targets: Any,
    validation_inputs: Any = None,
    validation_targets: Any = None,
    test_inputs: Any = None,
    test_targets: Any = None,
    outputs: int = 0,
    vocabulary: Any = 0,
    classes: Any = 0,
    class_names: tuple[str, ...] = (),
    feature_names: tuple[str, ...] = (),
    units: str = "",
    display: Any = None,
    allow_nonfinite: bool = False,
) -> Source:
    """Use trees of arrays given from Python: dicts and tuples whose leaves have the examples along their first axis.

    Values are taken as they are, not standardized; uint8 inputs are divided by 255. Whole numbers stay whole. Masks,
    lengths and boxes belong in the targets; {"tokens", "mask"} or (source, shifted) in the inputs. A leaf called
    `mask` has to keep something. Parts that are not given are cut out of `inputs` and `targets`. Source: yours.
    License: yours.

    Args:
      inputs: an array [N, ...], or a dict or tuple of them.
      targets: labels [N] or of any further shape ([N, H, W], where -1 is no label), numbers, or a tree of both.
      validation_inputs: a fixed validation part of the same structure, or None.
      validation_targets: its targets.
      test_inputs: a fixed test part of the same structure, or None.
      test_targets: its targets.
      outputs: how many outputs a model of ours gets; 0 reads it off the targets, or takes `classes`.
      vocabulary: ids in the inputs lie below it; a table bounds leaves by name, such as {"tokens": 100}.
      classes: labels in the targets lie below it; 0 counts those of one array; a table bounds leaves by name.
      class_names: what the classes are called.
      feature_names: what the last axis of the inputs is called.
      units: of the targets of a regression.
      display: (axes, inputs, outputs) -> None, draws one example.
      allow_nonfinite: let NaN and infinity in the inputs pass.

    Returns:
      Source of these trees.

    Raises:
      DataError: if only half of a part is given; `prepare` checks the leaves, and names one by its path.

    References: none.
    """
    return Source(
        inputs,
        targets,
        "",
        outputs,
        vocabulary=vocabulary if isinstance(vocabulary, int) else 0,
        standardize=False,
        validation=both_or_neither(validation_inputs, validation_targets, "validation"),
        test=both_or_neither(test_inputs, test_targets, "test"),
        leaves=Leaves(_bounds(vocabulary, "data.vocabulary"), _bounds(classes, "data.classes"), allow_nonfinite),
        class_names=class_names,
        feature_names=feature_names,
        units=units,
        display=display,
    )


def _bounds(value: Any, where: str) -> Bounds:
    """Check the bound of whole numbers, or a table of them by leaf."""
    for one in value.values() if isinstance(value, Mapping) else [value]:
        if isinstance(one, bool) or not isinstance(one, int) or one < 0:
            raise DataError(f"{where}: found {one!r}, expected a whole number from 0, or a table of them by leaf")
    return dict(value) if isinstance(value, Mapping) else value
