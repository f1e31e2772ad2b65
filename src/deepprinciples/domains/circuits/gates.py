"""Gates on a batch of state vectors [B, 2^qubits], complex64, without noise; qubit 0 is the slowest index.

A gate on one qubit is a matrix [2, 2], or one for each example, and `apply` takes the product over that axis of the
state; `ladder` flips the signs of all neighbors at once.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from deepprinciples.types import Array

BYTES = 8  # of an amplitude


def zero_state(count: int, qubits: int) -> Array:
    """Return `count` states with all qubits at 0, [count, 2^qubits]."""
    return jnp.zeros((count, 2**qubits), jnp.complex64).at[:, 0].set(1.0)


def _matrix(a: Array, b: Array, c: Array, d: Array) -> Array:
    entries = [jnp.asarray(one, jnp.complex64) for one in (a, b, c, d)]
    return jnp.stack(entries, axis=-1).reshape(*jnp.shape(a), 2, 2)


def rx(angle: Array) -> Array:
    """Rotate about x: exp(-i angle X / 2), [...] -> [..., 2, 2]."""
    cosine, sine = jnp.cos(angle / 2), -1j * jnp.sin(angle / 2)
    return _matrix(cosine, sine, sine, cosine)


def ry(angle: Array) -> Array:
    """Rotate about y: exp(-i angle Y / 2), [...] -> [..., 2, 2]."""
    cosine, sine = jnp.cos(angle / 2), jnp.sin(angle / 2)
    return _matrix(cosine, -sine, sine, cosine)


def rz(angle: Array) -> Array:
    """Rotate about z: exp(-i angle Z / 2), [...] -> [..., 2, 2]."""
    turned = jnp.exp(-0.5j * angle)
    nothing = jnp.zeros_like(turned)
    return _matrix(turned, nothing, nothing, turned.conj())


def apply(state: Array, gate: Array, qubit: int) -> Array:
    """Apply a gate to one qubit.

    Args:
        state: [B, 2^qubits].
        gate: [2, 2], or one for each example [B, 2, 2].
        qubit: its number, from 0.

    Returns:
        The new state, [B, 2^qubits].
    """
    count, size = state.shape
    split = state.reshape(count, 2**qubit, 2, size // 2 ** (qubit + 1))
    entry = lambda row, column: gate[..., row, column].reshape(-1, 1, 1)
    # written out: a product of 2 x 2 matrices by a library costs a call for each of them
    rows = [entry(row, 0) * split[:, :, 0] + entry(row, 1) * split[:, :, 1] for row in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(count, size)


def bits(qubits: int) -> np.ndarray:
    """Return the value of every qubit in every entry of a state, [2^qubits, qubits]."""
    return np.arange(2**qubits)[:, None] >> np.arange(qubits)[::-1] & 1


def ladder(qubits: int) -> np.ndarray:
    """Return the signs [2^qubits] of a cz between every qubit and the next one, which all commute."""
    values = bits(qubits)
    return np.prod(1.0 - 2.0 * values[:, :-1] * values[:, 1:], axis=1).astype(np.float32)
