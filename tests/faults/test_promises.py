"""What is promised of runs: kills, stops and neighbors change no bit, and saving costs next to nothing."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small_runs import GAME

from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.learners.assembly import from_config
from deepprinciples.runs import checkpoints
from deepprinciples.runs.stopping import Stop
from deepprinciples.study import progress_store
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.groups import arm_of, group_arms

Often = Callable[[int, int], int]
Account = Callable[..., None]
ROOM = Path(__file__).parent


def driven(mode: str, folder: Path, count: int) -> dict[str, Any]:
    """Let `killing.py` do its work in a process of its own."""
    command = [sys.executable, str(ROOM / "killing.py"), mode, str(folder), str(count), "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_kills_at_any_time_change_nothing(tmp_path: Path, often: Often, account: Account) -> None:
    """P2, P3, P13, P15: a preempted machine would cost the run, or change its numbers in silence."""
    found = driven("kill", tmp_path, often(3, 200))
    account("P2", **found)
    assert found["kills"] == often(3, 200) and found["bit_identical"] == found["runs"]


@pytest.mark.slow  # test_signals_from_outside stops one
def test_stops_at_any_time_save_and_leave(tmp_path: Path, often: Often, account: Account) -> None:
    """P11: a scheduler gives ten seconds; a run that takes longer is killed."""
    found = driven("stop", tmp_path, often(3, 50))
    account("P11", **found)
    assert found["stops"] > 0 and found["bit_identical"] == found["runs"] and found["slowest_seconds"] < 10


@pytest.mark.slow
def test_fresh_processes_give_the_same_bits(tmp_path: Path, often: Often, account: Account) -> None:
    """P6: nobody could repeat a result, not even on the machine it came from."""
    found = driven("repeat", tmp_path, often(1, 20))
    account("P6", **found)
    assert found["bit_identical"] == found["processes"]


X = np.random.RandomState(0).randn(60, 6, 6, 1).astype(np.float32)
INPUTS = {"mlp": X.reshape(60, 36), "cnn": X, "lstm": X[..., 0]}
MODELS = {
    "mlp": {"name": "mlp", "depth": 2, "width": 5},
    "cnn": {"name": "cnn", "depth": 1, "width": 2, "stages": 1},
    "lstm": {"name": "lstm", "depth": 1, "width": 4},
}
WIDTH, RATE = 4, 0.1


@pytest.fixture(scope="module", params=[*MODELS, "game"])
def made(request: pytest.FixtureRequest) -> prepared_group.Bench:
    """A program of four lanes on one device, the rate traced."""
    if request.param == "game":
        config = configs.resolve(
            {**GAME, "train": {"steps": 12, "probes": [], "evaluate_every": 6}}, from_config.KINDS, command="train"
        )
        return _made(config, "generator.optimizer.learning_rate")
    config = configs.resolve({
        "data": {"name": "arrays", "inputs": INPUTS[request.param], "targets": np.arange(60) % 3, "batch_size": 8},
        "model": MODELS[request.param],
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "train": {"steps": 12, "probes": ["gradient_norm"], "probe_every": 3, "evaluate_every": 6},
    }, from_config.KINDS, command="train")  # fmt: skip
    return _made(config, "optimizer.learning_rate")


def _made(config: dict[str, Any], rate: str) -> prepared_group.Bench:
    group = group_arms([arm_of("run", config, {rate: {"low": 0.01, "high": 1.0}})])[0]
    return prepared_group.set_up(group, from_config.dataset(config), Train(**config["train"]), [WIDTH] * 2)


def lanes(made: prepared_group.Bench, seeds: list[int]) -> list[list[bytes]]:
    """Train lanes; gives the bytes of all that each of them left."""
    rows = [(seed, [{made.group.names[0]: RATE}]) for seed in seeds]
    outcome = prepared_group.train(made, rows, on_test=False, progress=lambda steps: None, keep_states=True)
    leaves = jax.tree.leaves(outcome._replace(seconds=None))
    return [[np.asarray(leaf)[k].tobytes() for leaf in leaves] for k in range(len(seeds))]


def test_a_bad_lane_changes_no_bit_of_the_others(made: prepared_group.Bench, often: Often, account: Account) -> None:
    """P4: one wild rate would spoil a whole sweep."""
    cases = 0
    for bad in (np.nan, np.inf, 1e30)[: often(2, 3)]:
        for place in range(often(2, WIDTH)):
            rates = [RATE] * WIDTH
            good = spoiled_by(made, rates)
            rates[place] = bad
            spoiled = spoiled_by(made, rates)
            assert [k for k in range(WIDTH) if good[k] != spoiled[k]] == [place]
            cases += 1
    account("P4", cases=cases, bits_changed=0)


def spoiled_by(made: prepared_group.Bench, rates: list[float]) -> list[list[bytes]]:
    """Train one call of a lane for each rate, all of them at once."""
    rows = [(7, [{made.group.names[0]: rate}]) for rate in rates]
    outcome = prepared_group.train(made, rows, on_test=False, progress=lambda steps: None, keep_states=True)
    leaves = jax.tree.leaves(outcome._replace(seconds=None))
    return [[np.asarray(leaf)[k].tobytes() for leaf in leaves] for k in range(len(rates))]


def test_a_lane_is_the_same_in_any_company(made: prepared_group.Bench, often: Often, account: Account) -> None:
    """P5: a result would depend on how many other runs there were, or on where among them it stood."""
    width = made.program.layout.blocks * made.program.layout.devices
    sizes = [1, 2, 3, width - 1, width, width + 1, 2 * width + 1]
    alone = {seed: lanes(made, [seed])[0] for seed in range(3)}
    for size in sizes[: often(7, 7)]:
        for shift in range(often(1, 3)):
            seeds = [(k + shift) % max(size, 3) for k in range(size)]
            found = lanes(made, seeds)
            assert all(found[k] == alone[seed] for k, seed in enumerate(seeds) if seed in alone)
    account("P5", sizes=len(sizes), bits_changed=0)


def test_saving_takes_its_share_of_the_time_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: Account
) -> None:
    """P17: a slow disk would make every run slow, or a kill cost hours."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for cost in (0.01, 1.0, 30.0):
        saved: list[float] = []

        def save(*_: Any, cost: float = cost, saved: list[float] = saved, **__: Any) -> None:
            saved.append(now[0])
            now[0] += cost

        monkeypatch.setattr(checkpoints, "save", save)
        book = progress_store.ProgressStore(tmp_path, 60, {}, Stop())
        with book.running("0-report") as keeper:
            begun, lost = now[0], 0.0
            while now[0] < begun + 20000:
                now[0] += 1.7  # a call
                lost = max(lost, now[0] - (saved[-1] if saved else begun))
                keeper.offer(dict)
        took = now[0] - begun
        share = cost * len(saved) / took
        assert len(saved) >= 5 and share <= 0.02 + cost / took  # what the first costs is not known before
        assert lost <= max(60, cost / 0.02) + cost + 2 * 1.7
        account("P17", seconds_a_save=cost, share=round(share, 4), most_seconds_lost=math.ceil(lost))
