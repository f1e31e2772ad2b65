"""Does the noise scale of the gradient tell which batch size is worth it?

    python experiments/noise_scale_and_batch_size.py [PATH=VALUE ...]

Varies: the batch size of plain SGD from 8 to 256; each tunes its learning rate to the loss after 300 steps.
Looks at: steps S to a validation loss, whose fit S = fewest (1 + critical / batch) gives the critical batch size, and
the noise scale trace / signal (arXiv:1812.06162) over the same steps of the largest batches, in three stages.
Time on 2 cores: 7 minutes with much other work beside it, 3 minutes of processor time.
Found: docs/findings.md
"""

import math

import deepprinciples as dp

TARGETS = (1.0, 0.3, 0.15)  # validation loss: a stage ends at each, and the next begins there


@dp.experiment("noise_scale_and_batch_size.toml")
def main(run):
    """Set the critical batch size of each stage beside the noise scale in it."""
    sizes = [int(name.split("_")[1]) for name in run.results.arm.values]
    noise = run.results[["noise_trace", "noise_signal"]].isel(arm=-1).mean("seed")
    for stage in dp.stats.stages(run.results.validation_loss, TARGETS):
        steps = ", ".join(f"{step:.0f} at {size}" for step, size in zip(stage.steps, sizes, strict=True))
        yield f"loss {stage.target}: steps {steps}"
        critical = dp.stats.critical_batch_size(sizes, stage.steps).critical
        if math.isfinite(critical):
            scale = dp.stats.noise_scale(noise.noise_trace, noise.noise_signal, stage.begin[-1], stage.end[-1])
            yield f"loss {stage.target}: critical batch size {critical:.0f}, noise scale {scale:.0f}"


if __name__ == "__main__":
    main()
