"""Metrics of sets of samples: samplers whose answer is known, independent twins, and padding that must not count."""

from __future__ import annotations

import functools
import inspect
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from deepprinciples.parts.data import TABLE as DATA
from deepprinciples.parts.metrics import sample_metrics
from deepprinciples.parts.metrics.sample_metrics import TABLE
from deepprinciples.types import Scalar

ANGLES = 2 * np.pi * np.arange(8) / 8
RING = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
RNG = np.random.default_rng(3)
# Multiples of 1/256: squares and sums of two are exact in float32, so borders of balls are where they should be.
CLOUD, OTHER = np.round(RNG.normal(size=(2, 128, 2)) * 256).astype(np.float32) / 256
NEIGHBORS = ("precision", "recall", "density", "coverage")
SUPPLIED = {"modes": jnp.asarray(RING), "mode_std": 0.1, "features": lambda x: x}


def metric(name, **hypers):
    """Make a metric with what the build would supply."""
    known = inspect.signature(TABLE[name]).parameters
    return TABLE[name](**{**{k: v for k, v in SUPPLIED.items() if k in known}, **hypers})


def score(name, **hypers):
    """Return the metric as a function of samples, real examples and weights."""
    compute = metric(name, **hypers).compute
    return lambda samples, real, weights: compute((samples, real), weights)


@functools.cache
def program(name, shape, **hypers):
    rows = jax.ShapeDtypeStruct(shape, jnp.float32)
    weights = jax.ShapeDtypeStruct(shape[:1], jnp.float32)
    return jax.jit(score(name, **hypers)).lower(rows, rows, weights).compile()


def measure(name, samples, real=None, weights=None, **hypers) -> float:
    samples = np.asarray(samples, np.float32)
    real = samples if real is None else np.asarray(real, np.float32)
    weights = np.ones(len(samples)) if weights is None else np.asarray(weights)
    value = program(name, samples.shape, **hypers)(samples, real, weights.astype(np.float32))
    assert value.shape == ()
    return float(value)


def ring(counts, spread=0.03, seed=0):
    """Draw so many samples at every mode of the ring."""
    labels = np.repeat(np.arange(8), counts)
    return RING[labels] + spread * np.random.default_rng(seed).uniform(-1, 1, (len(labels), 2))


# --- modes -----------------------------------------------------------------------------------------------------------


def test_dropped_modes_are_counted():
    """Lost: mode collapse goes unseen, or is seen where there is none."""
    five = ring([40] * 5 + [0] * 3)
    assert measure("modes_covered", five) == 5
    assert measure("high_quality", five) == 1
    assert measure("reverse_kl", five) == pytest.approx(np.log(8 / 5), abs=1e-6)
    assert measure("modes_covered", ring([25] * 8)) == 8
    assert measure("reverse_kl", ring([25] * 8)) == pytest.approx(0, abs=1e-6)
    assert measure("reverse_kl", ring([200] + [0] * 7)) == pytest.approx(np.log(8), abs=1e-6)


def test_reverse_kl_is_of_the_generator_first():
    """Lost: a missing mode costs infinity, and the numbers cannot be compared with published ones."""
    p = np.array([0.5, 0.25, 0.125, 0.125])
    assert measure("reverse_kl", ring([100, 50, 25, 25, 0, 0, 0, 0])) == pytest.approx((p * np.log(8 * p)).sum())


def test_a_bad_sample_covers_nothing_but_still_leans_to_a_mode():
    """Lost: samples between the modes count as good, or vanish from the histogram."""
    at = np.float32(1) + np.array([0.0, 0.29, -0.29, 0.31, -0.31], np.float32)[:, None]
    samples = at * RING[[0, 1, 1, 2, 3]]
    assert measure("modes_covered", samples) == 2
    assert measure("high_quality", samples) == pytest.approx(3 / 5)
    assert measure("modes_covered", samples, within=3.2) == 4
    p = np.array([0.2, 0.4, 0.2, 0.2])
    assert measure("reverse_kl", samples) == pytest.approx((p * np.log(8 * p)).sum(), rel=1e-5)


@pytest.mark.parametrize("name", ["gaussian_ring", "gaussian_grid"])
def test_the_data_set_itself_is_a_perfect_sampler(name):
    """Lost: centers or spread that go with a data set are not those of its examples."""
    source = DATA[name](size=5000, data_seed=4)
    modes = tuple(map(tuple, source.modes.tolist()))
    given = {"modes": modes, "mode_std": source.mode_std}
    assert measure("modes_covered", source.inputs, **given) == source.outputs
    assert measure("high_quality", source.inputs, **given) == pytest.approx(1 - np.exp(-4.5), abs=0.006)
    assert measure("reverse_kl", source.inputs, modes=modes) == pytest.approx(0, abs=1e-5)


# --- Fréchet ---------------------------------------------------------------------------------------------------------


def frechet_twin(x, y):
    one, two = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    gap = x.mean(0, dtype=np.float64) - y.mean(0, dtype=np.float64)
    return gap @ gap + np.trace(one + two - 2 * np.real(sqrtm(one @ two)))


def test_frechet_distance_is_scipys():
    """Lost: the distance between two sets of features is some other number."""
    x, y = RNG.normal(size=(2, 300, 6)) @ RNG.normal(size=(2, 6, 6)) + RNG.normal(size=(2, 1, 6))
    assert measure("frechet_distance", x, y) == pytest.approx(frechet_twin(x, y), rel=1e-4)
    half = functools.partial(measure, "frechet_distance", features=lambda z: z[:, :3])
    assert half(x, y) == pytest.approx(frechet_twin(x[:, :3], y[:, :3]), rel=1e-4)


def test_frechet_distance_of_known_gaussians():
    """Lost: the formula; in one dimension it is (m1 - m2)^2 + (s1 - s2)^2."""
    z = RNG.normal(size=(1000, 3))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z, rowvar=False))).T  # moments are 0 and 1 exactly
    s, t, m = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.1]), np.array([1.0, -2.0, 0.0])
    assert measure("frechet_distance", z * s + m, z[::-1] * t) == pytest.approx(5 + 4 + 0.16, rel=1e-4)


def test_frechet_distance_of_flat_features():
    """Lost: rounding in directions without variance (dead units) adds up to a distance between equal sets."""
    flat = RNG.normal(size=(100, 2)) @ RNG.normal(size=(2, 60))
    spread = flat.var(0, ddof=1).sum()
    assert measure("frechet_distance", flat) == pytest.approx(0, abs=1e-5 * spread)
    assert measure("frechet_distance", flat, 2 * flat) == pytest.approx(spread + (flat.mean(0) ** 2).sum(), rel=1e-3)


# --- balls -----------------------------------------------------------------------------------------------------------


def ball_twins(samples, real, k):
    """Write the four formulas down with whole distance matrices."""
    between = lambda a, b: np.linalg.norm(np.float64(a)[:, None] - np.float64(b)[None], axis=-1)
    cross = between(samples, real)  # [samples, real]
    of_real, of_samples = np.sort(between(real, real))[:, k], np.sort(between(samples, samples))[:, k]
    return {
        "precision": (cross <= of_real[None]).any(1).mean(),
        "recall": (cross <= of_samples[:, None]).any(0).mean(),
        "density": (cross < of_real[None]).sum(1).mean() / k,
        "coverage": (cross.min(0) < of_real).mean(),
    }


@pytest.mark.parametrize("name", NEIGHBORS)
@pytest.mark.parametrize("k", [1, 5])
def test_balls_are_those_of_a_plain_twin(name, k):
    """Lost: precision, recall, density or coverage is some other number."""
    narrow, wide = 0.5 * CLOUD + 0.5, OTHER
    for samples, real in ((narrow, wide), (wide, narrow), (CLOUD, OTHER)):
        expected = ball_twins(samples, real, k)[name]
        assert measure(name, samples, real, neighbors=k) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NEIGHBORS)
def test_equal_and_disjoint_sets_are_the_ends(name):
    """Lost: a perfect generator is not perfect, or one that makes nothing real gets credit."""
    assert measure(name, CLOUD) == pytest.approx(1)
    assert measure(name, CLOUD + 64, CLOUD) == 0 == TABLE[name].worst


def test_half_the_world():
    """Lost: what is real but never made looks like what is made but not real."""
    near, far = CLOUD[:64], OTHER[:64] + np.array([64.0, 0.0], np.float32)
    both, half = np.concatenate([near, far]), np.concatenate([near, near])
    assert measure("precision", half, both) == 1 and measure("recall", half, both) == 0.5
    assert measure("precision", both, half) == 0.5 and measure("recall", both, half) == 1
    assert measure("coverage", half, both) == 0.5 and measure("coverage", both, half) == 1


def test_copies_of_one_example():
    """Lost: a set of few values has neighbors that are not there."""
    real = np.repeat(np.array([[0.0, 0.0], [4.0, 0.0]]), 3, axis=0)
    samples = np.array([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0], [9.0, 0.0], [3.0, 3.0], [0.0, 1.0]])
    assert measure("precision", samples, real, neighbors=2) == pytest.approx(2 / 6)
    assert measure("precision", samples, real, neighbors=3) == pytest.approx(5 / 6)


@pytest.mark.parametrize("name", NEIGHBORS)
@pytest.mark.parametrize("k", [0, 128])
def test_impossible_neighbors_are_refused(name, k):
    """Lost: the balls of a small set are silently without end, and everything is precise."""
    with pytest.raises(ValueError, match=f"neighbors = {k} with 128 examples; expected 1 to 127"):
        measure(name, CLOUD, neighbors=k)
    assert measure(name, CLOUD, weights=np.arange(128) < 4) == 0


# --- sliced Wasserstein ----------------------------------------------------------------------------------------------


def test_sliced_wasserstein_in_one_dimension_is_scipys():
    """Lost: the distance is some other number."""
    x, y = RNG.normal(size=(100, 1)), RNG.exponential(size=(100, 1))
    expected = wasserstein_distance(x[:, 0], y[:, 0])
    assert measure("sliced_wasserstein", x, y, projections=3) == pytest.approx(expected, rel=1e-5)


def test_sliced_wasserstein_of_a_shift():
    """Lost: directions that are not uniform: a shift s of the plane is seen as |s| |cos|, 2 |s| / pi on average."""
    for shift in ([3.0, 0.0], [0.0, 3.0], [-2.0, 2.0]):
        expected = np.linalg.norm(shift) * 2 / np.pi
        value = measure("sliced_wasserstein", CLOUD + np.array(shift), CLOUD, projections=4000)
        assert value == pytest.approx(expected, rel=0.03)
    images = RNG.normal(size=(20, 4, 4, 1))
    assert measure("sliced_wasserstein", images[::-1], images) == pytest.approx(0, abs=1e-6)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TABLE))
def test_padding_never_counts(name):
    """Lost: a split that is no multiple of the batch size is scored with examples that do not exist."""
    weights = np.concatenate([np.ones(40), np.zeros(64), np.ones(24)])
    for samples, real in ((CLOUD, OTHER), (CLOUD + 64, OTHER)):  # far away no padding hides among neighbors
        expected = measure(name, samples[:64], real[:64])
        for filler in (0.0, 1e6, np.nan):
            x, y = (np.concatenate([a[:40], np.full((64, 2), filler), a[40:64]]) for a in (samples, real))
            assert measure(name, x, y, weights) == pytest.approx(expected, rel=1e-5, abs=1e-6), filler


@pytest.mark.parametrize("name", list(TABLE))
def test_plain_is_jit_is_vmap(name):
    """Lost: a lane of a sweep is not the run it stands for."""
    x, y = jnp.asarray(CLOUD[:64]), jnp.asarray(OTHER[:64])
    weights = jnp.stack([jnp.ones(64), jnp.arange(64) < 40]).astype(jnp.float32)
    plain = [float(score(name)(x, y, w)) for w in weights]
    np.testing.assert_allclose(plain, [measure(name, x, y, w) for w in weights], rtol=1e-5, atol=1e-6)
    lanes = jax.jit(jax.vmap(score(name), (None, None, 0)))(x, y, weights)
    np.testing.assert_allclose(plain, lanes, rtol=1e-5, atol=1e-6)
    assert np.isfinite(plain).all()


@pytest.mark.parametrize("name", ["modes_covered", "high_quality"])
def test_within_may_be_swept(name):
    """Lost: a hyper-parameter declared sweepable cannot be swept."""
    within = jnp.array([0.1, 2.0, 4.0])
    x, weights = jnp.asarray(CLOUD), jnp.ones(128)
    lanes = jax.jit(jax.vmap(lambda w: score(name, within=w)(x, x, weights)))(within)
    np.testing.assert_allclose(lanes, [measure(name, CLOUD, within=w) for w in (0.1, 2.0, 4.0)], rtol=1e-6)
    assert lanes[0] < lanes[1] < lanes[2]


@pytest.mark.parametrize("name", list(TABLE))
def test_a_diverged_generator_gets_no_credit(name):
    """Lost: samples of NaN or infinity read as good ones."""
    for bad in (np.nan, np.inf):
        value = measure(name, np.full_like(CLOUD, bad), CLOUD)
        assert value == TABLE[name].worst if TABLE[name].worst is not None else not np.isfinite(value)
        some = np.where(np.arange(128)[:, None] < 64, CLOUD, bad)
        value = measure(name, some, CLOUD)
        assert value <= measure(name, CLOUD) if TABLE[name].direction == "max" else not np.isfinite(value)


@pytest.mark.parametrize("name", NEIGHBORS)
def test_distances_are_never_held_all_at_once(name):
    """Lost: a test split of 2,500 examples with wide features fills the memory (1.6 GB at N x N x 64)."""
    x = jax.ShapeDtypeStruct((2500, 64), jnp.float32)
    weights = jax.ShapeDtypeStruct((2500,), jnp.float32)
    program = jax.jit(score(name)).lower(x, x, weights).compile()
    assert program.memory_analysis().temp_size_in_bytes < 60e6


@pytest.mark.parametrize("name", list(TABLE))
def test_a_factory_is_a_schema_and_a_card(name):
    """Lost: the config cannot be checked, or the help says nothing."""
    factory = TABLE[name]
    hints, card = typing.get_type_hints(factory), inspect.cleandoc(factory.__doc__)
    for key, parameter in inspect.signature(factory).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY and f"\n  {key}: " in card, key
        assert (parameter.default is parameter.empty) == (key in SUPPLIED), key
        assert isinstance(parameter.default, int) or key in SUPPLIED or hints[key] == Scalar, key
    assert "Returns:" in card and "References:" in card and card.splitlines()[0].endswith(".")


def test_tables_are_complete():
    """Lost: a metric without direction: the verdict calls the worse arm the better."""
    smaller = {name for name, factory in TABLE.items() if factory.direction == "min"}
    assert smaller == {"reverse_kl", "frechet_distance", "sliced_wasserstein"}
    assert "not the FID" in sample_metrics.frechet_distance.__doc__
