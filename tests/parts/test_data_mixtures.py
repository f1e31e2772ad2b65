"""Mixtures with known modes: the published sizes, balanced labels, and centers that arrive with the data set."""

from __future__ import annotations

import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.errors import ConfigError, DataError
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts.data import TABLE, Source, prepare

NAMES = ("gaussian_ring", "gaussian_grid")


def refusal(name, **hypers) -> str:
    with pytest.raises(DataError) as error:
        TABLE[name](**hypers)
    text = str(error.value)
    assert "\n" not in text, "an error is one line"
    return text


def test_ring_is_the_published_one():
    """Lost when it fails: counts of covered modes can no longer be compared with anyone else's."""
    source = TABLE["gaussian_ring"]()
    half = np.sqrt(0.5)
    corners = [[1, 0], [half, half], [0, 1], [-half, half], [-1, 0], [-half, -half], [0, -1], [half, -half]]
    np.testing.assert_allclose(source.modes, corners, atol=1e-6)
    assert (source.inputs.shape, source.outputs, source.mode_std) == ((12500, 2), 8, 0.01)


def test_grid_is_the_published_one():
    """Lost when it fails: counts of covered modes can no longer be compared with anyone else's."""
    source = TABLE["gaussian_grid"]()
    assert sorted(map(tuple, source.modes.tolist())) == [(i, j) for i in range(-4, 5, 2) for j in range(-4, 5, 2)]
    assert (source.inputs.shape, source.outputs, source.mode_std) == ((12500, 2), 25, 0.05)
    three = TABLE["gaussian_grid"](side=2, spacing=3.0, size=8).modes
    np.testing.assert_array_equal(three, [[-1.5, -1.5], [-1.5, 1.5], [1.5, -1.5], [1.5, 1.5]])


@pytest.mark.parametrize("name", NAMES)
def test_examples_lie_around_the_mode_they_are_labeled_with(name):
    """Lost when it fails: the data are not the mixture that the metrics believe in."""
    source = TABLE[name]()
    away = source.inputs - source.modes[source.targets]
    assert np.abs(away.mean(0)).max() < 5 * source.mode_std / np.sqrt(12500)
    np.testing.assert_allclose(np.cov(away.T), source.mode_std**2 * np.eye(2), atol=0.05 * source.mode_std**2)
    assert np.mean(np.linalg.norm(away, axis=1) <= 3 * source.mode_std) == pytest.approx(1 - np.exp(-4.5), abs=0.004)


@pytest.mark.parametrize("name", NAMES)
def test_modes_are_balanced_and_shuffled(name):
    """Lost when it fails: a perfect generator does not reach a reverse KL of 0, or a batch holds one mode only."""
    counts = np.bincount(TABLE[name](size=1003).targets)
    assert counts.max() - counts.min() == 1
    order = TABLE[name](size=1000).targets
    assert 0 < np.mean(order[1:] == order[:-1]) < 0.25
    data = prepare(TABLE[name]())
    for part in (data.train, data.validation, data.test):
        counts = np.bincount(part.targets, minlength=data.outputs)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_centers_and_spread_reach_the_data_set(name):
    """Lost when it fails: a metric of modes has no modes, or looks for them at another scale."""
    source = TABLE[name](size=500)
    data = prepare(source, batch_size=50)
    np.testing.assert_array_equal(data.modes, source.modes)
    assert data.mode_std == source.mode_std and data.task == "classification" and data.batch_size == 50
    assert data.train.inputs.dtype == np.float32 and data.train.targets.dtype == np.int32
    gaps = np.linalg.norm(data.test.inputs - data.modes[data.test.targets], axis=1)
    assert gaps.max() < 6 * data.mode_std
    plain = prepare(Source(source.inputs, source.targets, "classification"), batch_size=50)
    assert plain.modes is None and plain.mode_std == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_data_seed_fixes_the_examples(name):
    """Lost when it fails: two runs of one config see different data."""
    first, again, other = (TABLE[name](size=50, data_seed=s).inputs for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("name", "size", "modes"), [("gaussian_ring", 7, 8), ("gaussian_grid", 24, 25)])
def test_a_mode_without_examples_is_refused(name, size, modes):
    """Lost when it fails: a mode that nobody can find makes every count meaningless."""
    assert refusal(name, size=size) == f"data.size: found {size}, expected at least {modes}, one for each mode"


@pytest.mark.parametrize(("name", "hypers", "message"), [
    ("gaussian_ring", {"modes": 0}, "modes: expected a whole number of at least 1, found 0"),
    ("gaussian_ring", {"radius": 0.0}, "radius: expected a number above 0"),
    ("gaussian_ring", {"std": -1.0}, "std: expected a number above 0"),
    ("gaussian_ring", {"std": float("nan")}, "std: expected a number, found nan"),
    ("gaussian_grid", {"side": 0}, "side: expected a whole number of at least 1, found 0"),
    ("gaussian_grid", {"spacing": float("inf")}, "spacing: expected a number that is finite, found inf"),
    ("gaussian_grid", {"std": 0.0}, "std: expected a number above 0"),
    ("gaussian_grid", {"data_seed": -1}, "data_seed: expected a whole number of at least 0"),
])  # fmt: skip
def test_impossible_mixtures_are_refused(name, hypers, message):
    """Lost when it fails: a spread of nothing or no mode at all makes every count meaningless."""
    with pytest.raises(ConfigError, match=message):
        configs.resolve_parts("data", {name: {"name": name, **hypers}}, from_config.KINDS)
