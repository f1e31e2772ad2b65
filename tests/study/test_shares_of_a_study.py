"""A study cuts its batches only where every part of it is known to treat examples one by one."""

import jax
import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.kernels import microbatch
from deepprinciples.learners import TABLES
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts import losses


def against_the_batch():
    """Make a loss of each example against all others of its batch."""
    own = losses.TABLE["softmax_cross_entropy"]()
    return lambda outputs, targets: own(outputs - outputs.mean(axis=0, keepdims=True), targets)


@pytest.mark.parametrize(
    ("changed", "cut"),
    [
        ({}, True), ({"loss": {"factory": against_the_batch}}, False),
        ({"loss": {"name": "brought"}}, False), ({"gradient": {"name": "sam"}}, False),
    ],
)  # fmt: skip
def test_a_batch_is_cut_only_under_parts_that_are_known(changed, cut, monkeypatch):
    """A loss of the user's that looks at the whole batch would see a share of it, and nobody would be told."""
    monkeypatch.setitem(TABLES["loss"], "brought", against_the_batch)  # as --plugin does
    asked = []
    monkeypatch.setattr(microbatch, "count_of", lambda *given: (asked.append(given), 1)[1])
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(24, 4, 4, 1)).astype(np.float32), np.arange(24) % 3
    data = {"name": "arrays", "inputs": images, "targets": targets, "batch_size": 6}
    settings = {
        "data": data, "model": {"name": "cnn", "depth": 1, "width": 2, "stages": 1},
        "loss": {"name": "softmax_cross_entropy"}, "optimizer": {"name": "sgd"}, "train": {"steps": 2},
        "study": {"metric": "accuracy"}, **changed,
    }  # fmt: skip
    config = configs.resolve(settings, from_config.KINDS, command="train")
    parts = from_config.dataset(config)
    learner = from_config.learner(config, parts)
    batch = jax.tree.map(lambda a: a[:6], parts.train)
    jax.eval_shape(lambda: learner.step(learner.init(jax.random.key(0)), batch, jax.random.key(1))[0])
    assert bool(asked) == cut
