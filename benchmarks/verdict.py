"""Time to the verdict: whole studies, each in a fresh process, from Python's start to the report on disk.

Each study is run by us with an empty cache of compiled programs, by us once more, and by `torch_study` in PyTorch, in
turns. PyTorch's line ends with the mean score of each arm: it has no curves, probes, statistics or report.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from reading import AGAIN, COLD, TORCH
from timing import Row, against, answer, row, seconds
from workloads import Effort, Workload

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs"


class Study(NamedTuple):
    """A study to time: a config, what is changed of it, and whether random pictures stand in for its data."""

    title: str
    config: str
    changes: Mapping[str, Any]
    pictures: bool = False
    turns: int = 1  # the two long ones take some minutes a turn


STUDIES = {
    "mlp": Study("the demo: five arms of a 16-layer MLP on digits", "vanishing_gradients.toml", {}, turns=2),
    "cnn": Study(
        "four arms of a CNN on 3,000 pictures of 28x28, random ones in place of Fashion-MNIST",
        "fashion_mnist_cnn.toml",
        {},
        pictures=True,
    ),
    "lstm": Study("three recurrent networks on the adding problem", "memory_of_lstm.toml", {"train.steps": 300}),
}
PICTURES, HELD_OUT = 3000, 500
QUICK = {"train.steps": 20, "study.searches": 2, "study.trials": 2}  # shows that it runs, nothing more


def model_steps(settings: Mapping[str, Any]) -> int:
    """Count the steps of all lanes of a comparison in which every arm is tuned."""
    study = settings["study"]
    runs = study["trials"] * study["tuning_seeds"] + study["seeds"]
    return len(settings["arms"]) * study["searches"] * runs * settings["train"]["steps"]


def settings_of(study: Study, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Return the config of a study, its own pictures written where it needs them."""
    from deepprinciples import config as configs

    settings = tomllib.loads((CONFIGS / study.config).read_text(encoding="utf-8"))
    settings["study"].setdefault("tuning_seeds", 1)
    settings = configs.changes(settings, {**study.changes, **(QUICK if quick else {})})
    if study.pictures:
        rng = np.random.default_rng(0)
        arrays = {
            f"{part}inputs": rng.random((size, 28, 28, 1), np.float32)
            for part, size in (("", PICTURES), ("test_", HELD_OUT))
        }
        labels = {name.replace("inputs", "targets"): rng.integers(0, 10, len(x)) for name, x in arrays.items()}
        np.savez(folder / "pictures.npz", **arrays, **labels)
        names = {"test_inputs": "test_inputs", "test_targets": "test_targets"}
        data = {"name": "npz", "path": str(folder / "pictures.npz"), **names}
        settings["data"] = {**data, "batch_size": settings["data"]["batch_size"]}
    return settings


def written(settings: dict[str, Any], folder: Path) -> tuple[Path, list[str]]:
    """Write what both sides read; returns our config, and what `torch_study` is given."""
    from deepprinciples import config as configs
    from deepprinciples.learners.assembly import from_config
    from deepprinciples.study.planning import plan

    ours, theirs, arrays = folder / "study.toml", folder / "study.json", folder / "arrays.npz"
    ours.write_text(configs.dumps(settings), encoding="utf-8")
    made = plan.resolve("compare", settings)
    arms = {name: configs.flatten(arm.config) for name, arm in made.arms.items()}
    theirs.write_text(json.dumps({"arms": arms, "study": settings["study"]}, default=list), encoding="utf-8")
    splits = from_config.splits(next(iter(made.data.values())))
    named = {f"{part}_{name}": array for part, one in splits.items() for name, array in one._asdict().items()}
    np.savez(arrays, **named)
    return ours, [str(theirs), str(arrays)]


def start(command: list[str], more: Mapping[str, str]) -> None:
    """Run a command to its end; modules that it imports are compiled once, as a user has them."""
    environment = {**os.environ, **more}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def verdict(workload: Workload, effort: Effort) -> list[Row]:
    """Measure a study: ours cold, ours warm, and PyTorch's, in turns."""
    name = workload.name
    study, quick = STUDIES[name], effort.repeats == 1
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        settings = settings_of(study, folder, quick=quick)
        config, given = written(settings, folder)

        def compare(turn: int, out: str) -> None:
            command = ["-m", "deepprinciples.cli.main", "compare", str(config), "--out", str(folder / f"{out}-{turn}")]
            cache = {"DEEPPRINCIPLES_CACHE": str(folder / f"cache-{turn}")}
            start([sys.executable, *command], cache)

        def torch(turn: int) -> None:
            del turn
            start([sys.executable, str(HERE / "torch_study.py"), *given], {})

        calls: dict[str, Callable[[int], None]] = {
            COLD: lambda turn: compare(turn, "first"),
            AGAIN: lambda turn: compare(turn, "again"),
            TORCH: torch,
        }
        times = {line: [] for line in calls}
        for turn in range(1 if quick else study.turns):  # no turn to warm up: a cold start is what is measured
            for line, call in calls.items():
                times[line].append(seconds(lambda call=call, turn=turn: call(turn)))
    steps = model_steps(settings)
    return [
        row(f"verdict_{name}", line, found, steps, 0.0, table="verdict", title=study.title, steps=steps,
            seconds=float(np.median(found)), fastest=min(found), slowest=max(found), ratio=against(found, times[TORCH]))
        for line, found in times.items()
    ]  # fmt: skip


if __name__ == "__main__":
    answer({"verdict": verdict})
