"""Which generator draws handwritten digits best: transposed convolutions, resizing convolutions, or a plain MLP?

    python experiments/gan_images.py [PATH=VALUE ...]

Varies: the generator; each arm tunes its learning rate with the same number of trials. All draw the digit they are
told, against the same spectrally normalized discriminator, and the moving average of the weights is judged.
Looks at: the Fréchet distance in the features of a classifier trained here (not the FID), precision, recall, coverage;
the report shows the digits, how they came about, and what lies between two of them.
Time on 2 cores: 44 minutes of processor time.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("gan_images.toml")
def main(run):
    """Set what was not judged beside the distance that was."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        beside = ", ".join(f"{name} {found[f'test_{name}'].mean():.2f}" for name in ("precision", "recall", "coverage"))
        yield f"{row['name']:>10}: Fréchet distance {dp.stats.with_interval(row, '.2f')}, {beside}"


if __name__ == "__main__":
    main()
