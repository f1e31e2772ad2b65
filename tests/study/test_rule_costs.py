"""Rules in whole runs: swept, counted, and refused in words."""

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.errors import ConfigError


def test_sam_runs_and_is_counted_twice(small, tmp_path):
    """A method that takes two gradients a step would look as cheap as one that takes one."""
    config = small(arms={}, gradient={"name": "sam", "rho": 0.05}, **{"train.steps": 6, "train.seeds": 2})
    run = dp.train(config, tmp_path / "run")
    cost = run.summary["cost"]
    assert cost["gradient_evaluations"] == 2 * cost["model_steps"] == 2 * 2 * 6
    assert np.isfinite(run.results.score).all()


def test_rho_is_swept_in_one_program(small, tmp_path):
    """Each radius would be compiled for itself; or all lanes would train with the same."""
    arms = {"off": {"gradient.rho": 0.0}, "on": {"gradient.rho": 0.5}, "plain": {"gradient": {"name": "plain"}}}
    changes = {"train.steps": 6, "study.seeds": 2, "study.tuning_seeds": 1, "study.trials": 2, "study.metric": "cross_entropy"}  # fmt: skip  # noqa: E501
    run = dp.compare(small(arms=arms, gradient={"name": "sam"}, **changes), tmp_path / "run")
    programs = {tuple(row["arms"]): row for row in run.summary["programs"]}
    assert set(programs) == {("off", "on"), ("plain",)}
    assert "gradient.rho" in programs["off", "on"]["traced"]
    assert [row["gradient_evaluations_per_step"] for row in programs.values()] == [2, 1]
    loss = run.results.train_loss
    np.testing.assert_allclose(loss.sel(arm="off"), loss.sel(arm="plain"), rtol=1e-5)
    assert not np.allclose(loss.sel(arm="on"), loss.sel(arm="off"), rtol=1e-3)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "microbatches", "count": 3}, "a batch of 16 does not come in 3 equal shares"),
        ({"name": "sam", "rho": -1.0}, "gradient.rho: expected"),
    ],
)
def test_what_cannot_be_is_refused_before_the_run(small, tmp_path, rule, words):
    """The run would end in an error of the compiler, or climb instead of descend."""
    with pytest.raises(ConfigError, match=words):
        dp.train(small(arms={}, gradient=rule), tmp_path / "run")


def test_shares_are_judged_by_the_batch_size(small, tmp_path):
    """Four shares would be refused, as though a batch had the two examples on which shapes are checked."""
    run = dp.train(
        small(arms={}, gradient={"name": "microbatches", "count": 8}, **{"train.steps": 2}), tmp_path / "run"
    )
    assert run.summary["cost"]["gradient_evaluations"] == run.summary["cost"]["model_steps"]
