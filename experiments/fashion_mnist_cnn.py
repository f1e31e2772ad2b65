"""Does normalization or a skip help a small convolutional network on Fashion-MNIST?

    python experiments/fashion_mnist_cnn.py [PATH=VALUE ...]

Varies: normalization and skip of a 4-layer CNN on 3,000 pictures for 200 steps; each arm tunes its learning rate.
Looks at: accuracy early and at the end.
Time on 2 cores: about 15 minutes of processor time.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("fashion_mnist_cnn.toml")
def main(run):
    """Set the first validation accuracy of each arm beside the last on test data."""
    for row in run.summary["arms"]:
        early = run.results.validation.sel(arm=row["name"]).isel(eval_step=0)
        yield (
            f"{row['name']:>10}: validation accuracy {early.mean():.3f} at step {int(early.eval_step)}, "
            f"test accuracy {dp.stats.with_interval(row, '.3f')} at the end"
        )


if __name__ == "__main__":
    main()
