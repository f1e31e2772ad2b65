"""Which positions let a transformer that translates numerals go on to larger numbers?

    python experiments/number_translation.py [PATH=VALUE ...]

Varies: how an encoder and a decoder that turn English numerals into Spanish ones know positions (learned vectors,
waves, rotary turns, a penalty on the distance); nothing is tuned.
Looks at: the share of words that are wrong in what a network writes by itself, for held-out numbers below 1,000 and for
numbers above them, of which training saw none.
Time on 2 cores: 9 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("number_translation.toml")
def main(run):
    """Print the errors below and above 1,000, and the verdicts on the larger numbers."""
    larger = run.results.test_set_score.sel(test_set="larger")
    for row in run.summary["arms"]:
        above = float(larger.sel(arm=row["name"]).mean())
        chrf = float(run.results.test_chrf.sel(arm=row["name"]).mean())
        score = dp.stats.with_interval(row, ".3f")
        yield f"{row['name']:>10}: error {score} (chrF {chrf:.1f}), above 1,000 {above:.3f}"
    yield from (one["headline"] for one in run.summary["test_sets"])


if __name__ == "__main__":
    main()
