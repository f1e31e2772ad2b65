"""Steps that end in a threshold or a projection, against scikit-learn's lasso and bounds worked by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import Lasso

from deepprinciples.parts import optimizers, regularizers

RNG = np.random.default_rng(11)


def descend(part, gradient, params, steps: int):
    def step(carry, _):
        params, state = carry
        updates, state = part.update(gradient(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, part.init(params)), None, length=steps)[0][0]


def test_proximal_steps_find_the_lasso() -> None:
    """Lost: the minimum of loss + strength |w|_1, and which weights are exactly zero; l1 in the loss gives none."""
    x = RNG.normal(size=(60, 12)).astype(np.float32)
    y = (x @ np.repeat([2.0, -1.0, 0.1, 0.0], 3) + 0.3 * RNG.normal(size=60)).astype(np.float32)
    loss = lambda params: jnp.mean(jnp.square(x @ params["w"][:, 0] - y)) / 2
    zero = {"w": jnp.zeros((12, 1))}
    found = descend(optimizers.proximal_sgd(learning_rate=0.2, strength=0.2), jax.grad(loss), zero, 500)["w"][:, 0]
    twin = Lasso(alpha=0.2, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(x.astype(np.float64), y).coef_
    np.testing.assert_allclose(found, twin, atol=1e-4)
    np.testing.assert_array_equal(found == 0, twin == 0)
    assert 3 <= np.sum(twin == 0) <= 11
    penalized = jax.grad(lambda params: loss(params) + regularizers.l1(strength=0.2)(params))
    plain = descend(optimizers.sgd(learning_rate=0.2), penalized, {"w": jnp.full((12, 1), 0.3)}, 500)["w"]
    assert np.all(plain != 0)


def test_weights_arrive_at_zero_exactly() -> None:
    """Lost: the first step that reaches zero leaves a rounding error there."""
    params, grads = ({"w": jnp.asarray(RNG.normal(size=(40, 50)), jnp.float32)} for _ in range(2))
    part = optimizers.proximal_sgd(learning_rate=0.37, strength=20.0)
    updates, _ = part.update(grads, part.init(params), params)
    assert not np.any(optax.apply_updates(params, updates)["w"])


def test_proximal_step_leaves_biases_alone_unless_told() -> None:
    """Lost: the meaning of `biases`, and of a schedule."""
    params = {"w": jnp.array([[1.0, 0.01]]), "b": jnp.array([1.0])}
    none = lambda params: jax.tree.map(jnp.zeros_like, params)
    rate = lambda count: 0.1 * (count == 0)
    out = descend(optimizers.proximal_sgd(learning_rate=rate, strength=0.5), none, params, 3)
    np.testing.assert_allclose(out["w"], [[0.95, 0.0]], rtol=1e-6)
    assert float(out["b"][0]) == 1.0
    out = descend(optimizers.proximal_sgd(learning_rate=0.1, strength=0.5, biases=True), none, params, 1)
    assert float(out["b"][0]) == pytest.approx(0.95)


def test_projected_units_keep_their_bound() -> None:
    """Lost: the largest norm of a unit, for matrices and convolutions; short units and biases step freely."""
    w = {"dense": jnp.array([[3.0, 0.1], [4.0, 0.0]]), "conv": jnp.asarray(RNG.normal(size=(3, 3, 2, 4)), jnp.float32)}
    params = {**w, "b": jnp.array([9.0])}
    out = descend(
        optimizers.projected_sgd(learning_rate=0.1, max_norm=1.0), lambda p: jax.tree.map(jnp.ones_like, p), params, 1
    )
    first = np.array([2.9, 3.9])
    np.testing.assert_allclose(out["dense"][:, 0], first / np.linalg.norm(first), rtol=1e-5)
    np.testing.assert_allclose(out["dense"][:, 1], [0.0, -0.1], atol=1e-7)
    np.testing.assert_allclose(np.sqrt(np.sum(np.square(out["conv"]), axis=(0, 1, 2))), 1.0, rtol=1e-5)
    assert float(out["b"][0]) == pytest.approx(8.9)


@pytest.mark.parametrize(("name", "off"), [("proximal_sgd", "strength"), ("projected_sgd", "max_norm")])
def test_neutral_is_sgd_and_lanes_are_runs(name: str, off: str) -> None:
    """Lost: an arm without the trick is not the baseline; a sweep is not the runs it stands for."""
    target = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
    gradient = lambda params: jax.tree.map(lambda w: w - target, params)
    start = {"w": jnp.zeros((4, 3))}
    neutral = optimizers.TABLE[name].neutral[off]

    def final(value, rate):
        return descend(optimizers.TABLE[name](**{off: value, "learning_rate": rate}), gradient, start, 6)["w"]

    plain = jax.jit(lambda rate: descend(optimizers.sgd(learning_rate=rate), gradient, start, 6)["w"])
    np.testing.assert_array_equal(jax.jit(final)(neutral, 0.3), plain(0.3))
    values, rates = jnp.array([0.4, 1.2, neutral]), jnp.array([0.1, 0.3, 0.3])
    lanes = jax.vmap(final)(values, rates)
    for lane, value, rate in zip(lanes, values, rates, strict=True):
        np.testing.assert_allclose(lane, final(value, rate), rtol=1e-5, atol=1e-6)
    assert np.abs(lanes[1] - lanes[2]).max() > 0.05


@pytest.mark.parametrize("name", ["proximal_sgd", "projected_sgd"])
def test_missing_params_are_named(name: str) -> None:
    """Lost: the reason for a failure inside a hand-written loop."""
    part, grads = optimizers.TABLE[name](), {"w": jnp.ones((2, 2))}
    with pytest.raises(ValueError, match=f"{name}: update was called without params"):
        part.update(grads, part.init(grads))
