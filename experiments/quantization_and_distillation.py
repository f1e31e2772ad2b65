"""How does a network get small: rounded after training or aware of it, of low rank, or small from the start and taught?

    python experiments/quantization_and_distillation.py [steps=2000] [seeds=20] [width=128]

Varies: a perceptron on MNIST-1D with weights in floats; in 8, 4 or 3 bits, rounded after training or all along; with
kernels of rank 4; a small one alone, and one that learns nine tenths from the large one of its seed. Nothing is tuned.
Looks at: accuracy against bytes and against multiply-adds.
Time on 2 cores: 9 minutes with much other work beside it.
Found: docs/findings.md
"""

from pathlib import Path
from typing import Annotated

import deepprinciples as dp

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "quantization_and_distillation.toml"
Count = Annotated[int, dp.types.Range("[1, inf)")]


@dp.experiment()
def main(*, steps: Count = 2000, seeds: Count = 20, width: Count = 128):
    """Train the teacher, then compare, and tell the size and the accuracy of each arm."""
    config = dp.load_config(CONFIG, f"train.steps={steps}", f"study.seeds={seeds}", f"model.width={width}")
    teacher = dp.train(config | {"train": {**config["train"], "seeds": seeds}}, name=f"{CONFIG.stem}-teacher")
    for arm in ("small_alone", "small_distilled"):
        config["arms"][arm]["data.teacher"] = {"path": str(teacher.path)}
    run = dp.compare(config, name=CONFIG.stem)
    for row in run.summary["arms"]:
        said = ", ".join(f"{count:,} {what.replace('_', '-')}" for what, count in row["size"].items())
        yield f"{row['name']:>15}: accuracy {dp.stats.with_interval(row, '.3f')}, {said}"
    yield from (run.summary["headline"], f"Report: {run.path / 'report.html'}")
    return run


if __name__ == "__main__":
    main()
