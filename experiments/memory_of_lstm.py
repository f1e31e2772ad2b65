"""Do gates help a recurrent network to remember for 50 steps?

    python experiments/memory_of_lstm.py [PATH=VALUE ...]

Varies: the cell (plain tanh, GRU, LSTM) on the adding problem, clipped at norm 1; each arm tunes its learning rate.
Looks at: the mean squared error, of which 1/6 needs no memory at all, and the first step by which half of that is gone.
Time on 2 cores: about 8 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp

CHANCE = 1 / 6  # mean squared error of always answering 1


@dp.experiment("memory_of_lstm.toml")
def main(run):
    """Count the seeds of each cell that remember, and tell when the median one begins to."""
    found = run.results
    scores = found.score.where(found.diverged_at < 0, float("inf"))
    learned = dp.stats.steps_to(found.validation.median("seed"), CHANCE / 2, above=False)
    for arm in found.arm.values:
        one, when = scores.sel(arm=arm), learned.sel(arm=arm)
        yield (
            f"{arm:>6}: median mean squared error {one.median():.4f}, below half of chance on "
            f"{int((one < CHANCE / 2).sum())} of {one.size} seeds; the median curve gets there "
            + (f"at step {int(when)}" if when.notnull() else "never")
        )


if __name__ == "__main__":
    main()
