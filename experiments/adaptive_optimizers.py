"""Is there a best optimizer for small networks, over four tasks and with equal tuning?

    python experiments/adaptive_optimizers.py [PATH=VALUE ...]

Varies: twelve optimizers on digits (MLP), MNIST-1D (CNN), the adding problem (GRU) and diabetes (MLP); each tunes its
learning rate over three decades around its usual one.
Looks at: verdicts against Adam on each task, mean ranks over the tasks, and the critical difference of Nemenyi.
Time on 2 cores: 7.5 minutes, 13 minutes of processor time, most of it compiling.
Found: docs/findings.md
"""

import deepprinciples as dp

ERROR = ("loss=mse", "study.metric=mse")
TASKS = {
    "digits": (),
    "mnist_1d": ("data.name=mnist_1d", "model={ name = 'cnn', depth = 2, width = 8, kernel = 5 }"),
    "adding": ("data={ name = 'adding', length = 15 }", "model={ name = 'gru', width = 16 }", *ERROR),
    "diabetes": ("data={ name = 'diabetes', batch_size = 32 }", *ERROR),
}


@dp.experiment("adaptive_optimizers.toml", variants=TASKS)
def main(runs):
    """Rank the optimizers over the tasks; the diagram lies with the figures of the last one."""
    ranking = dp.rank(list(runs.values()))
    yield str(ranking)
    drawing, _ = ranking.save(runs["diabetes"].path / "figures")
    yield f"Diagram: {drawing}"


if __name__ == "__main__":
    main()
