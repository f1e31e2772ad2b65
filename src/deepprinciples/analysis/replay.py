"""Replay: one lane of a run, finished or stopped, run again with every array of its last steps inspected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.engine.population import use_all_cores
from deepprinciples.engine.rerun import Known, Look, rerun
from deepprinciples.engine.run import Block, begun_lane
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.learners.assembly import from_config
from deepprinciples.results.finished_run import Run, load
from deepprinciples.runs import checkpoints, directory
from deepprinciples.study import execute, given_again, progress_store, protocol
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.groups import Group
from deepprinciples.study.planning.plan import StudyPlan, kind_of


class Replayed(NamedTuple):
    """What became of a lane when it was run again."""

    lane: str
    diverged_at: int  # -1: it did not
    cause: str  # "init", "data" or "update"; empty where it did not
    looks: list[Look]
    notes: list[str]  # such as why it may not be the run's lane to the bit


class _Lane(NamedTuple):
    """A lane by name: `arm/seed`, or `arm/trial-T/seed` for one of the search."""

    arm: str
    trial: int | None
    seed: int


class _At(NamedTuple):
    """Where a lane ran: the study, the group and its number, the group's program."""

    plan: StudyPlan
    group: Group
    number: int
    made: prepared_group.Bench


class _Stored(NamedTuple):
    """What a run directory tells: the programs' shapes, the points beside a lane, where it is, and notes."""

    shapes: Mapping[str, Any]
    points: Callable[[_Lane, _At], list[dict[str, float]]]  # of all arms of the group, as they ran beside the lane
    place: Callable[[_Lane, _At], Known | None]
    notes: list[str]


def replay(
    run_dir: Run | str | Path,
    lane: str,
    *,
    last: int = 8,
    config: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Replayed:
    """Run one lane again, from the last checkpoint where the run has one, and tell its last steps.

    Args:
        run_dir: a run, or the directory of one, finished or stopped. Nothing in it is changed.
        lane: "arm/seed", "arm/trial-2/seed" for the third trial of the search, or "seed" for a `train` run.
        last: how many steps to look at.
        config: what the run was given, where functions or arrays of its config came from another process.
        progress: called with what is being done.

    Returns:
        What was seen: `diverged_at`, `cause`, and `looks`, the last steps.

    Raises:
        ConfigError: there is no such lane, or the run needs `config`. IntegrityError: the run cannot be read.

    Example:
        run = dp.compare(config)
        seen = dp.replay(run, "plain/0", last=2)
        seen.looks[-1].step
    """
    path = given_again.path_of(run_dir)
    known = directory.status(path)
    use_all_cores()
    call = f'dp.replay("{path}", "{lane}", config=config)'
    plan = given_again.plan_of(run_dir, kind_of(known), config, call)
    wanted = _named(lane, plan)
    number, group = next((n, g) for n, g in enumerate(plan.groups) if wanted.arm in g.arms)
    stored = _finished(path) if known.get("state") == "finished" else _stopped(path, plan)
    progress(f"compiling {', '.join(group.arms)}")
    settings = plan.train._replace(layouts={**stored.shapes, **plan.train.layouts})
    made = prepared_group.set_up(group, plan.data[group.arms[0]], settings, plan.counts(group))
    at = _At(plan, group, number, made)
    values = tuple({**own, **point} for own, point in zip(group.values, stored.points(wanted, at), strict=True))
    progress(f"training {lane}")
    found = rerun(
        made.program,
        made.plan,
        made.feed,
        Block(wanted.seed, values),
        group.arms.index(wanted.arm),
        lambda hyper: from_config.learner(from_config.replaced(group.config, hyper), plan.data[group.arms[0]]),
        curve=made.validation,
        known=stored.place(wanted, at),
        last=last,
    )
    return Replayed(lane, found.diverged_at, found.cause, found.looks, stored.notes)


def _named(lane: str, plan: StudyPlan) -> _Lane:
    """Read the name of a lane."""
    words = lane.split("/")
    trial = int(words[-2][6:]) if len(words) > 2 and words[-2][:6] == "trial-" and words[-2][6:].isdecimal() else None
    arm = "/".join(words[: -1 if trial is None else -2]) or ("run" if list(plan.arms) == ["run"] else "")
    if arm not in plan.arms:
        names = ", ".join(plan.arms)
        raise ConfigError(f"lane {lane!r}: no arm {arm!r}; expected ARM/SEED or ARM/trial-T/SEED (arms: {names})")
    seeds = plan.report_seeds if trial is None else [seed for search in plan.search_seeds for seed in search]
    if not seeds:
        raise ConfigError(f"lane {lane!r}: no trials, since nothing was tuned; expected ARM/SEED")
    if not words[-1].isdecimal() or int(words[-1]) not in seeds:
        raise ConfigError(f"lane {lane!r}: no seed {words[-1]!r}; expected one from {seeds[0]} to {seeds[-1]}")
    return _Lane(arm, trial, int(words[-1]))


def _block(lane: _Lane, plan: StudyPlan) -> int:
    """Return the search that a lane belongs to."""
    if lane.trial is None:
        return plan.block[plan.report_seeds.index(lane.seed)]
    return next(b for b, seeds in enumerate(plan.search_seeds) if lane.seed in seeds)


def _finished(path: Path) -> _Stored:
    """Read a finished run; it keeps no checkpoint, so a lane starts at its first step."""
    run = load(path)

    def points(lane: _Lane, at: _At) -> list[dict[str, float]]:
        if not any(at.plan.arms[arm].space for arm in at.group.arms):
            return [{} for _ in at.group.arms]
        block = _block(lane, at.plan)
        tried = run.results.tuning_point.isel(search=block)
        count = int(np.isfinite(tried.values).any(axis=(0, 2)).sum())
        if lane.trial is not None and lane.trial >= count:
            raise ConfigError(f"no trial {lane.trial} (trials: {count}, counted from 0)")
        found = []
        for arm in at.group.arms:
            trial = int(run.results.chosen_trial.sel(arm=arm)[block]) if lane.trial is None else lane.trial
            found.append({p: float(tried.sel(arm=arm, parameter=p)[trial]) for p in at.plan.arms[arm].space})
        return found

    here = directory.fingerprint()
    other = [key for key in ("versions", "machine", "cores", "environment") if run.manifest.get(key) != here[key]]
    notes = [f"not exact: other {', '.join(other)} than where the run was made"] if other else []
    shapes = {row["arms"][0]: row["shape"] for row in run.summary["programs"]}
    return _Stored(shapes, points, lambda lane, at: None, notes)


def _stopped(path: Path, plan: StudyPlan) -> _Stored:
    """Read the last checkpoint of a run that was stopped."""
    found = checkpoints.load(path / progress_store.FOLDER)
    if found is None:
        raise IntegrityError(f"{path}: has no checkpoint yet; resume the run first")
    kept = progress_store.ProgressStore()
    kept.take_up(found)

    def points(lane: _Lane, at: _At) -> list[dict[str, float]]:
        phase = protocol.CachedPhase(kept, at.made, str(at.number), known_only=True)
        tried, _ = protocol.search(phase, at.plan, at.group, protocol.Progress())
        if lane.trial is None:
            return dict(protocol.report_rows(tried, at.plan, at.group))[lane.seed]
        block = _block(lane, at.plan)
        count = max((len(searches[block].points) for searches in tried.values() if searches), default=0)
        if lane.trial >= count:
            raise ConfigError(f"no trial {lane.trial} yet (trials so far: {count})")
        return [searches[block].points[lane.trial] if searches else {} for searches in tried.values()]

    def place(lane: _Lane, at: _At) -> Known | None:
        under_way = kept.begun(f"{at.number}-report")
        if lane.trial is not None or "segments" not in under_way:
            return None
        row = at.plan.report_seeds.index(lane.seed) - int(under_way["at"])
        lanes, segments = begun_lane(at.made.program, under_way)
        within = 0 <= row < len(lanes.diverged_at) and segments < at.made.plan.segments  # at its end it shows nothing
        return Known(lanes, row, segments) if within else None

    return _Stored(kept.shapes, points, place, execute.check_same_environment(found, execute.facts(plan), allowed=True))
