"""Is the Dice loss better than cross-entropy at outlining nuclei?

    python experiments/segmentation_losses.py [PATH=VALUE ...]

Varies: the loss of a small U-Net (cross-entropy, half and all of it soft Dice, Tversky, focal); edges of nuclei, one
of three classes, are 5 % of the pixels. All arms share learning rate and steps. Fetches the picture (1 MB) once.
Looks at: the mean IoU and the IoU of edges; Dice coefficient, F1 of edges within 2 pixels, and the cross-entropy.
Time on 2 cores: 11 minutes of processor time.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("segmentation_losses.toml")
def main(run):
    """Set what was not judged beside the mean IoU that was."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        beside = [
            f"{name} {found[f'test_{name}'].mean():.3f}" for name in ("dice_score", "boundary_f1", "cross_entropy")
        ]
        edge = found.test_mean_iou_per_class.isel({"class": -1}).mean()
        score = dp.stats.with_interval(row, ".3f")
        yield f"{row['name']:>13}: mean IoU {score}, of edges {edge:.3f}, {', '.join(beside)}"


if __name__ == "__main__":
    main()
