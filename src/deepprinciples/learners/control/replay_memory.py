"""The last transitions that were seen, to learn from again."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, PyTree


class Memory(NamedTuple):
    """Transitions in a ring: arrays [capacity, ...], and how many were written so far."""

    rows: PyTree
    written: Array

    @classmethod
    def empty(cls, example: PyTree, capacity: int) -> Memory:
        """Make one for transitions of these shapes."""
        rows = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), example)
        return cls(rows, jnp.zeros((), jnp.int32))

    @property
    def capacity(self) -> int:
        """Return how many transitions it holds."""
        return len(jax.tree.leaves(self.rows)[0])

    def added(self, new: PyTree) -> Memory:
        """Write transitions [N, ...] in the place of the oldest; N divides the capacity."""
        count = len(jax.tree.leaves(new)[0])
        place = self.written % self.capacity
        write = lambda rows, leaf: jax.lax.dynamic_update_slice_in_dim(rows, leaf, place, axis=0)
        return Memory(jax.tree.map(write, self.rows, new), self.written + count)

    def drawn(self, key: Array, count: int) -> PyTree:
        """Draw transitions [count, ...], each as likely as any other."""
        places = jax.random.randint(key, (count,), 0, jnp.clip(self.written, 1, self.capacity))
        return jax.tree.map(lambda rows: rows[places], self.rows)
