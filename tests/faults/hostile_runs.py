"""Run directories and checkpoints that want to run code, read or write elsewhere, or show what is not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import small
import xarray as xr

from deepprinciples.runs import arrays, checkpoints, directory, files

SCRIPT = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>"


def run(change: Callable[[Path], None], *, sealed: bool = True) -> hostile.Make:
    """Make a finished run and change it; the manifest is written anew, as a stranger would, unless told otherwise."""

    def make(folder: Path) -> Path:
        path = small.finished(folder / "run")
        change(path)
        if sealed:
            small.sealed(path)
        return path

    return make


def written(name: str, content: Callable[[Path], bytes]) -> Callable[[Path], None]:
    """Change a run by other bytes in one of its files."""
    return lambda path: (path / name).write_bytes(content(path.parent)) and None


def linked(name: str, target: str) -> Callable[[Path], None]:
    """Change a run by a link in place of one of its files; `target` is below the folder of what lies outside."""

    def change(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(path.parent.parent / hostile.OUTSIDE / target)

    return change


def piped(name: str) -> Callable[[Path], None]:
    """Change a run by a pipe that nobody writes to."""

    def change(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        os.mkfifo(path / name)

    return change


def told(name: str, value: Any) -> Callable[[Path], None]:
    """Change a run by other plain data in one of its files."""
    return written(name, lambda folder: json.dumps(value).encode())


def manifest(**change: Any) -> Callable[[Path], None]:
    """Change what the manifest says, with a seal that fits."""

    def edit(path: Path) -> None:
        files.write_json(path / "manifest.json", directory.manifest(**change))

    return edit


def netcdf(**attributes: Any) -> Callable[[Path], None]:
    """Change the results by attributes of a variable."""

    def change(path: Path) -> None:
        data = xr.Dataset({"score": (("arm", "seed"), np.array([[0.5, 0.25]]), attributes)}, {"arm": ["plain"]})
        (path / "results.nc").write_bytes(bytes(data.to_netcdf(engine="scipy")))

    return change


SUMMARY = {"schema_version": 1, "title": SCRIPT, "headline": SCRIPT, "warnings": [SCRIPT], "command": SCRIPT}
RUNS: dict[str, hostile.Make] = {
    "run that names files elsewhere": run(
        manifest(files={"../../etc/passwd": "0" * 64, "/etc/passwd": "0"}), sealed=False
    ),
    "run whose hashes are a text": run(manifest(files="../../etc/passwd"), sealed=False),
    "run whose hashes are numbers": run(manifest(files={"results.nc": 7}), sealed=False),
    "run of a later version": run(told("manifest.json", {"schema_version": 2**62}), sealed=False),
    "run with a linked config": run(linked("config.toml", "secret"), sealed=False),
    "run with linked results": run(linked("results.nc", "secret"), sealed=False),
    "run with a linked summary": run(linked("summary.json", "secret"), sealed=False),
    "run with a linked manifest": run(linked("manifest.json", "secret"), sealed=False),
    "run with a linked report": run(linked("report.html", "secret")),
    "run with linked figures": run(linked("figures", "")),
    "run with a piped config": run(piped("config.toml"), sealed=False),
    "run with piped results": run(piped("results.nc"), sealed=False),
    "run with pickled results": run(written("results.nc", hostile.pickled)),
    "run with HDF5 results": run(written("results.nc", lambda f: b"\x89HDF\r\n\x1a\n" + b"\0" * 600)),
    "run with packed results": run(written("results.nc", lambda f: small.gzip.compress(b"CDF\1" + b"\0" * 2**24))),
    "run with results of 8 EiB": run(written("results.nc", lambda f: b"CDF\2" + b"\x7f\xff\xff\xff" * 64)),
    "run with results of objects": run(netcdf(kept_dtype="O")),
    "run with results of long words": run(netcdf(kept_dtype="U1000000000")),
    "run with results of fields": run(netcdf(kept_dtype="i4,(1000,1000)f8")),
    "run with results that are scaled": run(netcdf(scale_factor=SCRIPT, _FillValue=np.nan)),
    "run with results in odd units": run(netcdf(units="days since " + "9" * 400, calendar="../../x", dtype="O")),
    "run with scripts in its summary": run(told("summary.json", SUMMARY)),
    "run with a summary of nonsense": run(
        told("summary.json", {"arms": 5, "cost": [], "protocol": "x", "warnings": {}})
    ),
    "run with a summary of lists": run(told("summary.json", [[[]]] * 1000)),
    "run with a summary nested deep": run(written("summary.json", lambda f: b"[" * 10**6), sealed=True),
    "run with scripts in its manifest": run(manifest(device=SCRIPT, versions={SCRIPT: SCRIPT}), sealed=False),
    "run with a config that calls": run(written("config.toml", lambda f: b"x = '''__import__(\"os\")'''")),
}


def opened(path: Path) -> None:
    """Open a run, read all of it, and write its report into its own directory, as `deepprinciples report` does."""
    import deepprinciples as dp

    found = dp.load(path)
    found.report(path / "report.html", figures=True)
    found.report(path / "other.html")


def held(path: Path) -> None:
    """Look at the state of a run and take hold of it, as `resume` does."""
    directory.status(path)
    with directory.locked(path):
        checkpoints.load(path / "checkpoints")
        checkpoints.save(path / "checkpoints", checkpoints.UNDER_WAY, small.STATE, {}, 2)


def log(path: Path) -> None:
    """Read the log of a run."""
    list(files.read_jsonl(path / "metrics.jsonl"))


def step(content: Callable[[Path], bytes]) -> Callable[[Path], None]:
    """Change a run by a checkpoint of other bytes."""
    return lambda path: small.checkpoint(path / "checkpoints").write_bytes(content(path.parent)) and None


def forged(facts: Any = None, **more: str) -> Callable[[Path], bytes]:
    """Return a checkpoint whose checksum fits, with facts of one's own."""
    text = facts if isinstance(facts, str) else json.dumps(facts)
    return lambda folder: arrays.save_flat(
        small.STATE, {"facts": text, "sha256": checkpoints._checksum(small.STATE, text), **more}
    )


def linked_step(path: Path) -> None:
    """Change a run by a link that is called like a checkpoint."""
    (path / "checkpoints").mkdir()
    linked("checkpoints/0-report.safetensors", "secret")(path)


def piped_step(path: Path) -> None:
    """Change a run by a pipe that is called like a checkpoint."""
    (path / "checkpoints").mkdir()
    piped("checkpoints/0-report.safetensors")(path)


HUGE = hostile.tensor(0, 2**60, [2**58])
HELD: dict[str, hostile.Make] = {
    "run with a linked marker": run(linked(".deepprinciples", "secret")),
    "run with a piped marker": run(
        lambda path: (os.unlink(path / ".deepprinciples"), os.mkfifo(path / ".deepprinciples"))
    ),
    "run with a marker of something else": run(written(".deepprinciples", lambda f: b"key = 'my only copy'")),
    "run with linked checkpoints": run(linked("checkpoints", "")),
    "run with a piped status": run(piped("status.json")),
    "run in an odd state": run(told("status.json", {"state": "../../x", "kind": 5, "notes": SCRIPT})),
    "checkpoint of a pickle": run(step(hostile.pickled)),
    "checkpoint of 1 EiB": run(step(lambda f: hostile.tensors({"w": HUGE}))),
    "checkpoint that names another file": run(step(lambda f: arrays.save_flat({"../../secret": np.zeros(3)}))),
    "checkpoint with another checksum": run(step(forged({"schema_version": 2, "number": 1}, sha256="0" * 64))),
    "checkpoint whose facts are a list": run(step(forged([SCRIPT]))),
    "checkpoint whose facts nest deep": run(step(forged("[" * 10**5))),
    "checkpoint of an odd number": run(step(forged({"schema_version": 2, "number": [2**62]}))),
    "checkpoint of a later version": run(step(forged({"schema_version": 2**62, "number": 1}))),
    "checkpoint in a linked step": run(linked_step),
    "checkpoint in a pipe": run(piped_step),
}
LOGS: dict[str, hostile.Make] = {
    "log nested deep": run(written("metrics.jsonl", lambda f: b"[" * 10**5 + b"\n")),
    "log of one long line": run(written("metrics.jsonl", lambda f: b" " * 2**22)),
    "log of half a character": run(written("metrics.jsonl", lambda f: b'{"arm": "\\ud800", "crc32": "0"}\n')),
    "log of a pickle": run(written("metrics.jsonl", hostile.pickled)),
    "linked log": run(linked("metrics.jsonl", "secret"), sealed=False),
}


def fill() -> Iterator[tuple[str, tuple[hostile.Make, Callable[[Any], Any]]]]:
    """Give the cases of whole runs."""
    for door, cases in ((opened, RUNS), (held, HELD), (log, LOGS)):
        yield from ((name, (make, door)) for name, make in cases.items())
