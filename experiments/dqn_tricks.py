"""Which tricks of DQN does CartPole need?

    python experiments/dqn_tricks.py [PATH=VALUE ...]

Varies: one trick at a time: double and dueling values, Huber's loss, no target network or one that follows slowly, a
memory an eighth as large; every arm tunes its learning rate with the same number of trials.
Looks at: returns of fresh episodes at the end, and how much a seed loses between its best look and its last.
Time on 2 cores: 10 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("dqn_tricks.toml")
def main(run):
    """Set what seeds had and lost again beside what they ended with."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        middle = dp.stats.stratified_bootstrap(found.score.values[:, None])
        best = found.validation.max("eval_step")
        lost = float((best - found.validation.isel(eval_step=-1)).median())
        yield f"{row['name']:>13}: interquartile mean {middle.value:.0f} [{middle.low:.0f}, {middle.high:.0f}]"
        yield f"               best look {float(best.median()):.0f}, lost again by the end {lost:.0f} (medians)"


if __name__ == "__main__":
    main()
