"""Does sharpness-aware minimization find flatter and better places, and is it worth its second gradient?

    python experiments/sharpness_aware.py [PATH=VALUE ...]

Varies: plain SGD with momentum, SAM and ASAM, with learning rates and radii tuned; plain_double has twice the batch.
Looks at: test accuracy, sharpness over the last third, and SAM's first half against all of plain: as many gradients.
Time on 2 cores: 8 minutes with much other work beside it, 2 minutes of processor time.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("sharpness_aware.toml")
def main(run):
    """Set the sharpness of each arm beside its accuracy, and half of the steps of SAM beside all of plain."""
    steps, looks = run.results.sizes["step"], run.results.sizes["eval_step"]
    curves = run.results.validation.groupby("block").mean("seed")  # of each search [arm, eval_step, block]
    for row in run.summary["arms"]:
        one = run.results.sel(arm=row["name"])
        sharpness = one.sharpness.isel(step=slice(-max(steps // 3, 1), None)).mean("step").median()
        score = dp.stats.with_interval(row, ".3f")
        yield (
            f"{row['name']:>12}: test accuracy {score}, test loss {one.test_loss.mean():.3f}, "
            f"training loss {one.train_loss.isel(step=-1).mean():.3f}, sharpness {sharpness:.3g}"
        )
        if "gradient" in row["changes"]:
            half, whole = curves.sel(arm=row["name"])[looks // 2 - 1], curves.sel(arm="plain")[-1]
            gap = dp.stats.paired_difference(half, whole)
            yield (
                f"{row['name']:>12}: at half of the steps, {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] on "
                "validation against all of plain"
            )


if __name__ == "__main__":
    main()
