"""Does a cloned driver get farther when it is paid for the meters it drives?

    python experiments/driving_by_reinforcement.py [steps=60] [seeds=10] [cloning=1000]

Varies: where the actor of an actor-critic begins (a network that was cloned from an expert's drives, one for each seed,
or from scratch), and whether it learns from what it earns or is held still, with the random steering that learning
begins with (a standard deviation of 0.3) or without.
Looks at: meters driven in the lane of fresh roads, of 300.
Time on 2 cores: 16 minutes with much other work beside it.
Found: docs/findings.md
"""

from pathlib import Path

import deepprinciples as dp

CONFIGS = Path(__file__).parents[1] / "configs"
MODEL = ("model={ name = 'mlp', depth = 2, width = 64 }", "optimizer.learning_rate=1e-3")


@dp.experiment()
def main(*, steps: int = 60, seeds: int = 10, cloning: int = 1000):
    """Clone the expert, begin from there, and say how far each arm drives."""
    size = (f"train.steps={cloning}", f"train.seeds={seeds}")
    first = dp.load_config(CONFIGS / "driving_by_cloning.toml", *MODEL, *size)
    known = dp.train({**first, "study": {"metric": "meters_in_lane"}, "arms": {}}, name="cloned_drivers")
    yield f"cloned: {float(known.results.score.mean()):.0f} m in the lane of other roads"
    config = dp.load_config(CONFIGS / "driving_by_reinforcement.toml", f"train.steps={steps}", f"study.seeds={seeds}")
    for arm in config["arms"].values():
        if "model.start" in arm:
            arm["model.start"]["path"] = str(known.path)
    run = dp.compare(config, name="driving_by_reinforcement")
    for row in run.summary["arms"]:
        yield f"{row['name']:>8}: {dp.stats.with_interval(row, '.0f')} m"
    yield f"{run.summary['headline']}\nReport: {run.path / 'report.html'}"


if __name__ == "__main__":
    main()
