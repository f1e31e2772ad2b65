"""Text that is generated: a wrong choice of tokens would be read as what the model knows."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError
from deepprinciples.learners.generating import Choice, choose, is_causal, sampled, searched
from deepprinciples.learners.reparameterized import reparameterized
from deepprinciples.parts import weights
from deepprinciples.parts.tables import TABLES

TABLE = TABLES["model"]
SIZE = 5
TEXT = "the cat sat on the mat and the rat sat on the cat\n" * 40


def network(name: str = "transformer", **changes: Any) -> tuple[Any, Any, Any]:
    """Build a network of random weights that has a clear opinion of the next token."""
    given = {"outputs": SIZE, "vocabulary": SIZE, "width": 8, "readout": "every", **changes}
    model = TABLE[name](**given)
    params, state = model.init(jax.random.key(0), jnp.zeros((1, 8), int))
    return model, jax.tree.map(lambda leaf: 3.0 * leaf, params), state


def test_the_largest_score_is_taken_without_temperature_or_among_one() -> None:
    """Lost: a greedy text that is drawn."""
    scores = jax.random.normal(jax.random.key(0), (50, 9))
    best = np.asarray(scores).argmax(axis=1)
    for choice in (Choice(temperature=0), Choice(top_k=1), Choice(top_p=1e-6)):
        np.testing.assert_array_equal(choose(scores, jax.random.key(1), choice), best)


@pytest.mark.parametrize(("choice", "kept"), [
    (Choice(), [0, 1, 2, 3]), (Choice(temperature=2.0), [0, 1, 2, 3]), (Choice(top_k=2), [0, 1]),
    (Choice(top_p=0.5), [0]), (Choice(top_p=0.55), [0, 1]), (Choice(top_k=3, top_p=0.8), [0, 1]),
])  # fmt: skip
def test_tokens_are_drawn_as_often_as_the_model_says(choice: Choice, kept: list[int]) -> None:
    """Lost: a filter that lets unlikely tokens through, or draws the rest in other shares."""
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    scores = jnp.tile(jnp.log(shares), (20_000, 1))
    found = np.bincount(choose(scores, jax.random.key(2), choice), minlength=4) / 20_000
    expected = np.where(np.isin(range(4), kept), shares ** (1 / choice.temperature), 0.0)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=0.015)


@pytest.mark.parametrize("changes", [{"positions": "rotary"}, {"positions": "learned", "norm_place": "post"}])
def test_kept_keys_write_the_same_text_as_reading_all_anew(changes: dict[str, Any]) -> None:
    """Lost: a text of another model than the one that was trained, or a window that begins at a wrong place."""
    model, params, state = network(**changes)
    prompts = np.array([[1, 2, 3], [4, 0, 2]])
    write = lambda one: sampled(one, params, state, prompts, 20, jax.random.key(3), Choice(), window=8)
    found = write(model)
    assert found.shape == (2, 20) and len(np.unique(found)) > 2
    np.testing.assert_array_equal(found, write(model._replace(unroll=None)))


def test_quantized_weights_write_from_kept_keys_too() -> None:
    """Lost: a text that the stored weights write, where the model uses others."""
    model, params, _ = network(positions="none", depth=1)
    whole = reparameterized(model, {"quantize": weights.quantize(bits=3, steps=1)})
    _, state = whole.init(jax.random.key(0), jnp.zeros((1, 8), int))
    ids = jnp.array([3, 1])
    first, _ = whole.unroll.advance(params, state, whole.unroll.begin(2, 8), ids)
    expected = whole.apply(params, state, ids[:, None], key=None, train=False)[0][:, 0]
    np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(first - model.apply(params, {}, ids[:, None], key=None, train=False)[0][:, 0]).max() > 1e-2


def test_the_likeliest_text_is_found() -> None:
    """Lost: a beam that forgets which text a token belongs to."""
    model, params, state = network(positions="alibi")
    prompt = np.array([1, 3])
    every = np.array(list(itertools.product(range(SIZE), repeat=3)))
    whole = np.concatenate([np.tile(prompt, (len(every), 1)), every], axis=1)
    logs = jax.nn.log_softmax(jax.jit(lambda x: model.apply(params, state, x, key=None, train=False)[0])(whole))
    totals = sum(np.asarray(logs)[np.arange(len(every)), 1 + k, every[:, k]] for k in range(3))
    order = np.argsort(-totals)[:4]
    found, scores = searched(model, params, state, prompt, 3, SIZE**2)
    np.testing.assert_array_equal(found[:4], every[order])
    np.testing.assert_allclose(scores[:4], totals[order], rtol=1e-4)


def test_a_model_that_looks_ahead_is_recognized() -> None:
    """Lost: text of a model that has read what it is to write."""
    assert is_causal(*network(), 8, SIZE) and is_causal(*network("lstm"), 8, SIZE)
    assert not is_causal(*network(causal=False), 8, SIZE)
    assert not is_causal(*network("gru", bidirectional=True), 8, SIZE)
    assert not is_causal(*network(readout="last"), 8, SIZE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dp.Run:
    """Train a small model on a text of twelve words."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "cat.txt").write_text(TEXT)
    config = {
        "data": {"name": "text", "path": str(folder / "cat.txt"), "length": 16, "batch_size": 16},
        "model": {"name": "transformer", "width": 16, "depth": 1},
        "loss": "softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"steps": 120, "probes": []},
        "study": {"metric": "bits_per_byte", "seeds": 2, "keep": 1},
        "arms": {"transformer": {}, "gru": {"model": {"name": "gru", "readout": "every", "width": 16}}},
    }
    return dp.compare(config, folder / "run")


def test_a_run_writes_what_it_was_trained_on(run: dp.Run) -> None:
    """Lost: text that goes through another vocabulary than the run's own."""
    for arm in ("transformer", "gru"):
        made = run.generate("the ", arm=arm, length=40, temperature=0)
        assert made.texts[0].startswith("the ") and len(made.texts[0]) == 44 and made.ids.shape == (1, 40)
        words = made.texts[0].split()
        assert len(words) > 5 and set(words[:-1]) <= set(TEXT.split()), made.texts[0]
        assert 0 < float(run.results.score.sel(arm=arm)[0]) < 2
    twice = [run.generate("the ", arm="gru", length=30, key=4, count=2).texts for _ in range(2)]
    assert twice[0] == twice[1] and twice[0][0] != twice[0][1]
    assert run.generate("a", arm="gru", length=4, beam=3).log_probabilities.shape == (3,)
    page = (run.path / "report.html").read_text()
    assert "What was written" in page and page.count('<figure class="text">') == 2
    assert set(run.summary["texts"]) == {"transformer", "gru"}


def test_the_command_writes_the_same_text(run: dp.Run) -> None:
    """Lost: a command that nobody tried."""
    done = CliRunner().invoke(
        app, ["generate", str(run.path), "-a", "gru", "-p", "the ", "--length", "30", "--key", "4"]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == run.generate("the ", arm="gru", length=30, key=4).texts[0].strip()


@pytest.mark.parametrize(("given", "words"), [
    ({"prompt": "thé"}, 'prompt: the model was trained on no "é"; write without it'),
    ({"prompt": "a\udcff"}, "prompt: holds bytes that are not UTF-8; write it as UTF-8"),
    ({"length": 0}, "length: found 0; expected 1 or more"),
    ({"temperature": -1.0}, "temperature: found -1.0; expected 0 (the likeliest token) or more"),
    ({"top_p": 0.0}, "top_p: found 0.0; expected a number in (0, 1]"),
    ({"beam": 2, "length": 40}, "length: found 40 after a prompt of 1; a beam search stays within the 16"),
    ({"arm": "lstm"}, 'lstm'),
])  # fmt: skip
def test_what_cannot_be_written_is_one_line(run: dp.Run, given: dict[str, Any], words: str) -> None:
    """Lost: an error about shapes, or a text of unknown characters."""
    with pytest.raises(ConfigError) as caught:
        run.generate(**{"arm": "gru", "prompt": "a", **given})
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_without_text_says_so(tmp_path: Path) -> None:
    """Lost: an index error."""
    config = {
        "data": {"name": "wine"}, "model": {"name": "mlp", "width": 2}, "loss": "softmax_cross_entropy",
        "optimizer": "adam", "train": {"steps": 1, "probes": []}, "study": {"metric": "accuracy", "keep": 1},
    }  # fmt: skip
    with pytest.raises(ConfigError, match="the data set has no names of tokens"):
        dp.train(config, tmp_path / "run").generate()
    with pytest.raises(ConfigError, match='metric "bits_per_byte": the data set has no text'):
        dp.train({**config, "study": {"metric": "bits_per_byte"}}, tmp_path / "other")
