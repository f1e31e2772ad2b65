"""Does a GRU or an LSTM read the digits of unheard voices better, and do masks over the training spectrograms help?

    python experiments/speech_digits.py [PATH=VALUE ...]

Varies: the cells of a small bidirectional network that learns strings of one to three digits with CTC (GRU, LSTM), and
whether stretches of time and bands of frequency of the training spectrograms are covered; nothing is tuned.
Looks at: the share of wrong digits for speakers that were not heard in training, and how well the training part is fit.
Time on 2 cores: 2 minutes, and 3 with train.steps=900; twice that with much other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("speech_digits.toml")
def main(run):
    """Set the losses of training and test beside the errors: a network that cannot fit needs no masks."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        train, test = float(found.train_loss.isel(step=-1).mean()), float(found.test_loss.mean())
        losses = f"CTC loss {train:.2f} in training, {test:.2f} in the test"
        yield f"{row['name']:>9}: {dp.stats.with_interval(row, '.3f')} of the digits wrong; {losses}"


if __name__ == "__main__":
    main()
