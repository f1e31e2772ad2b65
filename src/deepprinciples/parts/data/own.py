"""The user's own data: arrays from Python, files, or a stream of batches.

Nothing is guessed about meaning: the task is named, files are read by tabular.py, and `prepare` checks every value.
Sets with a name of their own belong next door.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.data import batches as streams
from deepprinciples.parts.data import tabular
from deepprinciples.parts.data.array_checks import as_array, plural
from deepprinciples.parts.data.npz import read_npz
from deepprinciples.parts.data.sources import Source
from deepprinciples.parts.data.structured import both_or_neither, examples
from deepprinciples.parts.data.trees import is_tree
from deepprinciples.types import Size, Split


def _source(inputs: Any, targets: Any, task: str, classes: int, **rest: Any) -> Source:
    if classes < 0:
        raise DataError(f"data.classes: found {classes}, expected 0 (count them) or the number of classes")
    notes: tuple[str, ...] = ()
    if getattr(inputs, "dtype", None) == np.float64:
        notes = ("inputs: float64 values were narrowed to float32",)
    return Source(inputs, targets, task, classes if task == "classification" else 0, notes=notes, **rest)


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
    return _source(
        inputs,
        targets,
        task,
        classes,
        vocabulary=tokens,
        allow_nonfinite=allow_nonfinite,
        validation=both_or_neither(validation_inputs, validation_targets, "validation"),
        test=both_or_neither(test_inputs, test_targets, "test"),
    )


def npz(
    *,
    path: str,
    inputs: str = "inputs",
    targets: str = "targets",
    test_inputs: str = "",
    test_targets: str = "",
    task: Literal["classification", "regression"] = "classification",
    classes: Size = 0,
    tokens: Size = 0,
    allow_nonfinite: bool = False,
) -> Source:
    """Read arrays from an .npz file, as `numpy.savez` or `numpy.savez_compressed` writes it.

    Arrays of Python objects are refused, so opening a stranger's file runs no code. Source: yours. License: yours.

    Args:
      path: the file.
      inputs: name of the array of inputs [N, ...].
      targets: name of the array of targets.
      test_inputs: name of the test part's inputs; "" cuts one out.
      test_targets: name of the test part's targets.
      task: "classification" or "regression".
      classes: number of classes; 0 counts them.
      tokens: number of token ids where inputs are tokens; 0 for other inputs.
      allow_nonfinite: let NaN and infinity in the inputs pass.

    Returns:
      Source of these arrays.

    Raises:
      DataError: if the file is missing, damaged or implausible, or lacks an array.

    References: NumPy Enhancement Proposal 1, the .npy format.
    """
    named = both_or_neither(test_inputs or None, test_targets or None, "test")
    found = read_npz(path, (inputs, targets) + ((test_inputs, test_targets) if named else ()))
    test = Split(found[2], found[3]) if named else None
    return _source(found[0], found[1], task, classes, vocabulary=tokens, allow_nonfinite=allow_nonfinite, test=test)


def csv(
    *,
    path: str,
    target: str = "",
    drop: tuple[str, ...] = (),
    delimiter: str = ",",
    header: Literal["auto", "names", "none"] = "auto",
    task: Literal["classification", "regression"] = "classification",
    classes: Size = 0,
    allow_nonfinite: bool = False,
) -> Source:
    """Read a table of numbers from a UTF-8 text file, one example a row.

    Source: yours. License: yours.

    Args:
      path: the file.
      target: name or index (from 0, or from -1 backwards) of the column to predict; "" takes the last.
      drop: names or indices of columns to leave out, such as an index or an identifier.
      delimiter: character between cells.
      header: "names" where the first row names the columns, "none" where it is an example; "auto" takes it for names
        where it holds a cell that is no number.
      task: "classification" (the target column holds whole numbers from 0) or "regression".
      classes: number of classes; 0 counts them.
      allow_nonfinite: let cells such as nan or inf pass in the inputs.

    Returns:
      Source with inputs [rows, columns - 1] and targets [rows].

    Raises:
      DataError: with line and column of a cell that is no number, for an unknown column, or a column without a name
        (`DataFrame.to_csv` writes its index so).

    References: RFC 4180.
    """
    names, table = tabular.read_csv(path, delimiter=delimiter, header=header)
    left = {_column(names, one, path, "data.drop") for one in drop}
    if len(names) - len(left) < 2:
        raise DataError(f"{path}: found one column, expected features and a target; check data.delimiter")
    last = max(set(range(len(names))) - left)
    column = _column(names, target, path, "data.target") if target else last
    if column in left:
        raise DataError(f'data.drop: column "{tabular.shown(names[column])}" is the target; leave it in')
    kept = [i for i in range(len(names)) if i != column and i not in left]
    notes = _index_notes([names[i] for i in kept], kept, table[:, kept], path)
    y = table[:, column]
    if task == "classification" and np.all(np.isfinite(y)) and np.all(y == np.round(y)) and np.all(np.abs(y) < 2**53):
        y = y.astype(np.int64)
    source = _source(table[:, kept], y, task, classes, allow_nonfinite=allow_nonfinite)
    return source._replace(notes=source.notes + notes)


def _index_notes(names: list[str], places: list[int], features: np.ndarray, path: str) -> tuple[str, ...]:
    """Return a note for each feature that counts the rows; raise for one without a name."""
    notes: tuple[str, ...] = ()
    for name, place, values in zip(names, places, features.T, strict=True):
        if not name or name.startswith("Unnamed:"):
            raise DataError(
                f"{path}: column {place} has no name, as the index that DataFrame.to_csv writes; leave it out with "
                f'data.drop = ["{name or place}"], or name it in the file'
            )
        if len(values) > 2 and np.all(np.diff(values) == 1):
            notes += (
                f'column "{tabular.shown(name)}" counts the rows; if it is an index, leave it out with data.drop',
            )
    return notes


def _column(names: list[str], target: str, path: str, where: str) -> int:
    if names.count(target) == 1:
        return names.index(target)
    if names.count(target) > 1:
        raise DataError(f'{path}: {names.count(target)} columns are named "{target}"; give {where} as an index')
    try:
        index = int(target)
    except ValueError:
        index = len(names)
    if not -len(names) <= index < len(names):
        held = ", ".join(map(tabular.shown, names[:20]))
        raise DataError(f'{where}: {path} has no column "{target}"; it has {len(names)}: {held}')
    return index % len(names)


def idx(*, images: str, labels: str, test_images: str = "", test_labels: str = "", classes: Size = 0) -> Source:
    """Read pictures and labels from IDX files, the format of MNIST and its relatives.

    Pictures [N, H, W] get a channel axis. Source: yours. License: yours.

    Args:
      images: file of the inputs, plain or gzip.
      labels: file of the labels, plain or gzip.
      test_images: file of the test part's inputs; "" cuts one out.
      test_labels: file of the test part's labels.
      classes: number of classes; 0 counts them.

    Returns:
      Source with inputs [N, H, W, 1] and targets [N].

    Raises:
      DataError: if a file is missing or damaged, or if there are not as many labels as pictures.

    References: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
    """
    named = both_or_neither(test_images or None, test_labels or None, "test")
    train = _idx_pair(images, labels)
    test = None if named is None else _idx_pair(str(named.inputs), str(named.targets))
    return _source(train.inputs, train.targets, "classification", classes, test=test)


def _idx_pair(images: str, labels: str) -> Split:
    x, y = tabular.read_idx(images), tabular.read_idx(labels)
    if len(x) != len(y):
        raise DataError(
            f"{labels}: {plural(len(y), 'label')} for {plural(len(x), 'image')} in {images}; "
            f"the two files must belong together"
        )
    return Split(x[..., None] if x.ndim == 3 else x, y)


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
    if any(map(is_tree, first)):
        return examples(
            inputs=first[0],
            targets=first[1],
            validation_inputs=validation_inputs,
            validation_targets=validation_targets,
            test_inputs=test_inputs,
            test_targets=test_targets,
            vocabulary=tokens,
            classes=classes,
            allow_nonfinite=allow_nonfinite,
        )._replace(stream=source)
    x = as_array(first[0], f"{streams.WHERE}: batch 0, inputs")
    return _source(
        x,
        as_array(first[1], f"{streams.WHERE}: batch 0, targets"),
        task,
        classes,
        vocabulary=tokens,
        allow_nonfinite=allow_nonfinite,
        stream=source,
        validation=both_or_neither(validation_inputs, validation_targets, "validation"),
        test=both_or_neither(test_inputs, test_targets, "test"),
    )


TABLE = {f.__name__: f for f in (arrays, examples, npz, csv, idx, stream)}
