"""Parameters of a safetensors file, held against those of a model: in our naming or in PyTorch's.

What a model keeps beside its parameters, such as running statistics, goes with them. What stands where in PyTorch is in
`torch_names`. Nothing is cast, filled up or left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from deepprinciples.config.wording import quoted, suggestion
from deepprinciples.errors import IntegrityError
from deepprinciples.interop import torch_names
from deepprinciples.learners.assembly.factories import trait
from deepprinciples.parts.files import torch_files
from deepprinciples.parts.parameter_names import STATE, names_with_state
from deepprinciples.runs import arrays
from deepprinciples.runs.directory import nearest
from deepprinciples.types import PyTree

MOST_LINES = 20  # of what is wrong with one file
Shapes = dict[str, tuple[torch_names.Shape, np.dtype]]


def fitted(
    path: str | Path,
    found: Mapping[str, np.ndarray],
    *,
    section: Mapping[str, Any],
    expected: Shapes,
    wanted: Sequence[str],
    naming: str = "auto",
) -> dict[str, np.ndarray]:
    """Take parameters and state of a model out of what a file holds.

    Args:
        path: of the file, for messages.
        found: its arrays.
        section: [model] of a resolved config.
        expected: all parameters of the model, and its state.
        wanted: those that are taken, in our naming; where they are not all, the file may hold others.
        naming: "own", "torch", or "auto" to go by the names found.

    Returns:
        The arrays in our naming, in the order of `wanted`.

    Raises:
        ConfigError: the model has no PyTorch naming. IntegrityError: one line for each mismatch.
    """
    whole = len(wanted) == len(expected)
    if naming == "own" or (naming == "auto" and not _looks_like_torch(found, expected)):
        asked = {name: expected[name] for name in wanted}
        _refuse(path, _mismatches(found if whole else _only(found, asked), asked))
        return {name: found[name] for name in wanted}
    convert = trait("model", section, "from_torch")
    if convert is not None:
        made: dict[str, np.ndarray] = {}
        try:
            made |= convert(found, wanted)
        except IntegrityError as error:
            _refuse(path, str(error).splitlines())
        _refuse(path, _mismatches(made, {name: expected[name] for name in wanted}))
        return made
    shapes = {name: shape for name, (shape, _) in expected.items()}
    pairs = [pair for pair in torch_names.twins(section, shapes) if pair.own in wanted]
    there = torch_names.shapes_of(pairs, shapes)
    counts = torch_names.counts(pairs)  # which nothing here reads, so that they may be missing
    found = {**counts, **(found if whole else _only(found, there))}
    floats, whole_numbers = np.dtype(np.float32), np.dtype(np.int64)
    problems = _mismatches(
        found, {name: (shape, whole_numbers if name in counts else floats) for name, shape in there.items()}
    )
    problems = problems or [
        f"{quoted(name)} has numbers other than 0 in its last third, a bias inside the reset gate, which this GRU lacks"
        for name in torch_names.inner_biases(pairs, found)
    ]
    _refuse(path, problems)
    return torch_names.to_own(pairs, found)


def shapes_of(params: PyTree, state: PyTree) -> Shapes:
    """List what a model has, by name: shapes and types of its parameters and of its state."""
    names = names_with_state(params, state)
    return {
        name: (leaf.shape, np.dtype(leaf.dtype))
        for name, leaf in zip(names, jax.tree.leaves((params, state)), strict=True)
    }


def _only(found: Mapping[str, np.ndarray], asked: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: array for name, array in found.items() if name in asked}


def _looks_like_torch(found: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    names = set(found)
    return not names & set(own) and any("." in name for name in names) and not any("/" in name for name in names)


def _mismatches(found: Mapping[str, np.ndarray], expected: Shapes) -> list[str]:
    """List in which names, shapes, types and values a file differs from what a model needs."""
    missing = [name for name in expected if name not in found]
    lines = []
    if len(missing) == len(expected) and found and all(re.match(r"seed-\d+/", name) for name in found):
        return ['holds all seeds of a run; take one of them with "export" and the naming "own"']
    for name in found:
        if name not in expected:
            what = "state" if name.startswith(STATE) else "parameter"
            lines.append(f"{quoted(name)} is no {what} of this model{suggestion(name, missing)}")
    for name in missing:
        shape, dtype = expected[name]
        lines.append(f"{quoted(name)} is missing; expected {dtype} {list(shape)}")
    for name, array in found.items():
        shape, dtype = expected.get(name, (array.shape, array.dtype))
        if array.shape != shape:
            lines.append(f"{quoted(name)} has shape {list(array.shape)}, expected {list(shape)}")
        if array.dtype != dtype:
            how = f"convert it before it is saved, with tensor.to(torch.{dtype}) or array.astype({str(dtype)!r})"
            lines.append(f"{quoted(name)} is {array.dtype}, expected {dtype}; nothing is cast here: {how}")
        elif dtype.kind == "f" and not np.isfinite(array).all():
            lines.append(f"{quoted(name)} holds NaN or infinity, expected numbers")
    return lines


def _refuse(path: str | Path, problems: list[str]) -> None:
    if problems:
        more = len(problems) - MOST_LINES
        rest = [f"and {more} more like these"] if more > 0 else []
        raise IntegrityError("\n".join(f"{path}: {line}" for line in [*problems[:MOST_LINES], *rest]))


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file of safetensors or of `torch.save`, in the order of their names."""
    if path.exists() and not path.is_file():
        raise IntegrityError(f"{path}: expected a file, found a folder or a device")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{path}: cannot be read ({error.strerror or error}){nearest(path)}") from None
    load = torch_files.state_dict_of if torch_files.is_torch_file(content) else arrays.load_flat
    found = load(content, str(path))
    return {name: found[name] for name in sorted(found)}
