"""Ranges of numbers as part of an annotation, and whole numbers that have one; `types` has those of floats.

It imports no jax, so that settings can be read without it.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple


class Range(NamedTuple):
    """The numbers that a keyword takes, part of its annotation: `Annotated[Scalar, Range("[0, 1]")]`.

    A round bracket leaves the end out. `fix` says how to fix a value outside it, such as "0.0 switches it off".
    """

    interval: str
    fix: str = ""


Count = Annotated[int, Range("[1, inf)")]
Size = Annotated[int, Range("[0, inf)")]
Depth = Annotated[int, Range("[0, 1000000]")]
Seed = Annotated[int, Range("[0, 4294967296)", "JAX takes other seeds for one of these")]
Repeats = Annotated[int, Range("[1, 1000000]")]  # runs, trials and searches of a study
