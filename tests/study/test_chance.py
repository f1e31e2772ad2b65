"""What a network that learned nothing scores, and that a result at this level is called so."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.model_sizes import shapes_of

BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 6},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 60, "seeds": 4, "probes": []},
}


def constant(**changes: object) -> tuple[float | None, object]:
    resolved = configs.resolve({**BASE, **changes}, from_config.KINDS)
    data = from_config.dataset(resolved)
    shapes = shapes_of(resolved, data)
    return shapes and from_config.constant_score(resolved, data, shapes.answer), data


def test_a_constant_answer_by_hand() -> None:
    """Lost: the level that every score has to be held against."""
    score, data = constant()
    counts = np.bincount(data.train.targets)  # type: ignore[attr-defined]
    test = data.test.targets  # type: ignore[attr-defined]
    assert score == pytest.approx(np.mean(test == counts.argmax()))
    score, _ = constant(study={"metric": "cross_entropy"})
    assert score == pytest.approx(-np.log(counts / counts.sum())[test].mean(), rel=1e-5)
    real = {"data": {"name": "diabetes"}, "loss": {"name": "mse"}, "study": {"metric": "mse"}}
    score, data = constant(**real)
    train, test = data.train.targets, data.test.targets  # type: ignore[attr-defined]
    assert score == pytest.approx(np.mean((test - train.mean(axis=0)) ** 2), rel=1e-5)


def test_what_has_no_constant_answer() -> None:
    """Lost: a number that means nothing, or a traceback, where outputs are not class scores."""

    def net(*, outputs: int) -> object:
        def init(key: object, x: jnp.ndarray) -> dict[str, jnp.ndarray]:
            return {"w": jnp.ones((x.shape[1], outputs))}

        return init, lambda p, x: {"logits": x @ p["w"]}

    def loss() -> object:
        return lambda o, t: optax.softmax_cross_entropy_with_integer_labels(o["logits"], t)

    def right() -> object:
        return lambda o, t: (o["logits"].argmax(-1) == t).astype(jnp.float32)

    own = {"model": {"factory": net}, "loss": {"factory": loss}, "study": {"metric": {"factory": right}}}
    own["study"]["direction"] = "max"  # type: ignore[assignment]
    assert constant(**own)[0] is None


@pytest.mark.parametrize(("rate", "at_chance"), [(1e-7, True), (0.3, False)])
def test_train_says_that_a_result_is_at_chance(rate: float, at_chance: bool, tmp_path: Path) -> None:
    """Lost: the first thing a reader must know of a network that learned nothing."""
    run = dp.train({**BASE, "optimizer": {"name": "sgd", "learning_rate": rate}}, tmp_path / "run")
    (row,) = run.summary["arms"]
    assert 0 < row["constant"] < 0.6
    said = [line for line in run.summary["warnings"] if line.startswith("run: at chance: accuracy")]
    assert bool(said) == at_chance


def test_a_clip_that_never_acts_is_named(tmp_path: Path) -> None:
    """Lost: why two arms are equal. A tuned bound that nothing reaches must not end the run either."""
    tune = {"transforms.clip_by_global_norm.max_norm": {"low": 50.0, "high": 500.0}}
    study = {"searches": 6, "trials": 4, "tuning_seeds": 3, "seeds": 1, "tune": tune}
    train = {"steps": 10, "probes": ["trigger_rate"]}
    arms = {"plain": {}, "clipped": {"transforms.clip_by_global_norm": {}}}
    run = dp.compare({**BASE, "train": train, "study": study, "arms": arms}, tmp_path / "run")
    assert "clipped: clip_by_global_norm never acted: its trigger rate is 0 in every run" in run.summary["warnings"]
    (row,) = run.summary["comparisons"]
    assert row["identical"] and "to the bit, in all 6 runs" in row["sentence"]
    assert "clipped gave the very scores of plain, to the bit" in run.summary["headline"]


def test_one_seed_above_chance_is_not_called_at_chance(tmp_path: Path) -> None:
    """Lost: a first run of accuracy 1 with a warning that it learned nothing, since one seed has no interval."""
    adam = {"name": "adam", "learning_rate": 0.01}
    run = dp.train({**BASE, "optimizer": adam, "train": {"steps": 100, "seeds": 1, "probes": []}}, tmp_path / "run")
    (row,) = run.summary["arms"]
    assert row["mean"] > 0.8 and row["interval"] == [None, None]
    assert not any("at chance" in line for line in run.summary["warnings"])
