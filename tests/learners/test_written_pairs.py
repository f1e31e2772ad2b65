"""Translations that a model writes by itself: a score of what it was shown would be taken for one of what it can do."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

import deepprinciples as dp
from deepprinciples.learners.generating import write
from deepprinciples.parts.text import tokenizer_of


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

    np.testing.assert_array_equal(write(predict, inputs), [[4, 5, -1, -1], [6, -1, -1, -1]])


def test_a_comparison_judges_what_is_written(tmp_path: Path) -> None:
    """Lost: the two stacks as a learner, or chrF of answers to a target that was given."""
    config = {
        "data": {"name": "number_words", "largest": 99, "size": 100, "batch_size": 16},
        "model": {"name": "encoder_decoder", "width": 16, "depth": 1},
        "loss": "softmax_cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"steps": 250, "probes": []},
        "study": {"metric": {"name": "token_error_rate", "written": True}, "seeds": 2},
        "metrics": {"shown": {"name": "token_error_rate"}, "chrf": {"name": "chrf", "written": True}},
    }
    run = dp.train(config, tmp_path / "run")
    score, shown, chrf = (run.results[name].values.ravel() for name in ("score", "test_shown", "test_chrf"))
    assert (score < 0.75).all() and (shown < 0.6).all() and (chrf > 30).all(), (score, shown, chrf)
    assert (score != shown).all()
    assert not any("gallery" in one for one in run.summary["warnings"]), run.summary["warnings"]
    model, params = run.model(seed=0)
    spread = slice(0, 20, 4)  # five of the 20 of the test part
    inputs = {side: jnp.asarray(ids[spread]) for side, ids in model.data.test.inputs.items()}
    made = write(lambda given: model.predict(params, given), inputs)
    decode = tokenizer_of(model.data.token_names).decode
    lines = run.summary["texts"]["run"].split("\n")
    assert lines[::4] == [decode(ids) for ids in inputs["source"]]
    assert lines[1::4] == ["  " + decode(ids[ids >= 0]) for ids in np.asarray(made)]
    assert lines[2::4] == [f"  ({decode(ids[1:][ids[1:] > 0])})" for ids in inputs["target"]]
    assert "translation of the test part in parentheses" in (run.path / "report.html").read_text()
