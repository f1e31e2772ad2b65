"""Initializers against the variances, bounds and isometries their papers promise."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from deepprinciples.parts import initializers

KEY = jax.random.key(0, impl="threefry2x32")
SHAPE = (3, 20, 64)  # fan-in 60, fan-out 192

# Standard deviation at SHAPE and the family of the draw.
SPREAD = {
    "zeros": (0.0, None),
    "ones": (0.0, None),
    "constant": (0.0, None),
    "identity": (None, None),
    "orthogonal": (1 / 64**0.5, None),
    "delta_orthogonal": (None, None),
    "looks_linear": (1 / 64**0.5, None),  # nothing is mirrored at SHAPE
    "critical_tanh": ((1.76095 / 60) ** 0.5, "norm"),
    "normal": (0.01, "norm"),
    "truncated_normal": (0.01, None),
    "uniform": (0.05 / 3**0.5, "uniform"),
    "glorot_normal": ((2 / 252) ** 0.5, "norm"),
    "glorot_uniform": ((2 / 252) ** 0.5, "uniform"),
    "he_normal": ((2 / 60) ** 0.5, "norm"),
    "he_uniform": ((2 / 60) ** 0.5, "uniform"),
    "lecun_normal": ((1 / 60) ** 0.5, "norm"),
    "lecun_uniform": ((1 / 60) ** 0.5, "uniform"),
    "pytorch_default": ((1 / 180) ** 0.5, "uniform"),
}


@functools.cache
def draws() -> dict[str, np.ndarray]:
    """Draw once from every initializer, in one program."""
    return jax.jit(lambda key: {name: f()(key, SHAPE, jnp.float32) for name, f in initializers.TABLE.items()})(KEY)


@pytest.mark.parametrize("name", list(initializers.TABLE))
def test_spread_and_family(name: str) -> None:
    """Lost: a network starts with weights of another size or shape of distribution than the config says."""
    spread, family = SPREAD[name]
    w = np.asarray(draws()[name]).ravel()
    assert w.dtype == np.float32
    if spread is not None:
        np.testing.assert_allclose(w.std(), spread, rtol=0.03, atol=1e-9)
    if family == "norm":
        assert stats.kstest(w / spread, "norm").pvalue > 1e-3
    if family == "uniform":
        assert stats.kstest(w / (spread * 3**0.5), stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_cases_cover_the_table() -> None:
    """Lost: an initializer nobody checked."""
    assert set(SPREAD) == set(initializers.TABLE)


@pytest.mark.parametrize(
    ("name", "twin"), [("glorot_uniform", "glorot_uniform"), ("he_uniform", "he_uniform"), ("orthogonal", "orthogonal")]
)
def test_same_numbers_as_jax(name: str, twin: str) -> None:
    """Lost: results cannot be compared with code that uses jax.nn.initializers."""
    ours = initializers.TABLE[name]()(KEY, (12, 8), jnp.float32)
    np.testing.assert_allclose(ours, getattr(jax.nn.initializers, twin)()(KEY, (12, 8), jnp.float32), rtol=1e-5)


@pytest.mark.parametrize(("name", "ratio"), [("he_normal", 1.0), ("glorot_normal", 0.5), ("lecun_uniform", 0.5)])
def test_second_moment_per_relu_layer(name: str, ratio: float) -> None:
    """Lost: He no longer keeps the signal (1.00 a layer), Glorot and LeCun no longer halve it, at width 256."""
    init = initializers.TABLE[name]()

    @jax.jit
    def moments(key):
        key_x, key_1, key_2 = jax.random.split(key, 3)
        x = jax.random.normal(key_x, (256,))
        first = jax.nn.relu(x @ init(key_1, (256, 256), jnp.float32))
        second = jax.nn.relu(first @ init(key_2, (256, 256), jnp.float32))
        return jnp.mean(first**2), jnp.mean(second**2)

    first, second = jax.lax.map(moments, jax.random.split(KEY, 400))
    np.testing.assert_allclose(jnp.mean(second) / jnp.mean(first), ratio, rtol=0.03)


@pytest.mark.parametrize("shape", [(16, 16), (24, 8), (8, 24)])
def test_orthogonal_keeps_lengths(shape: tuple[int, int]) -> None:
    """Lost: dynamical isometry; singular values are 1 (and `gain` with a gain)."""
    for name in ("orthogonal", "delta_orthogonal"):
        w = initializers.TABLE[name](gain=2.0)(KEY, shape, jnp.float32)
        np.testing.assert_allclose(np.linalg.svd(w, compute_uv=False), 2.0, rtol=1e-5)


def test_center_of_convolutions() -> None:
    """Lost: delta-orthogonal and identity kernels shift the image or mix positions."""
    for name in ("delta_orthogonal", "identity"):
        w = np.array(initializers.TABLE[name]()(KEY, (3, 5, 6, 6), jnp.float32))
        np.testing.assert_allclose(w[1, 2].T @ w[1, 2], np.eye(6), atol=1e-5)
        w[1, 2] = 0
        assert not w.any()


@pytest.mark.parametrize("middle", [(), (3, 3)])
def test_looks_linear_networks_are_linear(middle: tuple[int, ...]) -> None:
    """Lost: a deep relu network that starts as a linear map and keeps lengths, dense or convolutional."""
    init = initializers.looks_linear(width=32)
    keys = jax.random.split(KEY, 6)
    shapes = [(*middle, *ends) for ends in ((12, 32), *[(32, 32)] * 4, (32, 16))]
    kernels = [init(key, shape, jnp.float32) for key, shape in zip(keys, shapes, strict=True)]

    def forward(x):
        for i, w in enumerate(kernels):
            x = x @ w if not middle else jax.lax.conv(x, w.transpose(3, 2, 0, 1), (1, 1), "SAME")
            x = x if i == 5 else jax.nn.relu(x)
        return x

    shape = (2, 12, 5, 5) if middle else (2, 12)
    a, b = jax.random.normal(KEY, (2, *shape))
    np.testing.assert_allclose(forward(2.0 * a - 3.0 * b), 2.0 * forward(a) - 3.0 * forward(b), atol=2e-4)
    if not middle:
        np.testing.assert_allclose(jnp.linalg.norm(forward(a), axis=1), jnp.linalg.norm(a, axis=1), rtol=1e-5)


def test_looks_linear_refuses_an_odd_width() -> None:
    """Lost: a layer that cannot be halved is silently something else."""
    with pytest.raises(ValueError, match="looks_linear: found width 7; a mirrored layer needs an even width"):
        initializers.looks_linear(width=7)


def test_critical_tanh_lanes_are_draws() -> None:
    """Lost: the variance of the biases as a float of a sweep."""
    draw = lambda variance: initializers.critical_tanh(bias_variance=variance)(KEY, (9, 4), jnp.float32)
    variances = jnp.array([0.0, 0.01, 0.05, 2.0])
    lanes = jax.jit(jax.vmap(draw))(variances)
    for lane, variance in zip(lanes, variances, strict=True):
        np.testing.assert_allclose(lane, draw(variance), rtol=1e-5)
    np.testing.assert_allclose(lanes[0], initializers.lecun_normal()(KEY, (9, 4), jnp.float32), rtol=1e-3)


def test_vector_shapes_are_refused_in_words() -> None:
    """Lost: the reason why a bias cannot have a fan-in."""
    with pytest.raises(ValueError, match="he_normal: a kernel needs at least 2 axes, found shape \\(5,\\); for biases"):
        initializers.he_normal()(KEY, (5,), jnp.float32)


def test_keys_matter() -> None:
    """Lost: all seeds start from the same weights."""
    init = initializers.he_normal()
    draws = jax.vmap(lambda key: init(key, (4, 4), jnp.float32))(jax.random.split(KEY, 2))
    assert not np.array_equal(draws[0], draws[1])
