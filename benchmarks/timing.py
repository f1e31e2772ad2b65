"""How a line is timed: warm, several repeats, the median with the lowest and the highest, compile time apart.

Each module with lines is also a script, `python benchmarks/<module>.py <job> <model> <short|full>`, that measures in a
fresh process, so that threads and devices of one line cannot leak into another; `answer` is that script.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workloads import EFFORTS, WORKLOADS, Effort, Workload

Row = dict[str, Any]
Job = Callable[[Workload, Effort], list[Row]]


def one_core() -> None:
    """Keep this process, and the threads it starts from now on, on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def seconds(call: Callable[[], Any]) -> float:
    """Time one call by the wall clock."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def rounds(calls: Sequence[Callable[[int], Any]], repeats: int) -> list[list[float]]:
    """Time calls in turns, so that a slow moment of the machine hits them alike; the first, warm turn is thrown away.

    Every other turn goes through them from the last to the first, so that none always follows the same one.

    Args:
        calls: each is given the number of the turn.
        repeats: turns that count.

    Returns:
        For each call its seconds, [repeats].
    """
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        order = list(enumerate(calls))
        for number, call in reversed(order) if turn % 2 else order:
            times[number].append(seconds(lambda call=call, turn=turn: call(turn)))
    return [column[1:] for column in times]


def against(times: Sequence[float], base: Sequence[float]) -> float:
    """Give the median over turns of one call's time divided by another's in the same turn."""
    return statistics.median(one / other for one, other in zip(times, base, strict=True))


def pooled(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Make one row of each line that several processes measured: medians, the lowest low, the highest high."""
    rows = []
    for same in zip(*runs, strict=True):
        medians = ("ms_per_model_step", "compile_seconds", *(["ratio"] if "ratio" in same[0] else []))
        found = {key: statistics.median(one[key] for one in same) for key in medians}
        spread = {"low": min(one["low"] for one in same), "high": max(one["high"] for one in same)}
        rows.append({**same[0], **found, **spread})
    return rows


def row(model: str, line: str, times: Sequence[float], model_steps: int, compile_seconds: float, **more: Any) -> Row:
    """Make the row of a line: milliseconds per model-step, the median, lowest and highest of its repeats.

    Args:
        model: name of the workload.
        line: what was measured.
        times: seconds of each repeat.
        model_steps: steps times models in one repeat.
        compile_seconds: before the first step, 0 where nothing is compiled.
        **more: other facts, such as lanes or threads.
    """
    each = [1e3 * one / model_steps for one in times]
    return {
        "model": model,
        "line": line,
        "ms_per_model_step": statistics.median(each),
        "low": min(each),
        "high": max(each),
        "compile_seconds": compile_seconds,
        **more,
    }


def answer(jobs: Mapping[str, Job]) -> None:
    """Run the job that the command line names and print its rows as one line of JSON."""
    job, model, effort = sys.argv[1:4]
    rows = jobs[job](WORKLOADS[model], EFFORTS[effort])
    print(json.dumps(rows))
