"""A run under way as named arrays, and back: what a checkpoint holds of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from deepprinciples.errors import IntegrityError
from deepprinciples.types import PyTree

Arrays = Mapping[str, np.ndarray]


class Keeper(NamedTuple):
    """Who keeps a run's progress.

    begun: what was kept of this run before; empty to start at its first step.
    offer: called between segments with a function that returns the run as arrays; it may keep them, or stop the run.
    """

    begun: Arrays = {}
    offer: Callable[[Callable[[], dict[str, np.ndarray]]], None] = lambda tell: None


NOBODY = Keeper()


def packed(name: str, tree: PyTree) -> dict[str, np.ndarray]:
    """Name the leaves of a tree `name/0000`, `name/0001`, ...; they are copied to the host."""
    return {f"{name}/{k:04}": np.asarray(leaf) for k, leaf in enumerate(jax.device_get(jax.tree.leaves(tree)))}


def unpacked(name: str, like: PyTree, arrays: Arrays) -> PyTree:
    """Build the tree that `packed` took apart.

    Args:
        name: as given to `packed`.
        like: a tree of the same structure.
        arrays: holds the leaves, and others.

    Raises:
        IntegrityError: there are more leaves or fewer than `like` has: they belong to another program.
    """
    names = sorted(key for key in arrays if key.startswith(f"{name}/"))
    structure: Any = jax.tree.structure(like)
    if len(names) != structure.num_leaves:
        raise IntegrityError(
            f"checkpoint: {name} has {len(names)} arrays, expected {structure.num_leaves}; it is of another program"
        )
    return jax.tree.unflatten(structure, [arrays[key] for key in names])


def same_shapes(tree: PyTree, like: PyTree) -> bool:
    """Check whether arrays have the shapes and types of `like`."""
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(like), strict=True)
    return all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
