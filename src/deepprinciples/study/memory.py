"""What to do when memory runs out: the same width once more where it had run, then half of it, in a fresh process.

Whoever runs out of memory may hold what it would need, so nothing is tried again in the same process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax

from deepprinciples.config.settings import shape_problems
from deepprinciples.engine import autotune
from deepprinciples.errors import OutOfMemory, ResourceError

EXHAUSTED = ("RESOURCE_EXHAUSTED", "Out of memory")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn the ways in which JAX and Python run out of memory into `OutOfMemory`."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(str(error) or "MemoryError") from error
    except jax.errors.JaxRuntimeError as error:
        if not any(word in str(error) for word in EXHAUSTED):
            raise
        raise OutOfMemory(" ".join(str(error).split())[:200]) from error


class UnderWay(NamedTuple):
    """The program that runs: the first arm of its group, its shape, lanes in a block, bytes it asks for on a device."""

    arm: str
    shape: dict[str, Any]  # mode, blocks, chunks
    points: int
    memory_bytes: int
    identity: str = ""


def narrower(before: Mapping[str, Any] | None, now: UnderWay, *, ran: bool) -> dict[str, Any]:
    """Choose the shape to go on with.

    Args:
        before: what was chosen for the group the last time its memory ran out, if it ever did.
        now: the program that ran out.
        ran: it had run for a while, so something else may have taken the memory.

    Returns:
        The shape, the lanes of a block, and the widths that ran out so far.

    Raises:
        ResourceError: it was as narrow as can be.
    """
    blocks, points = now.shape["blocks"], now.points
    widths = [*(before or {}).get("ran_out", []), blocks * points]
    if ran and widths.count(widths[-1]) == 1:
        return {"shape": dict(now.shape), "points": points, "ran_out": widths}
    if blocks == 1:
        free = autotune.memory_limit(1)
        raise ResourceError(
            f"memory: {now.arm}: {points} lane{'s' * (points > 1)} at once need{'s' * (points == 1)} "
            f"{now.memory_bytes:,} bytes, and about {free:,} are free; take a smaller model or "
            "batch_size, or a machine with more"
        )
    return {"shape": {**now.shape, "blocks": blocks // 2}, "points": points, "ran_out": widths}


def sentence(arm: str, one: Mapping[str, Any]) -> str:
    """Say what became of a group whose memory ran out."""
    tried = ", ".join(str(width) for width in one["ran_out"])
    return (
        f"{arm}: memory ran out with {tried} lanes a device; it goes on with {one['shape']['blocks'] * one['points']} "
        "in a fresh process, and the last bits may differ from those of a run that had the memory"
    )


def problems(narrowed: Any) -> list[str]:
    """Tell what is wrong with what a status file says was chosen."""
    if not isinstance(narrowed, Mapping):
        return [f"narrowed: found {narrowed!r}, expected a table"]
    whole = all(isinstance(one, Mapping) and set(one) == {"shape", "points", "ran_out"} for one in narrowed.values())
    if not whole:
        return ["narrowed: expected shape, points and ran_out for each"]
    numbers = [n for one in narrowed.values() for n in [one["points"], *one["ran_out"]]]
    odd = [
        f"narrowed: found {n!r}, expected a whole number of at least 1" for n in numbers if type(n) is not int or n < 1
    ]
    return odd + shape_problems({arm: one["shape"] for arm, one in narrowed.items()})
