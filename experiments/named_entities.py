"""Does a recurrent network or a transformer find more names in tweets?

    python experiments/named_entities.py [PATH=VALUE ...]

Varies: what reads the words of a tweet (a GRU in both directions, a block of attention over the tweet, each word by
itself); every arm tunes its learning rate with the same number of trials.
Looks at: the F1 of entities; the accuracy of tags does not judge, as 94 of 100 tags say that there is no name.
Time on 2 cores: 3 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("named_entities.toml")
def main(run):
    """Set the accuracy of tags, which a network that finds no name has too, beside the F1."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        accuracy, loss = float(found.test_accuracy.mean()), float(found.train_loss.isel(step=-1).mean())
        yield f"{row['name']:>11}: F1 of entities {dp.stats.with_interval(row, '.3f')}, accuracy of tags {accuracy:.4f}"
        rate = row["tuned_point"]["optimizer.learning_rate"]
        yield f"             training loss {loss:.3f} at a rate of {rate:.1e}"


if __name__ == "__main__":
    main()
