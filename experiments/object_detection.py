"""Does a detector do better with losses of the IoU family than with L1, and with focal loss than with cross-entropy?

    python experiments/object_detection.py [PATH=VALUE ...]

Varies: the loss of the boxes (GIoU, IoU, L1) and of the classes (focal, binary cross-entropy) of one small detector
without anchors; each arm tunes its learning rate and the weight of its boxes with the same number of trials.
Looks at: mean average precision at an IoU of 0.75, which is judged, and at 0.5; the boxes that the first seed of each
arm draws into the first test scenes.
Time on 2 cores: 19 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("object_detection.toml")
def main(run):
    """Set the precision of looser boxes beside the one that was judged, and draw test scenes."""
    for row in run.summary["arms"]:
        loose = run.results.test_loose.sel(arm=row["name"])
        chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
        score = dp.stats.with_interval(row, ".3f")
        yield (
            f"{row['name']:>10}: average precision {score} at an IoU of 0.75, {loose.mean():.3f} at 0.5; "
            f"median choice {chosen}"
        )
    yield f"Picture: {dp.detection.save_scenes(run)}"


if __name__ == "__main__":
    main()
