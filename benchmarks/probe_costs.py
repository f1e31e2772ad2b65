"""What each probe costs, measured: a page of its own, docs/probes.md.

    python benchmarks/probe_costs.py [--out docs/probes.md] [--only PROBE ...]

Each probe is compiled into the same run, alone, and that run is timed against one without probes, in turns. It looks at
every step here; a run's own interval is at least 25 steps where it has 250 or more.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.engine import compile_cache
from deepprinciples.engine.population import use_all_cores
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts import probes
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.groups import Group

TIERS = ("cheap", "standard", "full")
STEPS = {"MLP": 400, "LSTM": 100}
HEAVY = ("full", "spectrum", "sharpness", "hessian_trace", "preconditioned_sharpness")  # a tenth of the steps will do
LEARNS = {"loss": {"name": "softmax_cross_entropy"}, "optimizer": {"name": "adam", "learning_rate": 1e-3}}
NETS: dict[str, dict[str, Any]] = {
    "MLP": {
        "data": {"name": "digits", "batch_size": 64},
        "model": {"name": "mlp", "depth": 2, "width": 64},
    },
    "LSTM": {
        "data": {"name": "mnist_1d", "batch_size": 64},
        "model": {"name": "lstm", "width": 32},
    },
}


class Cost(NamedTuple):
    """A probe's price at one probed step, in steps of plain training; and the seconds it adds to compiling."""

    steps: float
    compiling: float


def measured(kind: str, names: list[str], bare: float) -> Cost:
    """Time a run of `names` at every step against one without probes."""
    steps = STEPS[kind] // (10 if set(names) & set(HEAVY) else 1)
    train = {"steps": steps, "probe_every": 1, "evaluate_every": steps, "probes": names}
    config = configs.resolve({**NETS[kind], **LEARNS, "train": train}, from_config.KINDS)
    parts = from_config.dataset(config)
    group = Group(("run",), config, (), ({},))
    settings = Train(**config["train"])
    made = prepared_group.set_up(group, parts, settings, [1])
    if not names:
        return Cost(0.0, made.program.compile_seconds)
    return Cost(prepared_group.probe_cost(made, parts, settings), made.program.compile_seconds - bare)


def page(rows: dict[str, dict[str, Cost]], *, busy: bool) -> str:
    """Write the page; it says so where the machine had other work when the measuring began."""
    kinds = list(NETS)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "flax", "optax"))
    head = "".join(f" {kind}, steps | {kind}, at every 25th |" for kind in kinds)
    lines = [
        "# What probes cost",
        "",
        "Written by `make probe-costs`; edits are lost. *Steps*: what looking once costs, in plain training steps of",
        "the same model, the median of five turns. *At every 25th*: what that adds to the time of a run whose probes",
        "look at one step in 25, the default of a long run. Small nets on small batches: a larger net makes fixed",
        "costs smaller, and a decomposition of its kernels (`rank`) larger.",
        "",
        f"- Date: {datetime.date.today().isoformat()}",
        f"- Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
        f"{', with other work beside it' * busy}; {versions}",
        "- MLP: digits, 2 layers of 64, batches of 64. LSTM: MNIST-1D, 32 units over 40 steps, batches of 64. Adam.",
        "",
        f"| probe |{head} compiling, s |",
        "|---|" + "---|" * (2 * len(kinds) + 1),
    ]
    lines += [_line(name, costs) for name, costs in rows.items()]
    noise = "tenths of a step, and of half a second," if busy else "hundredths of a step"
    return "\n".join([*lines, "", f"Differences of a few {noise} are noise of the timing.", ""])


def _line(name: str, costs: dict[str, Cost]) -> str:
    known = [costs.get(kind) for kind in NETS]
    cells = [f" {one.steps:.2f} | {100 * one.steps / 25:.1f} % |" if one else "  |  |" for one in known]
    said = f"**{name}**" if name in TIERS else name
    return f"| {said} |{''.join(cells)} {costs['MLP'].compiling:+.1f} |"


def with_rows(text: str, rows: dict[str, dict[str, Cost]], *, busy: bool) -> str:
    """Put further probes into a page, and say when they were measured."""
    lines = text.splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("|---")) + 1
    last = next(k for k in range(first, len(lines)) if not lines[k].startswith("|"))
    known = {line.split("|")[1].strip(" *"): line for line in lines[first:last]}
    known |= {name: _line(name, costs) for name, costs in rows.items()}
    order = sorted(known, key=lambda name: (name not in TIERS, TIERS.index(name) if name in TIERS else 0, name))
    note = f"- {', '.join(rows)}: {datetime.date.today().isoformat()}{', with other work beside it' * busy}"
    table = lines[first - 2 : first]
    return "\n".join([*lines[: first - 3], note, "", *table, *(known[name] for name in order), *lines[last:], ""])


def main() -> None:
    """Measure all and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/probes.md"))
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PROBE", help="measure these for the page that is there"
    )
    out, only = parser.parse_args().out, parser.parse_args().only
    use_all_cores()
    busy = os.getloadavg()[0] > 0.5
    os.environ[compile_cache.SETTING] = "off"  # else a second run of this script compiles nothing
    measured("MLP", ["players"], 0.0)  # the first program of a process loads the compiler too
    bare = {kind: measured(kind, [], 0.0).compiling for kind in NETS}
    names = only or [*TIERS, *sorted(set(probes.TABLE) - {*TIERS, "players", "rotation"})]
    rows: dict[str, dict[str, Cost]] = {}
    for name in names:
        # A probe alone is measured on the first net; only those of time need the other.
        nets = list(NETS) if name in (*TIERS, "gradient_through_time", "gate_saturation") else ["MLP"]
        rows[name] = {kind: measured(kind, [name], bare[kind]) for kind in nets}
        print(name, *(f"{kind} {cost.steps:.2f}" for kind, cost in rows[name].items()), flush=True)
    text = with_rows(out.read_text(encoding="utf-8"), rows, busy=busy) if only else page(rows, busy=busy)
    out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
