"""The Dirac-GAN, the smallest game: what simultaneous steps, alternating steps and penalties do is known on paper.

Real data sit at 0, the generator is a point theta, the discriminator is D(x) = psi x (Mescheder et al.,
arXiv:1801.04406). With the Wasserstein loss the gradients are linear, psi' = psi - rate theta and
theta' = theta + rate psi, so that every number below has a closed form. Equilibrium is (0, 0).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.losses.gan_losses import TABLE as GAMES
from deepprinciples.parts.penalties import TABLE as PENALTIES

KEY = jax.random.key(0, impl="threefry2x32")
RATE = 0.1


@functools.partial(jax.jit, static_argnames=("game", "steps", "alternating", "penalty"))
def descend(start, strength=0.0, *, game="wasserstein", steps=100, alternating=False, penalty="r1"):
    """Give theta and psi after every step of plain gradient descent, [steps + 1, 2]."""
    loss, rule = GAMES[game](), PENALTIES[penalty](strength=strength)
    critic = lambda psi, x: psi * x[:, 0]
    real = jnp.zeros((1, 1))

    def of_psi(psi, theta, key):
        fake = jnp.full((1, 1), theta)
        values = loss.discriminator(critic(psi, real), critic(psi, fake))
        return jnp.mean(values) + rule.apply(lambda x: critic(psi, x), real, fake, key)

    def of_theta(theta, psi):
        return jnp.mean(loss.generator(critic(psi, real), critic(psi, jnp.full((1, 1), theta))))

    def step(point, key):
        theta, psi = point
        new_psi = psi - RATE * jax.grad(of_psi)(psi, theta, key)
        new_theta = theta - RATE * jax.grad(of_theta)(theta, new_psi if alternating else psi)
        return jnp.stack([new_theta, new_psi]), point

    last, path = jax.lax.scan(step, jnp.asarray(start), jax.random.split(KEY, steps))
    return jnp.concatenate([path, last[None]])


def radius(path):
    return np.hypot(*np.asarray(path, np.float64).T)


@pytest.mark.parametrize("start", [(1.0, 0.0), (0.0, 1.0), (0.6, -0.8)])
def test_simultaneous_steps_spiral_outward(start: tuple[float, float]) -> None:
    """Lost: the game itself. A step turns by the rate and stretches by sqrt(1 + rate^2): 1.01^50 after 100 of them."""
    r = radius(descend(start))
    assert r[-1] == pytest.approx(1.6446318, rel=2e-6)
    np.testing.assert_allclose(r, 1.01 ** (np.arange(101) / 2), rtol=1e-5)


def test_alternating_steps_stay_on_an_ellipse() -> None:
    """Lost: who moves first. theta^2 + psi^2 - rate theta psi is kept, so from (1, 0) r^2 <= 1 / (1 - rate / 2)."""
    path = np.asarray(descend((1.0, 0.0), steps=2000, alternating=True), np.float64)
    np.testing.assert_allclose(np.sum(path**2, axis=1) - RATE * path[:, 0] * path[:, 1], 1.0, atol=1e-4)
    bound = (1 - RATE / 2) ** -0.5  # 1.025978
    assert 1.02 < radius(path).max() < bound + 1e-4 < 1.05


@pytest.mark.parametrize("alternating", [False, True])
def test_r1_converges_at_the_rate_of_its_eigenvalues(alternating: bool) -> None:
    """Lost: the reason to use R1. The step's matrix has determinant 1 - rate strength (+ rate^2), and |λ|^2 is that."""
    r = radius(descend((1.0, 0.0), 1.0, steps=200, alternating=alternating))
    assert r[-1] < 1e-3
    shrink = np.sqrt(0.9 if alternating else 0.91)
    measured = np.exp(np.polyfit(np.arange(201), np.log(r), 1)[0])
    assert measured == pytest.approx(shrink, rel=2e-3)


@pytest.mark.parametrize("game", ["minimax", "non_saturating", "wasserstein", "relativistic"])
def test_r1_tames_every_game(game: str) -> None:
    """Lost: local convergence holds for every loss whose slope at 0 is not 0; without the penalty none converges."""
    assert radius(descend((1.0, 0.0), game=game, steps=400))[-200:].min() > 0.4
    assert radius(descend((1.0, 0.0), 1.0, game=game, steps=400))[-1] < 1e-3


def test_a_game_that_is_not_zero_sum_ends_on_a_circle() -> None:
    """Lost: what the non-saturating loss changes far from 0.

    A step of it shrinks r^2 by rate r^4 / 8, the mean over a turn, and stretches it by rate^2 r^2 / 4. These balance
    at r = sqrt(2 rate) where the rate is small. The zero-sum loss keeps spiraling outward.
    """
    r = radius(descend((1.0, 0.0), game="non_saturating", steps=4000))[-1000:]
    assert np.mean(r) == pytest.approx(np.sqrt(2 * RATE), rel=0.03)
    assert radius(descend((1.0, 0.0), game="minimax", steps=4000))[-1] > 1.5


@pytest.mark.parametrize("penalty", ["r1", "r2", "zero_centered", "gradient_penalty", "dragan"])
def test_only_penalties_centered_at_zero_converge(penalty: str) -> None:
    """Lost: the paper's finding that a slope pulled to one keeps the game away from its equilibrium."""
    late = radius(descend((1.0, 0.0), 1.0, steps=1000, penalty=penalty))[-200:]
    assert late.min() > 0.1 if penalty in ("gradient_penalty", "dragan") else late.max() < 1e-6


def test_strength_zero_is_the_game_without_penalty() -> None:
    """Lost: a lane with the penalty switched off is not the baseline, bit for bit."""
    lanes = jax.vmap(lambda c: descend((0.6, -0.8), c))(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(radius(lanes[0])[-1], 1.6446318, rtol=2e-6)
    np.testing.assert_array_equal(descend((0.6, -0.8), 0.0), descend((0.6, -0.8), 0.0, penalty="gradient_penalty"))
    assert radius(lanes[1])[-1] < 0.02
