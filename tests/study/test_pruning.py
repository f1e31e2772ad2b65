"""Successive halving: every arm has the same steps, and what is chosen had all of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.errors import ConfigError
from deepprinciples.parts import search_methods
from deepprinciples.stats.searches import Budget, Judge, run_searches
from deepprinciples.stats.trials import Axis

LADDER = search_methods.successive_halving(factor=3, rungs=3)


def test_the_ladder_by_hand() -> None:
    """Lost: the budget on the card."""
    assert [(one.trials, one.share) for one in LADDER(9)] == [(9, 1 / 9), (3, 1 / 3), (1, 1.0)]
    assert [one.trials for one in LADDER(2)] == [2, 1, 1]
    budget = Budget(9, 0, [[0]], 0, search_methods.random().ask, 1, LADDER)
    assert budget.runs == pytest.approx(9 / 9 + 3 / 3 + 1)


def test_the_best_go_on_and_the_last_is_chosen() -> None:
    """Lost: a trial that looked best when it was short is reported as tuned; arms go on with each other's trials."""
    seen = []

    def train(label: str, rows: list, share: float) -> SimpleNamespace:
        at = np.array([[point["x"] for point in points] for _, points in rows])
        seen.append((label, share, at))
        # arm 0 is best at 0, arm 1 at 1; a short run of arm 0 promises more than a long one holds
        scores = np.stack([-at[:, 0] + (share < 1) * 0.5, at[:, 1]], axis=1)
        return SimpleNamespace(final={"m": scores}, diverged_at=np.full(at.shape, -1), seconds=1.0)

    space = {"x": Axis(0.0, 1.0, False)}
    budget = Budget(9, 0, [[5], [6]], 0, search_methods.sobol().ask, 1, LADDER)
    found, seconds = run_searches(train, {"a": space, "b": space}, budget, Judge("m", True, None))
    assert [(label, at.shape) for label, _, at in seen] == [
        ("tune-0-rung-0", (18, 2)), ("tune-0-rung-1", (6, 2)), ("tune-0-rung-2", (2, 2))
    ]  # fmt: skip
    assert seconds == 3.0
    for block in range(2):
        for arm, best in (("a", min), ("b", max)):
            one = found[arm][block]
            tried = [point["x"] for point in one.points]
            assert one.chosen["x"] == best(tried) and sorted(one.shares) == pytest.approx(
                [1 / 9] * 6 + [1 / 3] * 2 + [1]
            )
            assert one.scores.shape == (9, 1) and np.isfinite(one.scores).all()


def _config(**study: object) -> dict:
    return {
        "data": "wine", "model": {"name": "mlp", "depth": 1, "width": 4}, "loss": "softmax_cross_entropy",
        "optimizer": "sgd", "train": {"steps": 90, "probes": [], "evaluate_every": 10},
        "arms": {"a": {}, "b": {"model.dropout": 0.3}},
        "study": {
            "searches": 2, "trials": 9, "seeds": 1,
            "tune": {"optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"}}, **study,
        },
    }  # fmt: skip


def test_a_short_run_is_the_beginning_of_a_long_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: what a rung measures: the validation score that the same run has at that step."""
    monkeypatch.setenv("DEEPPRINCIPLES_CACHE", str(tmp_path))  # a program of an earlier test run is not compiled
    pruned = dp.compare(_config(pruning={"name": "successive_halving"}), tmp_path / "pruned")
    whole = dp.compare(_config(), tmp_path / "whole")
    tried, every = pruned.trials(), whole.trials()
    assert (
        tried.groupby("arm")["share"].apply(lambda s: sorted(s.round(3))).tolist()
        == [[0.111] * 12 + [0.333] * 4 + [1.0] * 2] * 2
    )
    same = tried.merge(every, on=["arm", "search", "trial", "replicate"], suffixes=("", "_whole"))
    last = same[same.share == 1.0]
    assert (last["score"] == last["score_whole"]).all() and (same["score"] != same["score_whole"]).any()
    assert tried[tried.chosen].share.eq(1.0).all()
    assert pruned.summary["budget"] == {} and any("given up" in one for one in pruned.summary["limits"])
    assert all(program["compiles"] == 1 for program in pruned.summary["programs"])


def test_rounds_and_rungs_are_refused_together() -> None:
    """Lost: a search that learns from runs of other lengths without a word."""
    with pytest.raises(ConfigError, match="study.pruning: later rounds of study.search"):
        dp.compare(_config(search={"name": "optuna", "rounds": 2}, pruning="successive_halving"))
