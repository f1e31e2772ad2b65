"""How deep can a ReLU network be before its initialization costs accuracy?

    python experiments/initialization_and_depth.py [PATH=VALUE ...]

Varies: the initializer (small normal, Glorot, He, scaled orthogonal) and the depth; each arm tunes its learning rate.
Looks at: test accuracy by depth, and the gradient norm of the first layer at the first step.
Time on 2 cores: 13 minutes with much other work beside it, 7 minutes of processor time.
Found on 2026-11-28: Against He at 4 layers (0.968, 10 searches) no evidence for Glorot (0.973) and orthogonal (0.972)
at 4, nor for any of the three at 12 (0.946 to 0.960). At 24 He (0.915) and Glorot (0.279) are worse, no evidence for
orthogonal (0.946). The small normal is at chance from 12 on. Ten searches see no less than 0.01 to 0.04.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.runs.directory import Run
from deepprinciples.study.protocol import Progress

CONFIG = Path(__file__).parents[1] / "configs" / "initialization_and_depth.toml"


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison with overrides such as "train.steps=200", and say what it found."""
    given = config.override(config.load(CONFIG), changes)
    asked = shlex.join(["python", "experiments/initialization_and_depth.py", *changes])
    run = dp.compare(given, out, name=CONFIG.stem, progress=Progress(phase=print), command=asked)
    norms = run.results.gradient_norm.sel(layer="layer_00").isel(step=0)
    verdicts = {row["a"]: row["verdict"] for row in run.summary["comparisons"]}
    for row in run.summary["arms"]:
        norm = float(norms.sel(arm=row["name"]).median("seed"))
        print(
            f"{row['name']:>14}: accuracy {row['mean']:.3f}, gradient norm of the first layer {norm:.1e}, "
            f"{verdicts.get(row['name'], 'the baseline')}"
        )
    print(run.summary["headline"])
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
