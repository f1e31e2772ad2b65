"""Which augmentation helps on pictures like those of the training, and which on shifted and corrupted ones?

    python experiments/augmentation_under_shift.py [PATH=VALUE ...]

Varies: what is done to the pictures of a batch in a small CNN on emoji of Google's style (nothing, flips, shifts, all
geometry, mixup, cutmix); the arms differ in numbers alone and share one program.
Looks at: accuracy on held-out emoji, on Twitter's drawings of them, and on shifted, rotated, noisy and occluded ones.
Time on 2 cores: 16 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("augmentation_under_shift.toml")
def main(run):
    """Print the accuracy of each arm on each test set, and the verdicts on the further sets."""
    sets = run.results.test_set_score.mean("seed")
    for row in run.summary["arms"]:
        found = sets.sel(arm=row["name"])
        further = ", ".join(f"{name} {float(found.sel(test_set=name)):.3f}" for name in found.test_set.values)
        yield f"{row['name']:>7}: accuracy {dp.stats.with_interval(row, '.3f')}; {further}"
    for one in run.summary["test_sets"]:
        yield f"{one['name']}: {one['headline']}"


if __name__ == "__main__":
    main()
