"""Does initialization save a deep circuit from barren plateaus?

    python experiments/barren_plateaus.py [PATH=VALUE ...]

Varies: qubits, depth, the spread of the first angles (whole turns, 0.1, 1 / sqrt(4 depth)), and the observable (Z of
one qubit, or the product of Z over all).
Looks at: the variance of the gradient of an angle before training, a mean over all angles with its 95 % interval over
128 seeds, beside 2^-(qubits + 1), that of random states (arXiv:1803.11173); and 40 steps of training at 8 qubits.
Time on 2 cores: 13 minutes with much other work beside it, most of it compiling.
Found: docs/findings.md
"""

import numpy as np

import deepprinciples as dp

at = lambda qubits, depth, steps=1: (
    f"model.qubits={qubits}", f"model.depth={depth}", f"train.steps={steps}",
    *(f"arms.{arm}.model.initializer.stddev={(4 * depth) ** -0.5:.4f}" for arm in ("scaled", "scaled_local")),
)  # fmt: skip
TASKS = {f"qubits_{qubits}_depth_{depth}": at(qubits, depth) for depth in (2, 80) for qubits in (4, 6, 8, 10)}
TASKS["trained"] = at(8, 20, 40)


@dp.experiment("barren_plateaus.toml", variants=TASKS)
def main(runs):
    """Give the variance of an angle's gradient, and the factor by which it changes with a qubit."""
    found = {}
    for name, run in runs.items():
        layers = run.results.gradient_norm.isel(step=0).drop_sel(layer="output", errors="ignore")  # [arm, seed, layer]
        found[name] = (layers**2).sum("layer") / (run.results.parameters - 1)
        for arm, each in found[name].groupby("arm", squeeze=False):
            yield f"{name}: {arm}: variance {each.mean():.2e} ± {1.96 * each.std(ddof=1) / each.size**0.5:.1e}"
    for depth, arm in [(depth, arm) for depth in (2, 80) for arm in found["trained"].arm.values]:
        means = [found[f"qubits_{n}_depth_{depth}"].sel(arm=arm).mean() for n in (4, 6, 8, 10)]
        yield f"depth {depth}: {arm}: times {2 ** np.polyfit((4, 6, 8, 10), np.log2(means), 1)[0]:.3f} a qubit"


if __name__ == "__main__":
    main()
