"""Does a deep tanh network have to start on the critical line to learn?

    python experiments/initialization_at_criticality.py [PATH=VALUE ...]

Varies: the variance of the weights of 30 tanh layers, on the line of mean-field theory (arXiv:1611.01232) and off it on
both sides; biases have variance 0.05 everywhere, and each arm tunes its learning rate.
Looks at: the signal in the last hidden layer and the factor a layer of the squared gradient before training, each
beside what theory says of an infinitely wide network, and test accuracy.
Time on 2 cores: 9 minutes with much other work beside it.
Found on 2026-11-28: Near the line is enough. Before training all is as theory says: the gradient's factor is 0.994 a
layer on the line (1.000), 0.741 to 1.346 off it (0.759 to 1.342). On it (variance 1.76) accuracy is 0.940; there is no
evidence that 1.4 (0.939) and 2.5 (0.912) differ, and 1.0 and 4.0 are worse (0.735 and 0.724).
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.parts.initializers import mean_field
from deepprinciples.runs.directory import Run
from deepprinciples.study.protocol import Progress

CONFIG = Path(__file__).parents[1] / "configs" / "initialization_at_criticality.toml"
BIAS = 0.05  # variance of the biases


def main(*changes: str, out: Path | None = None) -> Run:
    """Run the comparison with overrides such as "train.steps=200", and say what it found."""
    given = config.override(config.load(CONFIG), changes)
    asked = shlex.join(["python", "experiments/initialization_at_criticality.py", *changes])
    run = dp.compare(given, out, name=CONFIG.stem, progress=Progress(phase=print), command=asked)
    start = run.results.isel(step=0).median("seed")
    hidden = [name for name in run.results.layer.values if name.startswith("layer_")]
    for row in run.summary["arms"]:
        gain = row["changes"].get("model.initializer", {}).get("gain")
        weight = gain**2 if gain else float(mean_field.critical_variance(BIAS))
        signal = (float(mean_field.settled_variance(weight, BIAS)) - BIAS) / weight  # the mean of tanh squared
        back = start.gradient_mean_square.sel(arm=row["name"], layer=hidden)
        factor = float(back[0] / back[-1]) ** (1 / (len(hidden) - 1))
        print(
            f"{row['name']:>12}: weight variance {weight:.3f}, signal "
            f"{float(start.activation_mean_square.sel(arm=row['name'], layer=hidden[-1])):.3f} (theory {signal:.3f}), "
            f"gradient times {factor:.3f} a layer (theory {float(mean_field.susceptibility(weight, BIAS)):.3f}); "
            f"accuracy {row['mean']:.3f}"
        )
    print(run.summary["headline"])
    print(f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
