"""Quantum circuits without noise: a simulator of state vectors, and a model of rotations whose angles are learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepprinciples.domains.circuits import gates
from deepprinciples.domains.circuits.circuit import circuit
from deepprinciples.domains.circuits.expectation import expectation

__all__ = ["TABLES", "gates"]

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "model": {"circuit": circuit},
    "loss": {"expectation": expectation},
    "metric": {"expectation": expectation},
}
