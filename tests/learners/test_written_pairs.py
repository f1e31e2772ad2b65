"""Translations that a model writes by itself: a score of what it was shown would be taken for one of what it can do."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError
from deepprinciples.learners.writing import searched_pairs, write, writer_of
from deepprinciples.parts.tables import TABLES
from deepprinciples.parts.text import numerals, tokenizer_of

SIZE = 5  # padding, begin, end, and two words
INPUTS = {"source": jnp.array([[3, 4, 2], [4, 2, 0]]), "target": jnp.array([[1, 0, 0], [1, 0, 0]])}


def test_every_token_rests_on_those_written_before() -> None:
    """Lost: a translation that has read its answer."""
    inputs = {"source": jnp.array([[4, 5, 2], [6, 2, 0]]), "target": jnp.array([[1, 7, 7, 7], [1, 8, 8, 0]])}

    def predict(given: dict[str, jnp.ndarray]) -> jnp.ndarray:
        """Copy the source: after begin its first token, after each token the one that follows it there."""
        source, so_far = given["source"], given["target"]
        found = jnp.argmax(source[:, None, :] == so_far[:, :, None], axis=-1) + 1
        follows = jnp.take_along_axis(source, jnp.minimum(found, 2), axis=1)
        scores = jnp.where(so_far == 1, source[:, :1], follows)
        return jnp.eye(10)[scores]

    np.testing.assert_array_equal(write(writer_of(predict), inputs), [[4, 5, -1, -1], [6, -1, -1, -1]])


@pytest.fixture(scope="module", params=["seq2seq", "encoder_decoder"])
def model(request: pytest.FixtureRequest) -> Any:
    """Build a network of random weights that has a clear opinion of the next token."""
    given = (
        {"depth": 1, "heads": 2, "positions": "rotary"}
        if request.param == "encoder_decoder"
        else {"recurrent_initializer": "he_normal"}
    )
    made = TABLES["model"][request.param](outputs=SIZE, vocabulary=SIZE, width=8, **given)
    params, state = jax.jit(made.init)(jax.random.key(2), INPUTS)
    params = jax.tree.map(lambda leaf: 2.0 * leaf, params)
    predict = jax.jit(lambda x: made.apply(params, state, x, key=None, train=False)[0])
    return predict, writer_of(predict, made.unroll, params, state)


def test_a_search_finds_the_likeliest_targets_of_all(model: Any) -> None:
    """Lost: a beam that mixes examples, goes on behind an end, or forgets which target a token belongs to."""
    predict, writer = model
    found, totals = jax.jit(lambda x: searched_pairs(writer, x, SIZE**2))(INPUTS)
    every = np.array(list(itertools.product(range(SIZE), repeat=3)))
    ended = np.cumsum(every == 2, axis=1)
    every = np.unique(np.where(ended - (every == 2) > 0, 2, every), axis=0)  # once an end, always an end
    counts = np.cumsum(every == 2, axis=1) <= 1
    for number, source in enumerate(INPUTS["source"]):
        target = jnp.asarray(np.concatenate([np.ones((len(every), 1), int), every[:, :2]], axis=1))
        scores = predict({"source": jnp.tile(source[None], (len(every), 1)), "target": target})
        logs = np.take_along_axis(np.asarray(jax.nn.log_softmax(scores)), every[:, :, None], axis=2)[..., 0]
        sums = np.where(counts, logs, 0.0).sum(axis=1)
        order = np.argsort(-sums)[:6]
        np.testing.assert_allclose(totals[number, :6], sums[order], rtol=1e-4)
        np.testing.assert_array_equal(found[number, :6], np.where(every == 2, -1, every)[order])


def test_one_token_at_a_time_writes_what_the_whole_pass_does(model: Any) -> None:
    """Lost: a translation of another model than the one that was trained."""
    predict, writer = model
    inputs = {"source": INPUTS["source"], "target": jnp.array([[1] + [0] * 7] * 2)}
    search = lambda one: jax.jit(lambda x: (write(one, x), *searched_pairs(one, x, 4)))(inputs)
    (first, found, totals), (again, others, sums) = search(writer), search(writer_of(predict))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(found, others)
    np.testing.assert_allclose(totals, sums, rtol=1e-4)
    assert first.shape == (2, 8) and len(np.unique(found)) > 1
    with pytest.raises(ValueError, match="written = true needs pairs of sequences, such as those of number_words"):
        write(writer, INPUTS["source"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dp.Run:
    """Train two stacks and two recurrent networks on numerals below 100."""
    folder = tmp_path_factory.mktemp("pairs")
    config = {
        "data": {"name": "number_words", "largest": 99, "size": 100, "batch_size": 16},
        "model": {"name": "encoder_decoder", "width": 16, "depth": 1},
        "loss": "softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"steps": 250, "probes": []},
        "study": {"metric": {"name": "token_error_rate", "written": True}, "seeds": 2, "keep": 1},
        "metrics": {"shown": {"name": "token_error_rate"}, "chrf": {"name": "chrf", "written": True},
                    "searched": {"name": "token_error_rate", "written": True, "beams": 3}},
        "arms": {"stacks": {}, "cells": {"model": {"name": "seq2seq", "width": 16, "embedding": 16}}},
    }  # fmt: skip
    return dp.compare(config, folder / "run")


def test_a_comparison_judges_what_is_written(run: dp.Run) -> None:
    """Lost: the two networks as a learner, or chrF of answers to a target that was given."""
    names = ("score", "test_shown", "test_chrf", "test_searched")
    score, shown, chrf, searched = (run.results[name].values.ravel() for name in names)
    assert (score < 0.75).all() and (shown < 0.6).all() and (chrf > 30).all(), (score, shown, chrf)
    assert (score != shown).all()
    assert (searched < 0.75).all() and TABLES["metric"]["token_error_rate"](written=True, beams=3).written == 3
    assert not any("gallery" in one for one in run.summary["warnings"]), run.summary["warnings"]
    model, params = run.model(seed=0, arm="cells")
    spread = slice(0, 20, 4)  # five of the 20 of the test part
    inputs = {side: jnp.asarray(ids[spread]) for side, ids in model.data.test.inputs.items()}
    made = write(writer_of(lambda given: model.predict(params, given), None, params, {}), inputs)
    decode = tokenizer_of(model.data.token_names).decode
    lines = run.summary["texts"]["cells"].split("\n")
    assert lines[::4] == [decode(ids) for ids in inputs["source"]]
    assert lines[1::4] == ["  " + decode(ids[ids >= 0]) for ids in np.asarray(made)]
    assert lines[2::4] == [f"  ({decode(ids[1:][ids[1:] > 0])})" for ids in inputs["target"]]
    assert "translation of the test part in parentheses" in (run.path / "report.html").read_text()


@pytest.mark.parametrize("arm", ["stacks", "cells"])
def test_a_run_translates(run: dp.Run, arm: str) -> None:
    """Lost: the translation of a text of one's own, from Python or the command line."""
    likeliest = run.generate("forty two", arm=arm, temperature=0)
    words = likeliest.texts[0].split()
    assert 1 <= len(words) <= 9 and set(words) <= set(numerals.WORDS) and likeliest.ids.shape == (1, 10)
    best = run.generate("forty two", arm=arm, beam=3)
    assert best.ids.shape == (3, 10) and (np.diff(best.log_probabilities) <= 0).all()
    drawn = [run.generate("forty two", arm=arm, count=4, temperature=2.0, key=1).texts for _ in range(2)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) > 1
    done = CliRunner().invoke(app, ["generate", str(run.path), "-a", arm, "-p", "forty two", "--beam", "3"])
    assert done.exit_code == 0 and done.stdout.split() == " ".join(best.texts).split(), done.output


@pytest.mark.parametrize(("prompt", "words"), [
    ("", "prompt: found none; the model writes the target of a source: give the source"),
    ("forty-two", 'prompt: the model was trained on no "forty-two"; write without it'),
    ("one " * 10, "prompt: found 10 tokens; expected 9 or fewer, as in the sources of training"),
])  # fmt: skip
def test_a_source_that_cannot_be_read_is_one_line(run: dp.Run, prompt: str, words: str) -> None:
    """Lost: an error about shapes, or the translation of half a text."""
    with pytest.raises(ConfigError) as caught:
        run.generate(prompt, arm="cells")
    assert str(caught.value) == words
