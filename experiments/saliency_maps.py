"""Which saliency map looks at the evidence, and which survives the randomization test?

    python experiments/saliency_maps.py [seeds=10] [examples=32] [steps=800]

Varies: how the answers of small convolutional networks are explained, for one handwritten digit on a crop of a
photograph, whose box is the truth: eight attributions of the same network and examples, one network a seed; one of them
is drawn at random. Nothing is tuned: all have the settings of their cards.
Looks at: the share of a map in the box, its largest value in it, how fast the answer goes when what matters most is
deleted, and how much the map is that of a network with newly drawn weights; verdicts against the plain gradient.
Time on 2 cores: 9 minutes with other work beside it.
Found: docs/findings.md
"""

from pathlib import Path

import deepprinciples as dp

CONFIG = Path(__file__).parents[1] / "configs" / "saliency_maps.toml"
METRICS = {"mass_in_mask": "max", "pointing_game": "max", "deletion": "min", "randomization": "min"}


@dp.experiment()
def main(*, seeds: int = 10, examples: int = 32, steps: int = 800, size: int = 4000):
    """Train a network for each seed, explain its answers in every way, and judge the ways by each metric."""
    settings = (f"train.seeds={seeds}", f"train.steps={steps}", f"train.evaluate_every={steps}", f"data.size={size}")
    run = dp.train(dp.load_config(CONFIG, *settings), name="saliency_maps")
    yield run.summary["headline"]
    found = run.explain(examples=examples, seeds=seeds)
    yield f"Chance in the box: {float(found.results.mask.mean()):.3f}"
    for metric, direction in METRICS.items():
        scores = found.scores(metric)
        for method, values in scores.items():
            mean, low, high = dp.stats.mean_interval(values)
            yield f"{metric:>13} {method:>20}: {mean:.3f} [{low:.3f}, {high:.3f}]"
        yield from (f"    {line}" for line in dp.judge(scores, metric=metric, direction=direction).sentences)
    yield f"Picture: {found.write(run.path / 'figures')[0]}"


if __name__ == "__main__":
    main()
