"""The range test: on curves that are known, and on a parabola whose edge is 2 / curvature."""

from __future__ import annotations

import html
import tomllib

import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.cli.main import app
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly.from_config import KINDS
from deepprinciples.study import range_test

BASE = {
    "title": "A parabola",
    "data": {"name": "arrays", "inputs": np.full((20, 1), 2.0, np.float32), "targets": np.zeros(20, np.float32),
             "task": "regression", "batch_size": 8, "standardize": False},
    "loss": {"name": "mse"},
    "optimizer": {"name": "sgd", "learning_rate": 3.0},
    "study": {"metric": "mse"},
}  # fmt: skip
CURVATURE = 8.0  # of the mean of (2 w)^2


def weight():
    """Give a model of one weight."""

    def init(key, x):
        del key
        return {"w": jnp.ones((x.shape[-1], 1))}

    return init, lambda params, x: x @ params["w"]


def descent(curvature, rate, noise=0.0, seeds=1, size=20):
    """Give the losses of gradient descent on a parabola in 20 dimensions, with a noisy gradient, as the rate rises."""
    draw = np.random.default_rng(0)
    w, losses = np.full((seeds, size), size**-0.5), []
    for eta in rate:
        losses.append(0.5 * curvature * (w**2).sum(axis=1))
        slope = curvature * w + noise * draw.normal(size=w.shape) * size**-0.5
        w = np.clip(w - eta * slope, -1e150, 1e150)
    return np.array(losses).T


def test_a_parabola_breaks_at_two_over_its_curvature():
    """Lost: the upper end of the range to tune in."""
    rate = np.geomspace(1e-4, 10.0, 300)
    for curvature in (2.0, 40.0):
        found = range_test.read(descent(curvature, rate), rate)
        assert found.fell and found.steepest < found.lowest <= found.breaks
        assert found.lowest == pytest.approx(2 / curvature, rel=0.1)
        # Beyond the edge steps grow slowly at first: five of 4 % each until the loss is four times its lowest.
        assert 1.1 < found.breaks / (2 / curvature) < 1.3
        assert 0.005 / curvature < found.steepest < 1.0 / curvature


def test_noise_that_grows_with_the_rate_does_not_break_it():
    """Lost: the upper half of the range. What a small rate reaches is far below what a larger one holds."""
    rate = np.geomspace(1e-4, 10.0, 300)
    losses = descent(2.0, rate, noise=0.1, seeds=5)
    found = range_test.read(losses, rate)
    assert found.lowest < 0.2 and 0.5 < found.breaks < 1.1
    middle = np.median(losses, axis=0)
    assert rate[np.flatnonzero(middle <= 4 * middle.min())[-1]] < 0.6 * found.breaks


def test_what_became_not_finite_has_broken():
    """Lost: a lane that diverged has no loss, and would count as none."""
    rate = np.geomspace(1e-3, 1.0, 100)
    losses = np.linspace(1.0, 0.5, 100)[None, :] * np.ones((3, 1))
    losses[:2, 70:] = np.nan
    assert range_test.read(losses, rate).breaks == pytest.approx(rate[70])
    losses[1] = losses[2]
    assert range_test.read(losses, rate).breaks is None


def test_a_loss_that_comes_back_to_a_plateau_has_broken():
    """Lost: a network that died at a high rate stays at the loss of chance, which is never four times the lowest."""
    rate = np.geomspace(1e-3, 1.0, 100)
    curve = np.full(100, 2.3)
    curve[20:60] = np.linspace(2.3, 1.2, 40)
    assert range_test.read(curve[None], rate).breaks == pytest.approx(rate[60], rel=0.1)


def test_a_loss_that_does_not_fall_gives_no_suggestion():
    """Lost: a range is made up for a network that does not train."""
    draw = np.random.default_rng(0)
    rate = np.geomspace(1e-6, 10.0, 200)
    for noise in (0.0, 0.01, 0.5):
        assert not range_test.read(2.3 + noise * draw.normal(size=(5, 200)), rate).fell
    assert not range_test.read(np.full((2, 200), np.nan), rate).fell


def test_the_suggestion_is_round_and_a_line_of_toml():
    """Lost: a line that cannot be pasted."""
    assert range_test.suggestion(range_test.Reading(0.034, 0.1, 0.6, True), 10.0) == (0.002, 1.0)
    assert range_test.suggestion(range_test.Reading(0.01, 0.1, None, True), 10.0) == (0.001, 10.0)
    assert range_test.suggestion(range_test.Reading(0.05, 0.1, 2.0, True), 10.0) == (0.005, 2.0)
    told = tomllib.loads(range_test.tune_line(2e-5, 1.0))
    assert told == {"tune": {"optimizer.learning_rate": {"low": 2e-5, "high": 1.0, "scale": "log"}}}


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A range test of two arms on the parabola: the second shrinks its steps to a quarter."""
    config = BASE | {"model": {"factory": weight}, "train": {"steps": 7}}
    arms = {"plain": {"schedule": "cosine"}, "small": {"transforms.scale": {"factor": 0.25}}}
    path = tmp_path_factory.mktemp("rates") / "run"
    return dp.lr_find(config | {"arms": arms}, path, low=1e-3, high=10.0, steps=100, seeds=2)


def test_the_toolkit_finds_the_edge(tested):
    """Lost: the rates of the report are not the rates of the steps, or the schedule of an arm was left in."""
    plain, small = tested.summary["rates"]
    assert 1.1 < plain["breaks"] / (2 / CURVATURE) < 1.5 and 1.1 < small["breaks"] / (8 / CURVATURE) < 1.5
    losses, rate = tested.results.train_loss.sel(arm="plain").values, tested.results.learning_rate.values
    np.testing.assert_allclose(rate, 1e-3 * 1e4 ** (np.arange(100) / 100))
    w = np.concatenate([[1.0], np.cumprod(1 - CURVATURE * rate[:10])])
    np.testing.assert_allclose(losses[0, :11], 4.0 * w**2, rtol=1e-4)


def test_a_range_test_gives_no_verdict(tested):
    """Lost: runs that were driven until they broke are read as a comparison."""
    summary = tested.summary
    assert summary["kind"] == "lr-find" and summary["comparisons"] == [] and "overrides" in summary["headline"]
    assert all(row["mean"] is None for row in summary["arms"]) and not any("worst" in w for w in summary["warnings"])
    page = (tested.path / "report.html").read_text()
    assert "To paste into a config" in page and summary["rates"][0]["tune"] in html.unescape(page)
    assert page.count("<figure>") == 1 and set(dir(tested.plot)) == {"curves", "rates"}


def test_the_line_can_be_tuned_with(tested):
    """Lost: the suggestion is refused by the command it is made for."""
    lines = {row["name"]: tomllib.loads(row["tune"])["tune"] for row in tested.summary["rates"]}
    arms = {"plain": {"tune": lines["plain"]}, "small": {"transforms.scale": {"factor": 0.25}, "tune": lines["small"]}}
    _, found = configs.resolve_each(BASE | {"model": {"factory": weight}, "arms": arms}, KINDS, command="compare")
    assert found["small"].space["optimizer.learning_rate"]["high"] >= 1.0


def test_the_config_of_a_range_test():
    """Lost: an arm keeps its own rate or search space, and is tested at other rates than is told."""
    arms = {
        "plain": {},
        "adam": {"optimizer": {"name": "adam"}, "tune": {range_test.PATH: {"low": 0.1, "high": 1.0}}},
        "fast": {range_test.PATH: 2.0, "schedule.name": "linear"},
    }
    config = BASE | {"model": {"factory": weight}, "arms": arms, "train": {"probes": ["gradient_norm"], "steps": 5}}
    tested = range_test.rising(config, low=1e-4, high=1.0, steps=50, seeds=3)
    for name, one in configs.resolve_each(tested, KINDS)[1].items():
        one = one.config
        assert one["optimizer"]["learning_rate"] == 1e-4, name
        assert one["schedule"] == {"name": "exponential", "warmup": 0.0, "final": 1e4}, name
        assert one["train"]["steps"] == 50 and one["train"]["probes"] == () and one["train"]["probe_every"] == 1
    assert tested["study"]["tune"] == {} and tested["study"]["seeds"] == tested["train"]["seeds"] == 3
    assert "tune" not in tested["arms"]["adam"]
    assert range_test.rising(tested, low=1e-4, high=1.0, steps=50, seeds=3) == tested


WRONG = {
    "rates in the wrong order": ({}, {"low": 1.0, "high": 0.1}, "--low, --high"),
    "no rate at all": ({}, {"low": 0.0}, "--low, --high"),
    "too few steps": ({}, {"steps": 5}, "--steps: found 5; expected at least 20"),
    "no seeds": ({}, {"seeds": 0}, "--seeds"),
    "an optimizer without a rate": (
        {"arms": {"a": {}, "b": {"optimizer.name": "rprop"}}},
        {},
        "arms.b.optimizer: rprop has no learning_rate that could rise; leave it out of lr-find",
    ),
    "a typing error": ({"optimizer": {"name": "sdg"}}, {}, "sgd"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_tested_is_told_in_a_line(what, tmp_path):
    """Lost: a traceback, or a run that means nothing."""
    changes, options, words = WRONG[what]
    with pytest.raises(ConfigError, match=words):
        dp.lr_find(BASE | {"model": {"factory": weight}} | changes, tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


GAME = {
    "data": {"name": "gaussian_ring", "batch_size": 8},
    "learner": {"name": "gan", "latent": 2},
    "generator": {"model": {"name": "mlp"}, "optimizer": {"name": "adam"}},
    "discriminator": {"model": {"name": "mlp"}, "optimizer": {"name": "adam"}},
    "study": {"metric": "modes_covered"},
}


def test_a_game_is_refused():
    """Lost: a range read off a loss that is not meant to fall."""
    with pytest.raises(ConfigError, match=r"learner: has no \[optimizer\]"):
        range_test.rising(GAME, low=1e-4, high=1.0, steps=50, seeds=1)


def test_the_terminal_shows_what_to_paste(tested):
    """Lost: the lines to paste, at the end of the command or once the terminal is closed."""
    done = CliRunner().invoke(app, ["report", str(tested.path)])
    assert done.exit_code == 0, done.output
    for row in tested.summary["rates"]:
        assert f"[arms.{row['name']}]\n{row['tune']}\n" in done.stdout
    assert "falls fastest" in done.stdout and "accuracy" not in done.stdout
