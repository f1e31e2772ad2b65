"""Averaged weights in a run: judged in place of the last ones, beside them, with statistics of their own."""

import jax
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.engine.streams import lane_key
from deepprinciples.errors import ConfigError
from deepprinciples.learners import averaging
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.runs import arrays
from deepprinciples.types import Batch

BASE = {
    "data": {"name": "digits", "batch_size": 32},
    "model": {"name": "mlp", "depth": 1, "width": 16, "normalization": "batch"},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 1.0, "momentum": 0.9},
    "train": {"steps": 120, "evaluate_every": 60, "probes": []},
    "study": {"trials": 1, "seeds": 8},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    arms = {"plain": {}, "ema": {"weight_averaging": {"name": "ema", "decay": 0.95}}}
    return dp.compare({**BASE, "arms": arms}, tmp_path_factory.mktemp("averages") / "run")


def test_raw_weights_are_judged_beside_the_average(run) -> None:
    """Lost: nobody could tell whether the average or the luck of the arm was better."""
    results = run.results
    raw = results["validation_raw_accuracy"].sel(arm="ema").values
    plain = results["validation"].sel(arm="plain").values
    np.testing.assert_allclose(raw[:, 0], plain[:, 0], atol=0.03)  # the same lanes, by another program
    assert np.isnan(results["validation_raw_accuracy"].sel(arm="plain")).all()
    assert not np.allclose(results["score"].sel(arm="ema"), results["test_raw_accuracy"].sel(arm="ema"))
    loss = [float(results[name].sel(arm="ema").mean()) for name in ("test_loss", "test_raw_loss")]
    assert loss[0] < loss[1]  # at so high a rate the last weights shake


def test_the_verdict_tells_averaged_from_raw(run) -> None:
    """Lost: two numbers without what may be said of them."""
    (row,) = run.summary["averages"]
    assert (row["a"], row["b"], row["n"]) == ("ema, averaged", "ema, raw", 8)
    results = run.results.sel(arm="ema")
    assert row["difference"] == pytest.approx(float((results.score - results.test_raw_accuracy).mean()), abs=1e-6)
    assert "Averaged and raw weights" in (run.path / "report.html").read_text()


def test_a_comparison_keeps_no_weights_to_probe(run):
    """Lost: a traceback in place of a line that tells what to do."""
    with pytest.raises(ConfigError, match="probe a run of train"):
        dp.probe(run.path)


def test_statistics_are_those_of_the_weights() -> None:
    """Lost: averaged weights with the statistics of others are worse than either."""
    model = mlp(outputs=3, depth=1, width=5, normalization="batch")
    inputs = np.random.default_rng(0).normal(2.0, 3.0, (4, 32, 7)).astype(np.float32)
    params, kept = model.init(lane_key(0), inputs[0])
    batches = Batch(inputs, np.zeros((4, 32), np.int32))
    passed = lambda params, state, batch: model.apply(params, state, batch.inputs, key=lane_key(1), train=True)[1]
    found = averaging.statistics(passed, params, kept, batches)
    z = inputs @ np.asarray(params["layer_00"]["linear"]["kernel"]) + np.asarray(params["layer_00"]["linear"]["bias"])
    leaves = {str(path[-1].key): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(found)[0]}
    np.testing.assert_allclose(leaves["mean"], z.mean(axis=1).mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(leaves["var"], z.var(axis=1).mean(axis=0), rtol=1e-4)


def test_a_run_keeps_the_averaged_weights(tmp_path) -> None:
    """Lost: the weights that were judged could not be had."""
    config = {**BASE, "model": {"name": "mlp", "depth": 0}, "weight_averaging": {"name": "swa", "start": 0.5}}
    run = dp.train({**config, "train": {**BASE["train"], "seeds": 2}}, tmp_path / "run")
    from deepprinciples import config as configs
    from deepprinciples.learners.assembly import from_config

    resolved = configs.resolve(configs.load(run.path / "config.toml"), from_config.KINDS)
    parts = from_config.dataset(resolved)
    kept = arrays.load_arrays(run.path / "parameters.safetensors")["seed-0"]["output"]
    outputs = parts.test.inputs.reshape(len(parts.test.inputs), -1) @ kept["kernel"] + kept["bias"]
    accuracy = (outputs.argmax(axis=1) == parts.test.targets).mean()
    assert float(run.results.score.values[0, 0]) == pytest.approx(accuracy, abs=1e-6)
    assert float(run.results.test_raw_accuracy.values[0, 0]) != pytest.approx(accuracy, abs=1e-9)
