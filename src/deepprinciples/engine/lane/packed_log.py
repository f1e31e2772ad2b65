"""A log as one vector for each type of number: a program then carries one array in place of a hundred scalars.

Each array that a compiled loop writes is a kernel of its own to compile, and one more to bring to the host.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.types import PyTree


@functools.partial(jax.tree_util.register_dataclass, data_fields=["vectors"], meta_fields=["structure", "leaves"])
@dataclasses.dataclass(frozen=True)
class Rows:
    """A tree of arrays, packed: a vector [..., P] for each type, and what they were."""

    vectors: dict[str, Any]
    structure: Any  # of the tree
    leaves: tuple[tuple[str, tuple[int, ...]], ...]  # type and shape of each


def pack(tree: PyTree) -> Rows:
    """Pack a tree of arrays; leading axes may be put before the vectors later (by `vmap`, or by stacking)."""
    arrays = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    kinds = dict.fromkeys(str(a.dtype) for a in arrays)
    vectors = {kind: jnp.concatenate([a.reshape(-1) for a in arrays if str(a.dtype) == kind]) for kind in kinds}
    leaves = tuple((str(a.dtype), a.shape) for a in arrays)
    return Rows(vectors, jax.tree.structure(tree), leaves)


def unpack(rows: Rows) -> PyTree:
    """Undo `pack`, on the host: arrays [..., *shape], views of the vectors."""
    begun = dict.fromkeys(rows.vectors, 0)
    arrays = []
    for kind, shape in rows.leaves:
        vector, start = np.asarray(rows.vectors[kind]), begun[kind]
        begun[kind] = start + math.prod(shape)
        arrays.append(vector[..., start : begun[kind]].reshape((*vector.shape[:-1], *shape)))
    return jax.tree.unflatten(rows.structure, arrays)


def unpacked_shapes(rows: Rows) -> PyTree:
    """Return what `unpack` would, as shapes and types alone."""
    lead = {kind: vector.shape[:-1] for kind, vector in rows.vectors.items()}
    found = [jax.ShapeDtypeStruct((*lead[kind], *shape), kind) for kind, shape in rows.leaves]
    return jax.tree.unflatten(rows.structure, found)
