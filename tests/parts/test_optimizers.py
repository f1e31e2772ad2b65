"""Optimizers against optax, closed forms and the counter-examples of their papers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deepprinciples.parts import optimizers, transforms


def train(part, gradient, x, steps: int, **extras):
    part = optax.with_extra_args_support(part)

    def step(carry, t):
        x, state = carry
        updates, state = part.update(gradient(x, t), state, x, **{k: f(x) for k, f in extras.items()})
        return (x + updates, state), x

    return jax.lax.scan(step, (x, part.init(x)), jnp.arange(steps))[0][0]


def test_sgd_is_optaxs() -> None:
    """Lost: momentum and Nesterov as everyone else has them."""
    x, gradient = jnp.array([1.0, -2.0]), lambda x, t: x * jnp.array([1.0, 3.0])
    for nesterov in (False, True):
        ours = train(optimizers.sgd(learning_rate=0.1, momentum=0.8, nesterov=nesterov), gradient, x, 7)
        np.testing.assert_allclose(ours, train(optax.sgd(0.1, 0.8, nesterov), gradient, x, 7), rtol=1e-5)
    np.testing.assert_allclose(
        train(optimizers.sgd(learning_rate=0.1), gradient, x, 7), train(optax.sgd(0.1), gradient, x, 7), rtol=1e-6
    )


@pytest.mark.parametrize("averaged", [False, True])
def test_quadratics_diverge_exactly_beyond_the_bound(averaged: bool) -> None:
    """Lost: 2 (1 + b) / rate for heavy ball, (2 + 2 b) / ((1 - b) rate) for averaged momentum."""
    rate, momentum = 0.1, 0.5
    bound = 2 * (1 + momentum) / rate / ((1 - momentum) if averaged else 1.0)

    @jax.jit
    @jax.vmap
    def size(curvature):
        part = optimizers.sgd(learning_rate=rate, momentum=momentum, averaged=averaged)
        return jnp.abs(train(part, lambda x, t: curvature * x, jnp.float32(1.0), 600))

    below, above = size(bound * jnp.array([0.98, 1.02]))
    assert float(below) < 1e-3 and float(above) > 1e3


def test_adamw_decouples_and_adam_with_l2_does_not() -> None:
    """Lost: AdamW without gradient leaves (1 - 1e-4)^100; Adam + L2 moves by the rate whatever the strength."""
    none, one = lambda x, t: 0.0 * x, jnp.float32(1.0)
    decayed = train(optimizers.adamw(learning_rate=1e-3, weight_decay=0.1), none, one, 100)
    assert float(decayed) == pytest.approx(0.9900493, abs=2e-6)
    for strength in (0.01, 1.0):
        chain = optax.chain(
            transforms.weight_decay(strength=strength, biases=True), optimizers.adam(learning_rate=1e-3)
        )
        assert float(train(chain, none, one, 100)) == pytest.approx(0.9, abs=2e-3)


def test_amsgrad_mends_adams_counter_example() -> None:
    """Lost: on Reddi's periodic gradients Adam walks to +1, AMSGrad to -1."""
    gradient = lambda x, t: jnp.where(t % 3 == 0, 4.0, -1.0)

    def run(part, steps=30_000):
        def step(carry, t):
            x, state = carry
            updates, state = part.update(gradient(x, t), state, x)
            return (jnp.clip(x + updates, -1.0, 1.0), state), None

        return jax.lax.scan(step, (jnp.float32(0.0), part.init(jnp.float32(0.0))), jnp.arange(steps))[0][0]

    rate = lambda count: 0.5 / jnp.sqrt(1.0 + count)
    hypers = {"learning_rate": rate, "b1": 0.0, "b2": 1 / 17}
    assert float(run(optimizers.adam(**hypers))) > 0.9
    assert float(run(optimizers.amsgrad(**hypers))) < -0.9


def test_muon_makes_steps_orthogonal() -> None:
    """Lost: five Newton-Schulz steps put every singular value in [0.68, 1.14]."""
    grads = jax.random.normal(jax.random.key(0), (12, 12))
    part = optimizers.muon(learning_rate=1.0)
    updates, _ = part.update({"w": grads}, part.init({"w": grads}), {"w": grads})
    values = np.linalg.svd(updates["w"], compute_uv=False)
    assert values.min() > 0.67 and values.max() < 1.15


def test_polyak_step_by_hand() -> None:
    """Lost: on f = x^2 the Polyak step halves x; learning_rate caps it. In optax `scaling` acts inverted."""
    gradient, loss = lambda x, t: 2.0 * x, lambda x: x**2
    assert float(train(optimizers.polyak_sgd(eps=0.0), gradient, jnp.float32(8.0), 3, value=loss)) == pytest.approx(1.0)
    capped = train(optimizers.polyak_sgd(learning_rate=0.125), gradient, jnp.float32(8.0), 1, value=loss)
    assert float(capped) == pytest.approx(6.0)
    trap = train(optax.polyak_sgd(scaling=2.0), gradient, jnp.float32(8.0), 1, value=loss)
    assert float(trap) == pytest.approx(6.0)  # a quarter of the way, not all of it
    with pytest.raises(ValueError, match="polyak_sgd: update was called without the loss"):
        train(optimizers.polyak_sgd(), gradient, jnp.float32(8.0), 1)


def test_rewritten_ones_are_optaxs() -> None:
    """Lost: fromage and sm3, rewritten to take schedules, drift from optax's."""
    x, gradient = jnp.array([1.0, -2.0, 0.5]), lambda x, t: 2.0 * x
    pairs = ((optimizers.fromage, optax.fromage), (optimizers.sm3, optax.sm3))
    for ours, twin in pairs:
        expected = train(twin(0.05), gradient, x, 4)
        np.testing.assert_allclose(train(ours(learning_rate=0.05), gradient, x, 4), expected, rtol=1e-5)


def test_unknown_keyword_is_a_type_error() -> None:
    """Lost: a misspelt hyper-parameter passes silently."""
    with pytest.raises(TypeError, match=r"adam\(\) got unexpected keywords \['beta1'\]; it takes \['learning_rate'"):
        optimizers.adam(beta1=0.5)
