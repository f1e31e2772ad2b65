"""Draws against JAX's own, and the normal ones against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from deepprinciples.kernels import random

KEY = jax.random.key(4)
SHAPES = [(), (1,), (7,), (3, 1, 5), (64, 65)]
KINDS = [jax.random.key, jax.random.PRNGKey, lambda seed: jax.random.key(seed, impl="rbg")]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_uniform_numbers_are_those_of_jax(make, shape):
    """Masks and weights of every run that is stored would be others."""
    for bounds in ((0.0, 1.0), (-1.0, 1.0), (1e-3, 7.5), (jnp.float32(1.0), 39.0), (2.0, 1.0)):
        ours = random.uniform(make(1), shape, jnp.float32, *bounds)
        np.testing.assert_array_equal(ours, jax.random.uniform(make(1), shape, jnp.float32, *bounds))


@pytest.mark.parametrize("make", KINDS)
def test_coins_are_those_of_jax(make):
    """Dropout would drop other units than before."""
    each = jnp.linspace(0.0, 1.0, 12).reshape(4, 3)
    for p, shape in ((0.3, (5, 9)), (0.9, None), (each, None)):
        np.testing.assert_array_equal(random.bernoulli(make(2), p, shape), jax.random.bernoulli(make(2), p, shape))


def test_what_has_no_chance_never_happens(monkeypatch):
    """A rate of 0 would drop a unit once in eight million."""
    monkeypatch.setattr(random, "bits", lambda key, shape: jnp.zeros(shape, jnp.uint32))
    assert not random.bernoulli(KEY, 0.0, (3,)).any() and random.bernoulli(KEY, 1.0, (3,)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_normal_numbers_follow_the_uniform_ones(shape):
    """Noise would be paired otherwise than in runs of before."""
    found = random.normal(KEY, shape)
    assert found.shape == shape and found.dtype == jnp.float32
    np.testing.assert_allclose(found, jax.random.normal(KEY, shape), rtol=1e-5)


def test_normal_numbers_are_nearer_to_the_truth_than_those_of_jax():
    """The tails, where 1 - u^2 cancels, would be wrong in the fifth digit."""
    low = np.nextafter(np.float32(-1), np.float32(0))
    u = np.asarray(jax.random.uniform(KEY, (2**21,), minval=low, maxval=1.0), np.float64)
    truth = np.sqrt(2) * special.erfinv(u)
    error = lambda x: np.max(np.abs(np.asarray(x, np.float64) / truth - 1))
    ours, theirs = error(random.normal(KEY, u.shape)), error(jax.random.normal(KEY, u.shape))
    assert ours < 4e-7 < theirs


def test_every_number_that_can_be_drawn_is_finite(monkeypatch):
    """One draw of eight million would be infinite, and a lane in a thousand would diverge."""
    every = jnp.arange(2**23, dtype=jnp.uint32) << 9
    monkeypatch.setattr(random, "bits", lambda key, shape: every.reshape(shape))
    numbers = np.asarray(random.normal(KEY, every.shape), np.float64)
    assert np.all(np.diff(numbers) >= 0) and np.isfinite(numbers[[0, -1]]).all()
    # u runs from -1 + 2^-24 to 1 - 3 2^-24, and a normal number is less with probability (1 + u) / 2.
    ends = stats.norm.ppf([2.0**-25, 1 - 3 * 2.0**-25])
    np.testing.assert_allclose(numbers[[0, -1]], ends, rtol=2e-6)


@pytest.mark.parametrize("draw", [random.uniform, random.normal, random.bernoulli])
def test_lanes_side_by_side_draw_what_each_draws_alone(draw):
    """Lanes that run vmapped would draw other numbers than mapped ones."""
    keys = jax.random.split(KEY, 3)
    one = lambda key: draw(key, shape=(6, 5))
    alone = np.stack([one(key) for key in keys])
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(keys), alone, rtol=3e-7)


@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_other_types_are_drawn_by_jax(name):
    """A model in half or double precision would be refused, or get numbers of single precision."""
    ours, theirs = getattr(random, name), getattr(jax.random, name)
    for dtype in (jnp.bfloat16, jnp.float16):
        found = ours(KEY, (9,), dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, theirs(KEY, (9,), dtype))
    with jax.enable_x64(True):
        found = ours(KEY, (9,))
        assert found.dtype == jnp.float64
        np.testing.assert_array_equal(found, theirs(KEY, (9,)))


@pytest.mark.parametrize("draw", [random.uniform, random.normal, random.bernoulli])
def test_no_loop_is_left_in_a_draw(draw):
    """A layer's dropout would take longer than the layer."""
    traced = str(jax.make_jaxpr(lambda key: draw(key, shape=(8,)))(KEY))
    assert "random_bits" not in traced and "threefry2x32 " not in traced and "xor" in traced
