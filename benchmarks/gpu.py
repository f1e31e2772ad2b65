"""Populations on one GPU beside PyTorch on the same card, in at most eight minutes, with results as they come.

    python benchmarks/gpu.py OUT [--dry]

Every part is a process of its own with a time limit; each row is appended to OUT/rows.jsonl as it is measured, and
OUT/gpu.json and OUT/gpu.md are written again after each part, so that a run that is cut off keeps what it has. Without
a GPU it refuses in one line; --dry runs every part with tiny sizes on the CPU, whose numbers mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reading import Row, show
from run import versions
from timing import rounds, row
from workloads import OURS, WORKLOADS, Effort, Workload

WHOLE = 470.0  # seconds of all parts together
LANES, DRY_LANES = (256, 1024, 4096, 32), (2, 4)  # the lanes of the goals first
JUDGED = 256  # lanes of the goals, and of the variants
EAGER = "torch eager, one after another"
GOALS = {"mlp": 100.0, "cnn": 30.0, "lstm": 30.0}  # times as fast as PyTorch, eager, one model after another
STEPS = {"mlp": 64, "cnn": 8, "lstm": 16}
TOGETHER = (32, 256)  # models of a torch.func ensemble
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


class Part(NamedTuple):
    """What one process measures, and the seconds that it has."""

    name: str
    model: str
    limit: float


SIDES = {"ours": 90.0, "eager": 30.0, "graph": 25.0, "ensemble": 40.0}  # what fails in one costs no other
PARTS = (
    *(Part(side, model, limit) for model in GOALS for side, limit in SIDES.items()),
    *(Part(variant, model, 35.0) for variant in ("bfloat16", "deterministic") for model in GOALS),
    *(Part("stock", model, 35.0) for model in ("cnn", "lstm")),  # the MLP has no kernels of its own
)


def ours(workload: Workload, steps: int, lanes: Sequence[int], effort: Effort, part: str) -> Iterator[Row]:
    """Measure populations of ours; a variant is measured at one width beside the usual form, in turns."""
    from ours import made, row_of, runner

    def line(name: str, count: int, times: list[float], one: Any) -> Row:
        return row_of(workload, name, times, one, count, table="gpu", width=one.program.layout.width)

    if part == "ours":
        for count in lanes:
            one = made(workload, steps, count)
            (times,) = rounds([runner(one, count)], effort.repeats)
            yield line(f"ours, {count} lanes", count, times, one)
        return
    count = JUDGED if JUDGED in lanes else lanes[-1]
    usual = OURS[workload.name]
    forms = {} if part == "deterministic" else {"usual": made(workload, steps, count)}  # its flag is the process's
    changed = {"matmul": "bfloat16"} if part == "bfloat16" else {}
    if part == "stock":
        OURS[workload.name] = lambda: {**usual(), "kernels": "stock"}  # type: ignore[index]
    forms[part] = made(workload, steps, count, **changed)
    for (name, one), times in zip(
        forms.items(), rounds([runner(one, count) for one in forms.values()], effort.repeats), strict=True
    ):
        yield line(f"ours, {count} lanes, {name}{f' beside {part}' * (name == 'usual')}", count, times, one)


def peers(workload: Workload, steps: int, lanes: Sequence[int], effort: Effort, part: str) -> Iterator[Row]:
    """Measure PyTorch on the same device: one model after another, with CUDA graphs, and ensembles of torch.func."""
    import torch
    from torch_models import trainer
    from torch_peer import cores, together

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_default_device(device)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32, as JAX takes on such a card

    def line(name: str, run: Callable[[int], None], count: int = 1) -> Row:
        def waited(turn: int) -> None:
            run(turn)
            if device == "cuda":
                torch.cuda.synchronize()

        (times,) = rounds([waited], effort.repeats)
        return row(workload.name, name, times, count * steps, 0.0, table="gpu", lanes=count)

    if part == "eager":
        yield line(EAGER, trainer(workload, steps, cores()))
    elif part == "graph":
        yield line("torch, CUDA graph of a step", (graphed if device == "cuda" else by_hand)(workload, steps))
    else:
        for count in TOGETHER if JUDGED in lanes else lanes[:1]:
            yield line(f"torch.func ensemble of {count}", together(workload, steps, count), count)


def by_hand(workload: Workload, steps: int) -> Callable[[int], None]:
    """Stand for `graphed` where there is no CUDA: the same step without a graph."""
    step, _, _ = one_step(workload)

    def run(turn: int) -> None:
        del turn
        for _ in range(steps):
            step()

    return run


def one_step(workload: Workload) -> tuple[Callable[[], None], Any, int]:
    """Make a step on the examples whose numbers lie in one tensor, that tensor, and the number of examples."""
    import torch
    from torch_models import MODELS, ready, resident
    from workloads import LEARNING_RATE

    module, (inputs, (targets,)) = ready(MODELS[workload.name]()), resident(workload)
    adam = torch.optim.Adam(module.parameters(), LEARNING_RATE, fused=True, capturable=inputs.is_cuda)
    criterion, index = torch.nn.CrossEntropyLoss(), torch.randint(0, len(inputs), (workload.batch,))

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        criterion(module(inputs[index]), targets[index]).backward()
        adam.step()

    return step, index, len(inputs)


def graphed(workload: Workload, steps: int) -> Callable[[int], None]:
    """Make the run of one model whose step is captured once as a CUDA graph and replayed."""
    import torch

    step, index, examples = one_step(workload)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # what is captured must have run before, on another stream
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def run(turn: int) -> None:
        del turn
        for _ in range(steps):
            index.copy_(torch.randint(0, examples, (workload.batch,)))
            graph.replay()

    return run


def measure(part: Part, out: Path, dry: bool) -> None:
    """Measure a part in this process; every row is on disk as soon as it is known."""
    workload, lanes = WORKLOADS[part.model], DRY_LANES if dry else LANES
    steps, effort = (2, Effort(1, 1.0, (), ())) if dry else (STEPS[part.model], Effort(2, 1.0, (), ()))
    for found in (peers if part.name in ("eager", "graph", "ensemble") else ours)(
        workload, steps, lanes, effort, part.name
    ):
        with open(out / "rows.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")


def tried(part: Part, out: Path, dry: bool, limit: float) -> str:
    """Run a part in a process of its own; give why it did not end, or "" where it did."""
    command = [sys.executable, __file__, str(out), "--part", f"{part.name}:{part.model}", *(["--dry"] if dry else [])]
    flags = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()
    extra = {"XLA_FLAGS": flags} if part.name == "deterministic" and not dry else {}
    extra |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""} if dry else {}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env={**os.environ, **extra})
    except subprocess.TimeoutExpired:
        return f"cut off after {limit:.0f} s"
    said = done.stderr.strip().splitlines() or [f"ended with {done.returncode} and no word"]
    return said[-1][:300] if done.returncode else ""


def goals(rows: Sequence[Row]) -> Iterator[tuple[str, float, float]]:
    """Give for each model what was asked, found and wanted: how many times as fast as eager PyTorch."""
    time_of = {(one["model"], one["line"]): one["ms_per_model_step"] for one in rows}
    for model, goal in GOALS.items():
        mine, eager = (time_of.get((model, name)) for name in (f"ours, {JUDGED} lanes", EAGER))
        if mine and eager:
            yield f"{model.upper()}, {JUDGED} lanes, times as fast as PyTorch eager", eager / mine, goal


def written(out: Path, device: str, missing: Sequence[str], dry: bool) -> None:
    """Write what is known so far as data and as a page."""
    path = out / "rows.jsonl"
    rows = [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    facts = {"date": datetime.date.today().isoformat(), "device": device, "dry": dry, "versions": versions()}
    (out / "gpu.json").write_text(json.dumps({**facts, "rows": rows, "missing": list(missing)}, indent=1) + "\n")
    eager = {one["model"]: one["ms_per_model_step"] for one in rows if one["line"] == EAGER}
    lines = ["# Populations on a GPU", "", f"On {device}, {facts['date']}."]
    lines += ["Dry: tiny sizes on a CPU; no number means anything."] if dry else []
    lines += [
        "",
        "| model | line | ms a model-step | times eager PyTorch | compile s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in rows:
        ms, base = one["ms_per_model_step"], eager.get(one["model"])
        times = f"{base / ms:.1f}" if base else ""
        lines.append(
            f"| {one['model'].upper()} | {one['line']} | {show(ms)} | {times} | {one['compile_seconds']:.1f} |"
        )
    lines += ["", *(f"- {what}: {found:.1f}, goal {goal:.0f}: {'yes' if found >= goal else 'no'}"
                    for what, found, goal in goals(rows))]  # fmt: skip
    lines += [f"- Not measured: {one}" for one in missing]
    (out / "gpu.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


def device_of(dry: bool) -> str:
    """Name the device that JAX sees, "" for none; asked in a process that holds no memory of it afterwards."""
    code = "import jax; d = jax.devices()[0]; print(d.platform, d.device_kind, sep='|')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    platform, _, kind = said.partition("|")
    return "a CPU" if dry else kind if platform == "gpu" else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run the parts, one at a time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="a new folder for the results")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the CPU: shows that every part runs")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.part:
        name, _, model = given.part.partition(":")
        measure(Part(name, model, 0.0), given.out, given.dry)
        return
    device = device_of(given.dry)
    if not device:
        sys.exit(
            "gpu.py: no GPU is here, so there is nothing to measure; --dry runs every part with tiny sizes on a CPU"
        )
    if (given.out / "rows.jsonl").exists():
        sys.exit(f"gpu.py: {given.out} holds results already; give a new folder")
    given.out.mkdir(parents=True, exist_ok=True)
    end, missing = time.monotonic() + WHOLE, []
    for part in PARTS:
        begun = time.monotonic()
        left = end - begun
        limit = 600.0 if given.dry else min(part.limit, left)
        why = tried(part, given.out, given.dry, limit) if limit > 5 else "no time was left"
        missing += [f"{part.model.upper()} {part.name}: {why}"] if why else []
        written(given.out, device, missing, given.dry)
        print(f"{part.model} {part.name}: {why or f'{time.monotonic() - begun:.0f} s'}", flush=True)
    print((given.out / "gpu.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
