"""The benchmark: every line in a fresh process, one at a time, then a table, and where we lose.

    python benchmarks/run.py [--full] [--only mlp,cnn] [--out docs]

Names for --only: the models, and probes, limits, lanes, stream, verdict. A whole run writes benchmarks.json, .md and
.svg to --out, by default docs; a part of it writes only where --out is given: parts of different runs do not belong in
one table.
The short form takes about 3 minutes on 2 cores and says what it leaves out; the full form more than an hour.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import figure
import pages
import reading
from timing import pooled
from workloads import WORKLOADS

HERE = Path(__file__).parent
PACKAGES = ("deepprinciples", "jax", "jaxlib", "flax", "optax", "numpy", "torch")
PART = 600.0  # seconds until a line is given up
LONG_PART = 1800.0  # and a whole study, run several times
SLOW = ("dcgan",)  # models whose other lines take longer than that
FULL = ("transformer_128",)  # models that are left out of the short form
ENSEMBLES = ("mlp", "cnn", "lstm")  # models that torch.func trains as one batched program
STOCK = (*ENSEMBLES, "gan")  # models that are also written in stock Flax
CLOSE = ("engine", "vmapped", "probes")  # jobs that compare within a few percent
PROCESSES = 3  # that measure each of those, in the full form


class Line(NamedTuple):
    """One process: a job of a script. `name` is what --only calls it; `short`: it is part of the short form too."""

    name: str
    script: str
    job: str
    model: str
    short: bool


def lines() -> list[Line]:
    """List every process of the full form, in the order in which they run."""
    found = []
    limits = [Line("limits", "limits", "products", model, False) for model in WORKLOADS]
    for model, workload in WORKLOADS.items():
        quick = model not in SLOW
        short = quick and model not in FULL
        found += [
            Line(model, "ours", "population", model, short),
            Line(model, "torch_peer", "eager", model, short),
            Line(model, "torch_peer", "processes", model, short),
        ]
        if not quick:
            continue
        found += [
            *([Line(model, "torch_peer", "ensemble", model, False)] if workload.name in ENSEMBLES else []),
            Line(model, "torch_peer", "compile", model, False),
            Line(model, "torch_peer", "compiled_processes", model, False),
            Line(model, "ours", "wide", model, False),
            Line("engine", "ours", "engine", model, model == "mlp"),
            *([Line("engine", "ours", "vmapped", model, False)] if workload.name in STOCK else []),
            Line(model, "ours", "serial", model, model == "mlp"),
            *([Line(model, "stock_flax", "both", model, model in ("mlp", "cnn"))] if workload.name in STOCK else []),
            Line("probes", "ours", "probes", model, False),
        ]
    verdicts = [Line("verdict", "verdict", "verdict", study, False) for study in ("mlp", "cnn", "lstm")]
    return [
        *found,
        *limits,
        Line("lanes", "ours", "lanes", "mlp", False),
        Line("stream", "streaming", "stream", "mlp", False),
        *verdicts,
    ]


def measure(line: Line, effort: str) -> tuple[list[dict[str, Any]], str]:
    """Measure a line in a fresh process, which compiles anew; give its rows, or none and why."""
    command = [sys.executable, str(HERE / f"{line.script}.py"), line.job, line.model, effort]
    fresh = {**os.environ, "DEEPPRINCIPLES_CACHE": "off"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_limit(line), env=fresh)
    except subprocess.TimeoutExpired:
        return [], f"took longer than {_limit(line):.0f} s"
    if done.returncode:
        return [], (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
    return json.loads(done.stdout.splitlines()[-1]), ""


def measured(line: Line, effort: str, count: int) -> tuple[list[dict[str, Any]], str]:
    """Measure a line in several processes, one after another, and make one row of each of its lines."""
    runs = []
    for _ in range(count):
        found, why = measure(line, effort)
        if why:
            return [], why
        runs.append(found)
    return pooled(runs), ""


def machine() -> str:
    """Name the processor and count its cores; not whose machine it is."""
    model = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        named = [
            one.partition(":")[2].strip() for one in facts.read_text().splitlines() if one.startswith("model name")
        ]
        model = named[0] if named else model
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {count} cores, {platform.system()} {platform.machine()}"


def load_of_machine() -> float:
    """Return the mean number of processes that ran or waited in the last minute; 0 where the system counts none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def versions() -> dict[str, str]:
    """Give the versions of what was measured."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def gpu() -> bool:
    """Say whether JAX sees an accelerator; asked in a process of its own."""
    code = "import jax; print(jax.devices()[0].platform)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() != "cpu"


def run(chosen: Sequence[Line], effort: str, skipped: Sequence[Line]) -> dict[str, Any]:
    """Measure the chosen lines and gather the rows, the machine and what failed."""
    rows, failed = [], [{"line": _title(line), "why": "left out of the short form"} for line in skipped]
    load = [load_of_machine()]
    for number, line in enumerate(chosen, 1):
        begun = time.monotonic()
        count = PROCESSES if line.job in CLOSE and effort == "full" else 1
        found, why = measured(line, effort, count)
        rows += found
        failed += [{"line": _title(line), "why": why}] if why else []
        load.append(load_of_machine())
        print(f"[{number}/{len(chosen)}] {_title(line)}: {why or f'{time.monotonic() - begun:.0f} s'}", flush=True)
    return {
        "date": datetime.date.today().isoformat(),
        "form": effort,
        "machine": machine(),
        "load": [min(load), max(load)],
        "gpu": gpu(),
        "versions": versions(),
        "threads": "all cores for each line; processes and lanes share them evenly",
        "rows": rows,
        "missing": failed,
    }


def _limit(line: Line) -> float:
    return LONG_PART if line.name == "verdict" else PART


def _title(line: Line) -> str:
    title = f"{line.model.upper()} {line.script} {line.job}".replace("_", " ").strip()
    return line.name if line.name in ("lanes", "stream") else title


def write(result: dict[str, Any], out: Path) -> None:
    """Write the data, the page and the figure."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmarks.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "benchmarks.md").write_text(pages.markdown(result, pages.elsewhere(out)), encoding="utf-8")
    if reading.models(result["rows"]):
        figure.save(result["rows"], out / "benchmarks.svg")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print, write."""
    names = [*WORKLOADS, "engine", "probes", "limits", "lanes", "stream", "verdict"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="more steps, 5 repeats, every line")
    parser.add_argument("--smoke", action="store_true", help="a few steps: shows that everything runs, nothing more")
    parser.add_argument("--only", default="", help=f"a list of: {', '.join(names)}")
    parser.add_argument("--out", type=Path, help="folder to write to, by default docs")
    given = parser.parse_args(arguments)
    wanted = [name for name in given.only.split(",") if name] or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"--only: found {', '.join(unknown)}; expected some of {', '.join(names)}")
    effort = "smoke" if given.smoke else "full" if given.full else "short"
    asked = [line for line in lines() if line.name in wanted]
    chosen = [line for line in asked if line.short or effort != "short" or given.only]
    begun = time.monotonic()
    result = run(chosen, effort, [line for line in asked if line not in chosen])
    pages.printed(result)
    print(f"The benchmark took {time.monotonic() - begun:.0f} s.")
    out = given.out or (HERE.parent / "docs" if set(wanted) == set(names) and effort != "smoke" else None)
    if out:
        write(result, out)
        print(f"Written to {out}: benchmarks.json, benchmarks.md, benchmarks.svg")


if __name__ == "__main__":
    main()
