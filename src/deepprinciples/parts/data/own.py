"""The user's own data, given from Python: arrays, trees of arrays, or a stream of batches.

Nothing is guessed about meaning: the task is named, and `prepare` checks every value. Files are read in from_files.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting import batches as streams
from deepprinciples.parts.splitting.array_checks import as_array
from deepprinciples.parts.splitting.sources import Source, both_or_neither, source_of
from deepprinciples.parts.splitting.trees import Bounds, Leaves, is_tree
from deepprinciples.types import Size, Split


def arrays(
    *,
    inputs: Any,
    targets: Any,
    validation_inputs: Any = None,
    validation_targets: Any = None,
    test_inputs: Any = None,
    test_targets: Any = None,
    task: Literal["classification", "regression"] = "classification",
    classes: Size = 0,
    tokens: Size = 0,
    allow_nonfinite: bool = False,
) -> Source:
    """Use arrays given from Python (NumPy, or anything `numpy.asarray` takes).

    Parts that are not given are cut out of `inputs` and `targets`. Source: yours. License: yours.

    Args:
      inputs: [N, ...] numbers; uint8 is divided by 255.
      targets: integer labels [N] (or [N, T], one a step) for classification; numbers [N] or [N, outputs] for
        regression.
      validation_inputs: a fixed validation part, or None.
      validation_targets: its targets.
      test_inputs: a fixed test part, or None.
      test_targets: its targets.
      task: "classification" or "regression".
      classes: number of classes; 0 counts them as the largest label + 1.
      tokens: number of token ids where inputs are tokens; 0 for other inputs.
      allow_nonfinite: let NaN and infinity in the inputs pass.

    Returns:
      Source of these arrays.

    Raises:
      DataError: if only half of a part is given; `prepare` checks the values.

    References: none.
    """
    return source_of(
        inputs,
        targets,
        task,
        classes,
        vocabulary=tokens,
        allow_nonfinite=allow_nonfinite,
        validation=both_or_neither(validation_inputs, validation_targets, "validation"),
        test=both_or_neither(test_inputs, test_targets, "test"),
    )


def examples(
    *,
    inputs: Any,
    targets: Any,
    validation_inputs: Any = None,
    validation_targets: Any = None,
    test_inputs: Any = None,
    test_targets: Any = None,
    outputs: Size = 0,
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


def stream(
    *,
    batches: Any,
    validation_inputs: Any,
    validation_targets: Any,
    test_inputs: Any,
    test_targets: Any,
    inputs: str = "inputs",
    targets: str = "targets",
    task: Literal["classification", "regression"] = "classification",
    classes: Size = 0,
    tokens: Size = 0,
    allow_nonfinite: bool = False,
) -> Source:
    """Train on batches from a loader, for data larger than memory.

    Any re-iterable of (inputs, targets) pairs or dicts will do: a PyTorch DataLoader, a tf.data or grain data set, a
    list, or a function that returns a new iterator (`lambda: dataset.iter(64)` for Hugging Face). Inputs and targets
    may be trees, as those of `examples`. All batches have
    the size of the first; a smaller last one is left out. Values are not standardized, uint8 is divided by 255.
    Source: yours. License: yours.

    Args:
      batches: the re-iterable, or a function without arguments that starts a pass.
      validation_inputs: the validation part, an array [N, ...].
      validation_targets: its targets.
      test_inputs: the test part, an array [N, ...].
      test_targets: its targets.
      inputs: key of the inputs where a batch is a dict.
      targets: key of the targets where a batch is a dict.
      task: "classification" or "regression".
      classes: number of classes; 0 counts them in the first batch and the fixed parts.
      tokens: number of token ids where inputs are tokens; 0 for other inputs.
      allow_nonfinite: let NaN and infinity in the inputs pass.

    Returns:
      Source whose `stream` gives (inputs, targets) pairs; its own arrays are the first batch.

    Raises:
      DataError: for a one-shot iterator, a pass without batches, or a batch of the wrong form.

    References: none.
    """
    source = streams.unpacked(batches, inputs, targets)
    first = next(iter(source), None)
    if first is None:
        raise DataError(f"{streams.WHERE}: a pass gave no batch; give a re-iterable with at least one")
    given: dict[str, Any] = {
        "validation_inputs": validation_inputs,
        "validation_targets": validation_targets,
        "test_inputs": test_inputs,
        "test_targets": test_targets,
        "classes": classes,
        "allow_nonfinite": allow_nonfinite,
    }
    if any(map(is_tree, first)):
        made = examples(inputs=first[0], targets=first[1], vocabulary=tokens, **given)
    else:
        x, y = (
            as_array(one, f"{streams.WHERE}: batch 0, {side}") for one, side in zip(first, Split._fields, strict=True)
        )
        made = arrays(inputs=x, targets=y, task=task, tokens=tokens, **given)
    return made._replace(stream=source)
