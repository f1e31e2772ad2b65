"""Signals: the first asks a run to save and stop, the second ends it at once. No jax is imported here."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from deepprinciples.errors import Stopped


class Stop:
    """Whether a run was asked to stop. Outside `held`, asking raises `Stopped` wherever the main thread is."""

    def __init__(self) -> None:
        self.name = ""
        self._held = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Put off a stop until the block ends, or until the block asks with `check`."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if not self._held:
            self.check()

    def check(self) -> None:
        """Raise `Stopped` where a stop was asked for."""
        if self.name:
            raise Stopped(f"stopped by {self.name}")

    def receive(self, number: int, frame: Any) -> None:
        """Handle a signal: ask for a stop, or end the process if one was asked for."""
        del frame
        if self.name:
            os._exit(128 + number)
        self.name = signal.Signals(number).name
        if not self._held:
            self.check()


@contextlib.contextmanager
def listening() -> Iterator[Stop]:
    """Take SIGINT and SIGTERM as the wish to stop, and let a closed terminal be. Only the main thread can listen.

    Yields:
        The `Stop` that receives them. The handlers of before come back at the end.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    wanted: dict[int, Any] = {signal.SIGINT: stop.receive, signal.SIGTERM: stop.receive}
    if hasattr(signal, "SIGHUP"):
        wanted[signal.SIGHUP] = signal.SIG_IGN
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
