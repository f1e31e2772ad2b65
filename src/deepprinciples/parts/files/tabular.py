"""CSV files, read by pandas: numbers in every column but the target, which may hold the names of classes.

What a number is not is refused with its line and column; the factory that a config names is in `parts.data`.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepprinciples.errors import DataError, message
from deepprinciples.parts.files.array_files import LIMIT, PathLike, open_file, shown

if TYPE_CHECKING:
    import pandas as pd

LINE = 2**22  # bytes of the first line
COLUMNS = 100_000


class Table(NamedTuple):
    """The cells of a file, and where they stand in it."""

    path: PathLike
    delimiter: str
    names: list[str]  # of the columns; "0", "1", ... where the file has none
    cells: pd.DataFrame  # its columns are numbered
    named: bool  # whether the first row is one of names


def read_csv(path: PathLike, *, delimiter: str = ",", header: str = "auto", limit: int = LIMIT) -> Table:
    """Read a table, with or without a first row of column names.

    Args:
      path: a UTF-8 file, with or without byte order mark.
      delimiter: one character between cells.
      header: "names" or "none"; "auto" takes the first row for names where none of its cells is a number.
      limit: most bytes of the file.

    Returns:
      Table of numbers, and of text where a column holds a cell that is no number.

    Raises:
      DataError: for a row that is too long, and where the first row may be names or an example.
    """
    import pandas as pd  # slow to import, and only this data set needs it

    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise DataError(f"data.delimiter: found {delimiter!r}, expected one ASCII character such as ','")
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DataError(f"{path}: {size} bytes, more than the limit of {limit}")
        first = file.readline(LINE + 1)
        if len(first) > LINE or first.count(delimiter.encode()) >= COLUMNS:
            found = f"longer than {LINE} bytes, or more than {COLUMNS} columns"
            raise DataError(f"{path}: line 1: {found}; expected one example a line, give larger ones as npz")
        options = {"sep": delimiter, "encoding": "utf-8-sig", "index_col": False, "compression": None}
        try:
            file.seek(0)
            top = pd.read_csv(file, header=None, nrows=1, dtype=str, keep_default_na=False, **options).iloc[0]
            numeric = pd.to_numeric(top, errors="coerce")
            named = header == "names" or (header == "auto" and bool(numeric.isna().all()))
            file.seek(0)
            with warnings.catch_warnings():  # pandas only warns where it leaves out cells of rows that are too long
                warnings.simplefilter("error", pd.errors.ParserWarning)
                cells = pd.read_csv(file, header=0 if named else None, low_memory=False, **options)
        except UnicodeDecodeError as error:
            file.seek(0)
            line = next((n for n, raw in enumerate(file, 1) if "\ufffd" in raw.decode(errors="replace")), 1)
            raise DataError(f"{path}: line {line}: not UTF-8 ({error.reason}); save it as UTF-8") from error
        except pd.errors.EmptyDataError:
            raise DataError(f"{path}: found no row of numbers; expected a table, one example a row") from None
        except pd.errors.ParserWarning:
            where = f"{path}: line {2 if named else 1}"
            raise DataError(f"{where}: found more than {len(top)} cells, as many as there are columns") from None
        except (ValueError, OverflowError) as error:
            raise DataError(f"{path}: not readable as CSV ({message(error)})") from error
    if not len(cells):
        raise DataError(f"{path}: found no row of numbers; expected a table, one example a row")
    if header == "auto" and not named:
        _refuse_doubtful(path, top, numeric.to_numpy(), cells)
    names = [name.strip() for name in top] if named else [str(i) for i in range(len(top))]
    return Table(path, delimiter, names, cells.set_axis(range(len(names)), axis=1), named)


def _refuse_doubtful(path: PathLike, top: pd.Series, numeric: np.ndarray, cells: pd.DataFrame) -> None:
    """Raise where the first row may be one of names although some of its cells are numbers."""
    fix = 'which may be names of columns or an example; set data.header = "names" or "none"'
    if np.isnan(numeric).any():
        word = shown(top[int(np.argmax(np.isnan(numeric)))])
        raise DataError(f'{path}: line 1 holds numbers and "{word}", {fix}')
    if len(cells) > 1 and _counts(numeric) and not _counts(cells.iloc[1].to_numpy()):
        raise DataError(f"{path}: line 1 counts from {numeric[0]:g} to {numeric[-1]:g}, {fix}")


def _counts(row: np.ndarray) -> bool:
    if len(row) < 3 or row.dtype.kind not in "iuf":
        return False
    return row[0] in (0, 1) and bool(np.all(np.diff(row) == 1))


def numbers(table: Table, columns: list[int], *, allow_missing: bool, fix: str = "") -> np.ndarray:
    """Take columns that hold numbers, as float64 [rows, columns].

    Raises:
      DataError: for the first cell that is missing (unless they are allowed, as NaN), a date or another text, with its
        line and column, and how to `fix` it; "" proposes to leave the column out.
    """
    import pandas as pd

    found = table.cells[columns]
    text = found.select_dtypes(exclude=["number", "bool"])
    values = found.copy(deep=False)
    # Whole numbers of more than 64 bits come as Python's, on which to_numeric overflows: text does not.
    values[text.columns] = text.astype(str).apply(pd.to_numeric, errors="coerce")
    bad = values.isna() & found.notna() if allow_missing else values.isna()
    if bad.to_numpy().any():
        row, place = (int(i) for i in np.argwhere(bad.to_numpy())[0])
        missing = bool(found.isna().iloc[row, place])
        advice = "fill or drop missing values, or set allow_nonfinite = true where inputs may lack some"
        name = table.names[columns[place]]
        if not missing and not fix:
            fix = f'leave the column out with data.drop = ["{shown(name)}"]'
            if values.iloc[:, place].notna().any():
                fix = f"correct the cell, or {fix}"
        _refuse(table, row, columns[place], advice if missing else fix)
    return values.to_numpy(np.float64)


def labels(table: Table, column: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Take the column of class labels.

    Returns:
      (float64 numbers [rows], no names), or (int64 labels [rows], the sorted names of classes) for a column of words.

    Raises:
      DataError: for a missing label, a date, a word among numbers, or words that are all different.
    """
    import pandas as pd

    words = table.cells[column]
    if words.isna().any():
        _refuse(table, int(words.isna().argmax()), column, "fill the label in or drop the row", "a label")
    if words.dtype.kind in "iuf":
        return words.to_numpy(np.float64), ()
    words = words.astype(str).str.strip()
    numeric = pd.to_numeric(words, errors="coerce")
    if numeric.notna().all():
        return numeric.to_numpy(np.float64), ()
    if numeric.notna().any() or _is_date(words.iloc[0]):
        row = int(numeric.isna().argmax())
        _refuse(table, row, column, "give all labels as numbers, or all as words", "a number as in other rows")
    codes, names = pd.factorize(words, sort=True)
    if len(names) == len(words) > 2:
        raise DataError(
            f'{table.path}: column "{shown(table.names[column])}": found {len(names)} different words in as many rows, '
            "expected names of classes; name another column as data.target"
        )
    return codes.astype(np.int64), tuple(names)


def _refuse(table: Table, row: int, column: int, fix: str, expected: str = "a number") -> None:
    """Raise for a cell, whose line is looked up in the file: pandas does not keep it."""
    line, cell = row + 1 + table.named, str(table.cells.iloc[row, column])
    with open_file(table.path) as file, contextlib.suppress(csv.Error, StopIteration):
        text = (raw.decode("utf-8-sig") for raw in file)
        rows = csv.reader(text, delimiter=table.delimiter)
        full = ((rows.line_num, cells) for cells in rows if len(cells) > 1 or "".join(cells).strip())
        line, cells = next(itertools.islice(full, row + table.named, None))
        cell = cells[column] if column < len(cells) else ""
    found = f'"{shown(cell)}"' if cell.strip() else "an empty cell"
    if _is_date(cell):
        found, fix = f"the date {found}", f"dates are not read; write them as numbers, such as days, or {fix}"
    where = f'{table.path}: line {line}, column "{shown(table.names[column])}"'
    raise DataError(f"{where}: found {found}, expected {expected}; {fix}")


def _is_date(cell: str) -> bool:
    import pandas as pd

    if sum(char.isdigit() for char in cell) < 3 or len(cell) > 40:  # "may" would be a date too
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return not pd.isna(pd.to_datetime(cell, errors="coerce"))
