"""The shape of a population, chosen by measuring: mapped or vmapped, how wide, how long a call.

What is best differs by model and machine, by factors. Measuring costs a few compilations, so it is done only for runs
that are long against them; the shape is stored with the run, and a repeat takes it from there.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from deepprinciples.engine.population import Layout, Program, place
from deepprinciples.engine.segments import Plan

WORTH = 20  # a run this many times as long as a compilation is worth measuring
COMPILE_SECONDS = 2.0  # the least a compilation is taken to cost, where a program was at hand
GAIN = 0.95  # another shape must take at most this share of the time
CALL_SECONDS = 2.0  # a call may take about this long: the host stops, saves and tells between calls
ORDER_BYTES = 2**28  # most memory for the orders of one call
_CGROUP, _MEMINFO = Path("/sys/fs/cgroup/memory.max"), Path("/proc/meminfo")


class Measured(NamedTuple):
    """What a shape was measured to cost."""

    layout: Layout
    seconds: float  # per model-step, all devices together
    compile_seconds: float
    memory_bytes: int

    def described(self) -> dict[str, Any]:
        """Describe it in the words of a summary."""
        return {
            "mode": self.layout.mode,
            "width": self.layout.width,
            "ms_per_model_step": round(1e3 * self.seconds, 6),
            "compile_seconds": round(self.compile_seconds, 3),
            "memory_bytes": self.memory_bytes,
        }


def memory_limit(devices: int) -> int:
    """Return the bytes one of `devices` devices may use: 80 % of what is free on it, or of its share of the machine."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(0.8 * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if _MEMINFO.exists():
        free += [1024 * int(line.split()[1]) for line in _MEMINFO.read_text().splitlines() if "MemAvailable" in line]
    if _CGROUP.exists() and (text := _CGROUP.read_text().strip()).isdigit():
        free.append(int(text))
    return int(0.8 * min(free) / devices)


def fitted(make: Callable[[Layout], Program], layout: Layout, limit: int) -> Program:
    """Compile at the layout, or at half its blocks until the program's memory fits `limit` bytes a device."""
    program = make(layout)
    while program.memory_bytes > limit and program.layout.blocks > 1:
        program = make(program.layout._replace(blocks=program.layout.blocks // 2))
    return program


def measure(
    program: Program, plan: Plan, data: Any, hyper: Mapping[str, float], batch_size: int, *, count: int
) -> Measured:
    """Time the first steps of a full width of lanes, twice, the first time to warm up.

    Args:
        program: what to time.
        plan: how its steps are cut.
        data: the training examples, on the devices.
        hyper: a setting of the traced hyper-parameters.
        batch_size: examples a step sees.
        count: steps to time, at most a chunk; no others are taken.
    """
    go, layout = _first_steps(program, plan, data, hyper, batch_size), program.layout
    lane = program.init(*go.lanes)
    for _ in range(2):
        begun = time.perf_counter()
        lane, log = go.segment(lane, count)
        jax.block_until_ready(log)
        spent = time.perf_counter() - begun
    each = spent / (count * layout.devices * layout.width)
    return Measured(layout, each, program.compile_seconds, program.memory_bytes)


def repeats_itself(program: Program, plan: Plan, data: Any, hyper: Mapping[str, float], batch_size: int) -> bool:
    """Take the first step of a full width of lanes twice from its start, and compare every bit; see `measure`."""
    go = _first_steps(program, plan, data, hyper, batch_size)
    one, other = (jax.device_get(go.segment(program.init(*go.lanes), 1)) for _ in range(2))
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


class _Start(NamedTuple):
    lanes: tuple[Any, Any]  # what `init` takes
    segment: Callable[[Any, int], tuple[Any, Any]]  # (lanes, steps) -> lanes, log


def _first_steps(program: Program, plan: Plan, data: Any, hyper: Mapping[str, float], batch_size: int) -> _Start:
    """Set a full width of lanes at its first segment; seeds are 0, 1, ..., and batches any examples."""
    layout, mesh = program.layout, program.mesh
    blocks, points = layout.devices * layout.blocks, layout.points
    point = program.points(range(blocks), [[hyper] * points] * blocks)
    seed = place(np.arange(blocks, dtype=np.uint32), mesh, shared=False)
    rows = jax.tree.leaves(data)[0].shape[0]
    shape = (blocks, plan.chunks, plan.every, batch_size)
    indices = place(np.resize(np.arange(rows, dtype=np.int32), shape), mesh, shared=False)
    steps = np.arange(plan.span, dtype=np.int32).reshape(plan.chunks, plan.every)

    def segment(lane: Any, count: int) -> tuple[Any, Any]:
        shared = place((steps, np.int32(count)), mesh, shared=True)
        lane, log = program.segment(lane, point, seed, indices, data, *shared)
        return lane, log

    return _Start((point, seed), segment)


def others(first: Layout, most_blocks: int) -> Iterator[tuple[Layout, ...]]:
    """Yield ladders of other shapes, each climbed for as long as it gets faster.

    Mapped lanes are tried vmapped at 4, 16, 64 ... lanes; a wide vmap at a quarter of its width, and a quarter of that.
    """
    if first.mode == "map":
        widths = [4**k for k in range(1, 6)]
        blocks = dict.fromkeys(min(most_blocks, max(1, round(width / first.points))) for width in widths)
        yield tuple(first._replace(mode="vmap", blocks=n) for n in blocks if n * first.points > 1)
    else:
        widths = [first.blocks // 4**k for k in range(1, 6)]
        yield tuple(first._replace(blocks=n) for n in widths if n >= 1)


def choose(
    first: Program, make: Callable[[Layout], Program], cost: Callable[[Program], Measured], most_blocks: int
) -> tuple[Program, list[Measured]]:
    """Measure the program, and other shapes of it for as long as they get faster.

    Args:
        first: the program as it stands.
        make: compiles another shape.
        cost: measures one.
        most_blocks: blocks on a device that there is work for.

    Returns:
        The fastest, and all that was measured, in order.
    """
    best, measured = first, [cost(first)]
    fastest = measured[0].seconds
    for ladder in others(first.layout, most_blocks):
        for layout in ladder:
            program = make(layout)
            measured.append(cost(program))
            if measured[-1].seconds > GAIN * fastest:
                break
            best, fastest = program, measured[-1].seconds
    return best, measured


def shortened(layout: Layout, plan: Plan, batch_size: int, seconds: float = 0.0) -> tuple[Layout, Plan]:
    """Make a call no longer than about CALL_SECONDS of work and ORDER_BYTES of orders; results stay the same.

    Args:
        layout: how lanes lie; mapped lanes lose nothing by being fewer in a call.
        plan: how steps are cut.
        batch_size: examples a step sees.
        seconds: per model-step; 0 where it is not known.
    """
    chunk = seconds * layout.devices * layout.points * plan.every  # seconds for one block on every device
    if chunk and layout.mode == "map":
        layout = layout._replace(blocks=max(1, min(layout.blocks, int(CALL_SECONDS / chunk))))
    by_memory = ORDER_BYTES / (4 * layout.blocks * plan.every * batch_size)
    by_time = CALL_SECONDS / (chunk * layout.blocks) if chunk else math.inf
    return layout, plan.shortened(int(min(by_memory, by_time, plan.steps)))
