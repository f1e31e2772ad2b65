"""Does the best checkpoint or early stopping help where labels are few or noisy?

    python experiments/early_stopping.py [PATH=VALUE ...]

Varies: which state of a run is judged, and with it the learning rate that each arm tunes; on 50 labels of digits with
359 and with 36 validation digits, by accuracy and by cross-entropy, and on the noisy targets of 442 diabetes patients;
last, at one rate that nobody tuned, where the arms are the same runs.
Looks at: the score on the test split, and the step whose state was kept. The steps that are taken are the same.
Time on 2 cores: 80 seconds with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp

LOSS = "study.metric=cross_entropy"
DIABETES = ("data={ name = 'diabetes', batch_size = 25 }", "loss=mse", "study.metric=mse")
UNTUNED = ("study.tune={}", "study.seeds=30", "optimizer.learning_rate=0.01")
TASKS = {
    "digits": (),
    "digits_few_held_out": ("data.validation=0.02",),
    "digits_loss": (LOSS,),
    "digits_loss_few_held_out": (LOSS, "data.validation=0.02"),
    "diabetes": DIABETES,
    "digits_loss_untuned": (LOSS, *UNTUNED),
    "diabetes_untuned": (*DIABETES, *UNTUNED),
}


@dp.experiment("early_stopping.toml", variants=TASKS)
def main(runs):
    """Set the score of each arm beside the step that it kept and the rate that it chose."""
    for task, run in runs.items():
        for row in run.summary["arms"]:
            rate = row["tuned_point"].get("optimizer.learning_rate", 0.01)
            score = dp.stats.with_interval(row, ".4g")
            yield f"{task} {row['name']}: {score}; step {row['kept_step']}, median rate {rate:.2g}"


if __name__ == "__main__":
    main()
