"""Which network tells best which of nine men speaks?

    python experiments/series.py [PATH=VALUE ...]

Varies: the network that reads 12 features of up to 29 steps (the last state of an LSTM or a GRU, the mean of a GRU's
states, a convolution over time, a block of attention); every arm tunes its learning rate with as many trials.
Looks at: accuracy on the archive's own test part, the loss on it, and the size of each network.
Time on 2 cores: 2 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("series.toml")
def main(run):
    """Set the loss of the test and the size beside the accuracy."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        loss, size = float(found.test_loss.mean()), int(found.parameters)
        rate = row["tuned_point"]["optimizer.learning_rate"]
        score = dp.stats.with_interval(row, ".3f")
        yield f"{row['name']:>11}: accuracy {score}, loss {loss:.2f}, {size:,} parameters, rate {rate:.1e}"


if __name__ == "__main__":
    main()
