"""Which way of clipping helps a recurrent network?

    python experiments/clipping_family.py [PATH=VALUE ...]

Varies: how the gradient is clipped (global norm, per layer, per unit, by percentile, by z-score, by value) in a GRU
under SGD with momentum; each arm tunes its learning rate, up to ones that are far too large, and its threshold.
Looks at: the mean squared error, how many of the settings tried learn at all, and how often the clip acts.
Time on 2 cores: 2.5 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp

CHANCE = 1 / 6  # mean squared error of always answering 1


@dp.experiment("clipping_family.toml")
def main(run):
    """Tell of each arm what its settings came to, and how often its clip acted."""
    tried = run.trials()
    tried.loc[tried.diverged_at >= 0, "score"] = float("inf")
    settings = tried.groupby(["arm", "search", "trial"], sort=False).score.mean()
    for row in run.summary["arms"]:
        scores = settings[row["name"]]
        # An arm has one transform; the others are missing.
        acted = run.results.trigger_rate.sel(arm=row["name"]).isel(step=-1).median("seed").max("transform")
        chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
        score = dp.stats.with_interval(row, ".5f")
        yield (
            f"{row['name']:>12}: mean squared error {score}, {(scores < CHANCE / 2).sum()} of {len(scores)} "
            f"settings below half of chance, {(scores == float('inf')).sum()} diverged; median choice {chosen}"
            + (f"; the clip acted on {acted:.0%}" if acted.notnull() else "")
        )


if __name__ == "__main__":
    main()
