"""The plan of a run that is continued or looked at: from its config.toml, or from the config that Python gives again.

No file holds functions, arrays and data sets of another library. Who gives them again has to give the same.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepprinciples import config as configs
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.results.finished_run import Run
from deepprinciples.runs import checkpoints, directory
from deepprinciples.study import execute, progress_store
from deepprinciples.study.planning.plan import Kind, StudyPlan, resolve


def path_of(run: Run | str | Path) -> Path:
    """Return the directory of a run."""
    return run.path if isinstance(run, Run) else Path(run)


def plan_of(
    run: Run | str | Path, kind: Kind, config: Mapping[str, Any] | None, call: str, *, same_data: bool = True
) -> StudyPlan:
    """Plan a run as it was planned when it began.

    Args:
        run: the run, or its directory; a run that this process made still has what it was given.
        kind: of the run.
        config: what the run was given, where functions or arrays of it came from Python.
        call: how the caller is called with a config, for the message.
        same_data: compare the data that are given again with those of the checkpoints.

    Raises:
        ConfigError: the config is missing, or another than the run began with. IntegrityError: the data are others.
    """
    path = path_of(run)
    file = path / directory.CONFIG
    written = configs.read(file)
    marks = configs.marked(written)
    given = run.given if config is None and isinstance(run, Run) else config
    if not marks and config is None:
        return resolve(kind, written)
    if kind == "lr-find":
        raise ConfigError(f"{path}: is a run of lr-find on what was given from Python; run it again")
    if given is None:
        verb = "stand for what was" if len(marks) > 1 else "stands for what was"
        raise ConfigError(f"{file}: {', '.join(marks)} {verb} given from Python; give the config again there: {call}")
    if layouts := written.get("train", {}).get("layouts"):  # measured, and written when the run ended
        given = configs.changes(given, {"train.layouts": layouts})
    plan = resolve(kind, given)
    here, there = _leaves(tomllib.loads(configs.dumps(plan.config))), _leaves(written)
    if other := [key for key in (*here, *there) if here.get(key) != there.get(key)]:
        found, expected = (configs.shown(one.get(other[0])) for one in (here, there))
        raise ConfigError(
            f"config: {other[0]}: found {found}, expected {expected} as in {file}; give what the run was given"
        )
    if same_data:
        _check_data(path, plan)
    return plan


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """List the leaves of a config, those of tables in a list too."""
    found = dict[str, Any]()
    for key, leaf in configs.flatten(config).items():
        tables = isinstance(leaf, list) and any(isinstance(one, Mapping) for one in leaf)
        found |= _leaves({f"{key}[{k}]": one for k, one in enumerate(leaf)}) if tables else {key: leaf}
    return found


def _check_data(path: Path, plan: StudyPlan) -> None:
    """Refuse other data than those of the checkpoints, for the mark of a function or an object is only its name."""
    known = checkpoints.load(path / progress_store.FOLDER)
    there = known.facts.get("data", {}) if known else {}
    for arm, digest in execute.facts(plan)["data"].items():
        if digest != there.get(arm, digest):
            raise IntegrityError(f"{path}: the data of {arm} are not those that the run began with; give those again")
