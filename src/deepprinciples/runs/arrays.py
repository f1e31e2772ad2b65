"""Array files: results as netCDF, parameters as safetensors. Neither format can hold code.

Both are written whole or not at all (see `files`) and read fully into memory, so that a file that changes later cannot
change what was read. numpy and xarray are imported when needed, so that commands which read no arrays start fast.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepprinciples.errors import IntegrityError, message
from deepprinciples.runs.files import MAX_BYTES, MAX_DEPTH, open_regular, parse_json, unreadable, write_bytes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

_KEPT = "kept_dtype"  # netCDF 3 has no 64-bit integers and no booleans: the attribute tells which type to restore
_ORDER = "kept_order"  # and scipy sorts the variables
_KEPT_TYPES = ("bool", "int64", "uint8", "uint16", "uint32", "uint64", "str")


def save_dataset(dataset: xr.Dataset, path: Path | str) -> None:
    """Write a data set as netCDF 3; whole numbers, booleans, texts and NaN come back as they were.

    Args:
        dataset: numbers, booleans and texts; whole numbers below 2^53.
        path: the file.

    Raises:
        ValueError: a variable has a type the file cannot hold exactly.
    """
    plain = dataset.copy()
    plain.attrs = {key: str(value) if value is None else value for key, value in dataset.attrs.items()}
    plain.attrs[_ORDER] = "\n".join(map(str, dataset.data_vars))
    for name, variable in dataset.variables.items():
        stored, kept = _storable(str(name), variable.values)
        if kept:
            plain[name] = (variable.dims, stored, {**variable.attrs, _KEPT: kept})
    write_bytes(path, bytes(plain.to_netcdf(engine="scipy")))


def _storable(name: str, values: np.ndarray) -> tuple[np.ndarray, str]:
    import numpy as np

    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "U":
        return values, "str"
    if kind == "b":
        return values.astype(np.int8), "bool"
    if kind in "iu" and (size > 4 or kind == "u"):
        if values.size and max(abs(int(values.max())), abs(int(values.min()))) > 2**53:
            raise ValueError(f"{name}: holds whole numbers above 2^53, which the file cannot hold exactly")
        return values.astype(np.float64), str(values.dtype)
    if kind not in "iufUSO":
        raise ValueError(f"{name}: has type {values.dtype}, which the file cannot hold")
    return values, ""


def load_dataset(path: Path | str, sha256: str = "") -> xr.Dataset:
    """Read a data set that `save_dataset` wrote.

    Args:
        path: the file.
        sha256: the hash that its bytes must have; "" reads whatever it holds.

    Raises:
        IntegrityError: the file is missing or damaged.
    """
    import numpy as np
    import xarray as xr

    content = content_of(path)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise IntegrityError(f"{path}: was changed after the run (its SHA-256 differs from the manifest's)")
    try:
        with xr.open_dataset(io.BytesIO(content), engine="scipy", decode_times=False) as opened:
            dataset = opened.load()
        for name in list(dataset.variables):
            kept = dataset[name].attrs.pop(_KEPT, "")
            if kept:
                if kept not in _KEPT_TYPES:
                    raise ValueError(f"{name} names the type {kept!r}")
                dataset[name] = dataset[name].astype(np.dtype(kept))
        order = str(dataset.attrs.pop(_ORDER, "")).split("\n")
        if sorted(order) == sorted(map(str, dataset.data_vars)):
            dataset = dataset[order]
    except Exception as error:  # scipy's reader fails in many ways on a damaged file
        raise IntegrityError(f"{path}: not a netCDF file of a run ({message(error)})") from None
    return dataset


def save_arrays(tree: Mapping[str, Any], path: Path | str, metadata: Mapping[str, str] | None = None) -> None:
    """Write a nested dict of arrays as safetensors, names joined by "/"; empty dicts are not kept.

    Args:
        tree: {name: array or dict}; names are texts without "/".
        path: the file.
        metadata: texts stored beside the arrays.
    """
    write_bytes(path, save_flat(flat(tree), metadata))


def save_flat(arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a safetensors file of arrays by name."""
    import numpy as np
    from safetensors.numpy import save

    # safetensors writes the memory of a transposed array in the wrong order; order="C" keeps 0-d arrays 0-d
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return bytes(save(whole, metadata=dict(metadata) if metadata else None))


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """List the arrays of nested dicts by name, keys joined by "/"."""
    return dict(_flat(tree, ""))


def _flat(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if not isinstance(key, str) or "/" in key or not key:
            raise ValueError(f'expected names without "/", found {key!r}')
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}/")
        else:
            yield above + key, value


def load_arrays(path: Path | str) -> dict[str, Any]:
    """Read a nested dict of arrays that `save_arrays` wrote.

    Raises:
        IntegrityError: the file is missing or damaged.
    """
    tree: dict[str, Any] = {}
    for name, array in sorted(load_flat(content_of(path), path).items()):
        *parents, leaf = name.split("/")
        if len(parents) >= MAX_DEPTH:
            raise IntegrityError(f"{path}: {name[:60]!r} is nested deeper than {MAX_DEPTH} levels")
        table: Any = tree
        for key in parents:
            table = table.setdefault(key, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict) or leaf in table:
            raise IntegrityError(f"{path}: {name[:60]!r} is both an array and a table")
        table[leaf] = array
    return tree


def content_of(path: Path | str) -> bytes:
    """Read a whole file of a run; a file mapped into memory could be cut off while it is read.

    Raises:
        IntegrityError: it is missing, no regular file, or too large.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except (OSError, ValueError, MemoryError) as error:
        raise unreadable(path, error) from None


def load_flat(content: bytes, path: Path | str) -> dict[str, Any]:
    """Read arrays by name from the bytes of a safetensors file; `path` is for the message.

    Raises:
        IntegrityError: they are no such bytes, or have a type that NumPy lacks.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        known = header(content)
        return dict(load(content))
    except KeyError as error:  # NumPy has no bfloat16
        found = error.args[0]
        name = next(name for name, one in known.items() if one.get("dtype") == found)
        line = f"{name[:60]!r} is {found!r}, which is not read here; convert it before it is saved"
        raise IntegrityError(f"{path}: not a safetensors file ({line})") from None
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise IntegrityError(f"{path}: not a safetensors file ({message(error)})") from None


def header(content: bytes) -> dict[str, Any]:
    """Parse the header of a safetensors file; the library checks that its arrays fill the file.

    Raises:
        ValueError: it is too long, or no strict JSON.
    """
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(MAX_BYTES, len(content) - 8):
        raise ValueError("its header does not fit the file")
    found = parse_json(content[8 : 8 + length].decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("its header is no table")
    return found
