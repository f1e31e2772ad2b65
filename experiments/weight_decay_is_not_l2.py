"""Is decaying the weights the same as an L2 penalty, under Adam and under SGD?

    python experiments/weight_decay_is_not_l2.py [PATH=VALUE ...]

Varies: nothing, decay beside the gradient (AdamW), decay in the gradient (adam_l2) or the loss (a penalty), for Adam
and SGD with momentum; each arm tunes its learning rate and its own strength, with the same number of trials.
Looks at: accuracy on test data, loss on training and test data, the settings chosen; 0.01 counts as equivalent.
Time on 2 cores: 8 minutes with much other work beside it, 2 minutes of processor time.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("weight_decay_is_not_l2.toml")
def main(run):
    """Set the losses of each arm beside its accuracy, and list every comparison."""
    for row in run.summary["arms"]:
        one = run.results.sel(arm=row["name"])
        chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
        score = dp.stats.with_interval(row, ".3f")
        yield (
            f"{row['name']:>12}: test accuracy {score}, test loss {one.test_loss.mean():.3f}, "
            f"training loss {one.train_loss.isel(step=-1).mean():.3f}; median choice {chosen}"
        )
    for row in run.summary["comparisons"]:
        yield f"{row['a']:>12} - {row['b']}: {row['difference']:+.4f}, {row['verdict']}"


if __name__ == "__main__":
    main()
