"""What trackers read of a run: Weights & Biases offline, MLflow in a folder, Trackio, TensorBoard's own reader.

`make long` installs them (extra `long`); none is in `test`, since together they are 300 MB.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from test_other_tools import PAGE

import deepprinciples as dp
from deepprinciples.errors import ConfigError

LANE = {"arm": "clipping", "seed": 3}
NAME = "clipping/seed-3"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tracker talk to a process of its own on this machine, and to no other."""
    connect = socket.socket.connect

    def local(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise OSError("the tests use no network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)


def check_curves(study: Any, found: dict[str, dict[int, float]]) -> None:
    """Hold the curves of one lane against the results."""
    lane = study.results.sel(**LANE)
    for name, values, axis in (
        ("train_loss", lane.train_loss, "step"),
        ("gradient_norm/layer_00", lane.gradient_norm.sel(layer="layer_00"), "step"),
        ("validation_accuracy", lane.validation, "eval_step"),
    ):
        assert list(found[name]) == lane[axis].values.tolist(), name
        np.testing.assert_allclose(list(found[name].values()), values.values, rtol=1e-6)
    assert not any(name.startswith("tuning") for name in found)


def rate(study: Any) -> float:
    """Return the learning rate that the search of the lane chose."""
    results = study.results
    trial = int(results.chosen_trial.sel(arm=LANE["arm"], search=LANE["seed"]))
    return float(results.tuning_point.sel(arm=LANE["arm"], search=LANE["seed"], trial=trial).squeeze())


def records(file: Path) -> Iterator[Any]:
    """Read an offline file of Weights & Biases: a log of LevelDB, blocks of 32 KiB that hold pieces of messages."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(parts)
            parts = b""


def test_weights_and_biases(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: curves, config, verdict or report in Weights & Biases."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert dp.track(study, "wandb", folder=tmp_path, project="mine") == (
        "the group small of the project mine of Weights & Biases"
    )
    found = {}
    for file in tmp_path.rglob("*.wandb"):
        kept = list(records(file))
        found[next(one.run.display_name for one in kept if one.HasField("run"))] = kept
    assert set(found) == {"study"} | {f"{arm}/seed-{k}" for arm in ("plain", "clipping", "tanh") for k in range(7)}
    run = next(one.run for one in found[NAME] if one.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, run.run_group, config["optimizer.learning_rate"]) == ("mine", "small", rate(study))
    curves: dict[str, dict[int, float]] = {}
    for one in found[NAME]:
        if one.HasField("history"):
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in one.history.item}
            for name, value in row.items():
                curves.setdefault(name, {})[row["_step"]] = value
    check_curves(study, curves)
    summary = {
        item.key or item.nested_key[0]: json.loads(item.value_json)
        for one in found[NAME]
        if one.HasField("summary")
        for item in one.summary.update
    }
    assert study.summary["headline"] in summary["verdict"]
    assert summary["test_accuracy"] == pytest.approx(study.results.score.sel(**LANE).item())
    artifacts = {name: [one.artifact for one in kept if one.HasField("artifact")] for name, kept in found.items()}
    assert [one.name for one in artifacts.pop("study")] == ["small-report"] and not any(artifacts.values())


def test_mlflow(study: Any, tmp_path: Path) -> None:
    """Lost: curves, config, verdict or report in MLflow."""
    import mlflow

    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert dp.track(study, "mlflow", folder=tmp_path, project="mine") == f"the experiment mine of MLflow at {place}"
    client = mlflow.MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("mine").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment], max_results=100)}
    assert len(runs) == 22 and {run.info.status for run in runs.values()} == {"FINISHED"}
    whole, lane = runs["study"], runs[NAME]
    assert lane.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert lane.data.params["optimizer.learning_rate"] == str(rate(study)) and lane.data.params["arm"] == "clipping"
    assert study.table() in whole.data.tags["mlflow.note.content"]
    assert study.summary["headline"] in lane.data.tags["mlflow.note.content"]
    histories = {name: client.get_metric_history(lane.info.run_id, name) for name in lane.data.metrics}
    check_curves(study, {name: {one.step: one.value for one in sorted(points, key=lambda one: one.step)}
                         for name, points in histories.items()})  # fmt: skip
    assert lane.data.metrics["test_accuracy"] == study.results.score.sel(**LANE).item()
    (report,) = client.list_artifacts(whole.info.run_id)
    local = Path(client.download_artifacts(whole.info.run_id, report.path))
    assert local.read_bytes() == (study.path / "report.html").read_bytes()
    assert not client.list_artifacts(lane.info.run_id)


READ_TRACKIO = """
import json, sys
import deepprinciples as dp
run = dp.load(sys.argv[1])
dp.track(run, "trackio", project="mine")
from trackio import Api
from trackio.sqlite_storage import SQLiteStorage
runs = {run.name: run for run in Api().runs("mine")}
logs = SQLiteStorage.get_logs("mine", run="small/clipping/seed-3")
keys = [key for row in logs for key in row]
print("FOUND", json.dumps([sorted(runs), runs["small/clipping/seed-3"].config, logs], default=str))
"""


def test_trackio(study: Any, tmp_path: Path) -> None:
    """Lost: curves, config or verdict in Trackio; it reads its folder from the environment when it is imported."""
    with pytest.raises(ConfigError, match="trackio has its folder from the environment; set TRACKIO_DIR"):
        dp.track(study, "trackio", folder=tmp_path)
    command = [sys.executable, "-c", READ_TRACKIO, str(study.path)]
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    names, config, logs = json.loads(done.stdout.split("FOUND ")[1].splitlines()[0])
    assert len(names) == 22 and "small/study" in names
    assert config["optimizer.learning_rate"] == rate(study) and study.summary["headline"] in config["verdict"]
    curves: dict[str, dict[int, float]] = {}
    for row in logs:
        for name, value in row.items():
            curves.setdefault(name, {})[row["step"]] = value
    check_curves(study, curves)
    assert curves["test_accuracy"] == {20: study.results.score.sel(**LANE).item()}
    assert [file.read_bytes() for file in tmp_path.rglob("blobs/sha256/*/*")] == [
        (study.path / "report.html").read_bytes()
    ]


def test_the_page_on_other_tools_runs_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the lines for Hugging Face and grain; those for tf.data are tried where TensorFlow is installed."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(?:python|py)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    space: dict[str, Any] = {"__name__": "reader"}
    lacking: set[str] = set()
    with jax.numpy_rank_promotion("allow"):
        for number, block in enumerate(blocks):
            names = re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE)
            missing = {name for name in names if importlib.util.find_spec(name) is None}
            lacking |= missing
            if not missing:
                exec(compile(block, f"Python block {number} of the page", "exec", dont_inherit=True), space)
    assert len(blocks) == 7 and "arm" in space["numbers"]
    assert lacking <= {"tensorflow"}, "make long installs them"


def test_tensorboard_reads_its_files(study: Any, tmp_path: Path) -> None:
    """Lost: files that TensorBoard itself takes, checksums and its table of HParams included."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    dp.track(study, "tensorboard", folder=tmp_path)
    read = EventAccumulator(str(tmp_path / "small" / NAME), {"scalars": 0, "tensors": 0})
    read.Reload()
    tags = read.Tags()["scalars"]
    curves = {tag: {one.step: one.value for one in read.Scalars(tag)} for tag in tags}
    check_curves(study, curves)
    assert math.isclose(curves["test_accuracy"][20], study.results.score.sel(**LANE).item(), rel_tol=1e-6)
    stored = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    given = HParamsPluginData.FromString(stored).session_start_info.hparams
    assert given["optimizer.learning_rate"].number_value == rate(study)
