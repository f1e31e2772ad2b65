"""Trained models: what is loaded from a run answers as it did when it was judged, state and chosen settings and all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.engine.lane.evaluation import SEED
from deepprinciples.engine.streams import lane_key
from deepprinciples.errors import ConfigError, IntegrityError
from deepprinciples.kernels import random
from deepprinciples.kernels.keys import stream
from deepprinciples.runs import arrays, directory, files

BASE: dict[str, Any] = {
    "data": {"name": "digits", "batch_size": 32},
    "model": {"name": "mlp", "depth": 2, "width": 8, "normalization": "batch"},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.3, "momentum": 0.9},
    "train": {"steps": 40, "evaluate_every": 20, "probes": []},
    "study": {
        "keep": 2, "searches": 2, "trials": 2, "seeds": 2,
        "tune": {"optimizer.learning_rate": {"low": 0.01, "high": 0.3, "scale": "log"}},
    },
    "arms": {
        "plain": {},
        "50/50 %": {"weight_averaging": {"name": "ema", "decay": 0.9}},
        "scaled": {
            "model.skip": "residual",
            "tune": {"model.branch_scale": {"low": 0.1, "high": 2.0, "scale": "log"}},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three arms with batch normalization: plain, averaged, and one whose network has a tuned number in it."""
    return dp.compare(BASE, tmp_path_factory.mktemp("kept") / "run")


def accuracy(model: Any, params: Any) -> float:
    found = np.asarray(model.predict(params, model.data.test.inputs)).argmax(axis=-1)
    return float(np.mean(found == model.data.test.targets))


@pytest.mark.parametrize("arm", list(BASE["arms"]))
def test_a_kept_model_is_the_one_that_was_judged(run: Any, arm: str) -> None:
    """Lost: every number read off a kept network, where its statistics or its chosen settings are those of another."""
    for seed in (0, 1):
        model, params = run.model(arm, seed=seed)
        assert accuracy(model, params) == pytest.approx(float(run.results.score.sel(arm=arm, seed=seed)), abs=1e-6)
        outputs, seen = model.apply(params, model.data.test.inputs[:5])
        np.testing.assert_array_equal(outputs, model.predict(params, model.data.test.inputs[:5]))
        assert seen["layer_01"].shape == (5, 8)


def test_without_its_state_the_scores_are_others(run: Any) -> None:
    """Lost: proof that the test above would see wrong statistics."""
    model, params = run.model("plain", seed=0)
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(model.state)) > 0
    from deepprinciples.parts.models.mlp import mlp

    bare = mlp(outputs=10, depth=2, width=8, normalization="batch")
    _, start = bare.init(jax.random.key(0), model.data.test.inputs[:1])
    outputs = bare.apply(params, start, model.data.test.inputs, key=None, train=False)[0]
    assert not np.allclose(outputs, model.predict(params, model.data.test.inputs), atol=1e-2)


def test_only_the_seeds_asked_for_are_kept(run: Any) -> None:
    """Lost: disk space for every seed of a large study; or which seed is meant."""
    kept = arrays.load_arrays(run.path / directory.PARAMETERS)
    assert all(set(one) == {"seed-0", "seed-1", "state-0", "state-1"} for one in kept.values()) and len(kept) == 3
    with pytest.raises(ConfigError, match="^seed: found 3; expected one of those kept, 0, 1$"):
        run.model("plain", seed=3)
    with pytest.raises(ConfigError, match='^arm: found "plane"; expected one of .*did you mean "plain"'):
        run.model("plane")
    with pytest.raises(ConfigError, match="^arm: found none; expected one of plain, "):
        run.model()


def test_a_kept_model_is_exported(run: Any, tmp_path: Path) -> None:
    """Lost: the weights of one arm for another framework, or the running statistics that belong to them."""
    path = dp.export_parameters(run.path, tmp_path / "own", arm="50/50 %", seed=1, naming="own")
    kept = arrays.load_flat(path.read_bytes(), path)
    model, params = run.model("50/50 %", seed=1)
    np.testing.assert_array_equal(kept["layer_01/linear/kernel"], params["layer_01"]["linear"]["kernel"])
    norm = model.state["batch_stats"]["layer_01"]["norm"]
    np.testing.assert_array_equal(kept["state/batch_stats/layer_01/norm/mean"], norm["mean"])
    back, state = dp.import_parameters(path, run.path / directory.CONFIG)
    jax.tree.map(np.testing.assert_array_equal, (back, state), (params, model.state))


def test_keeping_changes_no_number(run: Any, tmp_path: Path) -> None:
    """Lost: the verdict would depend on whether somebody wants the weights."""
    study = {**BASE["study"], "keep": 0}
    bare = dp.compare({**BASE, "study": study}, tmp_path / "bare")
    assert bare.results.identical(run.results) and not (bare.path / directory.PARAMETERS).exists()
    with pytest.raises(ConfigError, match="keeps no parameters; set study.keep = 1 or more"):
        bare.model("plain")
    with pytest.raises(ConfigError, match="^study.keep: expected a whole number of at least 0, found -1"):
        dp.compare({**BASE, "study": {**study, "keep": -1}}, tmp_path / "none")


def test_more_seeds_keep_the_same_ones(run: Any, tmp_path: Path) -> None:
    """Lost: the kept networks of a run that is extended, or a run that cannot be extended because it kept some."""
    longer = dp.add_seeds(run.path, 6, tmp_path / "longer")
    assert longer.results.isel(seed=slice(4)).score.identical(run.results.score)
    one, other = (arrays.load_flat((r.path / directory.PARAMETERS).read_bytes(), "") for r in (run, longer))
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_run_is_loaded_from_its_directory(run: Any, tmp_path: Path) -> None:
    """Lost: a trained network on another day, or from a copy of its run."""
    shutil.copytree(run.path, tmp_path / "copy")
    model, params = dp.load_model(tmp_path / "copy", "plain", 1)
    own, theirs = run.model("plain", seed=1)
    np.testing.assert_array_equal(
        model.predict(params, model.data.test.inputs), own.predict(theirs, model.data.test.inputs)
    )


def without_state(path: Path, copy: Path) -> Path:
    """Copy a run as an earlier version wrote it: no state beside the parameters."""
    shutil.copytree(path, copy)
    kept = arrays.load_arrays(copy / directory.PARAMETERS)
    (copy / directory.PARAMETERS).unlink()
    arrays.save_arrays({name: one for name, one in kept.items() if "seed" in name}, copy / directory.PARAMETERS)
    told = json.loads((copy / directory.MANIFEST).read_text())
    told["files"] = directory.file_hashes(copy)
    told.pop("sha256")
    files.write_json(copy / directory.MANIFEST, {**told, "sha256": files.seal(told)})
    return copy


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_file_without_state_is_read_or_refused(normalization: str, tmp_path: Path) -> None:
    """Lost: old runs of networks that carry no state; or silence where the statistics are missing."""
    model = {**BASE["model"], "normalization": normalization}
    given = {key: one for key, one in BASE.items() if key != "arms"} | {"model": model, "study": {}}
    run = dp.train(given, tmp_path / "run")
    old = without_state(run.path, tmp_path / "old")
    if normalization == "batch":
        with pytest.raises(IntegrityError, match="holds no state of the model .*train it anew") as error:
            dp.load_model(old)
        assert "\n" not in str(error.value)
        return
    model, params = dp.load_model(old)
    assert accuracy(model, params) == pytest.approx(run.results.score.item(), abs=1e-6)


def test_functions_and_arrays_come_from_the_run_or_are_asked_for(tmp_path: Path) -> None:
    """Lost: the networks of data given from Python, which no file holds."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(120, 4))
    data = {"name": "arrays", "inputs": inputs, "targets": (inputs[:, 0] > 0).astype(int), "batch_size": 16}
    given = {**{key: one for key, one in BASE.items() if key != "arms"}, "data": data, "study": {}}
    run = dp.train(given, tmp_path / "run")
    for model, params in (run.model(), dp.load_model(run.path, config=given)):
        assert accuracy(model, params) == pytest.approx(run.results.score.item(), abs=1e-6)
    with pytest.raises(ConfigError, match="data.inputs stands for a value given from Python"):
        dp.load_model(run.path)


GAME: dict[str, Any] = {
    "data": {"name": "digits", "batch_size": 16},
    "learner": {
        "name": "gan",
        "latent": 3,
        "conditional": True,
        "average": 0.9,
        "snapshots": 6,
        "pac_size": 2,
    },  # fmt: skip
    "generator": {"model": {"name": "mlp", "depth": 1, "width": 8}, "optimizer": "adam"},
    "discriminator": {"model": {"name": "mlp", "depth": 1, "width": 8}, "optimizer": "adam"},
    "train": {"steps": 6, "probes": []},
    "study": {"metric": "sliced_wasserstein"},
}


@pytest.mark.parametrize("normalization", ["batch"])
def test_the_generator_is_the_one_that_was_judged(normalization: str, tmp_path: Path) -> None:
    """Lost: samples of other weights than those of the report: the last ones, or with statistics of others."""
    players = {player: {**GAME[player]} for player in ("generator", "discriminator")}
    for one in players.values():
        one["model"] = {**one["model"], "normalization": normalization}
    run = dp.train({**GAME, **players}, tmp_path / "run")
    model, params = run.model()
    noise = random.normal(stream(lane_key(SEED), "latent"), (6, 3))
    made = model.predict(params, (noise, np.arange(6) % 10))
    assert made.shape == (6, 8, 8, 1)
    np.testing.assert_allclose(made, run.results.samples.values[0, 0, -1], atol=1e-5)
    judge, own = run.model(player="discriminator")
    logits, seen = judge.apply(own, np.zeros((4, 8, 8, 2 * 11), np.float32))
    assert logits.shape == (4, 1) and seen["layer_00"].shape == (4, 8)
    with pytest.raises(ConfigError, match="^player: found 'critic'; expected generator or discriminator$"):
        run.model(player="critic")
