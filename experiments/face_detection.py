"""Does augmentation help a small CNN to tell a face from no face, with 20 examples to learn from?

    python experiments/face_detection.py [PATH=VALUE ...]

Detection of "a face", never recognition: the set has no names, and 200 pictures say nothing of other people.
Varies: how the pictures of a batch are moved (not at all, flips, shifts, all geometry).
Looks at: accuracy and the area under the ROC curve on 100 pictures, as they are and shifted, rotated and noisy.
Time on 2 cores: 5 minutes
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("face_detection.toml")
def main(run):
    """Print accuracy and area under the curve of each arm on each test set, and the verdicts on the further sets."""
    scores, areas = (run.results[f"test_set_{name}"].mean("seed") for name in ("score", "roc_auc"))
    for row in run.summary["arms"]:
        arm = {"arm": row["name"]}
        area = float(run.results.test_roc_auc.sel(arm).mean("seed"))
        sets = [(name, arm | {"test_set": name}) for name in scores.test_set.values]
        further = [f"{name} {float(scores.sel(at)):.3f} ({float(areas.sel(at)):.3f})" for name, at in sets]
        score = dp.stats.with_interval(row, ".3f")
        yield f"{row['name']:>6}: accuracy {score} (area under the curve {area:.3f}); {', '.join(further)}"
    for one in run.summary["test_sets"]:
        yield f"{one['name']}: {one['headline']}"


if __name__ == "__main__":
    main()
