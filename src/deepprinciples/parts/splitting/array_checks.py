"""Checks of raw arrays, done once on the host before anything is compiled.

JAX takes bad data without a word: a label of -1 gives a plausible loss, one too large gives NaN or zero. So every
array passes through here and comes out as float32 or int32, or the user gets one line that says what is wrong.
Reading files (`parts.files`) and splitting (split.py) do not belong here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deepprinciples.errors import DataError, message

FEW = 4  # channels that a picture has at most
IGNORED = -100  # the label that PyTorch's losses leave out


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: `1 row`, `2 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def as_array(value: Any, where: str) -> np.ndarray:
    """Convert anything `np.asarray` takes to an array [N, ...] of booleans, integers or floats.

    Raises:
      DataError: for objects, text, complex numbers, ragged lists, a single number, or values under a mask.
    """
    _refuse_masked(value, where)
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception as error:  # a tensor of another library may raise anything
        raise DataError(f"{where}: cannot be read as an array ({message(error)}); give rows of equal shape") from error
    if (
        array.dtype.kind == "V" and array.dtype.name == "bfloat16"
    ):  # of ml_dtypes; numpy alone cannot tell that it is a number
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        sparse = array.ndim == 0 and hasattr(value, "toarray")
        advice = (
            "use toarray() for a sparse matrix" if sparse else "encode text, as np.unique(text, return_inverse=True)[1]"
        )
        raise DataError(f"{where}: found dtype {array.dtype}, expected numbers; {advice}")
    if array.ndim == 0:
        raise DataError(f"{where}: found a single number, expected an array whose first axis counts the examples")
    return array


def _refuse_masked(value: Any, where: str) -> None:
    """Raise where a masked array, or one in a list, hides values: `np.asarray` would bring them back."""
    rows = value if isinstance(value, (list, tuple)) else [value]
    for row, one in enumerate(rows):
        if np.ma.isMaskedArray(one) and one.mask.any():
            mask = np.atleast_1d(np.ma.getmaskarray(one))
            index = first_index(mask) if one is value else (row, *first_index(mask))
            found = plural(int(mask.sum()), "masked value")
            raise DataError(
                f"{where}: found {found}, first at {show(index)}; fill them with .filled(...), or drop them"
            )


def first_index(mask: np.ndarray) -> tuple[int, ...]:
    """Return the index of the first true entry of a mask that has one."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def show(index: tuple[int, ...]) -> str:
    """Write an index as a person would type it: `[3]`, `[3, 0]`."""
    return "[" + ", ".join(map(str, index)) + "]"


def refuse_floats(array: np.ndarray, where: str, remedy: str, *, allow_nonfinite: bool = False) -> None:
    """Raise where an array holds NaN or infinity, or float64 values that do not fit float32."""
    if array.dtype.kind != "f":
        return
    bad = ~np.isfinite(array)
    if bad.any() and not allow_nonfinite:
        index, found = first_index(bad), plural(int(bad.sum()), "value")
        raise DataError(f"{where}: found {found} not finite, first {array[index]} at {show(index)}; {remedy}")
    lost = (np.abs(array) > np.finfo(np.float32).max) & ~bad if array.dtype.itemsize > 4 else np.zeros(1, bool)
    if lost.any():
        index = first_index(lost)
        raise DataError(f"{where}: value {array[index]} at {show(index)} does not fit float32; rescale the column")


def inputs_of(
    value: Any, where: str, *, vocabulary: int, allow_nonfinite: bool, channels: str = "last"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Check inputs and bring them to the type a model takes.

    uint8 is divided by 255; other numbers become float; token ids (`vocabulary` above 0) become int32.
    float64 stays float64 here, so that standardizing happens before digits are lost.

    Returns:
      (inputs [N, ...] of float32, float64 or int32, notes).

    Raises:
      DataError: for what no model could use.
    """
    x = as_array(value, where)
    if x.shape[0] == 0:
        raise DataError(f"{where}: found no examples (shape {show(x.shape)}), expected at least one")
    if 0 in x.shape:
        raise DataError(f"{where}: found shape {show(x.shape)}, expected no axis of length 0")
    if vocabulary > 0:
        if x.dtype.kind not in "iu":
            raise DataError(f"{where}: found dtype {x.dtype}, expected integer token ids below {vocabulary}")
        fix = "raise the vocabulary or map rare tokens to one id"
        refuse_integers(x, where, low=0, high=vocabulary, noun="token", fix=fix)
        return x.astype(np.int32), ()
    if x.ndim == 1:
        raise DataError(f"{where}: found shape {show(x.shape)}, expected [N, features]; use inputs[:, None]")
    x, notes = _channels_last(x, where, channels)
    found, more = numbers_of(x, where, allow_nonfinite)
    return found, notes + more


def numbers_of(x: np.ndarray, where: str, allow_nonfinite: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Check numbers and bring them to float32, or to float64 where digits would be lost; uint8 is divided by 255."""
    if x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255), ("inputs: uint8 values were divided by 255",)
    if x.dtype.kind != "f":
        large = x.dtype.kind != "b" and bool(np.any(x > 2**24) or np.any(x < -(2**24)))
        note = ("inputs: integers above 2**24 lose digits in float32",) if large else ()
        return x.astype(np.float64 if large else np.float32), note
    remedy = "clean them, or set allow_nonfinite = true where the data set takes it"
    refuse_floats(x, where, remedy, allow_nonfinite=allow_nonfinite)
    return x.astype(np.float32 if x.dtype.itemsize <= 4 else np.float64, copy=False), ()


def _channels_last(x: np.ndarray, where: str, channels: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Move channels to the last axis where they come first; refuse pictures, and note sequences, that look so."""
    if channels == "first":
        if x.ndim < 3:
            raise DataError(f'{where}: found shape {show(x.shape)}, expected [N, C, ...] for channels = "first"')
        return np.ascontiguousarray(np.moveaxis(x, 1, -1)), ()
    if channels == "last" or x.ndim not in (3, 4) or not x.shape[1] <= FEW < min(x.shape[2:]):
        return x, ()
    if x.ndim == 4:
        raise DataError(
            f"{where}: found pictures of shape {show(x.shape)}, which look like [N, C, H, W], expected [N, H, W, C]; "
            f'set data.channels = "first" to have them turned, or "last" to use them as they are'
        )
    read = f"{plural(x.shape[1], 'step')} of {x.shape[2]} features"
    return x, (f'inputs: examples of shape {show(x.shape[1:])} are read as {read}; data.channels = "first" turns them',)


def refuse_integers(
    y: np.ndarray, where: str, *, low: int | None, high: int, noun: str, fix: str | Callable[[int], str]
) -> None:
    """Raise where whole numbers lie outside low..high - 1; `low` None and `high` 0 leave the bounds of int32."""
    least = -(2**31) if low is None else low
    bad = (y < least) | (y >= (high or 2**31))
    if bad.any():
        index = first_index(bad)
        bounds = f"is below {low}" if low is not None and y[index] < low else "does not fit int32"
        bounds = f"is outside {least}..{high - 1}" if high else bounds
        advice = fix if isinstance(fix, str) else fix(int(y[index]))
        raise DataError(f"{where}: {noun} {y[index]} at {show(index)} {bounds}; {advice}")


def refuse_no_label(y: np.ndarray, where: str) -> None:
    """Raise where every position of an example has the label -1, so that no loss could be taken of it."""
    empty = np.all(y.reshape(len(y), -1) < 0, axis=1)
    if empty.any():
        found = plural(int(empty.sum()), "example")
        raise DataError(f"{where}: no label in {found}, first number {int(np.argmax(empty))}; drop them")


def labels_of(value: Any, where: str, *, inputs: np.ndarray, outputs: int) -> np.ndarray:
    """Check class labels below `outputs` (0: any), and bring them to int32.

    They are [N], or [N, T], [N, H, W] for one label a step or a pixel of inputs [N, T, ...], [N, H, W, ...]; there -1
    is no label.

    Raises:
      DataError: for float or one-hot labels, a wrong count, or a label outside 0..outputs-1.
    """
    y = as_array(value, where)
    steps = inputs.ndim >= 3 or inputs.dtype.kind == "i"  # vectors of numbers have features, not steps
    most = inputs.ndim - (inputs.dtype.kind != "i")
    dense = 1 < y.ndim <= most and steps and y.shape == inputs.shape[: y.ndim] and y.size > len(y)
    if y.ndim == 2 and y.shape[1] > 1 and _one_hot(y) and not (dense and y.dtype.kind in "iu"):
        raise DataError(
            f"{where}: found one-hot labels of shape {show(y.shape)}, expected integers of shape "
            f"[{y.shape[0]}]; use targets.argmax(axis=1)"
        )
    if y.dtype.kind == "f":
        refuse_floats(y, where, "give every example a label")
        whole = bool(np.all(y == np.round(y)))
        remedy = "use targets.astype(int)" if whole else 'for real-valued targets set task = "regression"'
        first = y.flat[0] if y.size else "none"
        raise DataError(f"{where}: found {y.dtype} labels, first {first}, expected integers from 0; {remedy}")
    _refuse_count(y, inputs, where)
    if y.ndim > 1 and not dense:
        remedy = "use targets[:, 0]" if y.shape[1:] == (1,) else "give one integer an example"
        raise DataError(f"{where}: found labels of shape {show(y.shape)}, expected [{y.shape[0]}]; {remedy}")

    def fix(label: int) -> str:
        if outputs and label == outputs:
            return "subtract 1 from labels that count from 1"
        if label == IGNORED:
            here = "here it is -1 that stands for no label" if dense else "which is not done here; drop these examples"
            return f"PyTorch leaves labels of {IGNORED} out of the loss, {here}"
        return "number the classes from 0"

    refuse_integers(y, where, low=-1 if dense else 0, high=outputs, noun="label", fix=fix)
    if dense:
        refuse_no_label(y, where)
    return y.astype(np.int32)


def _one_hot(y: np.ndarray) -> bool:
    return bool(np.all((y == 0) | (y == 1)) and np.all(np.sum(y, axis=1, dtype=np.float64) == 1))


def values_of(value: Any, where: str, *, inputs: np.ndarray, outputs: int) -> np.ndarray:
    """Check regression targets [N] or [N, outputs], and bring them to float64 [N, outputs].

    Raises:
      DataError: for a wrong count or shape, or a value that is not finite.
    """
    y = as_array(value, where)
    _refuse_count(y, inputs, where)
    if y.ndim == 1:
        y = y[:, None]  # [N, 1]
    if y.ndim != 2 or y.shape[1] == 0 or (outputs and y.shape[1] != outputs):
        raise DataError(
            f"{where}: found targets of shape {show(y.shape)}, expected [{y.shape[0]}, {outputs or 'outputs'}]"
        )
    refuse_floats(y, where, "drop or fill these examples")
    return y.astype(np.float64)


def _refuse_count(y: np.ndarray, inputs: np.ndarray, where: str) -> None:
    if y.shape[0] != inputs.shape[0]:
        raise DataError(
            f"{where}: found {y.shape[0]} targets for {plural(inputs.shape[0], 'example')} of inputs; "
            f"give one target an example"
        )
