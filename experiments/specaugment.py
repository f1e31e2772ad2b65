"""How much of a spectrogram should be covered in training, and is it time or frequency that helps?

    python experiments/specaugment.py [PATH=VALUE ...]

Varies: how long a stretch of time and how wide a band of frequency is covered in the training spectrograms of strings
of digits that a bidirectional GRU learns with CTC: none, three strengths of both, and each alone; nothing is tuned.
Looks at: the share of wrong digits for speakers that were not heard in training, how well the training part is fit, and
whether the error on validation still falls.
Time on 2 cores: 6 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("specaugment.toml")
def main(run):
    """Set the losses of training and test and the looks at the validation beside the errors, and read some strings."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        train, test = float(found.train_loss.isel(step=-1).mean()), float(found.test_loss.mean())
        losses = f"CTC loss {train:.3f} in training, {test:.2f} in the test"
        yield f"{row['name']:>9}: {dp.stats.with_interval(row, '.3f')} of the digits wrong; {losses}"
        yield f"           error on validation on the way {found.validation.mean('seed').values.round(3)}"
    for arm in ("none", "medium"):
        model, params = run.model(arm)
        inputs, targets = model.data.test.inputs[:8], model.data.test.targets
        read = map(dp.speech.greedy, model.predict(params, inputs), targets["frames"][:8])
        yield f"{arm} reads {shown(read)} where {shown(targets['labels'][:8])} is said"


def shown(strings):
    return ", ".join("".join(str(digit - 1) for digit in one if digit > 0) for one in strings)


if __name__ == "__main__":
    main()
