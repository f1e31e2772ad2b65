"""Does clipping the gradient's norm widen the range of learning rates that can be used?

    python experiments/clipping_and_learning_rate.py [PATH=VALUE ...]

Varies: clipping at norm 1, in an 8-layer ReLU network; both arms try the same learning rates over three decades.
Looks at: which of the tried rates come within USABLE of the best one, and how often the clip acts.
Time on 2 cores: 2 minutes with other work beside it.
Found on 2026-11-28: It moves the range up. Plain works at all rates tried from 0.001 to 0.059 and fails from 0.060 on;
clipped works from 0.0043 to 0.31. At 0.1, 23 of 30 plain runs diverge (0.023) and clipped ones reach 0.964. At their
own best rates there is no evidence that they differ (0.961 clipped, 0.929 plain, of which one search chose 0.059). The
rate 0.1 was chosen after a first run with 0.5, where both failed.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.runs.directory import Run
from deepprinciples.study.protocol import Progress

CONFIG = Path(__file__).parents[1] / "configs" / "clipping_and_learning_rate.toml"
USABLE = 0.02  # accuracy below the best that still counts as usable


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison with overrides such as "train.steps=200", and say what it found."""
    given = config.override(config.load(CONFIG), changes)
    asked = shlex.join(["python", "experiments/clipping_and_learning_rate.py", *changes])
    run = dp.compare(given, out, name=CONFIG.stem, progress=Progress(phase=print), command=asked)
    found = run.results
    rates = found.tuning_point.sel(parameter="optimizer.learning_rate")  # [arm, search, trial]
    scores = found.tuning_score.where(found.tuning_diverged_at < 0, 0.0).mean("replicate")
    usable = rates.where(scores >= scores.max() - USABLE)
    for arm in found.arm.values[np.isfinite(rates).any(("search", "trial"))]:
        good = usable.sel(arm=arm)
        print(
            f"{arm:>14}: {int(good.count())} of {good.size} learning rates usable, {float(good.min()):.2g} to "
            f"{float(good.max()):.2g}"
        )
    for row in run.summary["arms"]:
        share = found.trigger_rate.sel(arm=row["name"]).isel(step=-1, transform=0).median("seed")
        acted = f"; the clip acted on {float(share):.0%} of the steps" if share.notnull() else ""
        print(f"{row['name']:>14}: accuracy {row['mean']:.3f}{acted}")
    print(run.summary["headline"])
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
