"""Does a deep tanh network have to start on the critical line to learn?

    python experiments/initialization_at_criticality.py [PATH=VALUE ...]

Varies: the variance of the weights of 30 tanh layers, on the line of mean-field theory (arXiv:1611.01232) and off it on
both sides; biases have variance 0.05 everywhere, and each arm tunes its learning rate.
Looks at: the signal in the last hidden layer and the factor a layer of the squared gradient before training, each
beside what theory says of an infinitely wide network, and test accuracy.
Time on 2 cores: 9 minutes with much other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp

BIAS = 0.05  # variance of the biases


@dp.experiment("initialization_at_criticality.toml")
def main(run):
    """Set each network before training beside theory, and beside what it learns."""
    start = run.results.isel(step=0).median("seed")
    hidden = [name for name in run.results.layer.values if name.startswith("layer_")]
    for row in run.summary["arms"]:
        gain = row["changes"].get("model.initializer", {}).get("gain")
        weight = gain**2 if gain else float(dp.theory.critical_variance(BIAS))
        signal = start.activation_mean_square.sel(arm=row["name"], layer=hidden[-1])
        factor = dp.theory.factor_per_layer(start.gradient_mean_square.sel(arm=row["name"], layer=hidden))
        yield (
            f"{row['name']:>12}: weight variance {weight:.3f}, signal {signal:.3f} (theory "
            f"{dp.theory.signal(weight, BIAS):.3f}), gradient times {factor:.3f} a layer (theory "
            f"{dp.theory.susceptibility(weight, BIAS):.3f}); accuracy {dp.stats.with_interval(row, '.3f')}"
        )


if __name__ == "__main__":
    main()
