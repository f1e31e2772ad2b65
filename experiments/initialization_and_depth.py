"""How deep can a ReLU network be before its initialization costs accuracy?

    python experiments/initialization_and_depth.py [PATH=VALUE ...]

Varies: the initializer (small normal, Glorot, He, scaled orthogonal) and the depth; each arm tunes its learning rate.
Looks at: test accuracy by depth, and the gradient norm of the first layer at the first step.
Time on 2 cores: 13 minutes with much other work beside it, 7 minutes of processor time.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("initialization_and_depth.toml")
def main(run):
    """Set the verdict on each network beside the gradient that reaches its first layer."""
    norms = run.results.gradient_norm.sel(layer="layer_00").isel(step=0).median("seed")  # [arm]
    verdicts = {row["a"]: row["verdict"] for row in run.summary["comparisons"]}
    for row in run.summary["arms"]:
        yield (
            f"{row['name']:>14}: accuracy {dp.stats.with_interval(row, '.3f')}, gradient norm of the first layer "
            f"{norms.sel(arm=row['name']):.1e}, {verdicts.get(row['name'], 'the baseline')}"
        )


if __name__ == "__main__":
    main()
