"""Does the order of the words matter for the sentiment of a sentence?

    python experiments/sentiment.py [PATH=VALUE ...]

Varies: what reads 24 words of a film review (the mean of their vectors, a block of attention that knows their places, a
GRU whose states are averaged, the last state of an LSTM); every arm tunes its learning rate with the same number of
trials.
Looks at: accuracy on held-out sentences, the best of six looks on validation, and the size of each network.
Time on 2 cores: 3 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("sentiment.toml")
def main(run):
    """Set the fit of the training part and the best look on validation beside the accuracy."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        loss, best = float(found.train_loss.isel(step=-1).mean()), float(found.validation.max("eval_step").mean())
        rate, size = row["tuned_point"]["optimizer.learning_rate"], int(found.parameters)
        score = dp.stats.with_interval(row, ".3f")
        yield f"{row['name']:>9}: accuracy {score} at a rate of {rate:.1e}, {size:,} parameters"
        yield f"           training loss {loss:.2f} at the end, best look on validation {best:.3f}"


if __name__ == "__main__":
    main()
