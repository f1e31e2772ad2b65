"""Does pretraining without labels help where labels are few?

    python experiments/labels_are_few.py [PATH=VALUE ...]

Varies: on 20, 50 and 200 labels of digits, and on 50 and 200 of emoji, supervised training (with and without augmented
pictures), against a linear probe of a network that was pretrained on all pictures without labels (contrastive or
masked), or not trained at all.
Looks at: test accuracy, and the settings that were chosen; all arms tune against the labels of the validation part.
Time on 2 cores: 16 minutes with other work beside it, most of it on emoji.
Found: docs/findings.md
"""

import deepprinciples as dp


def few(name, labels):
    """Return the overrides for a data set and a number of its labels; a supervised arm trains on nothing else."""
    alone = f"{{ name = '{name}', train_size = {labels}, batch_size = {min(labels, 50)} }}"
    arms = [f"arms.{arm}.data={alone}" for arm in ("supervised", "supervised_views")]
    return (f"data.name={name}", f"learner.labels={labels}", f"arms.masked.learner.labels={labels}", *arms)


FEWER = ("study.trials=2", "study.seeds=1")  # emoji have 48 times as many numbers
TASKS = {f"digits_{labels}": few("digits", labels) for labels in (20, 50, 200)}
TASKS |= {f"emoji_{labels}": (*few("emoji", labels), *FEWER) for labels in (50, 200)}


@dp.experiment("labels_are_few.toml", variants=TASKS)
def main(runs):
    """Set the accuracy of each arm beside the settings that it chose."""
    for task, run in runs.items():
        for row in run.summary["arms"]:
            chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
            yield f"{task} {row['name']}: accuracy {dp.stats.with_interval(row, '.3f')}; median choice {chosen}"


if __name__ == "__main__":
    main()
