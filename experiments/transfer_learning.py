"""How much does pretraining buy with 20 examples a class?

    python experiments/transfer_learning.py [PATH=VALUE ...]

Varies: where the last layers of EfficientNet-Lite0 begin that learn 9 categories from 180 emoji in Google's drawings
(ImageNet's weights, or drawn ones), and how those train (frozen, at a tenth of the rate, at the full rate, one layer
after the other), against a small convolutional network from scratch. The layers before 15 are ImageNet's and frozen.
Each arm tunes its learning rate with the same number of trials.
Looks at: test accuracy in style, and on Twitter's drawings of the same emoji.
Time on 2 cores: 43 minutes with much other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("transfer_learning.toml")
def main(run):
    """Say what each beginning came to, in style and in the other one."""
    other = run.results.test_set_score.sel(test_set="twitter")
    for row in run.summary["arms"]:
        shifted = float(other.sel(arm=row["name"]).mean())
        yield f"{row['name']:>17}: accuracy {dp.stats.with_interval(row, '.3f')}, on Twitter's {shifted:.3f}"


if __name__ == "__main__":
    main()
