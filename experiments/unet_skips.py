"""Does a U-Net need its skips to outline nuclei?

    python experiments/unet_skips.py [PATH=VALUE ...]

Varies: how maps of the way down join those of the way up: side by side, added, or not at all. All arms share loss,
learning rate and steps; side by side has more weights than the others. Fetches the picture (1 MB) once.
Looks at: the mean IoU, the IoU of each class, and the F1 of edges within 2 pixels.
Time on 2 cores: 4 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("unet_skips.toml")
def main(run):
    """Set the classes and the edges beside the mean IoU that was judged."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        classes = found.test_mean_iou_per_class.mean("seed")
        each = ", ".join(
            f"{name} {value:.3f}" for name, value in zip(classes["class"].values, classes.values, strict=True)
        )
        score = dp.stats.with_interval(row, ".3f")
        yield f"{row['name']:>6}: mean IoU {score} ({each}), F1 of edges {found.test_boundary_f1.mean():.3f}"


if __name__ == "__main__":
    main()
