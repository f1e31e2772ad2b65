"""Time to the first verdict: the demo as a fresh process, everything from Python's start to the report on disk."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from timing import Row, answer, row, seconds
from workloads import Effort, Workload

CONFIG = Path(__file__).parents[1] / "configs" / "vanishing_gradients.toml"


def model_steps(settings: dict) -> int:
    """Count the steps of all lanes of a comparison in which every arm is tuned."""
    study = settings["study"]
    runs = study["trials"] * study["tuning_seeds"] + study["seeds"]
    lanes = len(settings["arms"]) * study["searches"] * runs
    return lanes * settings["train"]["steps"]


def demo(workload: Workload, effort: Effort) -> list[Row]:
    """Measure `deepprinciples compare configs/vanishing_gradients.toml` once: a cold start has no second time."""
    del workload
    settings = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    changes = ["train.steps=20"] if effort.repeats == 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "deepprinciples.cli.main", "compare", str(CONFIG), *changes, "--out", f"{folder}/demo"]
        times = [seconds(lambda: subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL))]
    return [row("demo", "time to verdict", times, model_steps(settings), 0.0, table="demo", seconds=times[0])]


if __name__ == "__main__":
    answer({"demo": demo})
