"""From a source of examples to three fixed parts: training, validation, test.

A factory of this room returns a `Source`; `prepare` checks it, splits it and brings it to float32 and int32. The split
depends on `split_seed` alone, never on the seed of a run, so every arm and every seed of a study sees the same test
examples. Which examples form a batch, and when, is decided by the training loop and does not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.data import batches as streams
from deepprinciples.parts.data import checks
from deepprinciples.parts.data.checks import as_array, inputs_of, labels_of, plural, show, values_of
from deepprinciples.parts.data.class_checks import class_notes, refuse_labels_from_one
from deepprinciples.types import Count, Dataset, Range, Seed, Size, Split

HeldOut = Annotated[float, Range("(0, 1)", "give the share of the examples, such as 0.2")]
CHUNK = 4096  # rows summed at a time: float64 copies of a whole image set would not fit small machines


class Source(NamedTuple):
    """Examples as a factory gives them, before checks and splits."""

    inputs: Any  # [N, ...]
    targets: Any  # [N, ...]
    task: str  # "classification" | "regression"
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
    parts, outputs, notes = _checked_parts(source, channels)
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
    parts = {name: _narrowed(part) for name, part in parts.items()}
    task = source.task
    if reconstruct:
        if source.stream is not None or source.vocabulary:
            raise DataError("data.reconstruct: a stream or tokens cannot be their own targets; give arrays of numbers")
        parts = {name: Split(part.inputs, part.inputs) for name, part in parts.items()}
        task, outputs = "regression", math.prod(parts["train"].inputs.shape[1:])
    stream = None
    rows = parts["train"].inputs.shape[0]
    if source.stream is not None:
        stream = streams.checked(
            source.stream,
            parts["train"],
            task=source.task,
            outputs=outputs,
            vocabulary=source.vocabulary,
            allow_nonfinite=source.allow_nonfinite,
            channels=channels,
            raw=as_array(source.inputs, "data.inputs"),
        )
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
    )


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
    x, y = parts["train"]
    total = x.shape[0]
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
    for name, size in sizes.items():
        chosen = np.sort(order[start : start + size])
        cut[name] = Split(x[chosen], y[chosen])
        start += size
    chosen = np.sort(order[start : start + (train_size or rest)])
    cut["train"] = Split(x[chosen], y[chosen]) if chosen.size < total else parts["train"]
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


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation over examples (and positions), leaving out what is not finite.

    Args:
      x: floats [N, D], or [N, ..., C] for images and sequences.

    Returns:
      (mean, std), float64, shape [D] or [C]; std is 1 where a feature is constant.
    """
    features = x.shape[-1]
    flat = x.reshape(-1, features)  # [M, D]
    count, total, square = np.zeros(features), np.zeros(features), np.zeros(features)
    low, high = np.full(features, np.inf), np.full(features, -np.inf)
    for start in range(0, len(flat), CHUNK):
        rows = flat[start : start + CHUNK].astype(np.float64)
        good = np.isfinite(rows)
        count += good.sum(0)
        total += np.sum(rows, axis=0, where=good)
        low = np.minimum(low, np.min(rows, axis=0, where=good, initial=np.inf))
        high = np.maximum(high, np.max(rows, axis=0, where=good, initial=-np.inf))
    mean = total / np.maximum(count, 1)
    for start in range(0, len(flat), CHUNK):
        rows = flat[start : start + CHUNK].astype(np.float64)
        square += np.sum((rows - mean[None, :]) ** 2, axis=0, where=np.isfinite(rows))
    std = np.sqrt(square / np.maximum(count, 1))
    return mean, np.where((high > low) & (std > 0), std, 1.0)


def _scaled(parts: dict[str, Split], source: Source, standardize: bool) -> tuple[dict[str, Split], tuple[str, ...]]:
    if not standardize or source.vocabulary:
        return parts, ()
    if source.stream is not None:
        return parts, ("a stream's values are used as they come, not standardized",)
    if not source.standardize:
        return parts, ("kept at the scale of the benchmark, not standardized",)
    mean, std = moments(parts["train"].inputs)
    parts = {name: Split(_scale(part.inputs, mean, std), part.targets) for name, part in parts.items()}
    if source.task == "classification":
        return parts, ()
    mean, std = moments(parts["train"].targets)
    parts = {name: Split(part.inputs, _scale(part.targets, mean, std)) for name, part in parts.items()}
    words = "; ".join(f"mean {m:.6g}, standard deviation {s:.6g}" for m, s in zip(mean[:4], std[:4], strict=True))
    return parts, (f"targets were standardized with the training part's {words}: errors are in these units",)


def _scale(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    shape = (1,) * (x.ndim - 1) + mean.shape
    return (x - mean.reshape(shape).astype(x.dtype)) / std.reshape(shape).astype(x.dtype)


def _narrowed(part: Split) -> Split:
    return Split(*(a.astype(np.float32) if a.dtype == np.float64 else a for a in part))
