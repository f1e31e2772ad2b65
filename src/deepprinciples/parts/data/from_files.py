"""The user's own data from files: npz, CSV and IDX. What is in a file is read by `parts.files`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.files import tabular
from deepprinciples.parts.files.array_files import read_idx, read_npz, shown
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.sources import Source, both_or_neither, source_of
from deepprinciples.types import Size, Split


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

    Arrays of Python objects are refused, so opening a file of others runs no code. Source: yours. License: yours.

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
    return source_of(found[0], found[1], task, classes, vocabulary=tokens, allow_nonfinite=allow_nonfinite, test=test)


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
    """Read a table from a UTF-8 text file, one example a row: numbers, and a target of numbers or of words.

    Words in the target become classes, numbered in sorted order and kept as `class_names`. Missing cells, dates and
    columns of text are refused. Source: yours. License: yours.

    Args:
      path: the file.
      target: name or index (from 0, or from -1 backwards) of the column to predict; "" takes the last.
      drop: names or indices of columns to leave out, such as an index, an identifier or a text.
      delimiter: character between cells.
      header: "names" where the first row names the columns, "none" where it is an example; "auto" takes it for names
        where none of its cells is a number, and asks where only some are.
      task: "classification" (the target column holds whole numbers from 0, or words) or "regression".
      classes: number of classes; 0 counts them.
      allow_nonfinite: let missing cells (as NaN) and inf pass in the inputs.

    Returns:
      Source with inputs [rows, columns - 1] and targets [rows].

    Raises:
      DataError: with line and column of a cell that is no number, for an unknown column, or a column without a name
        (`DataFrame.to_csv` writes its index so).

    References: RFC 4180.
    """
    table = tabular.read_csv(path, delimiter=delimiter, header=header)
    names = table.names
    left = {_column(names, one, path, "data.drop") for one in drop}
    if len(names) - len(left) < 2:
        raise DataError(f"{path}: found one column, expected features and a target; check data.delimiter")
    last = max(set(range(len(names))) - left)
    column = _column(names, target, path, "data.target") if target else last
    if column in left:
        raise DataError(f'data.drop: column "{shown(names[column])}" is the target; leave it in')
    kept = [i for i in range(len(names)) if i != column and i not in left]
    x = tabular.numbers(table, kept, allow_missing=allow_nonfinite)
    notes = _index_notes([names[i] for i in kept], kept, x, path)
    class_names: tuple[str, ...] = ()
    if task == "classification":
        y, class_names = tabular.labels(table, column)
        if class_names and classes not in (0, len(class_names)):
            raise DataError(f"data.classes: found {classes}, expected 0 or {len(class_names)}, the words in {path}")
        if np.all(y == np.round(y)) and np.all(np.abs(y) < 2**53):
            y = y.astype(np.int64)
    else:
        y = tabular.numbers(table, [column], allow_missing=False, fix="real-valued targets are numbers")[:, 0]
    source = source_of(x, y, task, classes or len(class_names), allow_nonfinite=allow_nonfinite)
    return source._replace(notes=source.notes + notes, class_names=class_names)


def _index_notes(names: list[str], places: list[int], features: np.ndarray, path: str) -> tuple[str, ...]:
    """Return a note for each feature that counts the rows; raise for one without a name."""
    notes: tuple[str, ...] = ()
    for name, place, values in zip(names, places, features.T, strict=True):
        if not name or name.startswith("Unnamed:"):
            raise DataError(
                f"{path}: column {place} has no name, as the index that DataFrame.to_csv writes; leave it out with "
                f'data.drop = ["{name or place}"], or name it in the file'
            )
        if len(values) > 2 and np.array_equal(values, values[0] + np.arange(len(values))):
            notes += (f'column "{shown(name)}" counts the rows; if it is an index, leave it out with data.drop',)
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
        held = ", ".join(map(shown, names[:20]))
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
    return source_of(train.inputs, train.targets, "classification", classes, test=test)


def _idx_pair(images: str, labels: str) -> Split:
    x, y = read_idx(images), read_idx(labels)
    if len(x) != len(y):
        raise DataError(
            f"{labels}: {plural(len(y), 'label')} for {plural(len(x), 'image')} in {images}; "
            f"the two files must belong together"
        )
    return Split(x[..., None] if x.ndim == 3 else x, y)
