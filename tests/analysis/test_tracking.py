"""What experiment trackers get of a finished run; TensorBoard's files are read back, the others in long_trackers.py."""

from __future__ import annotations

import importlib.util
import struct
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.analysis import tracking
from deepprinciples.cli.main import app
from deepprinciples.cli.options import Tracker
from deepprinciples.errors import ConfigError, ResourceError
from deepprinciples.interop import trackers
from deepprinciples.interop.trackers import Tracked

LR = "optimizer.learning_rate"


def events(folder: Path) -> list[Any]:
    """Read the one event file of a folder: records of a length, its checksum, the bytes and their checksum."""
    (file,) = folder.glob("events.*")
    content, found, at = file.read_bytes(), [], 0
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        found.append(Event.FromString(content[at + 12 : at + 12 + size]))
        at += 12 + size + 4
    return found


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Read the scalars of a run of TensorBoard by tag and step."""
    found: dict[str, dict[int, float]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


@pytest.fixture(scope="module")
def written(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the small study for TensorBoard: the folder of its runs."""
    folder = tmp_path_factory.mktemp("events")
    assert dp.track(study, "tensorboard", folder=folder) == f"tensorboard --logdir {folder}"
    return folder / "small"


def test_a_run_for_each_arm_and_seed(study: Any, written: Path) -> None:
    """Lost: seeds or arms among the runs of a tracker."""
    found = {str(path.parent.relative_to(written)) for path in written.rglob("events.*")}
    assert found == {"study"} | {f"{arm}/seed-{seed}" for arm in ("plain", "clipping", "tanh") for seed in range(7)}


def test_curves_are_those_of_the_results(study: Any, written: Path) -> None:
    """Lost: the curves themselves, or the steps at which they were measured."""
    results = study.results
    for arm, seed in (("plain", 0), ("clipping", 3), ("tanh", 6)):
        found, lane = scalars(written / arm / f"seed-{seed}"), results.sel(arm=arm, seed=seed)
        for tag, values, axis in (
            ("train_loss", lane.train_loss, "step"),
            ("gradient_norm/layer_00", lane.gradient_norm.sel(layer="layer_00"), "step"),
            ("gradient_norm/output", lane.gradient_norm.sel(layer="output"), "step"),
            ("validation_accuracy", lane.validation, "eval_step"),
            ("validation_loss", lane.validation_loss, "eval_step"),
        ):
            assert list(found[tag]) == lane[axis].values.tolist(), tag
            np.testing.assert_array_equal(list(found[tag].values()), values.values.astype(np.float32))
        assert found["test_accuracy"] == {max(lane.eval_step.values): np.float32(lane.score)}
        assert found["test_loss"] == {max(lane.eval_step.values): np.float32(lane.test_loss)}
        assert ("trigger_rate/clip_by_global_norm" in found) == (arm == "clipping")
        assert not any(tag.startswith(("tuning", "chosen")) for tag in found)


def test_config_is_that_of_the_lane(study: Any, written: Path) -> None:
    """Lost: the setting that a search chose, in whose place the table of HParams would show the default."""
    results = study.results
    for arm, seed in (("plain", 1), ("tanh", 4)):
        parts = [
            HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams
            for event in events(written / arm / f"seed-{seed}")
            for value in event.summary.value
            if value.tag == "_hparams_/session_start_info"
        ]
        trial = int(results.chosen_trial.sel(arm=arm, search=seed))
        rate = float(results.tuning_point.sel(arm=arm, search=seed, trial=trial).squeeze())
        assert parts[0][LR].number_value == rate
        assert parts[0]["model.activation.name"].string_value == ("tanh" if arm == "tanh" else "relu")
        assert (parts[0]["arm"].string_value, parts[0]["seed"].number_value) == (arm, seed)


def test_verdicts_stand_with_the_runs(study: Any, written: Path) -> None:
    """Lost: what the curves mean, for those who see nothing but the tracker."""
    text = {
        name: next(
            value.tensor.string_val[0].decode()
            for event in events(written / name)
            for value in event.summary.value
            if value.tag.startswith("verdict")
        )
        for name in ("study", "clipping/seed-0", "plain/seed-0")
    }
    assert all(study.summary["headline"] in one for one in text.values())
    assert study.table("markdown") in text["study"]
    sentences = [row["sentence"] for row in study.summary["comparisons"]]
    assert sentences[0] in text["clipping/seed-0"] and sentences[1] not in text["clipping/seed-0"]
    assert all(one in text["plain/seed-0"] for one in sentences)


def test_the_report_is_attached_once(study: Any) -> None:
    """Lost: the report in the tracker; or a copy of it for every seed."""
    found = list(tracking.tracked(study))
    assert found[0].name == "study" and [path.name for path in found[0].files] == ["report.html"]
    assert not any(one.files for one in found[1:])


def test_nothing_is_written_twice(study: Any, written: Path) -> None:
    """Lost: readable curves; TensorBoard would draw both writings as one zigzag."""
    with pytest.raises(ConfigError, match="small: exists already and nothing is overwritten; give another folder"):
        dp.track(study, "tensorboard", folder=written.parent)


def test_a_diverged_lane_says_so(small: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lost: why a curve ends, and at which step."""
    run = dp.train(small(**{LR: 1e30, "train.steps": 8, "train.probe_every": 1}), tmp_path / "run")
    lane = list(tracking.tracked(run))[1]
    at = int(run.results.diverged_at.item())
    assert lane.name == "run/seed-0" and f"Diverged at step {at} (by update)" in lane.text
    assert lane.final["diverged_at"] == at and "test_loss" not in lane.final
    losses = lane.curves["train_loss"]
    assert np.isfinite(losses[at - 1]) and np.isnan(losses[at])
    dp.track(run, "tensorboard", folder=tmp_path / "events")
    assert caplog.text == ""  # a warning for every value that is not finite
    assert max(scalars(tmp_path / "events/run/run/seed-0")["train_loss"]) == at - 1


def test_names_of_arms_lead_nowhere(tmp_path: Path) -> None:
    """Lost: files outside the folder that was named, or two arms in one folder."""
    names = ["../../escaped/seed-0", "a b/seed-0", "a/b/seed-0", "A-b/seed-0", "..", "/etc/seed-1"]
    runs = [Tracked(name, {}, {"loss": {0: 1.0}}, {}, "") for name in names]
    trackers.tensorboard("study", runs, "", tmp_path / "events")
    found = {path.parent.relative_to(tmp_path) for path in tmp_path.rglob("events.*")}
    folders = ("escaped/seed-0", "a-b/seed-0", "a-b-2/seed-0", "A-b-3/seed-0", "arm", "etc/seed-1")
    assert found == {Path("events/study") / folder for folder in folders}


@pytest.mark.parametrize("name", trackers.TABLE)
def test_a_missing_library_is_named(name: str, study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: which extra to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda library: None)
    with pytest.raises(ResourceError, match=rf'pip install "deepprinciples\[track-{name}\]"') as caught:
        dp.track(study, name)
    assert len(str(caught.value).splitlines()) == 1


def test_every_tracker_has_an_extra_and_an_option() -> None:
    """Lost: a tracker that cannot be installed by the name that the error says, or that the command line lacks."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = {name for name in project["project"]["optional-dependencies"] if name.startswith("track-")}
    assert extras == {f"track-{name}" for name in trackers.TABLE}
    assert set(trackers.TABLE) == set(trackers.LIBRARIES) == {str(one) for one in Tracker}


def test_what_cannot_be_tracked_is_refused(study: Any, tmp_path: Path) -> None:
    """Lost: one line in place of a traceback."""
    with pytest.raises(
        ConfigError, match='track: found "tensorbaord"; expected tensorboard, .*did you mean "tensorboard"'
    ):
        dp.track(study, "tensorbaord")
    with pytest.raises(
        ConfigError, match="is a run of probe, which has no verdict to track; expected compare or train"
    ):
        dp.track(study._replace(summary={**study.summary, "kind": "probe"}), "tensorboard")
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ResourceError, match=r"track: tensorboard failed: NotADirectoryError: .*; the run is whole; try"
    ):
        dp.track(study, "tensorboard", folder=tmp_path / "file")


def test_the_command_line_tracks(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a run from the command line in a tracker; or hours of training before a library is found missing."""
    done = CliRunner().invoke(app, ["track", str(study.path), "tensorboard", "--folder", str(tmp_path / "events")])
    assert (done.exit_code, done.output) == (0, f"Tracked: tensorboard --logdir {tmp_path / 'events'}\n")
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(study.config, encoding="utf-8")
    fast = ["train.steps=4", "train.probes=[]", "train.seeds=2"]
    done = CliRunner().invoke(app, ["train", "mine.toml", *fast, "--track", "tensorboard"])
    assert done.exit_code == 0 and "Tracked: tensorboard --logdir" in done.output
    lanes = {path.parent.name for path in Path("runs/tensorboard/mine-1").rglob("events.*")}
    assert lanes == {"study", "seed-0", "seed-1"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda library: None)
    done = CliRunner().invoke(app, ["compare", "mine.toml", "--track", "tensorboard"])
    assert done.exit_code == 5 and "needs the package tensorboardX" in done.output
    assert {path.name for path in Path("runs").iterdir()} == {"mine-1", "tensorboard"}
