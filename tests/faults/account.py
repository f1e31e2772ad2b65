"""Write docs/reliability.md from the account of a torture run: python tests/faults/account.py ACCOUNT PAGE."""

from __future__ import annotations

import datetime
import json
import sys
from collections import defaultdict
from pathlib import Path

from deepprinciples.runs.directory import fingerprint

CLAIMS = {
    "P1": "A save that dies or fails at any of its writes, flushes and renames leaves the old checkpoint "
    "or the new one.",
    "P2": "A run killed at random times, up to ten times in a row (P3), and resumed, ends in the same bits: results, "
    "log, verdicts, parameters. Each row of the log stands once (P15); a process compiles a program once (P13).",
    "P4": "A lane that goes wild changes no bit of the others.",
    "P5": "A lane's bits do not depend on how many others there are, which they are, or where it stands among them.",
    "P6": "The same config on the same machine and versions gives the same bits in every process.",
    "P7": "A checkpoint or run directory with flipped bits or cut short is refused, or loads as it was; never "
    "otherwise.",
    "P8": "Readers of foreign files give data or one line of refusal, within bounds of memory and time.",
    "P9": "Hostile files run no code, open no connection and write nowhere.",
    "P10": "Hostile words in any field of a report change nothing of its structure.",
    "P11": "SIGTERM or SIGINT at a random time: saved, and left with exit code 75 within 10 seconds.",
    "P14": "Of processes that race for one directory exactly one gets it, and the losers leave no bytes.",
    "P17": "Saving lanes under way takes 2 % of the time, once the first save has shown what it costs; a finished "
    "phase is saved once. A kill costs at most the interval between two checkpoints: a minute, or 50 times what a save "
    "takes.",
}
HEAD = """# Reliability

What is promised of a run and its files, how it is tried, and what came of the last full trial. `make torture` repeats
it; `make test` tries the same in a short form at every change. The tests are in `tests/faults`; `test_rows.py` there
lists, for each of 76 bad inputs and faults, the tests that hold it to one line and an exit code.

"""
NOT = """
A kill is a random sample: 0 failures of 200 bounds the rate of failure at 1.5 % (95 %, the rule of three). P1, which
tries every write, flush and rename of a save, is the stronger test.

## What is not promised

- The same bits on another machine, with other versions, another number of cores or devices, or other XLA flags: such a
  resume needs `--allow-inexact`, and the result says so.
- The same bits at another width. Width and length of a call are recorded with a run, and a repeat takes them from
  there.
- A run that goes on by itself when memory runs out: it ends with exit code 5 and one line that names the program, its
  bytes and the `train.max_parallel` to try.
- Exactness on a GPU without `--xla_gpu_deterministic_ops`. No GPU was at hand for this trial.
- Durability beyond `fsync`: a disk that lies about it loses what it lies about, and the checks will say so.
- Exactness for data that a function of yours yields, if it does not yield the same twice.
- Locks on file systems without `flock`, and on Windows: two processes in one directory are yours to avoid there.
- Measured times. Those of a resumed run are of the parts that were run.
"""


def page(lines: list[str]) -> str:
    """Make the page of an account: one row a promise, its figures in the words of the tests."""
    figures: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        row = json.loads(line)
        told = ", ".join(f"{key.replace('_', ' ')} {_number(value)}" for key, value in row["figures"].items())
        figures[row["promise"]].append(told)
    missing = [promise for promise in CLAIMS if promise not in figures]
    if missing:
        raise SystemExit(f"the account says nothing of {', '.join(missing)}; nothing was written")
    known = fingerprint()
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    rows = [f"| {name} | {claim} | {'<br>'.join(figures[name])} |" for name, claim in CLAIMS.items()]
    table = "\n".join(["| | promise | last full trial |", "|---|---|---|", *rows])
    when = f"Date: {datetime.date.today().isoformat()}. {known['cores']} cores, {known['machine']}. {versions}."
    return f"{HEAD}{when}\n\n{table}\n{NOT}"


def _number(value: float | str) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    account, target = map(Path, sys.argv[1:3])
    target.write_text(page(account.read_text(encoding="utf-8").splitlines()), encoding="utf-8")
    print(f"Written: {target}")
