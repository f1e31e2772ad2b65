"""Does clipping the gradient's norm widen the range of learning rates that can be used?

    python experiments/clipping_and_learning_rate.py [PATH=VALUE ...]

Varies: clipping at norm 1, in an 8-layer ReLU network; both arms try the same learning rates over three decades.
Looks at: which of the tried rates come within USABLE of the best one, and how often the clip acts.
Time on 2 cores: 2 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp

USABLE = 0.02  # accuracy below the best that still counts as usable


@dp.experiment("clipping_and_learning_rate.toml")
def main(run):
    """Count the usable rates of each arm, and tell how often its clip acted."""
    tried = run.trials()
    tried.loc[tried.diverged_at >= 0, "score"] = 0.0
    rates = tried.groupby(["arm", "optimizer.learning_rate"], sort=False).score.mean().reset_index()
    for arm, one in rates.groupby("arm", sort=False):
        good = one[one.score >= rates.score.max() - USABLE]["optimizer.learning_rate"]
        yield f"{arm:>14}: {len(good)} of {len(one)} learning rates usable, {good.min():.2g} to {good.max():.2g}"
    for row in run.summary["arms"]:
        share = run.results.trigger_rate.sel(arm=row["name"]).isel(step=-1, transform=0).median("seed")
        acted = f"; the clip acted on {share:.0%} of the steps" if share.notnull() else ""
        yield f"{row['name']:>14}: accuracy {dp.stats.with_interval(row, '.3f')}{acted}"


if __name__ == "__main__":
    main()
