"""The same models in PyTorch, as fast as we know to run them on CPU: fused Adam, channels last, several thread layouts.

Lines: eager; a process of one thread for each core, all at the same time; `torch.compile`; and `torch.func`, which
trains an ensemble as one batched program. What fails on a machine is listed with its reason, not left out in silence.
What is trained is in `torch_models`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

import torch
from timing import Row, answer, rounds, row, seconds
from torch import nn
from torch_models import MODELS, Run, ready, resident, trainer
from workloads import LEARNING_RATE, WORKLOADS, Effort, Workload, scaled

MODELS_TOGETHER = 8


def cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def counted(number: int) -> str:
    """Spell a number of processes."""
    return "one process" if number == 1 else f"{ {2: 'two', 4: 'four', 8: 'eight'}.get(number, number) } processes"


def eager(workload: Workload, effort: Effort) -> list[Row]:
    """Measure one model with all threads."""
    steps = scaled(workload.steps, effort)
    (times,) = rounds([trainer(workload, steps, cores())], effort.repeats)
    return [row(workload.name, "torch eager", times, steps, 0.0, threads=cores())]


def compile_(workload: Workload, effort: Effort) -> list[Row]:
    """Measure one model with all threads under torch.compile, its cache empty."""
    steps = scaled(workload.steps, effort)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        run = trainer(workload, steps, cores(), compiled=True)
        first = seconds(lambda: run(0))
        (times,) = rounds([run], effort.repeats)
    return [row(workload.name, "torch compile", times, steps, max(0.0, first - min(times)), threads=cores())]


def processes(workload: Workload, effort: Effort, *, compiled: bool = False) -> list[Row]:
    """Measure a process of one thread for each core, all at the same time: seconds divided by models."""
    steps, count = scaled(workload.steps, effort), cores()
    kind = "compile" if compiled else "eager"
    command = [sys.executable, __file__, "worker", workload.name, str(steps), kind]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(count)]

    def together(turn: int) -> None:
        for worker in workers:
            worker.stdin.write(f"{turn}\n")
            worker.stdin.flush()
        for worker in workers:
            if not worker.stdout.readline():
                raise RuntimeError("a worker has ended")

    try:
        first = max(float(worker.stdout.readline()) for worker in workers)
        (times,) = rounds([together], effort.repeats)
    finally:
        for worker in workers:
            worker.stdin.close()
            worker.wait()
    spent = max(0.0, first - min(times)) if compiled else 0.0
    return [row(workload.name, f"torch {kind}, {counted(count)}", times, count * steps, spent, threads=1, lanes=count)]


def compiled_processes(workload: Workload, effort: Effort) -> list[Row]:
    """Measure torch.compile in a process of one thread for each core, their cache empty."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        return processes(workload, effort, compiled=True)


def work(name: str, steps: int, *, compiled: bool) -> None:
    """Print the seconds of a first run; then train whenever a line comes in, and say when it is done."""
    run = trainer(WORKLOADS[name], steps, 1, compiled=compiled)
    print(seconds(lambda: run(0)), flush=True)
    for line in sys.stdin:
        run(int(line))
        print("done", flush=True)


def together(workload: Workload, steps: int, count: int) -> Run:
    """Make the run of models as one program of torch.func: vmap over stacked parameters, each with its own batch."""
    module, (inputs, (targets,)) = ready(MODELS[workload.name]()), resident(workload)
    params, buffers = torch.func.stack_module_state([MODELS[workload.name]() for _ in range(count)])
    adam = torch.optim.Adam(params.values(), LEARNING_RATE, fused=True)
    criterion = nn.CrossEntropyLoss()

    def objective(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return criterion(torch.func.functional_call(module, (params, buffers), (x,)), y)

    gradients = torch.func.vmap(torch.func.grad(objective))

    def run(turn: int) -> None:
        del turn
        for _ in range(steps):
            index = torch.randint(0, len(inputs), (count, workload.batch))
            grads = gradients({name: p.detach() for name, p in params.items()}, inputs[index], targets[index])
            for name, p in params.items():
                p.grad = grads[name]
            adam.step()

    return run


def ensemble(workload: Workload, effort: Effort) -> list[Row]:
    """Measure 8 models as one program."""
    steps = max(1, scaled(workload.steps, effort) // MODELS_TOGETHER)
    torch.set_num_threads(cores())
    (times,) = rounds([together(workload, steps, MODELS_TOGETHER)], effort.repeats)
    return [
        row(
            workload.name, "torch.func ensemble", times, MODELS_TOGETHER * steps, 0.0, threads=cores(),
            lanes=MODELS_TOGETHER,
        )
    ]  # fmt: skip


JOBS = {
    "eager": eager,
    "processes": processes,
    "compile": compile_,
    "compiled_processes": compiled_processes,
    "ensemble": ensemble,
}

if __name__ == "__main__":
    if sys.argv[1] == "worker":
        work(sys.argv[2], int(sys.argv[3]), compiled=sys.argv[4] == "compile")
    else:
        answer(JOBS)
