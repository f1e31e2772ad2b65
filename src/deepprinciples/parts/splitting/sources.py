"""What a data factory returns, and the checks that it has to pass before it is split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting import trees
from deepprinciples.parts.splitting.array_checks import as_array, inputs_of, labels_of, show, values_of
from deepprinciples.types import Sounds, Split

WORDS = {"train": "training", "validation": "validation", "test": "test"}


class Source(NamedTuple):
    """Examples as a factory gives them, before checks and splits."""

    inputs: Any  # [N, ...], or a tree of such arrays where `leaves` is given
    targets: Any  # likewise
    task: str  # "classification" | "regression" | "structured"; "" with `leaves`: read it off the targets
    outputs: int = 0  # classes, or targets an example; 0: read it off the targets
    vocabulary: int = 0  # above 0: inputs are token ids below it
    standardize: bool = True  # False where the scale is part of the benchmark
    validation: Split | None = None  # fixed parts, where a set ships them
    test: Split | None = None
    notes: tuple[str, ...] = ()
    stream: Iterable[Any] | None = None  # batches larger than memory; then inputs and targets are the first batch
    allow_nonfinite: bool = False
    modes: np.ndarray | None = None  # centers [M, D] of a known mixture, at the scale of inputs kept unstandardized
    mode_std: float = 0.0  # and its standard deviation around each center
    leaves: trees.Leaves | None = None  # what is in the leaves of a source of trees
    class_names: tuple[str, ...] = ()
    token_names: tuple[str, ...] = ()  # of the ids of a vocabulary; parts.text reads and writes text with them
    feature_names: tuple[str, ...] = ()
    units: str = ""
    groups: np.ndarray | None = None  # [N] whole numbers: examples of one group, such as a person's, stay in one part
    display: Callable[[Any, Any, Any], Any] | None = None
    evidence: Mapping[str, np.ndarray] = MappingProxyType({})  # fixed part -> masks [N, ...], see `Dataset`
    sounds: Sounds | None = None  # of the examples that parts are cut from, or those of a fixed test part


class Checked(NamedTuple):
    """A source whose arrays were checked and brought to numbers; its task and outputs are known."""

    source: Source
    parts: dict[str, Split]  # "train", and "validation" and "test" where the set ships them
    outputs: int
    notes: tuple[str, ...]


def of_parts(parts: Mapping[str, Split], task: str, outputs: int, **rest: Any) -> Source:
    """Build the source of a set in fixed parts: "train", and of "validation" and "test" what there is."""
    fixed: dict[str, Any] = {name: part for name, part in parts.items() if name != "train"}
    return Source(parts["train"].inputs, parts["train"].targets, task, outputs, **fixed, **rest)


def source_of(inputs: Any, targets: Any, task: str, classes: int, **rest: Any) -> Source:
    """Build the source of arrays that are the user's own; `classes` counts for a classification only."""
    if classes < 0:
        raise DataError(f"data.classes: found {classes}, expected 0 (count them) or the number of classes")
    notes: tuple[str, ...] = ()
    if getattr(inputs, "dtype", None) == np.float64:
        notes = ("note: inputs: float64 values were narrowed to float32",)
    return Source(inputs, targets, task, classes if task == "classification" else 0, notes=notes, **rest)


def both_or_neither(inputs: Any, targets: Any, name: str) -> Split | None:
    """Return a fixed part, None where neither side of it is given; raise where only one is."""
    if (inputs is None) != (targets is None):
        given, missing = ("targets", "inputs") if inputs is None else ("inputs", "targets")
        raise DataError(f"data.{name}_{missing}: found none although {name}_{given} are given; give both or neither")
    return None if inputs is None else Split(inputs, targets)


def checked(source: Source, channels: str, where: str = "data") -> Checked:
    """Check every array of a source, and raise for the first that cannot be used; `channels` is that of `prepare`."""
    if source.leaves is None:
        return _of_arrays(source, channels, where)
    return _of_trees(source, source.leaves, where)


def _given(source: Source) -> dict[str, Split]:
    raw = {"train": Split(source.inputs, source.targets), "validation": source.validation, "test": source.test}
    return {name: part for name, part in raw.items() if part is not None}


def _classes(parts: Mapping[str, Split]) -> int:
    """Count classes as the largest label + 1; refuse labels that seem to count from 1.

    The model would get an output for a class that never comes.
    """
    least = min(int(part.targets[part.targets >= 0].min(initial=2)) for part in parts.values())
    most = max(int(part.targets.max()) for part in parts.values())
    if least == 1 < most:
        raise DataError(
            f"data.targets: found labels from 1 to {most} and none of 0, expected labels from 0; subtract 1, or set "
            f"data.classes = {most + 1} where class 0 is only missing"
        )
    return most + 1


def _of_trees(source: Source, leaves: trees.Leaves, where: str) -> Checked:
    """Check every part leaf by leaf; the task and the number of outputs are read off where they are open."""
    parts: dict[str, Split] = {}
    notes: tuple[str, ...] = ()
    for name, part in _given(source).items():
        prefix = f"{where}." if name == "train" else f"{where}.{name}_"
        parts[name], more = trees.convert(part, prefix, leaves, parts.get("train"))
        notes += more
    targets = parts["train"].targets
    task, outputs = "structured", source.outputs or (leaves.classes if isinstance(leaves.classes, int) else 0)
    if not trees.is_tree(targets):
        task = "classification" if targets.dtype.kind == "i" else "regression"
        if task == "classification":
            outputs = outputs or _classes(parts)
        else:
            outputs = outputs or (targets.shape[-1] if targets.ndim > 1 else 1)
        if task == "regression" and targets.ndim == 1:
            parts = {name: Split(part.inputs, part.targets[:, None]) for name, part in parts.items()}
    return Checked(source._replace(task=source.task or task), parts, outputs, notes)


def _of_arrays(source: Source, channels: str, where: str) -> Checked:
    """Check every part, and read off the number of outputs where the source leaves it open."""
    if source.task not in ("classification", "regression"):
        raise DataError(f'{where}.task: found "{source.task}", expected "classification" or "regression"')
    source = source._replace(inputs=as_array(source.inputs, f"{where}.inputs"))
    parts: dict[str, Split] = {}
    notes: tuple[str, ...] = ()
    outputs = source.outputs
    for name, part in _given(source).items():
        prefix = f"{where}." if name == "train" else f"{where}.{name}_"
        x, y, more = arrays_of(part, prefix, source, outputs, channels, "the training part")
        for side, array in (("inputs", x), ("targets", y)):
            like = getattr(parts.get("train"), side, array)
            noun = "examples" if side == "inputs" else "labels"
            if array.shape[1:] != like.shape[1:]:
                raise DataError(
                    f"{prefix}{side}: found {noun} of shape {show(array.shape[1:])}, expected {show(like.shape[1:])} "
                    "as in the training part"
                )
        outputs = y.shape[1] if source.task == "regression" else outputs
        parts[name] = Split(x, y)
        notes += more
    if not outputs:
        outputs = _classes(parts)
        if outputs > sum(part.targets.size for part in parts.values()) and source.stream is None:
            raise DataError(
                f"{where}.targets: found label {outputs - 1}, more classes than examples; "
                f"number the classes from 0, or give the number of classes"
            )
    return Checked(source, parts, outputs, notes)


def arrays_of(
    part: Split, prefix: str, source: Source, outputs: int, channels: str, like: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Check the inputs and targets of a part or a batch, whose scale is that of the source's own inputs.

    Messages begin with `prefix`, such as `data.test_`, and call the source's own inputs `like`.

    Returns:
      (inputs, targets, notes), see `inputs_of`, `labels_of` and `values_of`.
    """
    x, own = as_array(part.inputs, f"{prefix}inputs"), as_array(source.inputs, "data.inputs")
    if not source.vocabulary and (x.dtype == np.uint8) != (own.dtype == np.uint8):
        raise DataError(
            f"{prefix}inputs: found {x.dtype}, expected {own.dtype} as in {like}: uint8 is divided by 255 and other "
            f"types are not; give all of them in one type"
        )
    x, notes = inputs_of(
        x,
        f"{prefix}inputs",
        vocabulary=source.vocabulary,
        allow_nonfinite=source.allow_nonfinite,
        channels=channels,
    )
    check = labels_of if source.task == "classification" else values_of
    return x, check(part.targets, f"{prefix}targets", inputs=x, outputs=outputs), notes


def narrowed(part: Split) -> Split:
    """Bring float64 to float32."""
    lower = lambda leaf, _: leaf.astype(np.float32) if leaf.dtype == np.float64 else leaf
    return Split(*(trees.map_leaves(lower, side, "") for side in part))


def class_notes(parts: Mapping[str, Split], task: str, outputs: int, *, streamed: bool) -> tuple[str, ...]:
    """Return a note for each part that lacks a class, and for labels that could be one-hot rows.

    The training part of a stream is its first batch, which may lack a class.
    """
    if task != "classification":
        return ()
    notes: tuple[str, ...] = ()
    for name, part in parts.items():
        present = np.unique(part.targets[part.targets >= 0])
        if name == "train" and streamed:
            continue
        if name == "train" and len(present) < 2:
            return (f"the training part has one class only (label {int(present[0])}); nothing can be learned",)
        if len(present) < outputs and part.targets.ndim == 1:
            missing, first = outputs - len(present), int(np.setdiff1d(np.arange(outputs), present)[0])
            verb = "has" if missing == 1 else "have"
            notes += (f"{missing} of {outputs} classes {verb} no {WORDS[name]} example, first {first}",)
    y = parts["train"].targets
    if y.ndim == 2 and y.max() == 1 and (y.sum(axis=1) == 1).all():
        notes += ("targets: rows with a single 1 were read as one label a step; use targets.argmax(axis=1) if one-hot",)
    return notes
