"""What lets a 16-layer tanh network with small random weights learn to read digits?

    python experiments/vanishing_gradients.py [PATH=VALUE ...]

Varies: nothing, clipping, the initializer, skips, normalization; each arm with its own tuned learning rate.
Looks at: the gradient norm of the first layer against the last at the first step.
Time on 2 cores: 1 to 1.5 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("vanishing_gradients.toml")
def main(run):
    """Compare the ends of the network: what is left of the gradient in the first layer."""
    norms = run.results.gradient_norm.isel(step=0).median("seed")  # [arm, layer]
    for arm in norms.arm.values:
        first, last = norms.sel(arm=arm).isel(layer=[0, -1]).values
        yield f"{arm:>12}: gradient norm at the first step {first:.1e} in the first layer, {last:.1e} in the last"


if __name__ == "__main__":
    main()
