"""Documents packed into rows: nothing is lost, none reads another, and every token has the loss it has alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deepprinciples as dp
from deepprinciples.errors import DataError
from deepprinciples.parts.models import TABLE as MODELS
from deepprinciples.parts.text import TABLE, tokenizer_of
from deepprinciples.parts.tokens.packing import packed
from deepprinciples.parts.tokens.windows import windows
from deepprinciples.parts.transformers import TABLE as TRANSFORMERS
from deepprinciples.types import Split

LENGTH, VOCABULARY = 12, 11
RANDOM = np.random.default_rng(0)
DOCUMENTS = [RANDOM.integers(0, VOCABULARY, size) for size in (13, 3, 5, 2, 9, 4, 7, 6, 30, 2, 8, 5)]
APART = windows(DOCUMENTS, LENGTH, LENGTH)
TOGETHER = packed(APART)
PIECES = sorted([*x[: (y >= 0).sum()], y[y >= 0][-1]] for x, y in zip(*APART, strict=True))


def segments_of(split: Split, values: Any) -> list[tuple[np.ndarray, Any]]:
    """List the rows and positions of every segment, and what stands there among values [M, T]."""
    found = []
    for row, segments in enumerate(split.inputs["segments"]):
        for number in range(1, segments.max() + 1):
            here = np.flatnonzero(segments == number)
            np.testing.assert_array_equal(here, np.arange(here[0], here[0] + len(here)))
            found.append((np.asarray(split.inputs["tokens"])[row, here], np.asarray(values)[row, here]))
    return found


def test_documents_come_back_whole() -> None:
    """Lost: text that training never sees, or a target that is the first token of the next document of the row."""
    found = sorted([*tokens, targets[-1]] for tokens, targets in segments_of(TOGETHER, TOGETHER.targets))
    assert found == PIECES
    for tokens, targets in segments_of(TOGETHER, TOGETHER.targets):
        np.testing.assert_array_equal(tokens[1:], targets[:-1])
    padding = TOGETHER.inputs["segments"] == 0
    assert (TOGETHER.targets[padding] == -1).all() and (TOGETHER.targets[~padding] >= 0).all()
    assert len(TOGETHER.targets) == 7 and len(APART.targets) == 14  # 82 tokens in rows of 12


def test_rows_by_hand() -> None:
    """Lost: rows that are half empty. Longest first, each document where it leaves the least space."""
    made = packed(windows([np.arange(size + 1) for size in (1, 4, 1, 3)], 5, 5))
    assert made.inputs["segments"].tolist() == [[1, 1, 1, 1, 2], [1, 1, 1, 2, 0]]
    assert made.inputs["tokens"].tolist() == [[0, 1, 2, 3, 0], [0, 1, 2, 0, 0]]
    assert made.targets.tolist() == [[1, 2, 3, 4, 1], [1, 2, 3, 1, -1]]


def losses(model: Any, params: Any, split: Split) -> np.ndarray:
    scores = model.apply(params, {}, jax.tree.map(jnp.asarray, split.inputs), key=None, train=False)[0]
    each = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.maximum(split.targets, 0))
    return np.where(split.targets >= 0, each, np.nan)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "alibi", "none"])
def test_a_token_has_the_loss_that_it_has_alone(positions: str) -> None:
    """Lost: a comparison of packed runs that is one of leaks between documents, or of wrong positions."""
    given = {"outputs": VOCABULARY, "vocabulary": VOCABULARY, "width": 16, "positions": positions}
    model = TRANSFORMERS["transformer"](**given)
    params, _ = model.init(jax.random.key(0), jnp.asarray(APART.inputs))
    params = jax.tree.map(lambda a: a + 0.3 * jax.random.normal(jax.random.key(1), a.shape), params)
    alone = losses(model, params, APART)
    found = segments_of(TOGETHER, losses(model, params, TOGETHER))
    ends = np.sum(APART.targets >= 0, axis=1)
    known = {tuple(x[:n]): one[:n] for x, one, n in zip(APART.inputs, alone, ends, strict=True)}
    assert len(known) == len(found)
    for tokens, one in found:
        np.testing.assert_allclose(one, known[tuple(tokens)], atol=1e-5, rtol=0)


def test_no_gradient_crosses_a_border() -> None:
    """Lost: what a document is learned from would hang on its neighbors in the row."""
    model = TRANSFORMERS["transformer"](outputs=VOCABULARY, vocabulary=VOCABULARY, width=16)
    params, _ = model.init(jax.random.key(0), jax.tree.map(jnp.asarray, TOGETHER.inputs))
    row = int(np.argmax(TOGETHER.inputs["segments"].max(axis=1)))
    inputs = {name: jnp.asarray(one[row : row + 1]) for name, one in TOGETHER.inputs.items()}
    length = inputs["tokens"].shape[1]

    def of_row(push: jax.Array) -> jax.Array:
        state = {"perturbations": {"embedding": push}}
        return model.apply(params, state, inputs, key=None, train=False)[0][0].sum(axis=-1)

    jacobian = np.abs(jax.jacobian(of_row)(jnp.zeros((1, length, 16)))[:, 0]).max(axis=-1)  # [to, from]
    segments = np.asarray(inputs["segments"][0])
    same = segments[:, None] == segments[None, :]
    assert segments.max() > 1 and (jacobian[~same] == 0).all()
    read = jacobian[same & np.tri(length, dtype=bool)]
    assert (read > 0).mean() > 0.9


def test_what_cannot_read_packed_rows_says_so() -> None:
    """Lost: a recurrent network that carries its state from one document into the next, in silence."""
    inputs = jax.tree.map(jnp.asarray, TOGETHER.inputs)
    for name in ("gru", "lstm", "rnn"):
        model = MODELS[name](outputs=VOCABULARY, vocabulary=VOCABULARY, width=4, readout="every")
        with pytest.raises(ValueError, match="found a table of segments, tokens, .*take it, or data.pack = false"):
            model.init(jax.random.key(0), inputs)
    model = TRANSFORMERS["transformer"](outputs=3, vocabulary=VOCABULARY, width=16, readout="last")
    with pytest.raises(
        ValueError, match='transformer.readout: found "last" and rows of several documents; take "every"'
    ):
        model.init(jax.random.key(0), inputs)
    with pytest.raises(ValueError, match="transformer: found a table of tokens; expected one array"):
        model.init(jax.random.key(0), {"tokens": inputs["tokens"]})


LINES = "".join(f"{'ab' * (k % 9)}{'c' * (k % 4)}\n" for k in range(400))


def test_lines_are_documents(tmp_path: Path) -> None:
    """Lost: lines that run into each other, or a part that is not packed."""
    (tmp_path / "a.txt").write_text(LINES)
    source = TABLE["text"](path=str(tmp_path / "a.txt"), lines=True, pack=True, length=24)
    decode = tokenizer_of(source.token_names).decode
    found = [decode([*x, y[-1]]) for x, y in segments_of(Split(source.inputs, source.targets), source.targets)]
    first = LINES[: round(0.9 * len(LINES))]
    assert sorted(found) == sorted(line for line in first.splitlines(True) if len(line) > 1)
    assert set(source.validation.inputs) == set(source.test.inputs) == {"tokens", "segments"}
    apart = TABLE["text"](path=str(tmp_path / "a.txt"), lines=True, length=24)
    assert apart.inputs.shape[0] == len(found) and (source.targets < 0).mean() < 0.03 < 0.5 < (apart.targets < 0).mean()
    with pytest.raises(DataError, match="expected more than data.length"):
        TABLE["text"](path=str(tmp_path / "a.txt"), length=10**5)


def test_a_packed_run_learns_and_writes(tmp_path: Path) -> None:
    """Lost: the way from data.pack = true to a verdict, a text in the report and `generate`."""
    (tmp_path / "a.txt").write_text(LINES)
    config = {
        "data": {"name": "text", "path": str(tmp_path / "a.txt"), "lines": True, "pack": True, "length": 24,
                 "batch_size": 8},
        "model": {"name": "transformer", "depth": 1, "width": 8, "heads": 2},
        "loss": "softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.03},
        "train": {"steps": 30, "probes": ["gradient_norm"]},
        "study": {"metric": "bits_per_byte", "seeds": 2, "keep": 1},
        "arms": {"adam": {}, "slow": {"optimizer.learning_rate": 0.001}},
    }  # fmt: skip
    run = dp.compare(config, tmp_path / "run")
    assert float(run.results.score.sel(arm="adam").mean()) < 1.5 < float(run.results.score.sel(arm="slow").mean())
    assert set(run.summary["texts"]) == {"adam", "slow"}
    assert run.generate("ab", arm="adam", length=8).texts[0].startswith("ab")
