"""What is shown: the tables of the terminal and docs/benchmarks.md, both made from the same cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reading import Row, best, find, goals, losses, models, peers, ratio, show
from workloads import SMALL, WORKLOADS

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]  # title, heads, cells


def title_of(model: str) -> str:
    """Describe a model as its workload does."""
    return {**WORKLOADS, SMALL.name: SMALL}[model].title if model in (*WORKLOADS, SMALL.name) else model.upper()


def peer_table(rows: Sequence[Row], model: str) -> Table:
    """Lay out the lines of a model, fastest first, with their ratio to the best PyTorch line."""
    torch = best(rows, model, "torch")
    tokens = WORKLOADS[model].tokens if model in WORKLOADS else 0
    heads = ("line", "ms a step", "low to high", "of best PyTorch", "compile s", *(["tokens a second"] * bool(tokens)))
    cells = []
    for one in sorted(peers(rows, model), key=lambda row: row["ms_per_model_step"]):
        value = ratio(one, torch)
        cells.append((
            one["line"],
            show(one["ms_per_model_step"]),
            f"{show(one['low'])} to {show(one['high'])}",
            f"{value:.2f}" if value else "",
            f"{one['compile_seconds']:.1f}" if one["compile_seconds"] else "",
            *([f"{1e3 * tokens / one['ms_per_model_step']:,.0f}"] * bool(tokens)),
        ))  # fmt: skip
    return title_of(model), heads, cells


def side_table(rows: Sequence[Row], table: str, title: str, base: str) -> Table:
    """Lay out lines measured against one base line of the same model."""
    cells = []
    for one in (row for row in rows if row.get("table") == table):
        value = ratio(one, find(rows, one["model"], base))
        spread = f"{show(one['low'])} to {show(one['high'])}"
        cells.append((one["model"].upper(), one["line"], show(one["ms_per_model_step"]), spread,
                      f"{value:.3f}" if value else ""))  # fmt: skip
    return title, ("model", "line", "ms a step", "low to high", f"ratio to {base}"), cells


def verdict_table(rows: Sequence[Row]) -> Table:
    """Lay out whole studies, from the start of a process to its verdict."""
    cells = [
        (
            f"{one['title']}; {one['steps']:,} model-steps",
            one["line"],
            f"{one['seconds']:.1f}",
            f"{one['fastest']:.1f} to {one['slowest']:.1f}",
            f"{one['ratio']:.2f}",
        )
        for one in rows
        if one.get("table") == "verdict"
    ]
    return "Time to the verdict of a study", ("study", "line", "seconds", "low to high", "of PyTorch"), cells


def lanes_table(rows: Sequence[Row]) -> Table:
    """Lay out time and memory against the number of lanes."""
    own = [row for row in rows if row.get("table") == "lanes"]
    cells = []
    for one in own:
        spread, peak = f"{show(one['low'])} to {show(one['high'])}", one.get("peak_mb")
        value = ratio(one, own[0]) or 0.0
        cells.append(
            (one["line"], show(one["ms_per_model_step"]), spread, f"{value:.3f}", f"{peak:.0f}" if peak else "")
        )
    title = f"Cost against the number of lanes, {title_of(own[0]['model'])}" if own else ""
    heads = ("line", "ms a step", "low to high", f"ratio to {own[0]['line']}" if own else "", "peak MB of the process")
    return title, heads, cells


def stream_table(rows: Sequence[Row]) -> Table:
    """Lay out rows a second of reading, training and both."""
    cells = [
        (one["line"], show(one["ms_per_model_step"]), f"{one['million_rows_a_second']:.2f}", f"{one['ratio']:.3f}")
        for one in rows
        if one.get("table") == "stream"
    ]
    heads = ("line", "ms a batch", "million rows a second", "time over that of the slower of the first two")
    return "A stream of batches of 256 rows of 16 numbers, MLP 16-8-2", heads, cells


def limits_table(rows: Sequence[Row]) -> Table:
    """Lay out what the matrix products of a step take of it."""
    cells = [
        (
            one["model"].upper(),
            f"{one['gigaflop']:.3g}",
            show(one["ms_per_model_step"]),
            f"{one['rate']:.0f}",
            show(find(rows, one["model"], "a whole step")["ms_per_model_step"]),
            f"{one['ratio']:.2f}",
        )
        for one in rows
        if one.get("table") == "limits" and "rate" in one
    ]
    heads = ("model", "GFLOP of the products", "ms of the products", "GFLOP a second", "ms of a step", "share")
    return "The products of a step, each timed alone, and the whole step, on one core", heads, cells


def goal_table(rows: Sequence[Row]) -> Table:
    """Lay out the goals."""
    cells = [
        (g.what, f"{g.found:.4g}{g.unit}", f"{g.goal:.4g}{g.unit}", "yes" if g.holds else "no") for g in goals(rows)
    ]
    return "Goals", ("what", "found", "at most", "holds"), cells


TABLES: Mapping[str, Callable[[Sequence[Row]], Table]] = {
    "engine": lambda rows: side_table(
        rows, "engine", "Our train against a hand-written minimal scan, on one core", "minimal scan"
    ),
    "vmapped": lambda rows: side_table(
        rows, "vmapped", "The same, four lanes vmapped, each with its order", "minimal scan, vmapped"
    ),
    "probes": lambda rows: side_table(
        rows, "probes", "Default probes (a run's own interval is 25 or more)", "probes off"
    ),
    "limits": limits_table,
    "verdict": verdict_table,
    "lanes": lanes_table,
    "stream": stream_table,
}


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Give every table that has cells."""
    for model in models(rows):
        yield peer_table(rows, model)
    for lay_out in (*TABLES.values(), goal_table):
        if (table := lay_out(rows))[2]:
            yield table


def conditions(result: dict[str, Any]) -> list[str]:
    """Say under which conditions the rows were measured."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    low, high = result.get("load", (0.0, 0.0))
    return [
        f"Date: {result['date']}, {result['form']} form",
        f"Machine: {result['machine']}",
        *([f"Load average: {low:.1f} to {high:.1f}, this benchmark among it"] if high else []),
        f"Versions: {versions}",
        f"Threads: {result['threads']}",
        *([] if result["gpu"] else ["No GPU was at hand: every number here is a CPU's"]),
    ]


def missing(result: dict[str, Any]) -> list[str]:
    """Say what was not measured, and why."""
    return [f"{one['line']}: {one['why']}" for one in result["missing"]]


def elsewhere(folder: Path) -> dict[str, dict[str, Any]]:
    """Load the runs that lie in folders benchmarks-...: of other machines, or of few models; by name of the folder."""
    found = sorted(folder.glob("benchmarks-*/benchmarks.json"))
    return {one.parent.name: json.loads(one.read_text(encoding="utf-8")) for one in found}


def _further(rows: Sequence[Row], others: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Write the tables of models that only another run has measured, with its conditions and where we lose in it."""
    seen = set(models(rows))
    for name, run in others.items():
        for model in models(run["rows"]):
            if model in seen:
                continue
            seen.add(model)
            own = [row for row in run["rows"] if row["model"] == model]
            yield from _with_conditions(name, run, own, peer_table(own, model))
        for table, lay_out in TABLES.items():
            own = [row for row in run["rows"] if row.get("table") == table]
            if own and table not in seen and not any(row.get("table") == table for row in rows):
                seen.add(table)
                yield from _with_conditions(name, run, own, lay_out(own))


def _with_conditions(name: str, run: Mapping[str, Any], own: Sequence[Row], table: Table) -> Iterator[str]:
    title, heads, cells = table
    yield from ("", f"## {title}", "", f"From [another run]({name}/benchmarks.md), in which these held:", "")
    yield from (f"- {one}" for one in (*conditions(run), *losses(own)))
    yield from ("", _line(heads), _line(["---"] * len(heads)), *map(_line, cells))


def _covered(result: dict[str, Any]) -> str:
    names = models(result["rows"])
    if not names:
        kinds = dict.fromkeys(row.get("table", "") for row in result["rows"])
        words = {"verdict": "whole studies", "stream": "streams", "limits": "products", "engine": "minimal scans"}
        return f"{', '.join(words.get(one, one) for one in kinds)} alone"
    return "all models" if len(names) == len(WORKLOADS) else f"{', '.join(names).upper()} alone"


def markdown(result: dict[str, Any], others: Mapping[str, dict[str, Any]] = MappingProxyType({})) -> str:
    """Write docs/benchmarks.md, with links to other runs, and their tables of models that this one lacks."""
    rows, lines = result["rows"], [*HEAD]
    lines += [f"- {one}" for one in conditions(result)]
    lines += [f"- Another run: [{run['machine']}, {run['date']}, {_covered(run)}]({name}/benchmarks.md)"
              for name, run in others.items()]  # fmt: skip
    lines += ["", "![Milliseconds per model-step, every line](benchmarks.svg)"] if models(rows) else []
    lines += ["", "## Where we lose", ""]
    lines += [f"- {one}" for one in losses(rows) or ["Nowhere, among the lines of this run."]]
    for title, heads, cells in tables(rows):
        lines += ["", f"## {title}", "", _line(heads), _line(["---"] * len(heads)), *map(_line, cells)]
    lines += _further(rows, others)
    if result["missing"]:
        lines += ["", "## Not measured", "", *(f"- {one}" for one in missing(result))]
    return "\n".join([*lines, "", *NOTES, ""])


HEAD = (
    "# Benchmarks",
    "",
    "Written by `make bench`; edits are lost. Every line was measured in one run, in a fresh process, one at a time,",
    "warm. The median of the repeats counts; compile time stands apart. Ours includes drawing the first weights and",
    "the orders of examples, and one evaluation. As data: [benchmarks.json](benchmarks.json).",
    "",
)
NOTES = (
    "## How to read this",
    "",
    "- *ms a step*: milliseconds per step of one model; a population's time is divided by its models.",
    "- All lines of a model train the same network with Adam on minibatches gathered at random from data in memory.",
    "  PyTorch's LSTM has a second bias vector; nothing else differs. A step of a GAN is one update of the",
    "  discriminator and then one of the generator, each with fresh noise.",
    "- *tokens a second*: of one model; the sequences of a batch times their length, by the time of a step.",
    "- *ours solo*: one lane, as the train command runs it. *ours population*: one lane for each core; *8 lanes*: 8,",
    "  laid out as the engine chooses. *serial jax*: our model, its step jitted, in a Python loop. *stock flax*: the",
    "  layers of Flax itself.",
    "- *minimal scan*: our model, a scan over steps written by hand, with the engine's options and the whole batch at",
    "  once, and noise from JAX; ours takes a large batch in shares that fit the cache and draws noise without a loop,",
    "  and is below 1 where that gains more than all else costs. Both are kept on one core, where each lane of a",
    "  population runs: sharing a product between cores takes some percent more or less from turn to turn.",
    "- *products*: no order of the other operations makes a step faster than its matrix products are. A convolution is",
    "  the product of a kernel and patches; copying these is not in it.",
    "- *lanes*: runs of 64 steps through the calls of a study, results on the host; few lanes are trained again and",
    "  again with new seeds, as many in a turn as of many. The memory is the peak of the process after these lanes.",
    "- *once more*: the same program timed again in the same turns. How far its ratio is from 1 is what its place in",
    "  memory and the machine's other work do to such a ratio. Ratios in these two tables are medians over turns, and",
    "  in the full form over three processes.",
    "- *processes*: as many one-thread PyTorch processes as cores, at the same time; seconds divided by models.",
    "- The convolutional GAN has three lines: each of the others takes longer than ten minutes. The U-Net, the",
    "  detector and the transformers are not written in stock Flax, nor as an ensemble of torch.func. PyTorch pads the",
    "  convolutions of stride 2 of the detector at the first row and column, ours at the last: the same network on",
    "  mirrored pictures.",
    "- *Time to the verdict*: a fresh process, imports and report included. *cold*: an empty cache of compiled",
    "  programs; *once more*: the same command again. PyTorch's line trains the same arms, searches, trials, seeds and",
    "  steps in a process of one thread for each core, evaluates each run once, and ends with mean scores.",
    "- *torch.func ensemble*: 8 models as one batched program. *torch compile*: an empty cache.",
    "- Ratios mean something only within one run: the machine may be shared, and another day it is another machine.",
)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def printed(result: dict[str, Any]) -> None:
    """Print the tables, where we lose, and what was not measured."""
    from rich.console import Console
    from rich.table import Table as Grid

    console = Console()
    for title, heads, cells in tables(result["rows"]):
        grid = Grid(title=title, title_justify="left")
        for head in heads:
            grid.add_column(head, no_wrap=head in ("line", "what", "low to high"))
        for row in cells:
            grid.add_row(*row, style="bold" if row[0].startswith("ours") else "")
        console.print(grid)
    console.print("\nWHERE WE LOSE", style="bold")
    for one in losses(result["rows"]) or ["Nowhere, among the lines of this run."]:
        console.print(f"- {one}", highlight=False)
    for one in missing(result):
        console.print(f"Not measured, {one}", highlight=False, markup=False)
    for one in conditions(result):
        console.print(one, style="dim", highlight=False)
