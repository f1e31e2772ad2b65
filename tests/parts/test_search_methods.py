"""Search methods: equal for all arms, within the cube, and each as its card says."""

import sys
from pathlib import Path

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.errors import ConfigError, ResourceError
from deepprinciples.parts import search_methods
from deepprinciples.parts.search_methods import TABLE
from deepprinciples.stats.searches import Budget, Judge, run_searches
from deepprinciples.stats.trials import Axis

NOTHING = (np.zeros((0, 2)), np.zeros(0))
LINE = (np.zeros((0, 1)), np.zeros(0))
RNG = np.random.default_rng(0)
SOME = (RNG.random((6, 2)), RNG.random(6))


@pytest.mark.parametrize("name", list(TABLE))
@pytest.mark.parametrize("tried", [NOTHING, SOME])
def test_the_same_seed_asks_for_the_same_places(name: str, tried: tuple) -> None:
    """Lost: arms that try the same settings, and a search that resumes as it began."""
    one, same = (TABLE[name]().ask(4, (1, 2, 0), *tried) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert one.shape == (4, 2) and (one >= 0).all() and (one <= 1).all()
    if name != "grid":
        assert not np.array_equal(one, TABLE[name]().ask(4, (1, 3, 0), *tried))


def test_a_grid_by_hand() -> None:
    """Lost: both ends of each range."""
    found = search_methods.grid().ask(4, (0,), *NOTHING)
    assert found.tolist() == [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    assert search_methods.grid().ask(3, (0,), *LINE).tolist() == [[0.0], [0.5], [1.0]]
    assert search_methods.grid().ask(1, (0,), *NOTHING).tolist() == [[0.5, 0.5]]


def test_sobol_covers_and_random_does_not() -> None:
    """Lost: few trials that cover the range: of 8 Sobol points each eighth holds one."""
    eighths = lambda name, seed: sorted(np.floor(8 * TABLE[name]().ask(8, (seed,), *LINE)[:, 0]).astype(int))
    assert all(eighths("sobol", seed) == list(range(8)) for seed in range(5))
    assert not any(eighths("random", seed) == list(range(8)) for seed in range(5))


def _search(method: search_methods.SearchMethod, trials: int, searches: int = 8) -> tuple[list[float], list[str]]:
    """Search for the place of a narrow peak, and return how far each search stays from it, and the rounds."""
    rounds = []

    class Outcome:
        def __init__(self, rows: list) -> None:
            at = np.array([[(point["x"], point["y"]) for point in points] for _, points in rows])
            self.final = {"m": np.sum(np.abs(at - [0.31, 0.77]), axis=2)}
            self.diverged_at, self.seconds = np.full(self.final["m"].shape, -1), 0.0

    def train(label: str, rows: list, share: float) -> Outcome:
        rounds.append(label)
        return Outcome(rows)

    space = {"x": Axis(0.0, 1.0, False), "y": Axis(0.0, 1.0, False)}
    budget = Budget(trials, 0, [[b] for b in range(searches)], 0, method.ask, method.rounds)
    found, _ = run_searches(train, {"a": space}, budget, Judge("m", False, None))
    assert all(len(one.points) == trials for one in found["a"])
    return [float(one.scores.min()) for one in found["a"]], rounds


def test_optuna_learns_from_its_rounds() -> None:
    """Lost: what Optuna is for. On a peak without noise its best of 32 is nearer than that of random search."""
    near, rounds = _search(search_methods.optuna(rounds=8), 32)
    far, once = _search(search_methods.random(), 32)
    assert rounds == [f"tune-0-{k}" for k in range(8)] and once == ["tune-0"]
    assert np.median(near) < 0.6 * np.median(far), (near, far)


def test_a_search_with_optuna_is_a_study_like_any_other(tmp_path: Path) -> None:
    """Lost: equal budgets, one compile a group, and trials in the results."""
    run = dp.compare(_config({"name": "optuna", "rounds": 2}, trials=6), tmp_path / "run")
    tried = run.trials()
    assert tried.groupby(["arm", "search"]).size().tolist() == [6] * 4
    # None where an earlier run of the tests has left the program.
    assert all(program["compiles"] <= 1 for program in run.summary["programs"])
    first = tried[tried.trial < 3].groupby("arm")["optimizer.learning_rate"].apply(list)
    assert first.iloc[0] == first.iloc[1], "arms begin with different settings"


def _config(search: object, trials: int) -> dict:
    return {
        "data": "wine", "model": {"name": "mlp", "depth": 1, "width": 4}, "loss": "softmax_cross_entropy",
        "optimizer": "sgd", "train": {"steps": 10, "probes": []}, "arms": {"a": {}, "b": {"model.activation": "tanh"}},
        "study": {
            "search": search, "searches": 2, "trials": trials, "seeds": 1,
            "tune": {
                "optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"},
                "model.dropout": {"low": 0.0, "high": 0.5, "scale": "linear"},
            },
        },
    }  # fmt: skip


def test_what_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a grid that tries other numbers of settings than asked for; which extra is missing."""
    with pytest.raises(ConfigError, match="study.trials: found 8 trials of 2 tuned .* such as 4 or 9 or 16"):
        dp.compare(_config("grid", trials=8))
    with pytest.raises(ConfigError, match='study.search.name: no search "sobel"; did you mean "sobol"'):
        dp.compare(_config("sobel", trials=8))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ResourceError, match=r'pip install "deepprinciples\[optuna\]"'):
        search_methods.optuna()
