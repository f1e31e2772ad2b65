"""Does a network that knows 0 to 4 learn 5 to 9 from five examples each?

    python experiments/transfer_digits.py [steps=150] [searches=10] [pretraining=400]

Varies: where a small convolutional network begins that learns 5 to 9 from 25 examples (from scratch, or from the layers
of networks that learned 0 to 4, one for each seed), and the factor of those layers' learning rate: 1, 0.1, or 0
(frozen), against random layers that are frozen. Each arm tunes its learning rate.
Looks at: test accuracy on 5 to 9.
Time on 2 cores: 4 minutes with other work beside it.
Found: docs/findings.md
"""

from pathlib import Path

import deepprinciples as dp

CONFIG = Path(__file__).parents[1] / "configs" / "transfer_digits.toml"


@dp.experiment()
def main(*, steps: int = 150, searches: int = 10, pretraining: int = 400):
    """Train on 0 to 4, begin from there on 5 to 9, and say what each beginning came to."""
    first = dp.load_config(CONFIG, "data.labels=[0, 1, 2, 3, 4]", "data.train_size=0", f"train.steps={pretraining}")
    first |= {"train": {**first["train"], "seeds": 2 * searches}, "optimizer": {"name": "adam", "learning_rate": 3e-3}}
    known = dp.train({**first, "study": {"metric": "accuracy"}, "arms": {}}, name="digits_0_to_4")
    yield f"0 to 4: accuracy {float(known.results.score.mean()):.3f}"
    config = dp.load_config(CONFIG, f"train.steps={steps}", f"study.searches={searches}")
    for arm in config["arms"].values():
        if "model.start" in arm:
            arm["model.start"]["path"] = str(known.path)
    run = dp.compare(config, name="transfer_digits")
    for row in run.summary["arms"]:
        yield f"{row['name']:>14}: accuracy {dp.stats.with_interval(row, '.3f')}"
    yield f"{run.summary['headline']}\nReport: {run.path / 'report.html'}"


if __name__ == "__main__":
    main()
