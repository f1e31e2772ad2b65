"""Runs on arrays, functions and data sets given from Python go on, and are looked at, where these are given again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from small_runs import STUDY, stopped_at, told
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.results.finished_run import Run

FROM_PYTHON = 'dp.resume("{}", config=config), with the config that the run was given'
X = np.random.default_rng(0).normal(size=(120, 4))
Y = (X[:, 0] > 0).astype(int)


class Pairs:
    """A data set as other libraries have them, whose mark in config.toml is only its name."""

    def __init__(self, inputs: np.ndarray) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, k: int) -> tuple[np.ndarray, int]:
        return self.inputs[k], int(Y[k])


def given(inputs: Any = X, targets: Any = Y, **changes: Any) -> dict[str, Any]:
    data = {"name": "arrays", "inputs": inputs, "targets": targets, "batch_size": 16}
    rest = {key: one for key, one in STUDY.items() if key not in ("arms", "study")}
    return {**rest, "data": data, "train": {**STUDY["train"], "seeds": 2}, **changes}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return dp.train(given(), tmp_path_factory.mktemp("arrays") / "run")


def test_a_run_on_arrays_is_resumed_to_the_same_bits(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a night of training on one's own arrays, at the first signal; or the way on, said at its end."""
    assert stopped_at(2, ("train", given()), tmp_path / "run", monkeypatch, resume_hint=FROM_PYTHON)
    dp.resume(tmp_path / "run", config=given(X.copy(), Y.copy()))
    assert told(tmp_path / "run") == told(run.path)


def counted(*, count: int = 1) -> Any:
    """Count."""
    return lambda info: {"counted": jnp.float32(count)}


def test_a_run_with_a_probe_of_a_function_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the same, where a function stands in the list of probes, with a keyword."""
    train = {**given()["train"], "probes": ["gradient_norm", {"factory": counted, "count": 3}]}
    config = {**given(), "data": STUDY["data"], "train": train}
    assert stopped_at(2, ("train", config), tmp_path / "run", monkeypatch, resume_hint=FROM_PYTHON)
    with pytest.raises(ConfigError, match="train.probes stands for what was given from Python; give the config again"):
        dp.resume(tmp_path / "run")
    run = dp.resume(tmp_path / "run", config=config)
    assert (run.results.counted == 3).all() and run.summary["own_probes"]["counted"] == {
        "probe": "counted", "what": "Count."
    }  # fmt: skip
    other = {**config, "train": {**train, "probes": ["gradient_norm", {"factory": counted, "count": 4}]}}
    with pytest.raises(ConfigError, match=r"config: train.probes\[1\].count: found 4, expected 3 as in"):
        dp.add_seeds(run.path, 3, tmp_path / "longer", config=other)


def test_a_run_on_arrays_is_given_more_seeds(run: Run, tmp_path: Path) -> None:
    """Lost: what was trained, whenever a verdict on one's own data asks for more seeds."""
    longer = dp.add_seeds(run.path, 3, tmp_path / "longer", config=given())
    assert longer.results.seed.values.tolist() == [0, 1, 2]
    xr.testing.assert_equal(longer.results.score.isel(seed=[0, 1]), run.results.score)
    assert dp.add_seeds(longer, 4, tmp_path / "longest").results.sizes["seed"] == 4  # as it made the run itself


def test_a_run_on_arrays_is_looked_at(run: Run, tmp_path: Path) -> None:
    """Lost: probes and replay of networks trained on one's own data."""
    found = dp.probe(run.path, tmp_path / "probe", examples=32, config=given())
    assert found.results.sharpness.sizes["seed"] == 2
    for one in (dp.replay(run.path, "1", last=2, config=given()), dp.replay(run, "1", last=2)):
        assert [look.step for look in one.looks] == [18, 19]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, r'data.inputs, data.targets stand for what was given from Python; .*dp.add_seeds\(".*", 3, config=conf'),
        (given(X + 1e-3), r"config: data.inputs: found .*<array .*, expected .*<array .* as in .*config.toml; give "),
        (given(optimizer="adam"), r"config: optimizer.name: found .*adam.*, expected .*sgd.* as in "),
    ],
)
def test_what_is_given_again_is_what_was_given(run: Run, config: Any, message: str, tmp_path: Path) -> None:
    """Lost: whose numbers they are, where half of a run is of other data or another method than its config says."""
    with pytest.raises(ConfigError, match=message) as error:
        dp.add_seeds(run.path, 3, tmp_path / "longer", config=config)
    assert "\n" not in str(error.value) and not (tmp_path / "longer").exists()


def test_data_of_another_library_are_compared_by_content(tmp_path: Path) -> None:
    """Lost: the same, where config.toml holds nothing of the data but their name."""
    config = given(data={"name": "dataset", "items": Pairs(X), "batch_size": 16})
    run = dp.train(config, tmp_path / "run")
    assert dp.replay(run.path, "0", last=1, config=config).diverged_at == -1
    other = {**config, "data": {**config["data"], "items": Pairs(2 * X + X**2)}}
    with pytest.raises(IntegrityError, match="the data of run are not those that the run began with; give those again"):
        dp.replay(run.path, "0", last=1, config=other)


def test_the_command_says_how_it_is_done_from_python(run: Run, tmp_path: Path) -> None:
    """Lost: the way on, for whoever types what the end of a run said."""
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run/status.json").write_text((run.path / "status.json").read_text().replace("finished", "stopped"))
    answer = CliRunner().invoke(app, ["resume", str(tmp_path / "run")])
    assert answer.exit_code != 0 and f'dp.resume("{tmp_path / "run"}", config=config)' in answer.output.replace(
        "\n", ""
    )
