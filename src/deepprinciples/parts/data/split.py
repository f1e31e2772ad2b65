"""From a source of examples to three fixed parts: training, validation, test.

A factory of this room returns a `Source`; `prepare` checks it, splits it and brings it to float32 and int32. The split
depends on `split_seed` alone, never on the seed of a run, so every arm and every seed of a study sees the same test
examples. Which examples form a batch, and when, is decided by the training loop and does not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.data import batches as streams
from deepprinciples.parts.data import checks, trees
from deepprinciples.parts.data.checks import as_array, inputs_of, labels_of, plural, show, values_of
from deepprinciples.parts.data.class_checks import class_notes, refuse_labels_from_one
from deepprinciples.parts.data.scaling import moments, scale
from deepprinciples.types import Count, Dataset, Range, Seed, Size, Split

HeldOut = Annotated[float, Range("(0, 1)", "give the share of the examples, such as 0.2")]


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
    feature_names: tuple[str, ...] = ()
    units: str = ""
    display: Callable[[Any, Any, Any], Any] | None = None


def prepare(
    source: Source,
    *,
    batch_size: Count = 64,
    validation: HeldOut = 0.2,
    test: HeldOut = 0.2,
    split_seed: Seed = 0,
    train_size: Size = 0,
    standardize: bool = True,
    reconstruct: bool = False,
    channels: Literal["auto", "first", "last"] = "auto",
) -> Dataset:
    """Check a source and cut it into fixed training, validation and test parts.

    Standardizing is (x - mean) / std with the training part's moments: feature by feature for vectors, channel by
    channel (last axis) for images and sequences; a constant feature becomes 0. Regression targets likewise.
    Tokens, class labels, streams and sets whose scale is part of the benchmark keep their values.

    Args:
      source: what a data factory returned.
      batch_size: examples a step, at least 1 and at most the training part. A stream brings its own.
      validation: share of the examples held out for validation, in (0, 1); unused where the set ships such a part.
      test: share of the examples held out for the test, in (0, 1); unused where the set ships such a part.
      split_seed: seed of the split; the same for every seed of a study.
      train_size: keep only that many training examples, classes in proportion; 0 keeps all.
      standardize: scale inputs and regression targets to mean 0 and standard deviation 1.
      reconstruct: put the inputs in the place of the targets, as autoencoders ask for.
      channels: "first" turns pictures [N, C, H, W] and signals [N, C, T] so that channels come last; "auto" takes
        channels last and refuses pictures that look like channels first; "last" uses all as they are.

    Returns:
      Dataset of float32 inputs [N, ...] (int32 for tokens) and targets: int32 for classification, float32
      [N, outputs] for regression.

    Raises:
      DataError: if the data cannot be used; one line says what, where and how to mend it.
    """
    if source.leaves is None:
        parts, outputs, notes = _checked_parts(source, channels)
    else:
        source, parts, outputs, notes = _checked_trees(source, source.leaves)
    if source.stream is None:
        parts = _split(parts, source.task, validation, test, split_seed, train_size)
    elif train_size:
        raise DataError("data.train_size: a stream cannot be cut; give the loader fewer examples instead")
    missing = [name for name in ("validation", "test") if name not in parts]
    if missing:
        raise DataError(f"data.{missing[0]}_inputs: a stream needs its {missing[0]} part as arrays, found none")
    notes += class_notes(parts, source.task, outputs, streamed=source.stream is not None)
    parts, more = _scaled(parts, source, standardize)
    notes += more
    parts = {name: _narrowed(part) if source.leaves is None else part for name, part in parts.items()}
    task = source.task
    if reconstruct:
        if source.stream is not None or source.vocabulary or trees.is_tree(parts["train"].inputs):
            raise DataError(
                "data.reconstruct: a stream, tokens or a tree cannot be their own targets; give one array of numbers"
            )
        parts = {name: Split(part.inputs, part.inputs) for name, part in parts.items()}
        task, outputs = "regression", math.prod(parts["train"].inputs.shape[1:])
    stream = None
    rows = parts["train"].size
    if source.stream is not None:
        stream = streams.checked(source.stream, parts["train"], _converter(source, outputs, channels))
        streams.refuse_shuffled(stream, parts["train"])
        if batch_size != rows:
            notes += (f"batch_size: the stream's batches of {rows} are used, not {batch_size}",)
        batch_size = rows
    if batch_size < 1:
        raise DataError(f"data.batch_size: found {batch_size}, expected at least 1")
    if batch_size > rows:
        raise DataError(
            f"data.batch_size: found {batch_size}, more than the {plural(rows, 'training example')}; "
            f"set batch_size to {rows} or less"
        )
    return Dataset(
        parts["train"],
        parts["validation"],
        parts["test"],
        task,
        outputs,
        source.vocabulary,
        batch_size,
        stream,
        tuple(dict.fromkeys(source.notes + notes)),
        modes=source.modes,
        mode_std=source.mode_std,
        class_names=_names(source.class_names, outputs, "data.class_names", "classes"),
        feature_names=_feature_names(source.feature_names, parts["train"].inputs),
        units=source.units,
        display=source.display,
    )


def _names(names: tuple[str, ...], count: int, where: str, noun: str) -> tuple[str, ...]:
    if names and count and len(names) != count:
        raise DataError(f"{where}: found {plural(len(names), 'name')} for {count} {noun}; give one for each")
    return tuple(map(str, names))


def _feature_names(names: tuple[str, ...], inputs: Any) -> tuple[str, ...]:
    count = 0 if trees.is_tree(inputs) else inputs.shape[-1]
    return _names(names, count, "data.feature_names", "features")


def _converter(source: Source, outputs: int, channels: str) -> Callable[[Split, str], Split]:
    """Make the function that checks and converts a batch of a stream; it is given what its messages begin with."""
    if source.leaves is not None:
        bounds = source.leaves
        return lambda batch, where: trees.convert(batch, f"{where}, ", bounds)[0]
    check = labels_of if source.task == "classification" else values_of
    raw = as_array(source.inputs, "data.inputs")

    def convert(batch: Split, where: str) -> Split:
        x = as_array(batch.inputs, f"{where}, inputs")
        if not source.vocabulary:
            checks.refuse_other_scale(x, raw, f"{where}, inputs", "batch 0")
        x, _ = inputs_of(
            x,
            f"{where}, inputs",
            vocabulary=source.vocabulary,
            allow_nonfinite=source.allow_nonfinite,
            channels=channels,
        )
        return Split(x, check(batch.targets, f"{where}, targets", inputs=x, outputs=outputs))

    return convert


def _checked_trees(source: Source, leaves: trees.Leaves) -> tuple[Source, dict[str, Split], int, tuple[str, ...]]:
    """Check every part leaf by leaf; the task and the number of outputs are read off where they are open."""
    parts: dict[str, Split] = {}
    notes: tuple[str, ...] = ()
    raw = {"train": Split(source.inputs, source.targets), "validation": source.validation, "test": source.test}
    for name, part in raw.items():
        if part is not None:
            prefix = "data." if name == "train" else f"data.{name}_"
            parts[name], more = trees.convert(part, prefix, leaves, parts.get("train"))
            notes += more
    targets = parts["train"].targets
    task, outputs = "structured", source.outputs or (leaves.classes if isinstance(leaves.classes, int) else 0)
    if not trees.is_tree(targets):
        task = "classification" if targets.dtype.kind == "i" else "regression"
        if task == "classification" and not outputs:
            refuse_labels_from_one(parts)
            outputs = 1 + max(int(part.targets.max()) for part in parts.values())
        elif not outputs:
            outputs = targets.shape[-1] if targets.ndim > 1 else 1
        if task == "regression" and targets.ndim == 1:
            parts = {name: Split(part.inputs, part.targets[:, None]) for name, part in parts.items()}
    return source._replace(task=source.task or task), parts, outputs, notes


def _checked_parts(source: Source, channels: str) -> tuple[dict[str, Split], int, tuple[str, ...]]:
    """Check every part, and read off the number of outputs where the source leaves it open."""
    if source.task not in ("classification", "regression"):
        raise DataError(f'data.task: found "{source.task}", expected "classification" or "regression"')
    raw = {"train": Split(source.inputs, source.targets), "validation": source.validation, "test": source.test}
    parts: dict[str, Split] = {}
    notes: tuple[str, ...] = ()
    outputs = source.outputs
    like = np.empty(0)  # the training part's inputs, as given
    check = labels_of if source.task == "classification" else values_of
    for name, part in raw.items():
        if part is None:
            continue
        prefix = "data." if name == "train" else f"data.{name}_"
        given = as_array(part.inputs, prefix + "inputs")
        like = given if name == "train" else like
        if not source.vocabulary:
            checks.refuse_other_scale(given, like, prefix + "inputs", "the training part")
        x, more = inputs_of(
            given,
            prefix + "inputs",
            vocabulary=source.vocabulary,
            allow_nonfinite=source.allow_nonfinite,
            channels=channels,
        )
        if parts and x.shape[1:] != (shape := parts["train"].inputs.shape[1:]):
            raise DataError(
                f"{prefix}inputs: found examples of shape {show(x.shape[1:])}, expected {show(shape)} "
                f"as in the training part"
            )
        y = check(part.targets, prefix + "targets", inputs=x, outputs=outputs)
        if source.task == "regression":
            outputs = y.shape[1]
        elif parts and y.shape[1:] != parts["train"].targets.shape[1:]:
            raise DataError(
                f"{prefix}targets: found labels of shape {show(y.shape[1:])} an example, expected "
                f"{show(parts['train'].targets.shape[1:])} as in the training part"
            )
        parts[name] = Split(x, y)
        notes += more
    if not outputs:
        refuse_labels_from_one(parts)
        outputs = 1 + max(int(part.targets.max()) for part in parts.values())
        if outputs > sum(part.targets.size for part in parts.values()) and source.stream is None:
            raise DataError(
                f"data.targets: found label {outputs - 1}, more classes than examples; "
                f"number the classes from 0, or give the number of classes"
            )
    return parts, outputs, notes


def _split(
    parts: dict[str, Split], task: str, validation: float, test: float, split_seed: int, train_size: int
) -> dict[str, Split]:
    """Cut what the set does not ship out of the training part."""
    y, total = parts["train"].targets, parts["train"].size
    sizes = {}
    for name, share in (("test", test), ("validation", validation)):
        if name in parts:
            continue
        if not 0 < share < 1:
            raise DataError(f"data.{name}: found {share}, expected a share between 0 and 1, such as 0.2")
        sizes[name] = round(share * total)
        if sizes[name] == 0:
            raise DataError(
                f"data.{name}: a share of {share} of {plural(total, 'example')} leaves none; raise it or give more data"
            )
    rest = total - sum(sizes.values())
    if rest < 1:
        raise DataError(
            f"data.{next(iter(sizes))}: {' and '.join(f'{n} {s}' for n, s in sizes.items())} of "
            f"{plural(total, 'example')} leave none for training; lower the shares"
        )
    if not 0 <= train_size <= rest:
        raise DataError(f"data.train_size: found {train_size}, expected 0 (all) to {rest}, the training part's size")
    order = split_order(y if task == "classification" and y.ndim == 1 else None, total, split_seed)
    cut = dict(parts)
    start = 0
    for name, size in {**sizes, "train": train_size or rest}.items():
        chosen = np.sort(order[start : start + size])
        if size < total:
            cut[name] = Split(*(trees.take(side, chosen) for side in parts["train"]))
        start += size
    return cut


def split_order(labels: np.ndarray | None, total: int, seed: int) -> np.ndarray:
    """Shuffle examples so that every run of neighbors holds the classes in proportion.

    The j-th of the n_c (shuffled) examples of class c gets place (j + 1/2) / n_c; examples are sorted by place.

    Args:
      labels: int labels [N], or None for a plain shuffle.
      total: number of examples N.
      seed: seed of the shuffle, in [0, 2**32).

    Returns:
      A permutation of 0..N-1; cut anywhere, each piece is stratified to within one example a class.

    Raises:
      DataError: if the seed is out of range.
    """
    order = random_state(seed, "data.split_seed").permutation(total)
    if labels is None:
        return order
    place = np.empty(total)
    shuffled = labels[order]
    for label in np.unique(labels):
        members = np.flatnonzero(shuffled == label)
        place[members] = (np.arange(members.size) + 0.5) / members.size
    return order[np.argsort(place, kind="stable")]


def random_state(seed: int, where: str) -> np.random.RandomState:
    """Make NumPy's frozen generator: its numbers are promised never to change, unlike those of newer ones.

    Raises:
      DataError: if the seed is outside [0, 2**32).
    """
    if not 0 <= seed < 2**32:
        raise DataError(f"{where}: found {seed}, expected a seed from 0 to 2**32 - 1")
    return np.random.RandomState(seed)


def _scaled(parts: dict[str, Split], source: Source, standardize: bool) -> tuple[dict[str, Split], tuple[str, ...]]:
    if not standardize or source.vocabulary:
        return parts, ()
    if source.stream is not None:
        return parts, ("a stream's values are used as they come, not standardized",)
    if not source.standardize:
        return parts, () if source.leaves else ("kept at the scale of the benchmark, not standardized",)
    mean, std = moments(parts["train"].inputs)
    parts = {name: Split(scale(part.inputs, mean, std), part.targets) for name, part in parts.items()}
    if source.task == "classification":
        return parts, ()
    mean, std = moments(parts["train"].targets)
    parts = {name: Split(part.inputs, scale(part.targets, mean, std)) for name, part in parts.items()}
    words = "; ".join(f"mean {m:.6g}, standard deviation {s:.6g}" for m, s in zip(mean[:4], std[:4], strict=True))
    return parts, (f"targets were standardized with the training part's {words}: errors are in these units",)


def _narrowed(part: Split) -> Split:
    return Split(*(a.astype(np.float32) if a.dtype == np.float64 else a for a in part))
