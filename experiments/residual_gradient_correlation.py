"""Do skips keep the gradients of different inputs alike, and do networks learn faster where they are alike?

    python experiments/residual_gradient_correlation.py [PATH=VALUE ...]

Varies: skips, their scale and normalized branches in He networks with ReLU (arXiv:1702.08591); depths before training,
24 layers in training, where each arm tunes its learning rate.
Looks at: the correlation of the input gradients of orthogonal inputs, and accuracy after few steps.
Time on 2 cores: 9 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp

DEPTHS = (2, 5, 10, 24)


@dp.experiment("residual_gradient_correlation.toml")
def main(run):
    """Set the correlation of gradients before training beside what each network learns."""
    deepest = dp.load_config(run.path / "config.toml")["model"]["depth"]
    depths = [depth for depth in DEPTHS if depth <= deepest]
    learned = dp.stats.steps_to(run.results.validation.median("seed"), 0.9)
    for row in run.summary["arms"]:
        model = {path.split(".")[1]: value for path, value in row["changes"].items()}
        alike = {depth: dp.theory.gradient_correlation(depth=depth, **model) for depth in depths}
        when = learned.sel(arm=row["name"])
        yield (
            f"{row['name']:>20}: correlation of gradients "
            + ", ".join(f"{value:.3f} at depth {depth}" for depth, value in alike.items())
            + f"; accuracy {dp.stats.with_interval(row, '.3f')}, 0.9 at "
            + (f"step {int(when)}" if when.notnull() else "no step")
        )


if __name__ == "__main__":
    main()
