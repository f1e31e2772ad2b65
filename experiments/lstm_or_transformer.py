"""Which writes Shakespeare best for the same number of multiply-adds: an LSTM, a GRU or a transformer?

    python experiments/lstm_or_transformer.py [PATH=VALUE ...]

Varies: a layer of LSTM cells, one of GRU cells and two blocks of a transformer (positions learned, or rotary turns), of
widths that take the same multiply-adds for a character; each arm tunes its learning rate with as many trials.
Looks at: bits a byte of plays that were held out, on the way and at the end; parameters and multiply-adds; and what
each network writes.
Time on 2 cores: 11 minutes with much other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("lstm_or_transformer.toml")
def main(run):
    """Set bits, sizes and the looks at the validation beside each other, and let every arm write."""
    length = run.model("transformer")[0].data.train.inputs.shape[1]
    for row in run.summary["arms"]:
        size, rate = row["size"], row["tuned_point"]["optimizer.learning_rate"]
        on_the_way = run.results.validation.sel(arm=row["name"]).median("seed").values.round(2)
        score = dp.stats.with_interval(row, ".3f")
        yield f"{row['name']:>11}: {score} bits a byte at a rate of {rate:.1e}; on the way {on_the_way}"
        each = size["multiply_adds"] // length
        yield f"             {size['parameters']:,} parameters, {each:,} multiply-adds a character"
    yield from (f"\n{arm}: {text[:300]}" for arm, text in run.summary["texts"].items())


if __name__ == "__main__":
    main()
