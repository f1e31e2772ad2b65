"""Does the noise scale of the gradient tell which batch size is worth it?

    python experiments/noise_scale_and_batch_size.py [PATH=VALUE ...]

Varies: the batch size of plain SGD from 8 to 256; each tunes its learning rate to the loss after 300 steps.
Looks at: steps S to a validation loss, whose fit S = fewest (1 + critical / batch) gives the critical batch size, and
the noise scale trace / signal (arXiv:1812.06162) over the same steps of the largest batches, in three stages.
Time on 2 cores: 7 minutes with much other work beside it, 3 minutes of processor time.
Found on 2026-11-28: At first. Down to loss 1.0 the critical batch size is 13 and the noise scale 13, from there to 0.3
29 and 43: of one size, and both grow. From 0.3 to 0.15 it fails: 23 and 105. Batches beyond the critical size save
few steps (85, 30 and 18 steps from 1.0 to 0.3 with 8, 32 and 256 examples). One rate served all stages of a run.
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

CONFIG = Path(__file__).parents[1] / "configs" / "noise_scale_and_batch_size.toml"
TARGETS = (1.0, 0.3, 0.15)  # validation loss: a stage ends at each, and the next begins there


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison with overrides such as "train.steps=200", and say what it found."""
    given = config.override(config.load(CONFIG), changes)
    asked = shlex.join(["python", "experiments/noise_scale_and_batch_size.py", *changes])
    run = dp.compare(given, out, name=CONFIG.stem, progress=Progress(phase=print), command=asked)
    found = run.results
    sizes = np.array([int(name.split("_")[1]) for name in found.arm.values])
    begun, noise = np.zeros(len(sizes)), found[["noise_trace", "noise_signal"]].isel(arm=-1).mean("seed")
    for target in TARGETS:
        there = found.eval_step.where(found.validation_loss <= target).min("eval_step")  # [arm, seed], NaN if never
        middle = there.fillna(np.inf).median("seed").values
        ended = np.where(np.isfinite(middle), middle, np.nan)
        steps = ended - begun
        print(f"loss {target}: steps " + ", ".join(f"{s:.0f} at {b}" for s, b in zip(steps, sizes, strict=True)))
        ok, window = steps > 0, noise.sel(step=(noise.step >= begun[-1]) & (noise.step < ended[-1])).sum("step")
        if ok.sum() > 2:
            slope, fewest = np.polyfit(1 / sizes[ok], steps[ok], 1, w=1 / steps[ok])
            scale = float(window.noise_trace / window.noise_signal)
            print(f"loss {target}: critical batch size {slope / fewest:.0f}, noise scale {scale:.0f}")
        begun = ended
    print(run.summary["headline"])
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
