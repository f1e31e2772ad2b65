"""Does a transformer need a warmup where its norms stand before the branches, and where they stand after them?

    python experiments/char_transformer.py [PATH=VALUE ...]

Varies: the place of the layer norm in four blocks (before each branch, after each sum, none) and a warmup over a fifth
of the steps; every arm tunes its learning rate with the same number of trials.
Looks at: bits a byte of plays that were held out; how the gradient differs between the first block and the last at the
start; and what each network writes.
Time on 2 cores: 24 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("char_transformer.toml")
def main(run):
    """Set the gradients of the first and the last block at the start beside the bits, and let every arm write."""
    for row in run.summary["arms"]:
        norms = run.results.gradient_norm.sel(arm=row["name"]).isel(step=0).median("seed")
        first, last = (float(norms.sel(layer=name)) for name in ("layer_00", "layer_03"))
        rate = row["tuned_point"]["optimizer.learning_rate"]
        yield f"{row['name']:>11}: {dp.stats.with_interval(row, '.3f')} bits a byte at a rate of {rate:.1e}"
        yield f"             gradient of the first block {first:.2g}, of the last {last:.2g}"
    for arm, text in run.summary["texts"].items():
        yield f"\n{arm}: {text[:300]}"


if __name__ == "__main__":
    main()
