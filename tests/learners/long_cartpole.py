"""What policy gradients reach where everybody has tried them, in some minutes."""

from __future__ import annotations

from pathlib import Path

import deepprinciples as dp


def test_ppo_balances_in_the_steps_that_others_need(tmp_path: Path) -> None:
    """Lost: learning that is slower than PureJaxRL's, whose settings these are."""
    config = {
        "learner": {"name": "policy_gradient", "environment": "cartpole", "policy_scale": 0.01, "value_clip": 0.2},
        "model": {"name": "mlp", "depth": 2, "width": 64, "activation": "tanh",
                  "initializer": {"name": "orthogonal", "gain": 2**0.5}},
        "optimizer": {"name": "adam", "learning_rate": 2.5e-4, "eps": 1e-5},
        "schedule": {"name": "linear"},
        "transforms": {"clip_by_global_norm": {"max_norm": 0.5}},
        "train": {"steps": 976, "seeds": 10, "evaluate_every": 976, "probes": []},
    }  # fmt: skip
    run = dp.train(config, tmp_path / "run")
    assert int(run.results.environment_steps[-1]) < 500_000
    assert int((run.results.score >= 475).sum()) >= 9, run.results.score.values
