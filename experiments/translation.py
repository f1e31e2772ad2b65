"""Where should the norm stand, and how should positions be known, in a small transformer that translates?

    python experiments/translation.py [PATH=VALUE ...]

Varies: the place of the layer norm in an encoder and a decoder of two blocks each (before each branch, after each sum),
and rotary turns in the place of learned positions; nothing is tuned.
Looks at: chrF, BLEU and perplexity on Spanish verses of chapters that were held out, the first two of what each network
writes by itself; and five translations of each.
Time on 2 cores: 17 minutes with much other work beside it.
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
        yield f"{row['name']:>10}: chrF {row['mean']:.1f}, BLEU {bleu:.2f}, perplexity {perplexity:.1f}, {loss}"
    yield from (f"\n{arm}:\n{text}" for arm, text in run.summary["texts"].items())


if __name__ == "__main__":
    main()
