"""Quantum circuits without noise: a simulator of state vectors, and a model of rotations whose angles are learned."""

from __future__ import annotations

from deepprinciples.domains.circuits import gates
from deepprinciples.domains.circuits.circuit import circuit
from deepprinciples.domains.circuits.expectation import expectation

__all__ = ["TABLES", "gates"]

TABLES = {
    "model": {"circuit": circuit},
    "loss": {"expectation": expectation},
    "metric": {"expectation": expectation},
}
