"""The loss around weights, and likeness of layers: numbers by hand and properties that define them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.probes import landscape


def test_a_direction_is_as_long_as_each_unit() -> None:
    """Lost: slices of nets whose layers are scaled differently would not compare."""
    params = {
        "kernel": jax.random.normal(jax.random.key(0), (4, 3, 5)) * jnp.arange(1.0, 6.0).reshape(1, 1, 5),
        "bias": jnp.ones(5),
    }
    way = landscape.filter_normalized(jax.random.key(1), params)
    lengths = [np.sqrt((np.asarray(a) ** 2).sum(axis=(0, 1))) for a in (way["kernel"], params["kernel"])]
    np.testing.assert_allclose(*lengths, rtol=1e-5)
    np.testing.assert_array_equal(way["bias"], 0.0)


def test_a_slice_of_a_bowl() -> None:
    """Lost: places along a direction in another order, or a direction that is not followed."""
    found = landscape.along(
        lambda p: jnp.sum(p**2), jnp.array([1.0, 0.0]), jnp.array([1.0, 2.0]), jnp.array([-1.0, 0.0, 2.0])
    )
    np.testing.assert_allclose(found, [4.0, 1.0, 25.0])


def test_a_barrier_is_measured_from_the_line_between_the_ends() -> None:
    """Lost: a slope without a hill would count as one."""
    assert float(landscape.barrier(jnp.array([0.0, 1.0, 2.0]))) == 0.0
    assert float(landscape.barrier(jnp.array([0.0, 3.0, 2.0]))) == pytest.approx(2.0)


def test_likeness_does_not_see_rotation_and_scale() -> None:
    """Lost: two layers that say the same in another basis would look different; the twin is by covariances."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 6))
    q, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert float(landscape.cka(jnp.asarray(x), jnp.asarray(3.0 * x @ q + 1.0))) == pytest.approx(1.0, abs=1e-5)
    a, b = x - x.mean(0), y - y.mean(0)
    twin = np.sum((b.T @ a) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert float(landscape.cka(jnp.asarray(x), jnp.asarray(y))) == pytest.approx(twin, rel=1e-4)
