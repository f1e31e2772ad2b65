"""What a study has done so far, kept in its run directory, so that a run that was stopped goes on from there.

The protocol is a fixed sequence of runs, each with a label such as "0-tune-0" or "0-report". The ledger holds the
outcomes of those that are done and how far the one under way has come; all else is computed again from the config.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepprinciples.config.settings import shape_problems
from deepprinciples.engine.run import Outcome
from deepprinciples.engine.serialization import NOBODY, Keeper, packed, unpacked
from deepprinciples.errors import IntegrityError, ResourceError
from deepprinciples.runs import checkpoints
from deepprinciples.runs.stopping import Stop
from deepprinciples.study.memory import UnderWay

FOLDER = "checkpoints"
SHARE = 0.02  # of the time may go into saving


class Ledger:
    """Keeps outcomes by label, and saves them with the run under way."""

    def __init__(self, folder: Path | None, seconds: float, facts: Mapping[str, Any], stop: Stop) -> None:
        self.stop = stop
        self.facts = dict(facts)
        self.shapes: dict[str, Any] = {}  # first arm of a group -> the shape its program has
        self.measured: dict[str, Any] = {}  # likewise -> what was measured to choose it, where something was
        self.repeats: dict[str, bool | None] = {}  # likewise -> whether it repeats itself; None: not tried
        self.narrowed: dict[str, Any] = {}  # likewise -> what was chosen when memory ran out, see `memory.narrower`
        self.lenient = False  # whether a program may be another than the run began with
        self.notes: list[str] = []  # what a reader of the result has to know
        self._identities: dict[str, str] = {}  # first arm of a group -> which program it has
        self.under_way: UnderWay | None = None
        self.ran = False  # whether the program under way has run for a while
        self._folder, self._seconds = folder, seconds
        self._done: dict[str, np.ndarray] = {}
        self._times: dict[str, float] = {}
        self._begun: dict[str, dict[str, np.ndarray]] = {}  # label -> how far that run has come
        self._saved, self._spent = time.monotonic(), 0.0
        self.kept = False  # whether the last checkpoint holds all there is

    def take_up(self, found: checkpoints.Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            IntegrityError: it holds something else than a ledger writes.
        """
        shapes, times = found.facts.get("shapes"), found.facts.get("seconds")
        timed = isinstance(times, dict) and all(isinstance(one, int | float) for one in times.values())
        problems = shape_problems(shapes) if isinstance(shapes, dict) else ["shapes: expected a table"]
        if problems or not timed:
            raise IntegrityError(
                f"checkpoint {found.step}: {(problems or ['seconds: expected a table of numbers'])[0]}"
            )
        self.shapes, self._times = dict(shapes or {}), dict(times or {})
        measured, identities = found.facts.get("measured"), found.facts.get("programs")
        self.measured = measured if isinstance(measured, dict) else {}
        self._identities = dict(identities) if isinstance(identities, dict) else {}
        notes = found.facts.get("notes")
        self.notes = list(map(str, notes)) if isinstance(notes, list) else []
        self._done = {name: array for name, array in found.arrays.items() if name.startswith("done/")}
        for name, array in found.arrays.items():
            if name.startswith("begun/"):
                _, label, rest = name.split("/", 2)
                self._begun.setdefault(label, {})[rest] = array

    def begun(self, label: str) -> Mapping[str, np.ndarray]:
        """Give what is known of a run that was under way; empty where it was not."""
        return self._begun.get(label, {})

    def enter(self, program: UnderWay) -> None:
        """Tell which program runs from here on.

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
        self.under_way, self.ran = program, False

    def narrow(self, narrowed: Mapping[str, Any]) -> None:
        """Go on with narrower programs; a call under way that is wider begins again."""
        self.narrowed = dict(narrowed)
        changed = [arm for arm, one in narrowed.items() if self.shapes.get(arm, one["shape"]) != one["shape"]]
        for arm in changed:
            self._identities.pop(arm, None)
        if changed:
            whole = lambda name: name == "at" or name.startswith("parts/")
            self._begun = {
                label: {name: a for name, a in one.items() if whole(name)} for label, one in self._begun.items()
            }
        self.shapes |= {arm: one["shape"] for arm, one in narrowed.items()}

    def outcome(self, label: str, like: Outcome) -> Outcome | None:
        """Give the outcome of a run that is done; `like` has its structure."""
        if label not in self._times:
            return None
        found: Outcome = unpacked(f"done/{label}", like, self._done)
        return found._replace(seconds=self._times[label])

    @contextlib.contextmanager
    def running(self, label: str) -> Iterator[Keeper]:
        """Give the keeper of a run; a stop inside comes between its segments, after what is done was saved."""
        self.kept = False

        def offer(tell: Callable[[], dict[str, np.ndarray]]) -> None:
            self.ran = True
            if self.stop.name or self._is_time():
                self._begun[label] = tell()
                self.save()
                self._begun.pop(label)
                self.kept = True
                self.stop.check()

        with self.stop.held():
            yield Keeper(self.begun(label), offer) if self._folder else NOBODY

    def close(self, label: str, outcome: Outcome) -> None:
        """Enter the outcome of a run."""
        self._done |= packed(f"done/{label}", outcome._replace(seconds=None))
        self._times[label] = outcome.seconds
        self._begun.pop(label, None)
        self.kept = False

    def _is_time(self) -> bool:
        if not self._seconds:  # after every segment
            return True
        return time.monotonic() - self._saved >= max(self._seconds, self._spent / SHARE)

    def save(self, *, keep: int = 2) -> None:
        """Save everything; `keep` is how many checkpoints are kept."""
        if self._folder is None:
            return
        begun = time.monotonic()
        arrays = dict(self._done)
        for label, one in self._begun.items():
            arrays |= {f"begun/{label}/{name}": array for name, array in one.items()}
        facts = {
            **self.facts,
            "shapes": self.shapes,
            "measured": self.measured,
            "programs": self._identities,
            "notes": self.notes,
            "repeats": self.repeats,
            "seconds": self._times,
        }
        try:
            checkpoints.save(self._folder, arrays, facts, keep=keep)
        except OSError as error:
            size = sum(array.nbytes for array in arrays.values())
            raise ResourceError(
                f"{self._folder}: a checkpoint of {size:,} bytes cannot be written ({error.strerror or error}); the "
                "one before it is whole; make room and resume the run"
            ) from None
        self._saved = time.monotonic()
        self._spent = self._saved - begun


def with_more_rows(found: checkpoints.Checkpoint, facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Turn the last checkpoint of a finished run into one whose phases are all under way: more rows follow.

    Args:
        found: it holds every outcome.
        facts: of the longer run.

    Returns:
        The arrays and facts of a checkpoint.
    """
    arrays: dict[str, Any] = {}
    for name, array in found.arrays.items():
        _, label, leaf = name.split("/", 2)
        at = max(len(array), int(arrays.get(f"begun/{label}/at", 0)))  # states may be kept of the first rows only
        arrays |= {f"begun/{label}/parts/{leaf}": array, f"begun/{label}/at": np.array(at)}
    return arrays, {**found.facts, **facts, "seconds": {}}


def nothing_kept() -> Ledger:
    """Give a ledger that keeps outcomes in memory alone."""
    return Ledger(None, float("inf"), {}, Stop())
