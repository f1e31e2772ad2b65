"""What helps a network that is far too large for 100 digits: L1, L2 or dropout?

    python experiments/regularization_on_small_data.py [PATH=VALUE ...]

Varies: the regularizer; each arm tunes the learning rate and its own strength, with the same number of trials.
Looks at: accuracy on training and test data, and the strength that was chosen.
Time on 2 cores: 3 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("regularization_on_small_data.toml")
def main(run):
    """Set the losses of each arm beside its accuracy, and tell what it chose."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        chosen = ", ".join(f"{path.split('.', 1)[1]} {value:.2g}" for path, value in row["tuned_point"].items())
        score = dp.stats.with_interval(row, ".3f")
        yield (
            f"{row['name']:>8}: test accuracy {score}, test loss {found.test_loss.mean():.3f}, "
            f"training loss {found.train_loss.isel(step=-1).mean():.3f}; median choice {chosen}"
        )


if __name__ == "__main__":
    main()
