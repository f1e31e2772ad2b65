"""Schedules against their formulas worked by hand, and optax's where it has the same shape."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.parts import schedules

AT = jnp.array([0.0, 0.1, 0.2, 0.6, 1.0])

# Hyper-parameters and the factors at AT.
BY_HAND = {
    "constant": ({}, [1, 1, 1, 1, 1]),
    "cosine": ({"warmup": 0.2, "final": 0.2}, [0, 0.5, 1, 0.6, 0.2]),
    "linear": ({"warmup": 0.2}, [0, 0.5, 1, 0.5, 0]),
    "polynomial": ({"warmup": 0.2, "power": 2.0}, [0, 0.5, 1, 0.25, 0]),
    "exponential": ({"warmup": 0.2, "final": 0.01}, [0, 0.5, 1, 0.1, 0.01]),
    "inverse_sqrt": ({"warmup": 0.15}, [0, 2 / 3, 0.75**0.5, 0.5, 0.15**0.5]),
    "step": ({"boundaries": (0.1, 0.6), "factor": 0.5}, [1, 0.5, 0.5, 0.25, 0.25]),
    "warmup_stable_decay": ({"warmup": 0.2, "cooldown": 0.8}, [0, 0.5, 1, 0.5, 0]),
    "one_cycle": ({"peak": 0.2, "start": 0.1, "final": 0.0}, [0.1, 0.55, 1, 0.5, 0]),
    "cyclic": ({"cycles": 2.0, "final": 0.1}, [0.1, 0.46, 0.82, 0.46, 0.1]),
    "warm_restarts": ({"cycles": 5.0}, [1, 0.5, 1, 1, 1]),
}


def test_cases_cover_the_table() -> None:
    """Lost: a schedule nobody checked."""
    assert set(BY_HAND) == set(schedules.TABLE)


@pytest.mark.parametrize("name", list(BY_HAND))
def test_factors_by_hand(name: str) -> None:
    """Lost: the learning rate is not the one on the card."""
    hypers, expected = BY_HAND[name]
    if name == "warm_restarts":  # a jump sits at each restart; rounding decides its side
        at = jnp.array([0.0, 0.1, 0.25, 0.65, 0.99])
        expected = 0.5 * (1 + np.cos(np.pi * np.array([0.0, 0.5, 0.25, 0.25, 0.95])))
    else:
        at = AT
    np.testing.assert_allclose(schedules.TABLE[name](**hypers)(at), expected, atol=2e-6)


def test_constant_after_a_warmup() -> None:
    """Lost: the plain warm-up the card of `constant` points to."""
    factors = schedules.warmup_stable_decay(warmup=0.2, cooldown=0.0)(AT)
    np.testing.assert_allclose(factors, [0, 0.5, 1, 1, 1], atol=1e-6)


def test_cosine_is_optaxs() -> None:
    """Lost: the most used shape."""
    twin = optax.warmup_cosine_decay_schedule(0.0, 1.0, 100, 1000, 0.1)
    steps = np.arange(1001)
    ours = schedules.cosine(warmup=0.1, final=0.1)(jnp.asarray(steps / 1000, jnp.float32))
    np.testing.assert_allclose(ours, twin(steps), atol=1e-5)


@pytest.mark.parametrize("name", list(BY_HAND))
def test_shapes_stay_in_the_unit_range(name: str) -> None:
    """Lost: `learning_rate` is the largest rate of the run."""
    factors = schedules.TABLE[name]()(jnp.linspace(0.0, 1.0, 101))
    assert factors.shape == (101,)
    assert float(factors.min()) >= 0.0 and float(factors.max()) <= 1.0 + 1e-6


@pytest.mark.parametrize("warmup", [0.0, 1.0])
@pytest.mark.parametrize("name", [n for n in BY_HAND if n not in ("constant", "one_cycle", "cyclic", "warm_restarts")])
def test_extreme_warmups_are_finite(name: str, warmup: float) -> None:
    """Lost: a sweep over the warm-up that reaches an end gives NaN rates."""
    assert np.isfinite(schedules.TABLE[name](warmup=jnp.float32(warmup))(AT)).all()
