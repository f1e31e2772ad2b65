"""Which stabilizer makes a GAN cover all eight modes of a ring?

    python experiments/gan_mode_collapse.py [PATH=VALUE ...]

Varies: the loss, noise, penalties, normalization, packing and the order of updates; each arm tunes both learning rates
with the same number of trials.
Looks at: modes covered of 8, share of samples within three standard deviations of a mode, and how the game turns.
Time on 2 cores: 22 minutes of processor time.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("gan_mode_collapse.toml")
def main(run):
    """Set the quality of samples and the turning of the game beside the modes covered."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        score = dp.stats.with_interval(row, ".2f")
        yield (
            f"{row['name']:>16}: modes {score} of 8 (all of them in {(found.score >= 8).mean():.0%} of the "
            f"seeds), high quality {found.test_high_quality.mean():.0%}, reverse KL "
            f"{found.test_reverse_kl.mean():.2f}, rotation {found.rotation.isel(step=-1).median():.2f}"
        )


if __name__ == "__main__":
    main()
