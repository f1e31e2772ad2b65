"""Which stabilizer makes a GAN cover all eight modes of a ring?

    python experiments/gan_mode_collapse.py [PATH=VALUE ...]

Varies: the loss, noise, penalties, normalization, packing and the order of updates; each arm tunes both learning rates
with the same number of trials.
Looks at: modes covered of 8, share of samples within three standard deviations of a mode, and how the game turns.
Time on 2 cores: 20 minutes with much other work beside it, 10 minutes of processor time.
Found on 2026-11-21: With both rates tuned the plain game covers 7.65 of 8 modes, and nothing covers more for certain;
label smoothing covers fewer (6.45). A moving average of the generator doubles the share of good samples, 77 % for 37 %.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.runs.directory import Run
from deepprinciples.study.protocol import Progress

CONFIG = Path(__file__).parents[1] / "configs" / "gan_mode_collapse.toml"


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison with overrides such as "train.steps=200", and say what it found."""
    given = config.override(config.load(CONFIG), changes)
    asked = shlex.join(["python", "experiments/gan_mode_collapse.py", *changes])
    run = dp.compare(given, out, name=CONFIG.stem, progress=Progress(phase=print), command=asked)
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        modes = found.score.values
        print(
            f"{row['name']:>16}: modes {row['mean']:.2f} of 8 (all of them in {(modes >= 8).mean():.0%} of the seeds), "
            f"high quality {float(found.test_high_quality.mean()):.0%}, "
            f"reverse KL {float(found.test_reverse_kl.mean()):.2f}, "
            f"rotation {float(found.rotation.isel(step=-1).median()):.2f}"
        )
    print(run.summary["headline"])
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
