"""How an array of parameters is stored once it is trained, and how many bytes that takes."""

from __future__ import annotations

from typing import NamedTuple


class Stored(NamedTuple):
    """How an array of parameters is stored, for the size of a model."""

    shape: tuple[int, ...]
    values: int  # numbers that are stored
    bits: int  # of each
    beside: int = 0  # bytes that go with them, such as scales

    @property
    def size(self) -> int:
        """Return the bytes of the array: its values packed without gaps, and what goes with them."""
        return -(-self.values * self.bits // 8) + self.beside
