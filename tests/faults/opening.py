"""Opens hostile files in a process of its own and tells, as JSON, what came of each and what Python's audit saw.

    python tests/faults/opening.py FOLDER [control]

An audit hook cannot be taken away again, hence the process. Everything is imported, and a good file of each kind is
opened, before the watch begins: what happens then happens because of the file.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import hostile_runs
import small
from fuzzing import memory

from deepprinciples.errors import DeepprinciplesError

FORBIDDEN = ("pickle.find_class", "exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty",
             "os.spawn", "os.startfile", "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "ctypes.dlopen",
             "marshal.loads", "code.__new__", "urllib.Request", "webbrowser.open", "import")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
           "shutil.rmtree", "shutil.move")  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Keeps what the audit saw while a file was open; `seen` is None while nobody looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)
        self.seen: Any = None
        self.known: set[str] = set()

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an event."""
        if event == "import":
            if self.seen is None:
                self.known.add(arguments[0])
            elif arguments[0] not in self.known:
                self.seen.append(f"import {arguments[0]}")
        elif self.seen is None or event == "compile" and arguments[1] == "<unknown>":
            return
        elif event in FORBIDDEN:
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "open" and _writes(*arguments):
            self._note(event, os.path.realpath(os.fsdecode(arguments[0])))
        elif event in CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "os.link", "shutil.move") else 1]:
                above = f"/proc/self/fd/{arguments[-1]}" if event in ("os.remove", "os.rmdir") else ""
                place = Path(above if above and arguments[-1] != -1 else "", os.fsdecode(path))
                self._note(event, os.path.join(os.path.realpath(place.parent), place.name))  # itself, if it is a link

    def _note(self, event: str, path: str) -> None:
        """Keep an event that changes what is not in the folder of the case."""
        if not path.startswith(self.folder + os.sep):
            self.seen.append(f"{event} {path}")


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    if isinstance(path, int):  # a file that is open already
        return False
    return bool((isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITES))


def outcome(door: Callable[[Any], Any], given: Any) -> str:
    """Open a file and tell what came of it in one word."""
    try:
        door(given)
    except DeepprinciplesError as error:
        return f"refused: {type(error).__name__}"
    except BaseException as error:
        return f"broken: {error!r}"[:300]
    return "read"


def control(folder: Path) -> Path:
    """Make a file that does what it wants, to see that the watch sees."""
    (folder / "x.pickle").write_bytes(hostile.pickled(folder))
    (folder.parent / hostile.OUTSIDE / "x").unlink(missing_ok=True)
    return folder / "x.pickle"


def careless(path: Path) -> None:
    """Do all that must not be done."""
    pickle.loads(path.read_bytes())
    eval("1 + 1")
    (path.parent.parent / hostile.OUTSIDE / "x").write_text("")


def main(root: Path, *, controlled: bool) -> dict[str, Any]:
    """Open every case, each in a folder of its own."""
    cases = {"control": (control, careless)} if controlled else dict([*hostile.fill(), *hostile_runs.fill()])
    given = {}
    for number, (name, (make, _)) in enumerate(cases.items()):
        (root / str(number)).mkdir()
        given[name] = make(root / str(number))
    watch = Watch(root)
    sys.addaudithook(watch.hear)
    if not controlled:
        warm(root / "good")
        Path("/proc/self/clear_refs").write_text("5")
    begun, found = memory("VmRSS"), {}
    for number, (name, (_, door)) in enumerate(cases.items()):
        watch.folder, watch.seen = os.path.realpath(root / str(number)), []
        word = outcome(door, given[name])
        found[name] = {"outcome": word, "seen": watch.seen, "pwned": (root / str(number) / "pwned").exists()}
        watch.seen = None
    return {"cases": found, "peak_mib": round((memory("VmHWM") - begun) / 2**20, 1)}


def warm(folder: Path) -> None:
    """Open a good file of every kind."""
    folder.mkdir()
    path = small.finished(folder / "run")
    hostile_runs.opened(path), hostile_runs.held(path), hostile_runs.log(path)
    doors = dict(hostile.fill())
    for name, content in (("zip bomb", small.npz()), ("gzip bomb", small.GZ), ("table with formulas", small.CSV)):
        (folder / "x").write_bytes(content)
        assert outcome(doors[name][1], folder / "x") == "read", name
    for name in (
        "arrays of one name",
        "config of many keys",
        "config with a call",
        "config with a pipe",
        "pickle called png",
    ):
        make, door = doors[name]
        assert outcome(door, make(folder)).startswith("refused"), name


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), controlled="control" in sys.argv)))
