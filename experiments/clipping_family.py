"""Which way of clipping helps a recurrent network?

    python experiments/clipping_family.py [PATH=VALUE ...]

Varies: how the gradient is clipped (global norm, per layer, per unit, by percentile, by z-score, by value) in a GRU
under SGD with momentum; each arm tunes its learning rate, up to ones that are far too large, and its threshold.
Looks at: the mean squared error, how many of the settings tried learn at all, and how often the clip acts.
Time on 2 cores: 4 minutes with much other work beside it.
Found on 2026-11-21: By norm: global (0.00108) and per layer (0.00124) beat none (0.00213), at three times its rate and
acting on 4 % and 2 % of the steps. Per unit is worse (0.00459); no evidence for the others. Of ten settings tried
five diverge without a clip, four by z-score, none with the other clips.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.runs.directory import Run
from deepprinciples.study.protocol import Progress

CONFIG = Path(__file__).parents[1] / "configs" / "clipping_family.toml"
CHANCE = 1 / 6  # mean squared error of always answering 1


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison with overrides such as "train.steps=200", and say what it found."""
    given = config.override(config.load(CONFIG), changes)
    asked = shlex.join(["python", "experiments/clipping_family.py", *changes])
    run = dp.compare(given, out, name=CONFIG.stem, progress=Progress(phase=print), command=asked)
    found = run.results
    scores = found.tuning_score.where(found.tuning_diverged_at < 0, float("inf"))
    tried = scores.mean("replicate")  # [arm, search, trial]
    for row in run.summary["arms"]:
        one, search = found.sel(arm=row["name"]), tried.sel(arm=row["name"])
        acted = one.trigger_rate.isel(step=-1).median("seed").max("transform")  # the arm has one; others are missing
        chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
        print(
            f"{row['name']:>12}: mean squared error {row['mean']:.5f}, {int((search < CHANCE / 2).sum())} of "
            f"{search.size} settings below half of chance, {int((search == float('inf')).sum())} diverged; median "
            f"choice {chosen}" + (f"; the clip acted on {float(acted):.0%}" if acted.notnull() else "")
        )
    print(run.summary["headline"])
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
