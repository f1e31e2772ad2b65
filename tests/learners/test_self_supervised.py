"""Contrastive and masked training: the loss by hand and against PyTorch, an honest probe, and what does not fit."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

import deepprinciples as dp
from deepprinciples.errors import ConfigError
from deepprinciples.learners import self_supervised
from deepprinciples.learners.self_supervised import labeled, ntxent, ridge_of

RANDOM = np.random.default_rng(0)
CONFIG = {
    "data": {"name": "digits", "batch_size": 32},
    "model": {"name": "mlp", "depth": 1, "width": 32},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "train": {"steps": 3, "probes": ["gradient_norm"]},
    "study": {"metric": "accuracy"},
}
VIEWS = {**CONFIG, "learner": {"name": "contrastive", "labels": 40}, "augment": {"shift": {"strength": 0.1}}}
HIDDEN = {
    **CONFIG,
    "learner": {"name": "masked", "labels": 40},
    "model": {"name": "autoencoder", "width": 32, "latent": 24},
}


def test_ntxent_by_hand() -> None:
    """Two examples whose views are equal, at right angles to each other: -log(e^2 / (e^2 + 2)) at temperature 0.5."""
    views = jnp.array([[1.0, 0.0], [0.0, 3.0]])
    np.testing.assert_allclose(ntxent(views, 2 * views, 0.5), np.log(1 + 2 * np.exp(-2.0)), rtol=1e-6)


def test_ntxent_is_that_of_torch() -> None:
    """Lost: a temperature, a negative or a view counted wrongly."""
    one, other = RANDOM.normal(size=(2, 5, 3)).astype(np.float32)
    both = torch.nn.functional.normalize(torch.tensor(np.concatenate([one, other])))
    scores = (both @ both.T / 0.2).fill_diagonal_(-torch.inf)
    losses = torch.nn.functional.cross_entropy(scores, (torch.arange(10) + 5) % 10, reduction="none")
    np.testing.assert_allclose(ntxent(one, other, 0.2), losses.reshape(2, 5).mean(0), rtol=1e-5)


def test_the_probe_is_ridge_regression() -> None:
    """Lost: the score of a study would be that of another classifier."""
    x, y = RANDOM.normal(size=(30, 4)).astype(np.float32), RANDOM.integers(0, 3, 30)
    scaler = StandardScaler().fit(x)
    twin = Ridge(alpha=0.1 * 30).fit(scaler.transform(x), np.eye(3)[y])
    new = RANDOM.normal(size=(6, 4)).astype(np.float32)
    found = ridge_of(jnp.asarray(x), jnp.asarray(y), 3, 0.1)(jnp.asarray(new))
    np.testing.assert_allclose(found, twin.predict(scaler.transform(new)), atol=1e-5)


def test_the_few_labels_hold_the_classes_in_proportion() -> None:
    """Lost: a probe that has seen a class twice and another ten times, beside supervised training that has not."""
    targets = np.repeat([0, 1, 2], [60, 30, 10])
    chosen = labeled(RANDOM.permutation(targets), 20)
    assert len(set(chosen.tolist())) == 20
    targets = RANDOM.permutation(targets)
    np.testing.assert_array_equal(np.bincount(targets[labeled(targets, 20)]), [12, 6, 2])


@pytest.mark.parametrize("config", [VIEWS, HIDDEN], ids=["contrastive", "masked"])
def test_no_label_but_the_few_of_the_probe_is_read(config, tmp_path, monkeypatch) -> None:
    """Lost: that labels are few. All other labels of training are exchanged, and no number moves."""
    from sklearn.datasets import load_digits

    monkeypatch.setattr(self_supervised, "labeled", lambda targets, count: np.arange(count))  # whatever the others are
    x, y = (np.asarray(a) for a in load_digits(return_X_y=True))
    x = (x.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    cut = {"inputs": x[:400], "validation_inputs": x[400:500], "validation_targets": y[400:500]}
    cut |= {"test_inputs": x[500:600], "test_targets": y[500:600], "batch_size": 32}
    other = y[:400].copy()
    other[40:] = np.roll(other[40:], 7)
    runs = [
        dp.train({**config, "data": {"name": "examples", "targets": targets, **cut}}, tmp_path / str(number))
        for number, targets in enumerate((y[:400], other))
    ]
    for name in ("score", "test_loss", "train_loss", "gradient_norm"):
        np.testing.assert_array_equal(*(run.results[name].values for run in runs))
    assert float(runs[0].results.score.mean()) > 0.3 and float(runs[0].results.gradient_norm.min()) > 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**VIEWS, "augment": {}}, "augment: found none; contrastive compares two views"),
        ({**VIEWS, "learner": {"name": "contrastive", "labels": 5000}}, "learner.labels: found 5000, expected at most"),
        ({**VIEWS, "learner": {"name": "contrastive", "features": "lyer"}}, "learner.features: found 'lyer'"),
        ({**HIDDEN, "model": CONFIG["model"]}, "masked reconstructs its inputs; use model autoencoder"),
        ({**VIEWS, "data": {"name": "diabetes"}}, "needs class labels for its linear probe; found the regression"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(config, words) -> None:
    """Lost: an error from inside a trace."""
    with pytest.raises(ConfigError) as caught:
        dp.train(config)
    assert words in str(caught.value) and "\n" not in str(caught.value)
