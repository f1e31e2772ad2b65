"""One runner of a race for a run directory, in a process of its own; see test_races.

Reads lines "create PATH TIME" or "hold PATH TIME", waits for that moment of the machine's monotonic clock, and tells on
a line whether it won. What it won it holds until the next line.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.runs import directory


def attempt(word: str, path: Path, holding: contextlib.ExitStack) -> str:
    """Try to get a run directory, and tell what came of it."""
    try:
        if word == "create":
            directory.create(path, "x")
        holding.enter_context(directory.locked(path))
        (path / f"bytes of {os.getpid()}").write_text("x")
        return f"won {os.getpid()}"
    except (ConfigError, IntegrityError) as error:
        return f"lost {error}"
    except BaseException as error:
        return f"broken {error!r}"


def main() -> None:
    """Race until there are no more lines."""
    print("ready", flush=True)
    holding = contextlib.ExitStack()
    for line in sys.stdin:
        holding.close()
        word, path, moment = line.split()
        while time.monotonic() < float(moment):
            pass
        print(attempt(word, Path(path), holding), flush=True)


if __name__ == "__main__":
    main()
