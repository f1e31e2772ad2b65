"""Does pretraining without labels help where labels are few?

    python experiments/labels_are_few.py [PATH=VALUE ...]

Varies: on 50 labels of digits, supervised training (with and without augmented pictures), against a linear probe of a
network that was pretrained on all pictures without labels (contrastive or masked), or not trained at all.
Looks at: test accuracy, and the settings that were chosen; all arms tune against the labels of the validation part.
Time on 2 cores: 3 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("labels_are_few.toml")
def main(run):
    """Set the accuracy of each arm beside the settings that it chose."""
    for row in run.summary["arms"]:
        low, high = row["interval"]
        chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
        yield f"{row['name']}: accuracy {row['mean']:.3f} [{low:.3f}, {high:.3f}]; median choice {chosen}"


if __name__ == "__main__":
    main()
