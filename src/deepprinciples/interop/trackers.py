"""Writers to experiment trackers: TensorBoard, Weights & Biases, MLflow and Trackio.

What is written is decided in `analysis.tracking`. A library is imported where something is written to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

from deepprinciples.config.wording import quoted, suggestion
from deepprinciples.errors import ConfigError, ResourceError

LIBRARIES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
_MLFLOW_BATCH, _MLFLOW_PARAMS, _MLFLOW_LONGEST = 1000, 100, 6000  # what one request may hold, and one parameter
_MLFLOW_NAME = re.compile(r"[^\w\-. :/]")


class Tracked(NamedTuple):
    """A run of a tracker: one lane of a study, or the study itself.

    Attributes:
        name: such as "plain/seed-0", or "study".
        config: dotted path -> plain value.
        curves: name -> {step: value}.
        final: name -> what was measured once, at the end.
        text: the verdict, in Markdown.
        files: what is attached, such as the report.
    """

    name: str
    config: Mapping[str, Any]
    curves: Mapping[str, Mapping[int, float]]
    final: Mapping[str, float]
    text: str
    files: Sequence[Path] = ()


def check(name: str) -> None:
    """Check that a tracker is known and that its library is installed; nothing is imported.

    Raises:
        ConfigError: it is none of `TABLE`. ResourceError: its library is not installed.
    """
    if name not in TABLE:
        raise ConfigError(f"track: found {quoted(name)}; expected {', '.join(TABLE)}{suggestion(name, TABLE)}")
    if util.find_spec(LIBRARIES[name]) is None:
        raise ResourceError(
            f'track: {name} needs the package {LIBRARIES[name]}; install it: pip install "deepprinciples[track-{name}]"'
        )


def _rows(curves: Mapping[str, Mapping[int, float]]) -> list[tuple[int, dict[str, float]]]:
    """Arrange curves by step, in rising order: these trackers take what belongs to a step at once."""
    steps = sorted({step for curve in curves.values() for step in curve})
    return [(step, {name: curve[step] for name, curve in curves.items() if step in curve}) for step in steps]


def _last(run: Tracked) -> int:
    return max((step for curve in run.curves.values() for step in curve), default=0)


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)


def tensorboard(study: str, runs: Iterable[Tracked], project: str, folder: Path) -> str:
    """Write event files, a folder for each run: scalars, the verdict as text, and a row of the table of HParams."""
    del project
    from tensorboardX import SummaryWriter, summary

    home = folder / study
    if home.exists():
        raise ConfigError(f"{home}: exists already and nothing is overwritten; give another folder, or remove it")
    taken: set[str] = set()
    for run in runs:
        where = _path(run.name, taken)
        last = _last(run)
        with SummaryWriter(str(home / where)) as writer:
            for name, curve in run.curves.items():
                for step, value in curve.items():
                    if math.isfinite(value):  # each other one would be a warning
                        writer.add_scalar(name, value, step)
            for name, value in run.final.items():
                writer.add_scalar(name, value, last)
            writer.add_text("verdict", run.text)
            for part in summary.hparams({key: _plain(value) for key, value in run.config.items()}, run.final):
                writer.file_writer.add_summary(part)
    return f"tensorboard --logdir {folder}"


def _path(name: str, taken: set[str]) -> str:
    """Return a path below a folder for the name of a run, whatever an arm is called: letters, digits and - _ . ="""
    words = [re.sub(r"[^\w.=+-]+", "-", word).strip(".-") or "arm" for word in name.rsplit("/", 1)]
    path, number = "/".join(words), 1
    while path.casefold() in taken:
        number += 1
        path = "/".join([f"{words[0]}-{number}", *words[1:]])
    taken.add(path.casefold())
    return path


def wandb(study: str, runs: Iterable[Tracked], project: str, folder: Path | None) -> str:
    """Write a run of Weights & Biases for each run, in one group; WANDB_MODE=offline keeps them on this machine."""
    import wandb as client

    for run in runs:
        given: dict[str, Any] = {"project": project, "group": study, "name": run.name, "config": dict(run.config)}
        given |= {} if folder is None else {"dir": str(folder)}
        with client.init(**given, notes=run.text, settings=client.Settings(silent=True)) as open_run:
            for step, row in _rows(run.curves):
                open_run.log(row, step=step)
            open_run.summary.update({**run.final, "verdict": run.text})
            for file in run.files:
                artifact = client.Artifact(_artifact(study, file), type="report")
                artifact.add_file(str(file))
                open_run.log_artifact(artifact)
    return f"the group {study} of the project {project} of Weights & Biases"


def _artifact(study: str, file: Path) -> str:
    """Name an artifact as trackers allow it: letters, digits and - _ ."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{study}-{file.stem}")


def mlflow(study: str, runs: Iterable[Tracked], project: str, folder: Path | None) -> str:
    """Write a run of MLflow for each run, those of lanes below that of the study; a folder gets a SQLite database."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    place = None if folder is None else folder.absolute()
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=None if place is None else f"sqlite:///{place / 'mlflow.db'}")
    known = client.get_experiment_by_name(project)
    files = None if place is None else (place / "artifacts").as_uri()
    experiment = known.experiment_id if known else client.create_experiment(project, artifact_location=files)
    parent = ""
    for run in runs:
        tags = {"mlflow.runName": run.name, "mlflow.note.content": run.text, "study": study}
        tags |= {"mlflow.parentRunId": parent} if parent else {}
        made = client.create_run(experiment, tags=tags)
        number = made.info.run_id
        stamp, last = made.info.start_time, _last(run)
        points = [(name, step, value) for name, curve in run.curves.items() for step, value in curve.items()]
        points += [(name, last, value) for name, value in run.final.items()]
        metrics = [Metric(_MLFLOW_NAME.sub("_", name), value, stamp, step) for name, step, value in points]
        texts = {_MLFLOW_NAME.sub("_", key): str(value)[:_MLFLOW_LONGEST] for key, value in run.config.items()}
        params = [Param(key, value) for key, value in texts.items()]
        for start in range(0, len(metrics), _MLFLOW_BATCH):
            client.log_batch(number, metrics=metrics[start : start + _MLFLOW_BATCH])
        for start in range(0, len(params), _MLFLOW_PARAMS):
            client.log_batch(number, params=params[start : start + _MLFLOW_PARAMS])
        for file in run.files:
            client.log_artifact(number, str(file))
        client.set_terminated(number)
        parent = parent or number
    return f"the experiment {project} of MLflow at {client.tracking_uri}"


def trackio(study: str, runs: Iterable[Tracked], project: str, folder: Path | None) -> str:
    """Write a run of Trackio for each run, in one group."""
    if folder is not None:
        raise ConfigError("track: trackio has its folder from the environment; set TRACKIO_DIR, and give no folder")
    import trackio as client

    for run in runs:
        given: dict[str, Any] = {"project": project, "group": study, "name": f"{study}/{run.name}"}
        client.init(**given, config={**run.config, "verdict": run.text}, embed=False)
        for step, row in _rows(run.curves):
            client.log(row, step=step)
        if run.final:
            client.log(dict(run.final), step=_last(run))
        for file in run.files:
            client.log_artifact(file, name=_artifact(study, file), type="report")
        client.finish()
    return f'trackio show --project "{project}"'


TABLE = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow, "trackio": trackio}
