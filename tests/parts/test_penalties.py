"""Penalties against slopes worked by hand, finite differences of them, and the points where they must look."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

from deepprinciples.parts.penalties import TABLE

KEY = jax.random.key(5, impl="threefry2x32")
SHAPE = (6, 2, 2, 1)
REAL, FAKE = (np.asarray(jax.random.normal(k, SHAPE)) + 0.5 for k in jax.random.split(KEY))
MLP = {
    "w0": jax.random.normal(jax.random.key(1), (4, 5)),
    "b0": 0.3 * jax.random.normal(jax.random.key(2), (5,)),
    "w1": jax.random.normal(jax.random.key(3), (5,)),
}
every = pytest.mark.parametrize("name", sorted(TABLE))


def logits(params, x):
    hidden = jnp.tanh(x.reshape(len(x), -1) @ params["w0"] + params["b0"][None])
    return hidden @ params["w1"]


def penalty(name, params, strength=3.0, key=KEY, **hypers):
    return TABLE[name](strength=strength, **hypers).apply(lambda x: logits(params, x), REAL, FAKE, key)


def points(name, real, fake, key=KEY, **hypers):
    """Overhear where a penalty asks for the slope."""
    heard = []

    def critic(x):
        jax.debug.callback(heard.append, x)
        return jnp.sum(x.reshape(len(x), -1), axis=1)

    jax.jit(TABLE[name](**hypers).apply, static_argnums=0)(critic, jnp.asarray(real), jnp.asarray(fake), key)
    jax.effects_barrier()
    return np.asarray(heard[0])


@every
def test_value_is_that_of_the_slope_by_hand(name: str) -> None:
    """Lost: the discriminator learns from another penalty than the paper's; slope of w1.tanh(W0'x + b0) in float64."""
    x = points(name, REAL, FAKE).astype(np.float64).reshape(len(REAL), -1)
    w0, b0, w1 = (np.asarray(MLP[k], np.float64) for k in ("w0", "b0", "w1"))
    slopes = ((1 - np.tanh(x @ w0 + b0[None]) ** 2) * w1[None]) @ w0.T
    norms = np.linalg.norm(slopes, axis=1)
    per_example = {"r1": norms**2 / 2, "r2": norms**2 / 2, "zero_centered": norms**2}.get(name, (norms - 1) ** 2)
    assert float(jax.jit(lambda p: penalty(name, p))(MLP)) == pytest.approx(3.0 * per_example.mean(), rel=2e-5)


@every
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    """Lost: the double backward, and with it all that the critic learns from a penalty."""
    check_grads(jax.jit(lambda p: penalty(name, p, strength=0.1)), (MLP,), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(
    ("name", "value", "slope"),
    [
        ("r1", 25.0, [6.0, 8.0]),
        ("r2", 25.0, [6.0, 8.0]),
        ("gradient_penalty", 32.0, [9.6, 12.8]),
        ("zero_centered", 50.0, [12.0, 16.0]),
        ("dragan", 32.0, [9.6, 12.8]),
    ],
)
def test_a_linear_critic_by_hand(name: str, value: float, slope: list[float]) -> None:
    """Lost: the meaning of `strength`. D = 3 x + 4 y has a slope of 5: 2/2 5^2, 2 (5 - 1)^2, 2 5^2."""
    x = jnp.ones((3, 2))
    apply = TABLE[name](strength=2.0).apply
    got, grads = jax.value_and_grad(lambda w: apply(lambda v: v @ w, x, 2.0 * x, KEY))(jnp.array([3.0, 4.0]))
    assert float(got) == pytest.approx(value)
    np.testing.assert_allclose(grads, slope, rtol=1e-6)


def test_table_is_covered() -> None:
    """Lost: a penalty that users can name and nobody has checked, or that cannot be switched off."""
    assert {"r1", "r2", "gradient_penalty", "zero_centered", "dragan"} == set(TABLE)
    assert all(factory.neutral and not factory.fill for factory in TABLE.values())


def test_r1_looks_at_real_and_r2_at_fake_examples() -> None:
    """Lost: the two are exchanged; both need no key."""
    np.testing.assert_array_equal(points("r1", REAL, FAKE, key=None), REAL)
    np.testing.assert_array_equal(points("r2", REAL, FAKE, key=None), FAKE)


@pytest.mark.parametrize("name", ["gradient_penalty", "zero_centered"])
def test_interpolates_fill_the_line_evenly(name: str) -> None:
    """Lost: the slope is asked off the line (a share per pixel, a known bug of others), or at one share a batch."""
    real, fake = np.full((2000, 2, 2, 1), 3.0, np.float32), np.full((2000, 2, 2, 1), -1.0, np.float32)
    share = (points(name, real, fake).reshape(2000, 4) + 1.0) / 4.0
    assert np.ptp(share, axis=1).max() == 0.0
    assert stats.kstest(share[:, 0], "uniform").pvalue > 1e-3
    other = points(name, real, fake, key=jax.random.key(6))
    assert not np.array_equal(share[:, 0], (other.reshape(2000, 4)[:, 0] + 1.0) / 4.0)


def test_dragan_looks_beside_real_examples() -> None:
    """Lost: noise of another size or shape than the authors' program gives."""
    rng = np.random.default_rng(0)
    real = (rng.normal(5.0, 1.0, (1500, 2)) * [1.0, 3.0]).astype(np.float32)
    shift = (points("dragan", real, 0.0 * real, noise=0.25) - real) / (0.25 * real.std())
    assert stats.kstest(shift.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.1
    np.testing.assert_array_equal(points("dragan", real, 0.0 * real, noise=0.0), real)


@every
def test_a_flat_critic_gives_no_nan(name: str) -> None:
    """Lost: the first step of a critic whose last layer starts at zero, or of a dead one, is NaN."""
    flat = {**MLP, "w1": jnp.zeros(5)}
    value, grads = jax.jit(jax.value_and_grad(lambda p: penalty(name, p)))(flat)
    assert float(value) == (3.0 if name in ("gradient_penalty", "dragan") else 0.0)
    for leaf in jax.tree.leaves(grads):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


@every
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_strength_zero_is_no_penalty(name: str, scale: float) -> None:
    """Lost: an arm without the trick is not the baseline, least of all when its critic grows without bound."""
    params = jax.tree.map(lambda w: scale * w, MLP) | {"w0": MLP["w0"], "b0": MLP["b0"]}
    neutral = {k: jnp.float32(v) for k, v in TABLE[name].neutral.items()}
    call = jax.jit(jax.value_and_grad(lambda p, h: penalty(name, p, **h)))
    value, grads = call(params, neutral)
    assert float(value) == 0.0
    assert all(np.all(np.asarray(leaf) == 0.0) for leaf in jax.tree.leaves(grads))
    assert float(call(MLP, {"strength": jnp.float32(1.0)})[0]) > 0.0


@every
def test_a_sweep_can_descend_on_the_strength(name: str) -> None:
    """Lost: the slope of the penalty in its strength, which is the penalty at strength one."""
    slope, one = jax.jit(lambda c: (jax.grad(lambda v: penalty(name, MLP, v))(c), penalty(name, MLP, 1.0)))(0.7)
    assert float(slope) == pytest.approx(float(one), rel=1e-5)


@every
def test_plain_jit_and_lanes_agree(name: str) -> None:
    """Lost: a lane of a sweep is not the run it stands for."""
    each = lambda c, k: jax.value_and_grad(lambda p: penalty(name, p, c, k))(MLP)
    keys = jax.random.split(KEY, 3)
    wide = jax.jit(jax.vmap(each))(jnp.array([0.0, 0.5, 3.0]), keys)
    alone = [jax.jit(each)(0.0, keys[0]), jax.jit(each)(jnp.float32(0.5), keys[1]), each(3.0, keys[2])]
    for lane, one in enumerate(alone):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(wide), strict=True):
            np.testing.assert_allclose(a, b[lane], rtol=1e-5, atol=1e-5)
    assert float(wide[0][2]) > float(wide[0][1]) > float(wide[0][0]) == 0.0


def test_examples_that_meet_in_the_critic_share_their_slopes() -> None:
    """Lost: what the slope means with batch norm: of the sum, which a critic that subtracts the mean holds at zero."""
    x = jnp.array([[1.0], [2.0], [6.0]])
    critic = lambda v: v[:, 0] - jnp.mean(v)
    assert float(TABLE["r1"](strength=2.0).apply(critic, x, x, KEY)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["gradient_penalty", "zero_centered"])
def test_real_and_fake_of_different_shape_are_named(name: str) -> None:
    """Lost: points on lines between examples that were broadcast, in silence."""
    with pytest.raises(ValueError, match=rf"{name}: real \[3, 2\] and fake \[3, 1\] do not pair"):
        TABLE[name]().apply(lambda x: x[:, 0], jnp.ones((3, 2)), jnp.ones((3, 1)), KEY)
