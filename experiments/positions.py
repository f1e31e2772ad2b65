"""How should a small transformer know positions, and what holds on windows longer than those trained on?

    python experiments/positions.py [PATH=VALUE ...]

Varies: learned vectors, waves, rotary turns, a penalty on the distance, or nothing but the mask; nothing is tuned.
Looks at: bits a byte of held-out plays, in windows as in training and in windows four times as long, which learned
positions cannot read; and what each network writes.
Time on 2 cores: 15 minutes with much other work beside it.
Found: docs/findings.md
"""

import numpy as np

import deepprinciples as dp


@dp.experiment("positions.toml")
def main(run):
    """Print the bits in short windows, those in the quarters of long ones, and verdicts on the long ones."""
    found, data = {}, run.model("none")[0].data
    for row in run.summary["arms"]:
        yield f"{row['name']:>10}: {dp.stats.with_interval(row, '.3f')} bits a byte in windows as in training"
        if row["name"] != "learned":
            bits = np.array([quarters(*dp.load_model(run, row["name"], n, data=data)) for n in range(row["n"])])
            found[row["name"]] = bits.mean(axis=1)
            yield f"            {bits.mean():.3f} in longer ones, by quarters {bits.mean(axis=0).round(3)}"
    yield str(dp.judge(found, metric="bits_per_byte", direction="min", comparisons="all"))
    yield from (f"\n{arm}: {text[:300]}" for arm, text in run.summary["texts"].items())


def quarters(model, params):
    inputs, targets = (np.asarray(a)[: len(a) // 4 * 4].reshape(len(a) // 4, -1) for a in model.data.test[:2])
    logs = np.asarray(model.predict(params, inputs), np.float64)
    logs -= np.logaddexp.reduce(logs, axis=2, keepdims=True)
    of_targets = np.take_along_axis(logs, np.maximum(targets, 0)[..., None], axis=2).reshape(len(logs), 4, -1)
    return -np.nanmean(np.where(targets.reshape(of_targets.shape) < 0, np.nan, of_targets), axis=(0, 2)) / np.log(2)


if __name__ == "__main__":
    main()
