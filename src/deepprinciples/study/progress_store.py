"""What a study has done so far, kept in its run directory, so that a stopped run resumes from there.

The protocol is a fixed sequence of phases, each with a label such as "0-tune-0" or "0-report". The store writes the
outcome of each finished phase, and how far the one under way has come; all else is computed again from the config.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.config.settings import shape_problems
from deepprinciples.engine.run import Outcome
from deepprinciples.engine.serialization import NOBODY, Keeper, packed, unpacked
from deepprinciples.errors import IntegrityError, not_written
from deepprinciples.runs import checkpoints
from deepprinciples.runs.stopping import Stop

FOLDER = "checkpoints"
SHARE = 0.02  # of the time may go into saving


class UnderWay(NamedTuple):
    """The program that runs: the first arm of its group, its shape, lanes in a block, bytes it asks for on a device."""

    arm: str
    shape: dict[str, Any]  # mode, blocks, chunks
    points: int
    memory_bytes: int
    identity: str = ""


class ProgressStore:
    """Writes and reads the outcomes of phases, and the lanes under way; without a folder it writes nothing."""

    def __init__(
        self,
        folder: Path | None = None,
        seconds: float = float("inf"),
        facts: Mapping[str, Any] = MappingProxyType({}),
        stop: Stop | None = None,
        *,
        lenient: bool = False,
    ) -> None:
        self.stop, self.lenient = (
            stop or Stop(),
            lenient,
        )  # lenient: a program may differ from the one the run began with
        self.program: UnderWay | None = None
        self.shapes: dict[str, Any] = {}  # first arm of a group -> the shape its program has
        self.measured: dict[str, Any] = {}  # likewise -> what was measured to choose it, where something was
        self.repeats: dict[str, bool | None] = {}  # likewise -> whether it repeats itself; None: not tried
        self.notes: list[str] = []  # for the reader of the result
        self._identities: dict[str, str] = {}  # first arm of a group -> which program it has
        self._folder, self._seconds, self._facts = folder, seconds, dict(facts)
        self._done: dict[str, Mapping[str, np.ndarray]] = {}
        self._begun: dict[str, dict[str, np.ndarray]] = {}
        self._number = 0
        self._saved, self._spent = time.monotonic(), 0.0

    def take_up(self, found: checkpoints.Checkpoint) -> None:
        """Continue from checkpoints.

        Raises:
            IntegrityError: they hold something else than a store writes.
        """
        known = {"shapes": {}, "measured": {}, "programs": {}, "notes": [], **found.facts}
        self.shapes, self.measured, self._identities = tables = [known[k] for k in ("shapes", "measured", "programs")]
        if not isinstance(known["notes"], list) or not all(isinstance(one, dict) for one in tables):
            raise IntegrityError(f"checkpoint {known['number']}: its facts are not those of a run; begin a new run")
        if problems := shape_problems(self.shapes):
            raise IntegrityError(f"checkpoint {known['number']}: {problems[0]}")
        self.notes, self._number = list(map(str, known["notes"])), known["number"]
        self._done = {label: values for label, values in found.saved.items() if label != checkpoints.UNDER_WAY}
        for name, array in found.saved.get(checkpoints.UNDER_WAY, {}).items():
            label, _, rest = name.partition("/")
            if label not in self._done:
                self._begun.setdefault(label, {})[rest] = array

    def begun(self, label: str) -> Mapping[str, np.ndarray]:
        """Return what is known of a phase that was under way; empty where it was not."""
        return self._begun.get(label, {})

    def enter(self, program: UnderWay) -> None:
        """Record which program runs from here on.

        Raises:
            IntegrityError: the run began with another: a function of the user's changed, or a library.
        """
        if self._identities.setdefault(program.arm, program.identity) != program.identity:
            if not self.lenient:
                raise IntegrityError(
                    f"{program.arm}: its program is another than the run began with, since a function of the config or "
                    "of --plugin changed; put it back, begin a new run, or add --allow-inexact to go on all the same"
                )
            self.notes.append(f"not exact: {program.arm} went on with another program than it began with")
            self._identities[program.arm] = program.identity
        self.shapes[program.arm] = program.shape
        self.program = program

    def outcome(self, label: str, like: Outcome) -> Outcome | None:
        """Return the outcome of a finished phase; `like` has its structure."""
        if label not in self._done:
            return None
        found: Outcome = unpacked("done", like._replace(seconds=0.0), self._done[label])
        return found._replace(seconds=float(found.seconds))

    @contextlib.contextmanager
    def running(self, label: str) -> Iterator[Keeper]:
        """Yield the keeper of a phase; a stop inside comes between its segments, after what is done was saved."""

        def offer(tell: Callable[[], dict[str, np.ndarray]]) -> None:
            if self.stop.name or self._is_time():
                self._begun[label] = tell()
                begun = time.monotonic()
                self._write(checkpoints.UNDER_WAY, joined(self._begun))
                self._saved = time.monotonic()
                self._spent = self._saved - begun
                self._begun.pop(label)
                self.stop.check()

        with self.stop.held():
            yield Keeper(self.begun(label), offer) if self._folder else NOBODY

    def close(self, label: str, outcome: Outcome) -> None:
        """Write the outcome of a phase."""
        self._begun.pop(label, None)
        self._write(label, packed("done", outcome))

    def _is_time(self) -> bool:
        if not self._seconds:  # after every segment
            return True
        return time.monotonic() - self._saved >= max(self._seconds, self._spent / SHARE)

    def _write(self, name: str, values: Mapping[str, np.ndarray]) -> None:
        if self._folder is None:
            return
        programs = {"shapes": self.shapes, "measured": self.measured, "programs": self._identities}
        self._number += 1
        try:
            checkpoints.save(self._folder, name, values, {**self._facts, **programs, "notes": self.notes}, self._number)
        except OSError as error:
            size = sum(array.nbytes for array in values.values())
            then = "; the ones before it are whole; free some space and resume the run"
            raise not_written(f"{self._folder}: a checkpoint of {size:,} bytes", error, then) from None


def joined(begun: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Name the arrays of phases under way `label/name`."""
    return {f"{label}/{name}": array for label, one in begun.items() for name, array in one.items()}


def with_more_rows(found: checkpoints.Checkpoint) -> dict[str, Any]:
    """Turn the outcomes of a finished run into phases under way, to which more rows are added.

    Args:
        found: it holds every outcome.

    Returns:
        The arrays of a file of phases under way.
    """
    begun = {}
    for label, values in found.saved.items():
        if label == checkpoints.UNDER_WAY:
            continue
        rows = {name.partition("/")[2]: array for name, array in values.items() if array.ndim}  # the time is left out
        at = max(map(len, rows.values()), default=0)  # states may be kept of the first rows only
        begun[label] = {"at": np.array(at), **{f"parts/{leaf}": array for leaf, array in rows.items()}}
    return joined(begun)
