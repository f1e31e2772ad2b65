"""What a user calls: compare and train, from a config to a run directory. The command line calls the same functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepprinciples import config as configs
from deepprinciples.engine.population import use_all_cores
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.results.finished_run import Run, load
from deepprinciples.runs import checkpoints, directory, files
from deepprinciples.study import cluster, execute, given_again, progress_store, protocol, range_test
from deepprinciples.study.planning.outline import outline
from deepprinciples.study.planning.plan import Kind, StudyPlan, kind_of, resolve


def compare(
    config: Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    name: str = "",
    progress: protocol.Progress | None = None,
    command: str = "",
    executor: Any = None,
) -> Run:
    """Compare the arms of a config: tune each with the same budget, judge them on fresh seeds, write a run directory.

    Args:
        config: a dictionary, or the path of a TOML or JSON file.
        out: the run directory; by default runs/<name>-<number>. Never overwritten.
        name: stem of the default directory; by default the file's or the title's.
        progress: called with how far the study is.
        command: what the user typed, for the report.
        executor: where it runs: None for this process, "dask:tcp://HOST:PORT" or a `distributed.Client` for a cluster.

    Returns:
        The finished run; see `dp.Run`.

    Raises:
        ConfigError: with every problem of the config. DataError: the data cannot be used. Nothing is written then.
        ResourceError: memory or disk ran out; `dp.resume` continues once there is more.

    Example:
        run = dp.compare(config)
        print(run.summary["headline"])
        run.results.score.mean("seed")
    """
    return _study("compare", config, out, name, progress, command, executor)


def train(
    config: Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    name: str = "",
    progress: protocol.Progress | None = None,
    command: str = "",
    executor: Any = None,
) -> Run:
    """Train one method on `train.seeds` seeds with the machinery of `compare`; arms of the config are left out.

    The final parameters of every seed are written too, as parameters.safetensors.

    Args:
        config: a dictionary, or the path of a TOML or JSON file.
        out: the run directory; by default runs/<name>-<number>. Never overwritten.
        name: stem of the default directory.
        progress: called with how far the run is.
        command: what the user typed, for the report.
        executor: where it runs: None for this process, "dask:tcp://HOST:PORT" or a `distributed.Client` for a cluster.

    Returns:
        The finished run.

    Raises:
        ConfigError, DataError: as for `compare`.

    Example:
        run = dp.train({**config, "train": {"steps": 50, "seeds": 2}})
        model, params = run.model(seed=1)
    """
    return _study("train", config, out, name, progress, command, executor)


def plan(config: Mapping[str, Any], kind: Kind = "compare") -> list[str]:
    """Check a config and describe what it would run and could show, in a few lines; nothing is run or written.

    Raises:
        ConfigError, DataError: as for `compare`.
    """
    return outline(resolve(kind, config))


def lr_find(
    config: Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 200,
    seeds: int = 5,
    name: str = "",
    progress: protocol.Progress | None = None,
    command: str = "",
) -> Run:
    """Guess a range of learning rates to tune in: the rate rises in short runs, and the training loss is watched.

    Every arm of the config (or the config itself, where it has none) runs once per seed, all side by side.

    Args:
        config: as for `compare`; its own rate, schedule, steps, seeds and search space are not used.
        out, name, progress, command: as for `compare`.
        low, high: the rates at the first and at the last step; between them it rises by equal factors.
        steps: of a run.
        seeds: runs of each arm.

    Returns:
        The finished run; `.summary["rates"]` has a row for each arm, its `tune` a line to paste into a config.

    Raises:
        ConfigError, DataError: as for `compare`; and where an optimizer has no learning rate.

    References:
        Smith, arXiv:1506.01186.

    Example:
        run = dp.lr_find(config, steps=50, seeds=2)
        print(run.summary["rates"][0]["tune"])
    """
    stem = name or ("" if isinstance(config, Mapping) else Path(config).stem)
    given = config if isinstance(config, Mapping) else configs.load(config)
    tested = range_test.rising(given, low=low, high=high, steps=steps, seeds=seeds)
    return _study("lr-find", tested, out, stem, progress, command or "dp.lr_find(config)")


def resume(
    run_dir: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    allow_inexact: bool = False,
    allow_data_change: bool = False,
    strict: bool = False,
    progress: protocol.Progress | None = None,
    executor: Any = None,
) -> Run:
    """Resume an interrupted run from its latest checkpoint.

    On the same machine and versions the results are the same to the bit; measured times are not. A finished run is
    only opened.

    Args:
        run_dir: its directory; it may have been moved or copied.
        config: what the run was given, where functions or arrays of its config came from Python.
        allow_inexact: go on though the machine or a version is another; the summary then warns of it.
        allow_data_change: go on though the data are others; the summary then warns of it.
        strict: refuse where a checkpoint is damaged; else its phase begins again, and the summary warns.
        progress: called with how far the run is.
        executor: as for `compare`; a run may be resumed elsewhere than where it began.

    Returns:
        The finished run.

    Raises:
        IntegrityError: it is no run directory, another process holds it, no checkpoint of it can be used, or it was
            begun elsewhere. ConfigError: its config needs `config`, or that is another than the run began with.

    Example:
        run = dp.compare(config, "runs/mine")
        again = dp.resume("runs/mine")
    """
    path = Path(run_dir)
    known = directory.status(path)
    if (state := known.get("state")) not in directory.STATES:
        raise IntegrityError(
            f"{path / 'status.json'}: state is {state!r}; expected {', '.join(directory.STATES)}; the file is damaged"
        )
    if state == "finished":
        (progress or protocol.Progress()).say(f"{path} is finished: there is nothing to resume, and this is its result")
        return load(path)
    use_all_cores()
    with directory.locked(path):
        kind = kind_of(known)
        call = f'dp.resume("{path}", config=config)'
        planned = given_again.plan_of(path, kind, config, call, same_data=not allow_data_change)
        found = checkpoints.load(path / progress_store.FOLDER)
        notes = _notes(known)
        if found is not None:
            facts = execute.facts(planned)
            notes += execute.check_same_environment(found, facts, allow_inexact, allow_data_change=allow_data_change)
            if strict and found.damaged:
                raise IntegrityError(f"{found.damaged[0]}; without --strict its phase begins again")
            notes += [f"a damaged checkpoint was passed over: {one}" for one in found.damaged]
        stem, command = str(known.get("stem", kind)), str(known.get("command", ""))
        at = execute.ResumePoint(found, notes, allow_inexact)
        with cluster.opened(executor, planned) as where:
            run = execute.execute(path, planned, stem, command, progress, at, where)
            return run._replace(given=planned.config)


def add_seeds(
    run_dir: Run | str | Path,
    seeds: int,
    out: str | Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    allow_inexact: bool = False,
    progress: protocol.Progress | None = None,
) -> Run:
    """Add seeds to a finished run, in a new run directory; what it has stays as it is, to the bit.

    Where arms were tuned, the new seeds come as further searches, `study.seeds` of each: searches are what the tests
    count, so more of them make a verdict sharper. A run cannot be given more steps: its schedule and its tuning were
    made for the number it had.

    Args:
        run_dir: a finished run, or its directory; nothing in it is changed.
        seeds: total number of seeds that report for each arm, more than there are.
        out: the new run directory; by default runs/<name>-<number>.
        config: what the run was given, where functions or arrays of its config came from another process.
        allow_inexact: continue although the machine or a version is another; the summary then warns of it.
        progress: called with how far the run is.

    Returns:
        The longer run.

    Raises:
        ConfigError: there are as many seeds already, or they do not come in whole searches. IntegrityError: the run is
            not finished, has lost its checkpoint, or was made elsewhere.

    Example:
        run = dp.compare(config)
        longer = dp.add_seeds(run, 8)
    """
    path = given_again.path_of(run_dir)
    known = directory.status(path)
    if known.get("state") != "finished":
        raise IntegrityError(f"{path}: is not finished; resume it first, then add seeds")
    kind = kind_of(known)
    if kind == "lr-find":
        raise ConfigError(f"{path}: is a run of lr-find; run it again with more --seeds")
    use_all_cores()
    directory.check_free(out)
    before = given_again.plan_of(run_dir, kind, config, f'dp.add_seeds("{path}", {seeds}, config=config)')
    planned = resolve(kind, configs.changes(before.config, _more_seeds(before, seeds)))
    found = checkpoints.load(path / progress_store.FOLDER)
    if found is None:
        raise IntegrityError(f"{path / progress_store.FOLDER}: is missing; without it a run cannot be extended")
    notes = [*_notes(known), *execute.check_same_environment(found, execute.facts(before), allow_inexact)]
    stem = str(known.get("stem", kind))
    if found.damaged:
        raise IntegrityError(f"{found.damaged[0]}; without it a run cannot be extended")
    new = directory.create(out, f"{stem} {seeds} seeds")
    with directory.locked(new):
        files.write_text(new / directory.CONFIG, configs.dumps(planned.config))
        facts = {**found.facts, **execute.facts(planned)}
        checkpoints.save(
            new / progress_store.FOLDER, checkpoints.UNDER_WAY, progress_store.with_more_rows(found), facts, 1
        )
        command = f"deepprinciples add-seeds {path} --seeds {seeds}"
        at = execute.ResumePoint(checkpoints.load(new / progress_store.FOLDER), notes, allow_inexact)
        run = execute.execute(new, planned, stem, command, progress, at)
        return run._replace(given=planned.config)


def _more_seeds(before: StudyPlan, seeds: int) -> dict[str, int]:
    """Return the change of a config that gives a run this many seeds in all."""
    if before.kind == "train":
        path, count, each = "train.seeds", before.train.seeds, 1
    else:
        path, count = "study.searches" if before.tuned else "study.seeds", len(before.report_seeds)
        each = count // before.study.searches if before.tuned else 1
    if seeds <= count:
        raise ConfigError(f"--seeds: found {seeds}, expected more than the {count} that the run has")
    if seeds % each:
        raise ConfigError(
            f"--seeds: found {seeds}, expected a multiple of {each}: in a tuned study seeds come as further searches "
            f"of {each} seeds; give {seeds - seeds % each + each}"
        )
    return {path: seeds // each}


def _notes(known: Mapping[str, Any]) -> list[str]:
    found = known.get("notes", [])
    return list(map(str, found)) if isinstance(found, list) else []


def _study(
    kind: Kind,
    config: Mapping[str, Any] | str | Path,
    out: str | Path | None,
    name: str,
    progress: protocol.Progress | None,
    command: str,
    executor: Any = None,
) -> Run:
    use_all_cores()
    directory.check_free(out)
    planned = resolve(kind, config if isinstance(config, Mapping) else configs.load(config))
    title = planned.config.get("title")
    stem = name or title or ("" if isinstance(config, Mapping) else Path(config).stem) or kind
    command = command or f"dp.{kind}(config)"
    with cluster.opened(executor, planned) as where:
        path = directory.create(out, stem)
        with directory.locked(path):
            files.write_text(path / directory.CONFIG, configs.dumps(planned.config))
            run = execute.execute(path, planned, stem, command, progress, execute.ResumePoint(), where)
            return run._replace(given=planned.config)
