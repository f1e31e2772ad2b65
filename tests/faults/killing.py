"""Run, kill, resume, again and again, in processes of their own; what is left must be the run that never was killed.

    python killing.py kill|stop|repeat FOLDER COUNT SEED

kill: SIGKILL at random times, up to ten in a row on one run. stop: SIGTERM or SIGINT at random times, which must save
and leave with 75 within 10 seconds. repeat: the same run in fresh processes. Prints one line of JSON. The processes are
forked from this one, which has imported JAX and started no backend: an import each would be most of the time.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import tomli_w
from small_runs import GAME, STUDY, told

import deepprinciples.cli.main as cli
from deepprinciples.runs.files import read_jsonl

for module in ("study.commands", "report.page", "report.terminal"):  # a child has them at once
    importlib.import_module(f"deepprinciples.{module}")
for module in ("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "scipy.io", "sklearn.datasets"):
    importlib.import_module(module)

LONGER = {**STUDY["train"], "steps": 400, "evaluate_every": 4}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "train": ("train", {**STUDY, "train": {**LONGER, "seeds": 3}}),
    "compare": ("compare", {**STUDY, "train": {**LONGER, "steps": 100}}),
    "game": ("train", {**GAME, "train": {**GAME["train"], "steps": 100, "evaluate_every": 2}}),
}


def started(*words: str) -> int:
    """Start the command line in a child; gives its number."""
    child = os.fork()
    if child:
        return child
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        sys.argv = ["deepprinciples", *words]
        cli.main()
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        os._exit(99)


def ended(child: int, seconds: float = 120) -> int:
    """Wait for a child; gives its exit code, negative for a signal."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    raise TimeoutError(f"a child ran longer than {seconds} s")


def whole(folder: Path, name: str) -> tuple[dict[str, Any], float]:
    """Run it without disturbance: what it says, and how long it took, which later runs undercut: much is warm then."""
    command, config = RUNS[name]
    (folder / f"{name}.toml").write_text(tomli_w.dumps(config))
    begun = time.monotonic()
    assert ended(started(command, str(folder / f"{name}.toml"), "--out", str(folder / f"{name}-whole"))) == 0
    return told(folder / f"{name}-whole"), time.monotonic() - begun


def first(folder: Path, name: str, out: Path) -> int:
    return started(RUNS[name][0], str(folder / f"{name}.toml"), "--out", str(out))


def again(folder: Path, name: str, out: Path) -> int:
    """Go on with a run; one that was killed before it had its config has to begin."""
    if (out / "status.json").exists():
        return started("resume", str(out))
    shutil.rmtree(out, ignore_errors=True)
    return first(folder, name, out)


def checked(out: Path, expected: dict[str, Any]) -> bool:
    """Tell whether a finished run is the undisturbed one: to the bit, each row once, no program compiled twice."""
    rows = [row["sequence"] for row in read_jsonl(out / "metrics.jsonl")]
    summary = json.loads((out / "summary.json").read_text())
    once = all(row["compiles"] <= 1 for row in summary["programs"])
    return told(out) == expected and rows == list(range(len(rows))) and once


def disturbed(folder: Path, count: int, spans: dict[str, float]) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Yield runs to disturb, all kinds in turn: up to four for each disturbance, since a run may end before its own."""
    expected = {}
    for name in list(RUNS)[: 1 if count < 10 else 3]:
        expected[name], spans[name] = whole(folder, name)
    for number in range(4 * count):
        name = list(expected)[number % len(expected)]
        yield name, folder / f"run-{number}", expected[name]


def kill(folder: Path, count: int, chance: random.Random) -> dict[str, int]:
    kills = runs = same = most = 0
    spans: dict[str, float] = {}
    for name, out, expected in disturbed(folder, count, spans):
        if kills >= count:
            break
        child, row, wait = first(folder, name, out), 0, chance.uniform(0.05, 1.0) * spans[name]
        while True:
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
            killed = ended(child) == -signal.SIGKILL
            kills, row = kills + killed, row + killed
            if not killed and not row:
                spans[name] = min(spans[name], wait)
            if not killed or row >= 10 or kills >= count or chance.random() < 0.4:
                break
            child, wait = again(folder, name, out), chance.uniform(0.05, 1.0) * wait * 2
        assert ended(again(folder, name, out)) == 0, f"{out} could not be resumed"
        runs, same, most = runs + 1, same + checked(out, expected), max(most, row)
        shutil.rmtree(out) if same == runs else None
    return {"kills": kills, "runs": runs, "bit_identical": same, "most_in_a_row": most}


def stop(folder: Path, count: int, chance: random.Random) -> dict[str, float]:
    stops = same = runs = 0
    slowest = 0.0
    spans: dict[str, float] = {}
    for name, out, expected in islice(disturbed(folder, count, spans), count):
        child = first(folder, name, out)
        time.sleep(chance.uniform(0.05, 1.0) * spans[name])
        while not (out / "status.json").exists():  # before, there is nothing to save
            time.sleep(0.01)
        begun = time.monotonic()
        os.kill(child, chance.choice((signal.SIGTERM, signal.SIGINT)))
        code = ended(child)
        slowest = max(slowest, time.monotonic() - begun)
        assert code in (75, 0), f"{name} left with {code}"
        stops += code == 75
        assert ended(again(folder, name, out)) == 0
        runs, same = runs + 1, same + checked(out, expected)
    return {"stops": stops, "runs": runs, "bit_identical": same, "slowest_seconds": round(slowest, 2)}


def repeat(folder: Path, count: int, chance: random.Random) -> dict[str, int]:
    del chance
    expected, _ = whole(folder, "train")
    same = 0
    for number in range(count):
        out = folder / f"again-{number}"
        assert ended(first(folder, "train", out)) == 0
        same += checked(out, expected)
    return {"processes": count, "bit_identical": same}


if __name__ == "__main__":
    what, where, times, seed = sys.argv[1:5]
    modes = {"kill": kill, "stop": stop, "repeat": repeat}
    print(json.dumps(modes[what](Path(where), int(times), random.Random(int(seed)))))
