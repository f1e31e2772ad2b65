"""Is there a best optimizer for small networks, over four tasks and with equal tuning?

    python experiments/adaptive_optimizers.py [PATH=VALUE ...]

Varies: twelve optimizers on digits (MLP), MNIST-1D (CNN), the adding problem (GRU) and diabetes (MLP); each tunes its
learning rate over three decades around its usual one.
Looks at: verdicts against Adam on each task, mean ranks over the tasks, and the critical difference of Nemenyi.
Time on 2 cores: 26 minutes with much other work beside it, 11 minutes of processor time.
Found on 2026-11-21: Not over four tasks: no two mean ranks differ (p = 0.46; 2.75 AdaBelief to 9.0 RMSProp, 8.33 apart
would count). On single tasks they do, in changing orders: plain SGD is last on adding, and beats Adam on diabetes.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.report import plots, ranking
from deepprinciples.runs.directory import Run
from deepprinciples.study.many_tasks import friedman, nemenyi_distance
from deepprinciples.study.protocol import Progress

CONFIG = Path(__file__).parents[1] / "configs" / "adaptive_optimizers.toml"
ERROR = ("loss=mse", "study.metric=mse")
TASKS = {
    "digits": (),
    "mnist_1d": ("data.name=mnist_1d", "model={ name = 'cnn', depth = 2, width = 8, kernel = 5 }"),
    "adding": ("data={ name = 'adding', length = 15 }", "model={ name = 'lstm', cell = 'gru', width = 16 }", *ERROR),
    "diabetes": ("data={ name = 'diabetes', batch_size = 32 }", *ERROR),
}


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison on every task, with overrides such as "train.steps=200", and rank the arms; the last run."""
    asked = shlex.join(["python", "experiments/adaptive_optimizers.py", *changes])
    scores = []
    for task, setting in TASKS.items():
        given = config.override(config.load(CONFIG), [f"title={task}", *setting, *changes])
        place, name = out and out.with_name(f"{out.name}-{task}"), f"{CONFIG.stem}-{task}"
        run = dp.compare(given, place, name=name, progress=Progress(phase=print), command=asked)
        arms, sign = run.summary["arms"], 1 if run.summary["direction"] == "max" else -1
        scores.append([sign * row["mean"] for row in arms])
        print(f"{run.summary['headline']}\nReport: {run.path / 'report.html'}")
    names, found = [row["name"] for row in arms], friedman(np.array(scores))
    distance = nemenyi_distance(len(names), len(TASKS))
    print(f"Friedman over {len(TASKS)} tasks: p = {found.p:.2g}; ranks differ where more than {distance:.2f} apart")
    plots.save(ranking.critical_difference(names, found.ranks, distance), run.path / "figures")
    print(", ".join(f"{names[k]} {found.ranks[k]:.2f}" for k in np.argsort(found.ranks)))
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
