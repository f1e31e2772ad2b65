"""Which tricks of transformers lower the loss, and which make the learning rate matter less?

    python experiments/transformer_tricks.py [PATH=VALUE ...]

Varies: two blocks as they are, with queries and keys normalized, outputs tied to the embedding, branches that start
small, gated units, or scores of the attention kept below 20; each arm tunes its learning rate with as many trials.
Looks at: bits a byte of plays that were held out, and the sensitivity to the learning rate (arXiv:2309.14322): how many
bits above the best a rate of the range costs on average, one that is worse than no training counted as that.
Time on 2 cores: 21 minutes with much other work beside it.
Found: docs/findings.md
"""

import numpy as np

import deepprinciples as dp

UNIFORM = np.log2(85)  # bits of a character among 85, all of them alike


@dp.experiment("transformer_tricks.toml")
def main(run):
    """Take the sensitivity out of the trials of the searches, and judge it as the bits are judged."""
    tried, costs = run.trials(), {}
    for row in run.summary["arms"]:
        mine = tried[tried.arm == row["name"]]
        bits = mine.score.where(mine.diverged_at < 0, UNIFORM).clip(upper=UNIFORM)
        costs[row["name"]] = (bits - bits.min()).groupby(mine.search).mean().tolist()
        rate, large = row["tuned_point"]["optimizer.learning_rate"], bits[mine["optimizer.learning_rate"] > 0.05].mean()
        yield f"{row['name']:>9}: {dp.stats.with_interval(row, '.3f')} bits a byte at a rate of {rate:.1e}"
        yield f"           sensitivity {np.mean(costs[row['name']]):.3f}; {large:.2f} bits at rates above 0.05"
    yield str(dp.judge(costs, metric="sensitivity", direction="min"))
    yield from (f"\n{arm}: {text[:300]}" for arm, text in run.summary["texts"].items())


if __name__ == "__main__":
    main()
