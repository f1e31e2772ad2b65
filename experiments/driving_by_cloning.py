"""Is the smallest error the best driver?

    python experiments/driving_by_cloning.py [PATH=VALUE ...]

Varies: what a small convolutional network is shown of an expert's drives. plain: the frames as they are; shifted: views
from beside the lane with corrected steering; uncorrected: the same views without the correction; recoveries: half of
the frames are of drives back from off the center line. All have as many frames and steps, and nothing is tuned.
Looks at: how many of 300 m a model drives on 12 roads that it never saw, before it leaves the lane; its squared error
on the states of the expert and off the center line.
Time on 2 cores: 6 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("driving_by_cloning.toml")
def main(run):
    """Set the errors beside the driving, judge them alike, and draw the paths from above."""
    found = run.results
    errors = {"on the expert's states": found.test_mse, "off center": found.test_set_mse.sel(test_set="off_center")}
    for row in run.summary["arms"]:
        beside = ", ".join(f"{errors[words].sel(arm=row['name']).mean():.4f} {words}" for words in errors)
        yield f"{row['name']:>11}: {dp.stats.with_interval(row, '.0f')} m in the lane; squared error {beside}"
    for words, scores in errors.items():
        table = {arm: scores.sel(arm=arm).values for arm in found.arm.values}
        verdicts = dp.judge(table, metric=f"squared error {words}", direction="min", comparisons="all", best=0.0)
        yield from verdicts.sentences
    yield f"Picture: {dp.driving.draw(run, run.path / 'driving.png')}"


if __name__ == "__main__":
    main()
