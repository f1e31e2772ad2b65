"""Does full-batch gradient descent work at the edge of stability, where a parabola would throw it out?

    python experiments/edge_of_stability.py [PATH=VALUE ...]

Varies: the learning rate of gradient descent, 0.4 and 0.2, and momentum 0.9 at 0.05; every step sees all 20 points of a
Chebyshev polynomial of degree 4 (arXiv:2103.00065).
Looks at: the largest eigenvalue of the Hessian over the last third, as a share of the edge, 2 (1 + momentum) / rate.
Time on 2 cores: 20 seconds with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("edge_of_stability.toml")
def main(run):
    """Set the sharpness of each arm beside its edge."""
    last = slice(-max(run.results.sizes["step"] // 3, 1), None)
    for arm, edge in run.summary["stability_edges"].items():
        sharpness = run.results.sharpness.sel(arm=arm)
        share = (sharpness / edge).isel(step=last).mean("step")  # [seed]
        loss = run.results.train_loss.sel(arm=arm).isel(step=-1).median()
        yield (
            f"{arm:>12}: sharpness {sharpness.isel(step=0).median():.2f} at the start; over the last third "
            f"{share.min():.3f} to {share.max():.3f} of the edge {edge:.4g}; training loss {loss:.2g} at the end"
        )


if __name__ == "__main__":
    main()
