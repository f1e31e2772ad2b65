"""Does augmentation help a small CNN to tell a face from no face, with 80 examples to learn from?

    python experiments/face_detection.py [PATH=VALUE ...]

Detection of "a face", never recognition: the set has no names, and 200 pictures say nothing of other people.
Varies: how the pictures of a batch are moved (not at all, flips, shifts, all geometry).
Looks at: accuracy and the area under the ROC curve on 100 pictures.
Time on 2 cores: TIME
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("face_detection.toml")
def main(run):
    """Print accuracy and area under the curve of each arm, and the verdicts on the latter."""
    areas = run.results.test_roc_auc
    for row in run.summary["arms"]:
        area = float(areas.sel(arm=row["name"]).mean("seed"))
        yield f"{row['name']:>6}: accuracy {row['mean']:.3f}, area under the ROC curve {area:.3f}"
    yield from dp.judge(areas, metric="area under the ROC curve").sentences


if __name__ == "__main__":
    main()
