"""A phase of a study cut into shards: whole calls of its program, which any process of the same kind can train.

The engine promises that at one layout no bit of a lane depends on the other lanes of its call, so shards may be trained
anywhere and in any order; they are merged in the order of their rows. `cluster` sends them to other machines.
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from deepprinciples import config as configs
from deepprinciples.engine.population import use_all_cores
from deepprinciples.engine.run import Outcome
from deepprinciples.engine.serialization import Arrays, Keeper, packed, unpacked
from deepprinciples.errors import ConfigError, IntegrityError, ResourceError
from deepprinciples.runs import files
from deepprinciples.stats.searches import Row
from deepprinciples.study import execute, plugins, protocol
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.plan import Kind, StudyPlan, resolve

# What must be equal where a shard is trained. Platform, number of cores and other environment variables need not be.
SAME = (
    *("config", "data", "start", "teacher", "fingerprint.versions", "fingerprint.machine", "fingerprint.processor"),
    *("fingerprint.backend", "fingerprint.device", "fingerprint.x64", "fingerprint.matmul"),
    "fingerprint.environment.XLA_FLAGS",
)


class StudyText(NamedTuple):
    """A study as text, from which another process plans it again."""

    kind: Kind
    config: str  # TOML, resolved
    plugins: tuple[str, ...]
    facts: str  # JSON: what its bits depend on, see `execute.facts`
    cpu_devices: int  # 0 where another backend runs


class Shard(NamedTuple):
    """Rows of a phase, whole calls of their group's program, and which program that is."""

    study: StudyText
    group: int
    shape: str  # JSON: mode, blocks, chunks, devices
    identity: str
    rows: list[Row]
    on_test: bool
    until: int | None  # segments to train, where not all
    keep_states: bool


# Trains shards in any order: yields (its index, its outcome), or None for "nothing new".
Results = Callable[[Sequence[Shard]], Iterator[tuple[int, Outcome] | None]]


def study_text(plan: StudyPlan) -> StudyText:
    """Write a study as text that can travel.

    Raises:
        ConfigError: the config holds functions or arrays given from Python, or the data are a stream.
    """
    text = configs.dumps(plan.config)
    marks = configs.marked(tomllib.loads(text))
    problems = [
        f"{key}: was given from Python and cannot travel to --executor; put it into a --plugin" for key in marks
    ]
    problems += [
        f"arms.{arm}: its data are a stream, which --executor cannot share out; run it in one process"
        for arm, data in plan.data.items()
        if data.stream is not None and not marks
    ]
    if problems:
        raise ConfigError(*problems)
    facts = json.dumps(files.plain(execute.facts(plan)))
    cpu_devices = len(jax.devices()) if jax.default_backend() == "cpu" else 0
    return StudyText(plan.kind, text, tuple(map(str, plugins.added)), facts, cpu_devices)


def executor(plan: StudyPlan, machines: int, results: Results) -> protocol.Executor:
    """Return the executor that trains the shards of a study by `results`, on so many machines."""
    study = study_text(plan)

    def train(
        number: int,
        made: prepared_group.Bench,
        rows: Sequence[Row],
        *,
        on_test: bool,
        progress: Callable[[int], None],
        skip: Callable[[int], None],
        until: int | None = None,
        keep_states: bool,
        keeper: Keeper,
    ) -> Outcome:
        begun = time.monotonic()
        layout = made.program.layout
        shape = json.dumps({**protocol.shape_of(made), "devices": layout.devices})
        like = prepared_group.outcome_like(made, on_test=on_test, keep_states=keep_states)
        parts, start = _restored(like, keeper.begun)
        steps = made.plan.end((until or made.plan.segments) - 1)
        skip(start * layout.points * steps)
        cut = [
            Shard(study, number, shape, made.program.identity, part, on_test, until, keep_states)
            for part in calls(rows[start:], layout.devices * layout.blocks)
        ]
        done: dict[int, Outcome] = {}
        for result in results(cut):
            if result is not None:
                index, outcome = result
                done[index] = outcome._replace(seconds=None)
                progress(len(cut[index].rows) * layout.points * steps)
            known = _without_gaps(done)
            keeper.offer(functools.partial(_kept, [*parts, *known], start + sum(len(one.diverged_at) for one in known)))
        return merged([*parts, *_without_gaps(done)])._replace(seconds=time.monotonic() - begun)

    return protocol.Executor(machines, train)


def calls(rows: Sequence[Row], wide: int) -> list[list[Row]]:
    """Cut rows into calls of `wide` rows; the last one may be shorter."""
    return [list(rows[k : k + wide]) for k in range(0, len(rows), wide)]


def merged(parts: Sequence[Outcome]) -> Outcome:
    """Join outcomes without their times along the rows, in the order given."""
    whole: Outcome = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    return whole


def _without_gaps(done: Mapping[int, Outcome]) -> list[Outcome]:
    """Return the outcomes of the first shards, up to the first that is not done."""
    first = next(k for k in range(len(done) + 1) if k not in done)
    return [done[k] for k in range(first)]


def _kept(parts: Sequence[Outcome], at: int) -> dict[str, np.ndarray]:
    """Return finished rows as arrays, as `engine.run` keeps whole calls: either goes on from there."""
    return {"at": np.array(at), **(packed("parts", merged(parts)) if parts else {})}


def _restored(like: Outcome, begun: Arrays) -> tuple[list[Outcome], int]:
    """Return the rows that were kept; the call under way of a single process is begun again."""
    at = int(begun["at"]) if begun else 0
    return ([unpacked("parts", like, begun)] if at else []), at


_one_at_a_time = threading.Lock()  # a worker with several threads has one machine


def train_shard(shard: Shard) -> Outcome:
    """Train a shard in this process, which keeps the plan and the program for the next one.

    Raises:
        IntegrityError: this process would not give the bits of the one that began the study.
        ResourceError: it has fewer devices or less memory.
    """
    with _one_at_a_time:
        made = _bench(shard.study, shard.group, shard.shape, shard.identity)
        return prepared_group.train(
            made,
            shard.rows,
            on_test=shard.on_test,
            progress=lambda steps: None,
            until=shard.until,
            keep_states=shard.keep_states,
        )


@functools.lru_cache(maxsize=1)
def _bench(study: StudyText, number: int, text: str, identity: str) -> prepared_group.Bench:
    plan, shape, where = _planned(study), json.loads(text), socket.gethostname()
    if len(jax.devices()) < shape["devices"]:
        raise ResourceError(f"worker on {where}: found {len(jax.devices())} devices, expected {shape['devices']}")
    group = plan.groups[number]
    first = group.arms[0]
    settings = plan.train._replace(layouts={first: shape})
    made = prepared_group.set_up(group, plan.data[first], settings, plan.counts(group))
    if made.program.layout.blocks != shape["blocks"]:
        raise ResourceError(
            f"worker on {where}: too little memory for {first}, which asks for {made.program.memory_bytes:,} bytes at "
            f"half its width; lower train.max_parallel"
        )
    if made.program.identity != identity:
        raise IntegrityError(
            f"worker on {where}: {first} is another program there; give every worker the same code, --plugin and flags"
        )
    return made


@functools.lru_cache(maxsize=1)
def _planned(study: StudyText) -> StudyPlan:
    """Plan a study from its text, and compare what its bits depend on."""
    if study.cpu_devices:  # a program over so many devices may run on fewer cores, to the same bits
        with contextlib.suppress(RuntimeError):  # a backend has started: its devices are what there is
            jax.config.update("jax_num_cpu_devices", study.cpu_devices)
    use_all_cores()
    for path in map(Path, study.plugins):
        if path not in plugins.added:
            plugins.add_parts(path)
    plan = resolve(study.kind, tomllib.loads(study.config))
    there, here = (configs.flatten(facts) for facts in (json.loads(study.facts), files.plain(execute.facts(plan))))
    must = [key for key in {**there, **here} if any(f"{key}.".startswith(f"{name}.") for name in SAME)]
    if other := [key for key in must if there.get(key) != here.get(key)]:
        key = other[0]
        raise IntegrityError(
            f"worker on {socket.gethostname()}: {key}: found {here.get(key)}, expected {there.get(key)} as where the "
            "study began; give all workers the same software, machine and data"
        )
    return plan
