"""Which small network translates best for the same multiply-adds: a GRU with attention or without, or a transformer?

    python experiments/translation.py [PATH=VALUE ...]

Varies: a GRU that reads and one that writes, with additive attention or none, and encoder and decoder of a transformer
(norm before each branch or after each sum, or rotary positions), of widths that take the same multiply-adds for a pair,
for as many steps; nothing is tuned, but what lies below the outputs of the GRU with attention has a tenth of the rate.
Looks at: chrF, BLEU and perplexity on Spanish verses of chapters that were held out, the first two of what each network
writes by itself; and five translations of each.
Time on 2 cores: 13 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("translation.toml")
def main(run):
    """Set BLEU and perplexity beside chrF: a network may know the likely next word and still write nothing right."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        bleu, perplexity = float(found.test_bleu.mean()), float(found.test_perplexity.mean())
        loss = f"training loss {float(found.train_loss.isel(step=-1).mean()):.2f}"
        score = dp.stats.with_interval(row, ".1f")
        yield f"{row['name']:>13}: chrF {score}, BLEU {bleu:.2f}, perplexity {perplexity:.1f}, {loss}"
    yield from (f"\n{arm}:\n{text}" for arm, text in run.summary["texts"].items())


if __name__ == "__main__":
    main()
