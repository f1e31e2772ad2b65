"""How deep can a ReLU network be before its initialization costs accuracy?

    python experiments/initialization_and_depth.py [PATH=VALUE ...]

Varies: the initializer (small normal, Glorot, He, scaled orthogonal) and the depth; each arm tunes its learning rate.
Looks at: test accuracy by depth, and the gradient norm of the first layer at the first step.
Time on 2 cores: about 2 minutes.
Found on 2026-11-21: At depth 4 Glorot and orthogonal are equivalent to He (0.974) within 0.01. At 12, no evidence
that He differs from He at 4 (0.968), Glorot is worse (0.958). At 24 all lose: orthogonal 0.949, He 0.851, Glorot
0.266. The small normal costs a little at 4 (0.968) and is at chance from 12 on.
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
