"""Game losses against numpy twins, the optimal discriminator of theory, and logits that would overflow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.parts.losses.gan_losses import TABLE

RNG = np.random.default_rng(3)
REAL, FAKE = RNG.normal(0.3, 2.0, 7), RNG.normal(-0.5, 2.0, 7)
SWEPT = {
    "minimax": {"real_smoothing": 0.1, "fake_smoothing": 0.3},
    "non_saturating": {"real_smoothing": 0.1, "fake_smoothing": 0.3},
    "least_squares": {"real_target": 0.9, "fake_target": -1.0, "generator_target": 0.2},
}
PLAYERS = ("discriminator", "generator")
every = pytest.mark.parametrize("name", sorted(TABLE))


def s(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(r, f):
    real = -0.9 * np.log(s(r)) - 0.1 * np.log(1 - s(r))
    return real - 0.3 * np.log(s(f)) - 0.7 * np.log(1 - s(f))


def average(a, b):
    return -np.log(s(a - b.mean())) - np.log(1 - s(b - a.mean()))


TWINS = {
    "minimax": (cross_entropy, lambda r, f: np.log(1 - s(f))),
    "non_saturating": (cross_entropy, lambda r, f: -np.log(s(f))),
    "least_squares": (lambda r, f: ((r - 0.9) ** 2 + (f + 1) ** 2) / 2, lambda r, f: (f - 0.2) ** 2 / 2),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "hinge": (lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda r, f: -f),
    "relativistic": (lambda r, f: -np.log(s(r - f)), lambda r, f: -np.log(s(f - r))),
    "relativistic_average": (average, lambda r, f: average(f, r)),
}


def values(name, hypers, real, fake):
    """Give the losses of both players and the slopes of their means in all logits."""
    game = TABLE[name](**hypers)
    real, fake = jnp.asarray(real, jnp.float32), jnp.asarray(fake, jnp.float32)
    losses = {player: getattr(game, player)(real, fake) for player in PLAYERS}
    slopes = {
        player: jax.grad(lambda r, f, p=player: jnp.mean(getattr(game, p)(r, f)), argnums=(0, 1))(real, fake)
        for player in PLAYERS
    }
    return losses, slopes


def test_twins_cover_the_table() -> None:
    """Lost: a loss that users can name and nobody has checked."""
    assert set(TWINS) == set(TABLE)


@every
def test_values_and_slopes_are_those_of_the_twin(name: str) -> None:
    """Lost: a player minimizes another formula than the paper's, or its gradient misses a path (the batch means)."""
    losses, slopes = values(name, SWEPT.get(name, {}), REAL, FAKE)
    for player, twin in zip(PLAYERS, TWINS[name], strict=True):
        np.testing.assert_allclose(losses[player], twin(REAL, FAKE), rtol=2e-5, atol=1e-6)
        for side, slope in enumerate(slopes[player]):
            for i in range(REAL.size):
                logits = np.stack([[REAL, FAKE]] * 2)  # [2, 2, B]: one logit a little up, then a little down
                logits[:, side, i] += [1e-5, -1e-5]
                up, down = (np.mean(twin(*pair)) for pair in logits)
                np.testing.assert_allclose(slope[i], (up - down) / 2e-5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minimax", 2 * np.log(2)),
        ("non_saturating", 2 * np.log(2)),
        ("least_squares", 0.5),
        ("wasserstein", 0.0),
        ("hinge", 2.0),
        ("relativistic", np.log(2)),
        ("relativistic_average", 2 * np.log(2)),
    ],
)
def test_a_discriminator_that_knows_nothing(name: str, expected: float) -> None:
    """Lost: the value at which a user recognizes equilibrium in a curve."""
    losses, _ = values(name, {}, np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(losses["discriminator"], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "least_squares"])
@pytest.mark.parametrize("swept", [False, True])
def test_the_optimal_discriminator_is_that_of_theory(name: str, swept: bool) -> None:
    """Lost: where real examples are four times as dense, D is not what the papers derive, smoothing included."""
    p, q = 0.8, 0.2
    a, b = (0.1, 0.3) if swept else (0.0, 0.0)
    chance = (p * (1 - a) + q * b) / (p + q)
    logit = np.log(chance / (1 - chance))
    if name == "least_squares":
        logit = (p * 0.9 - q * 1.0) if swept else p
    _, slopes = values(name, SWEPT[name] if swept else {}, np.full(1, logit), np.full(1, logit))
    real, fake = slopes["discriminator"]
    np.testing.assert_allclose(p * real + q * fake, 0.0, atol=2e-7)
    assert abs(float(p * real[0])) > 1e-2


@pytest.mark.parametrize(("name", "zero_sum"), [("minimax", True), ("wasserstein", True), ("non_saturating", False)])
def test_who_plays_a_zero_sum_game(name: str, zero_sum: bool) -> None:
    """Lost: a sign, so that the players help each other, or the difference between the two losses of 2014."""
    _, slopes = values(name, {}, REAL, FAKE)
    together = slopes["discriminator"][1] + slopes["generator"][1]
    assert (np.abs(together).max() < 1e-7) == zero_sum


def test_a_caught_generator_learns_only_without_saturation() -> None:
    """Lost: the reason why the non-saturating loss exists."""
    caught = np.full(4, -10.0)
    slope = {n: float(values(n, {}, -caught, caught)[1]["generator"][1].sum()) for n in ("minimax", "non_saturating")}
    assert slope["minimax"] == pytest.approx(-s(-10.0), rel=1e-4)
    assert slope["non_saturating"] == pytest.approx(-s(10.0), rel=1e-6)


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average", "wasserstein"])
def test_only_differences_of_logits_count(name: str) -> None:
    """Lost: a bias of the last layer changes a loss that should not see it."""
    here, there = (values(name, {}, REAL + c, FAKE + c)[0]["discriminator"] for c in (0.0, 5.0))
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5)


@every
def test_confident_logits_overflow_nowhere(name: str) -> None:
    """Lost: the run turns into NaN when the discriminator wins, or its slope vanishes where it is wrong."""
    sure = np.array([1e4, -1e4, 1e4, -1e4]), np.array([-1e4, 1e4, 1e4, -1e4])
    losses, slopes = values(name, {}, *sure)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((losses, slopes)))
    if name in ("minimax", "non_saturating"):
        np.testing.assert_array_equal(losses["discriminator"], [0.0, 2e4, 1e4, 1e4])
        np.testing.assert_array_equal(slopes["discriminator"][0], [0.0, -0.25, 0.0, -0.25])
    if name == "relativistic":
        np.testing.assert_array_equal(losses["discriminator"], [0.0, 2e4, np.log(np.float32(2)), np.log(np.float32(2))])


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_smoothing_of_zero_is_no_smoothing(name: str) -> None:
    """Lost: an arm without the trick is not the baseline; smoothing reaches the generator, which has no targets."""
    neutral = {k: jnp.float32(v) for k, v in TABLE[name].neutral.items()}
    off = jax.jit(lambda h: values(name, h, REAL, FAKE))(neutral)[0]
    r, f = jnp.asarray(REAL, jnp.float32), jnp.asarray(FAKE, jnp.float32)
    absent = jax.jit(lambda: jax.nn.softplus(-r) + jax.nn.softplus(f))()
    np.testing.assert_array_equal(off["discriminator"], absent)
    np.testing.assert_array_equal(
        off["generator"], jax.jit(lambda: values(name, SWEPT[name], REAL, FAKE))()[0]["generator"]
    )


@every
def test_plain_jit_and_lanes_agree(name: str) -> None:
    """Lost: a lane of a sweep is not the run it stands for."""
    hypers = SWEPT.get(name, {})
    plain = values(name, hypers, REAL, FAKE)
    lanes = {k: jnp.array([0.5 * v, v], jnp.float32) for k, v in hypers.items()} | {"unused": jnp.zeros(2)}
    run = lambda h: values(name, {k: v for k, v in h.items() if k != "unused"}, REAL, FAKE)
    wide = jax.jit(jax.vmap(run))(lanes)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(a, b[1], rtol=1e-5, atol=1e-6)
    moved = [not np.allclose(b[0], b[1]) for b in jax.tree.leaves(wide)]
    assert any(moved) == bool(hypers)


@every
def test_logits_that_do_not_pair_are_named(name: str) -> None:
    """Lost: [B] with [B, 1] is broadcast to [B, B], in silence."""
    for player in PLAYERS:
        loss = getattr(TABLE[name](), player)
        with pytest.raises(ValueError, match=rf"{name}: real logits \[4\] and fake logits \[4, 1\] do not pair"):
            loss(jnp.zeros(4), jnp.zeros((4, 1)))
        with pytest.raises(ValueError, match="do not pair"):
            loss(jnp.zeros((4, 1)), jnp.zeros((4, 1)))
