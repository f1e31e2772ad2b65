"""Does the winning ticket win?

    python experiments/lottery_ticket.py [PATH=VALUE ...]

Varies: how a perceptron on MNIST-1D gets its sparsity, 80 % or 95 % of the weights: by magnitude with the weights going
on (one_shot), put back to the start (ticket) or to step 150 (late_ticket), put back in a random order (redrawn), with a
random mask (random_mask), or in five rounds of pruning and rewinding (iterative_ticket). Nothing is tuned; all train
equally long, so a sparse network has half of the steps, or less, after its last rewinding.
Looks at: accuracy against the bytes of the weights left.
Time on 2 cores: 13 minutes with much other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp

TASKS = {"sparsity_80": ["weights.prune.sparsity=0.8"], "sparsity_95": ["weights.prune.sparsity=0.95"]}


@dp.experiment("lottery_ticket.toml", variants=TASKS)
def main(runs):
    """Tell what each way costs in accuracy against the dense network, and how much of it is left to store."""
    for name, run in runs.items():
        costs = (run.results.score - run.results.score.sel(arm="dense")).mean("seed")
        for row in run.summary["arms"]:
            size, cost = row["size"], float(costs.sel(arm=row["name"]))
            yield (
                f"{name} {row['name']:>16}: accuracy {dp.stats.with_interval(row, '.3f')} ({cost:+.3f} against dense), "
                f"{size['parameters']:,} parameters, {size['bytes']:,} bytes"
            )


if __name__ == "__main__":
    main()
