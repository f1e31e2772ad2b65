"""Is decaying the weights the same as an L2 penalty, under Adam and under SGD?

    python experiments/weight_decay_is_not_l2.py [PATH=VALUE ...]

Varies: nothing, decay beside the gradient (AdamW), decay in the gradient (adam_l2) or the loss (a penalty), for Adam
and SGD with momentum; each arm tunes its learning rate and its own strength, with the same number of trials.
Looks at: accuracy on test data, loss on training and test data, the settings chosen; 0.01 counts as equivalent.
Time on 2 cores: 8 minutes with much other work beside it, 2 minutes of processor time.
Found on 2026-11-28: Under SGD they are the same, to the bit. Under Adam a penalty (0.495) is better than none (0.451);
no evidence that decay in the gradient (0.479) or AdamW (0.471) differs from it, from one another or from none. Most of
the spread is the luck of searches of five trials for two numbers: see docs/findings.md.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.runs.directory import Run
from deepprinciples.study.protocol import Progress

CONFIG = Path(__file__).parents[1] / "configs" / "weight_decay_is_not_l2.toml"


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison with overrides such as "train.steps=200", and say what it found."""
    given = config.override(config.load(CONFIG), changes)
    asked = shlex.join(["python", "experiments/weight_decay_is_not_l2.py", *changes])
    run = dp.compare(given, out, name=CONFIG.stem, progress=Progress(phase=print), command=asked)
    for row in run.summary["arms"]:
        one = run.results.sel(arm=row["name"])
        chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
        print(
            f"{row['name']:>12}: test accuracy {row['mean']:.3f}, test loss {float(one.test_loss.mean()):.3f}, "
            f"training loss {float(one.train_loss.isel(step=-1).mean()):.3f}; median choice {chosen}"
        )
    for row in run.summary["comparisons"]:
        print(f"{row['a']:>12} - {row['b']}: {row['difference']:+.4f}, {row['verdict']}")
    print(run.summary["headline"])
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
