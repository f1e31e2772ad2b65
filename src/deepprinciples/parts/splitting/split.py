"""From a source of examples to three fixed parts: training, validation, test.

A factory returns a `Source`; `prepare` checks it, splits it and brings it to float32 and int32. The split
depends on `split_seed` alone, never on the seed of a run, so every arm and every seed of a study sees the same test
examples. Which examples form a batch, and when, is decided by the training loop and does not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting import batches as streams
from deepprinciples.parts.splitting import held_out, trees
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.held_out import HeldOut, Shares, TestSet
from deepprinciples.parts.splitting.sources import Checked, Source, arrays_of, checked, class_notes, narrowed
from deepprinciples.types import Count, Dataset, Seed, Size, Sounds, Split

HEARD = 5  # test examples whose recordings are kept
CHUNK = 4096  # rows at a time: float64 copies of a whole image set would not fit small machines


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
    test_sets: Mapping[str, TestSet] = MappingProxyType({}),
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
      test_sets: further sets to test on, by name, scaled as the data are.

    Returns:
      Dataset of float32 inputs [N, ...] (int32 for tokens) and targets: int32 for classification, float32
      [N, outputs] for regression.

    Raises:
      DataError: if the data cannot be used; one line says what, where and how to correct it.
    """
    made = checked(source, channels)
    source, parts, outputs, notes = made
    shares = Shares(validation, test, split_seed)
    sounds = None if source.sounds is None else _of_first_tests(source.sounds, made, shares)
    if source.stream is None:
        parts = held_out.cut(parts, source.task, shares, train_size, groups=source.groups)
    elif train_size:
        raise DataError("data.train_size: a stream cannot be cut; give the loader fewer examples instead")
    missing = [name for name in ("validation", "test") if name not in parts]
    if missing:
        raise DataError(f"data.{missing[0]}_inputs: a stream needs its {missing[0]} part as arrays, found none")
    notes += class_notes(parts, source.task, outputs, streamed=source.stream is not None)
    further = {k: held_out.test_set(k, one, made, parts["train"], shares, channels) for k, one in test_sets.items()}
    parts |= {f"test_sets.{name}": part for name, part in further.items()}
    parts, more = _scaled(parts, source, standardize)
    notes += more
    parts = {name: narrowed(part) for name, part in parts.items()}
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
        evidence=source.evidence,
        token_names=_names(source.token_names, source.vocabulary, "data.token_names", "token ids"),
        sounds=sounds,
        test_sets={name: parts[f"test_sets.{name}"] for name in test_sets},
    )


def _of_first_tests(sounds: Sounds, made: Checked, shares: Shares) -> Sounds:
    """Take the recordings of the first test examples: numbers in the place of inputs are cut as these are."""
    train = made.parts["train"]
    numbered = made.parts | {"train": Split(np.arange(train.size), train.targets)}
    fixed = made.source.test is not None
    rows = (
        range(len(sounds.samples))
        if fixed
        else held_out.cut(numbered, made.source.task, shares, groups=made.source.groups)["test"].inputs
    )
    return sounds._replace(samples=tuple(sounds.samples[row] for row in rows[:HEARD]))


def _names(names: tuple[str, ...], count: int, where: str, noun: str) -> tuple[str, ...]:
    if names and count and len(names) != count:
        raise DataError(f"{where}: found {plural(len(names), 'name')} for {count} {noun}; give one for each")
    return tuple(map(str, names))


def _feature_names(names: tuple[str, ...], inputs: Any) -> tuple[str, ...]:
    count = 0 if trees.is_tree(inputs) else inputs.shape[-1]
    return _names(names, count, "data.feature_names", "features")


def _converter(source: Source, outputs: int, channels: str) -> Callable[[Split, str], Split]:
    """Make the function that checks and converts a batch of a stream; it is given what its messages begin with."""
    leaves = source.leaves
    if leaves is not None:
        return lambda batch, where: trees.convert(batch, f"{where}, ", leaves)[0]
    return lambda batch, where: Split(*arrays_of(batch, f"{where}, ", source, outputs, channels, "batch 0")[:2])


def _scaled(parts: dict[str, Split], source: Source, standardize: bool) -> tuple[dict[str, Split], tuple[str, ...]]:
    if not standardize or source.vocabulary:
        return parts, ()
    if source.stream is not None:
        return parts, ("note: a stream's values are used as they come, not standardized",)
    if not source.standardize:
        return parts, () if source.leaves else ("note: kept at the scale of the benchmark, not standardized",)
    mean, std = moments(parts["train"].inputs)
    parts = {name: Split(scale(part.inputs, mean, std), part.targets) for name, part in parts.items()}
    if source.task == "classification":
        return parts, ()
    mean, std = moments(parts["train"].targets)
    parts = {name: Split(part.inputs, scale(part.targets, mean, std)) for name, part in parts.items()}
    words = "; ".join(f"mean {m:.6g}, standard deviation {s:.6g}" for m, s in zip(mean[:4], std[:4], strict=True))
    return parts, (f"targets were standardized with the training part's {words}: errors are in these units",)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation over examples (and positions), leaving out what is not finite.

    Args:
      x: floats [N, D], or [N, ..., C] for images and sequences.

    Returns:
      (mean, std), float64, shape [D] or [C]; std is 1 where a feature is constant.
    """
    flat = x.reshape(-1, x.shape[-1])  # [M, D]
    good = np.isfinite(flat)
    count = np.maximum(good.sum(axis=0), 1)
    mean = np.sum(flat, axis=0, dtype=np.float64, where=good) / count
    square = np.zeros(mean.shape)
    for start in range(0, len(flat), CHUNK):
        rows = slice(start, start + CHUNK)
        square += np.sum((flat[rows] - mean[None, :]) ** 2, axis=0, where=good[rows])
    std = np.sqrt(square / count)
    spread = flat.max(axis=0, initial=-np.inf, where=good) > flat.min(axis=0, initial=np.inf, where=good)
    return mean, np.where(spread & (std > 0), std, 1.0)


def scale(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return (x - mean) / std, over the last axis."""
    shape = (1,) * (x.ndim - 1) + mean.shape
    return (x - mean.reshape(shape).astype(x.dtype)) / std.reshape(shape).astype(x.dtype)
