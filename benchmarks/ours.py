"""Our lines: one lane, a population, the engine against hand-written JAX, probes, and cost against lanes.

A run here is what a study runs: it draws weights and orders from seeds that are new in every repeat, trains, and
evaluates a small split at the end. What a user would pay, the line pays.
"""

from __future__ import annotations

import functools
import resource
from collections.abc import Callable
from typing import Any

from serial_jax import looped, our_model, scanned
from timing import Row, against, answer, one_core, rounds, row
from workloads import SMALL, Effort, Workload, config, scaled

from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.engine.population import use_all_cores
from deepprinciples.learners.assembly import from_config
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.groups import arm_of, group_arms

VMAPPED = 4  # lanes of the vmapped lines


def made(workload: Workload, steps: int, count: int, **train: Any) -> prepared_group.Bench:
    """Compile the workload for `count` lanes, laid out as the engine chooses."""
    resolved = configs.resolve(config(workload, steps, **train), from_config.KINDS, command="train")
    group = group_arms([arm_of("run", resolved)])[0]
    return prepared_group.set_up(group, from_config.dataset(resolved), Train(**resolved["train"]), [count])


def runner(one: prepared_group.Bench, lanes: int) -> Callable[[int], Any]:
    """Make the run of `lanes` lanes; its seeds are new in every turn, so no order of examples is at hand already."""

    def run(turn: int) -> None:
        rows = [(seed, [{}]) for seed in range(turn * lanes, (turn + 1) * lanes)]
        prepared_group.train(one, rows, on_test=False, progress=lambda steps: None)

    return run


def row_of(
    workload: Workload, line: str, times: list[float], one: prepared_group.Bench, lanes: int, **more: Any
) -> Row:
    """Make the row of a line of ours, with its layout."""
    layout = one.program.layout
    return row(
        workload.name, line, times, lanes * one.plan.steps, one.program.compile_seconds, lanes=lanes,
        devices=layout.devices, mode=layout.mode, **more,
    )  # fmt: skip


def population(workload: Workload, effort: Effort) -> list[Row]:
    """Measure one lane, and one lane per core, with all cores as devices."""
    import jax

    use_all_cores()
    steps, cores = scaled(workload.steps, effort), jax.device_count()
    lines = [
        ("ours solo", made(workload, steps, 1), 1),
        ("ours population", made(workload, steps, cores), cores),
    ]
    times = rounds([runner(one, lanes) for _, one, lanes in lines], effort.repeats)
    return [row_of(workload, line, t, one, lanes) for (line, one, lanes), t in zip(lines, times, strict=True)]


def wide(workload: Workload, effort: Effort) -> list[Row]:
    """Measure 8 lanes, with all cores as devices."""
    use_all_cores()
    one = made(workload, max(1, scaled(workload.steps, effort) // 4), 8)
    (times,) = rounds([runner(one, 8)], effort.repeats)
    return [row_of(workload, "ours population, 8 lanes", times, one, 8)]


def engine(workload: Workload, effort: Effort) -> list[Row]:
    """Measure one lane of ours against the same model in a scan written by hand, in turns.

    All of it on one core, where each lane of a population runs: a product that two cores share takes 3 % more or less
    from turn to turn. The scan is compiled and measured twice: where in memory a program lies may decide as much.
    """
    one_core()
    short = effort._replace(factor=min(1.0, effort.factor))  # and many turns: a few percent are to be seen
    steps = scaled(workload.steps, short)
    one = made(workload, steps, 1)
    network, params = our_model(workload)
    (scan, spent), (again, _) = (scanned(network, params, workload, steps, as_ours=True) for _ in range(2))
    ours, base, same = rounds([runner(one, 1), scan, again], 3 * effort.repeats)
    by_hand = functools.partial(row, workload.name, model_steps=steps, compile_seconds=spent, table="engine")
    return [
        row_of(workload, "ours, one core", ours, one, 1, table="engine", ratio=against(ours, base)),
        by_hand("minimal scan", base, ratio=1.0),
        by_hand("minimal scan, once more", same, ratio=against(same, base)),
    ]


def vmapped(workload: Workload, effort: Effort) -> list[Row]:
    """Measure `VMAPPED` lanes of ours under vmap against the vmapped scan, in turns, on one core."""
    one_core()
    short = effort._replace(factor=min(1.0, effort.factor))
    steps = max(2, scaled(workload.steps, short) // 2)
    one = made(workload, steps, VMAPPED, parallel="vmap")
    network, params = our_model(workload)
    scan, spent = scanned(network, params, workload, steps, as_ours=True, lanes=VMAPPED)
    ours, base = rounds([runner(one, VMAPPED), scan], 3 * effort.repeats)
    return [
        row_of(workload, "ours, vmapped", ours, one, VMAPPED, table="vmapped", ratio=against(ours, base)),
        row(
            workload.name, "minimal scan, vmapped", base, VMAPPED * steps, spent,
            lanes=VMAPPED, table="vmapped", ratio=1.0,
        ),
    ]  # fmt: skip


def serial(workload: Workload, effort: Effort) -> list[Row]:
    """Measure our model's jitted step in a Python loop."""
    steps = scaled(workload.steps, effort._replace(factor=min(1.0, effort.factor)))
    loop, spent = looped(*our_model(workload), workload, steps)
    (times,) = rounds([loop], effort.repeats)
    return [row(workload.name, "serial jax", times, steps, spent)]


def probes(workload: Workload, effort: Effort) -> list[Row]:
    """Measure the default probes at several intervals against none, in turns."""
    import jax

    use_all_cores()
    lanes = jax.device_count()
    longest = max(effort.intervals)
    steps = longest * max(1, round(scaled(workload.steps, effort) / longest))
    lines = {"probes off": made(workload, steps, lanes), "probes off, once more": made(workload, steps, lanes)}
    for interval in effort.intervals:
        lines[f"probes every {interval}"] = made(workload, steps, lanes, probes=None, probe_every=interval)
    # Few turns, since the full form does all of this in three processes.
    times = rounds([runner(one, lanes) for one in lines.values()], min(3, effort.repeats))
    return [
        row_of(workload, line, t, one, lanes, table="probes", ratio=against(t, times[0]))
        for (line, one), t in zip(lines.items(), times, strict=True)
    ]


def lanes(workload: Workload, effort: Effort) -> list[Row]:
    """Measure time and memory of a small model against the number of lanes, in turns.

    Few lanes are trained so often, with new seeds, that a turn of them trains about as many as one of many.
    """
    del workload
    use_all_cores()
    made_of = {count: made(SMALL, SMALL.steps, count) for count in effort.lanes}
    often = {count: max(1, min(512, max(effort.lanes)) // count) for count in made_of}
    peaks: dict[int, float] = {}

    def run(turn: int, count: int) -> None:
        for again in range(often[count]):
            runner(made_of[count], count)(turn * often[count] + again)
        peaks.setdefault(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # in the first turn

    # The first turn goes from few lanes to many, so what is new at its peak is what these many took.
    times = rounds([functools.partial(run, count=count) for count in made_of], effort.repeats)
    each = [[seconds / often[count] for seconds in found] for count, found in zip(made_of, times, strict=True)]
    least = min(made_of)
    return [
        row_of(
            SMALL, f"lanes {count}", found, one, count, table="lanes", peak_mb=peaks[count],
            memory_ratio=peaks[count] / peaks[least], ratio=against(found, each[0]) * least / count,
        )
        for (count, one), found in zip(made_of.items(), each, strict=True)
    ]  # fmt: skip


if __name__ == "__main__":
    peers = {"population": population, "wide": wide, "serial": serial}
    answer({**peers, "engine": engine, "vmapped": vmapped, "probes": probes, "lanes": lanes})
