"""Numbers that theory gives for training itself: deep linear networks, edges of stability, noise, least squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts import initializers, losses, optimizers, transforms
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.parts.probes import curvature

KEY = jax.random.key(0, impl="threefry2x32")
EDGE = Path(__file__).parents[2] / "configs" / "edge_of_stability.toml"


def test_a_product_of_orthogonal_layers_keeps_lengths() -> None:
    """Lost: dynamical isometry: all singular values of 20 orthogonal layers are 1, those of normal ones are not."""

    def values(initializer: str) -> np.ndarray:
        model = mlp(outputs=32, depth=20, width=32, activation="identity", initializer=initializer)
        params, state = model.init(KEY, jnp.zeros((1, 32)))
        through = lambda x: model.apply(params, state, x[None], key=None, train=False)[0][0]
        return np.linalg.svd(np.asarray(jax.jacobian(through)(jnp.ones(32)), np.float64), compute_uv=False)

    np.testing.assert_allclose(values("orthogonal"), 1.0, atol=1e-5)
    drawn = values("lecun_normal")
    assert drawn.max() > 1.5 and drawn.min() < 1e-3


def test_a_deep_linear_network_learns_its_modes_in_turn() -> None:
    """Lost: u(t) = s e^(2st) / (e^(2st) - 1 + s / u0), so 2.9945 at t = 2 for s = 3, u0 = 0.01 (arXiv:1312.6120)."""
    strengths, start, rate, steps = np.array([3.0, 2.0, 1.0]), 0.01, 7.5e-4, 4000
    time = 0.5  # steps of size rate, and two thirds: the loss is a mean over three outputs and has no factor 1/2
    model = mlp(outputs=3, depth=1, width=3, activation="identity", initializer=initializers.identity(gain=start**0.5))
    x = np.sqrt(3.0) * np.concatenate([np.eye(3), -np.eye(3)])  # white, and of mean 0, so that biases stay 0
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(x * strengths[None], jnp.float32)
    loss, part = losses.TABLE["mse"](), optimizers.sgd(learning_rate=rate)
    params, state = model.init(KEY, x)
    outputs = lambda params, x: model.apply(params, state, x, key=None, train=True)[0]
    gradient = jax.grad(lambda params: jnp.mean(loss(outputs(params, x), y)))

    def step(carry: Any, _: None) -> Any:
        params, memory = carry
        updates, memory = part.update(gradient(params), memory, params)
        params = jax.tree.map(jnp.add, params, updates)
        return (params, memory), outputs(params, jnp.eye(3))

    path = np.asarray(jax.jit(lambda: jax.lax.scan(step, (params, part.init(params)), None, length=steps)[1])())
    for quarter in range(1, 5):
        t = time * quarter
        grown = np.exp(2 * strengths * t)
        theory = strengths * grown / (grown - 1 + strengths / start)
        np.testing.assert_allclose(path[quarter * 1000 - 1], np.diag(theory), rtol=1e-2, atol=1e-6)
    assert path[-1][0, 0] == pytest.approx(2.9945, abs=2e-4)


@pytest.mark.parametrize(
    ("momentum", "averaged", "nesterov", "edge"),
    [
        (0.0, False, False, 20.0),  # 2 / rate
        (0.9, False, False, 38.0),  # 2 (1 + b) / rate
        (0.9, True, False, 380.0),  # that over 1 - b
        (0.0, False, True, 20.0),
        (0.5, False, True, 15.0),  # 2 (1 + b) / ((1 + 2 b) rate)
        (0.9, False, True, 38.0 / 2.8),
        (0.9, True, True, 380.0 / 2.8),
    ],
)
def test_parabolas_part_exactly_at_the_edge_that_is_told(
    momentum: float, averaged: bool, nesterov: bool, edge: float
) -> None:
    """Lost: the edge a report draws, or the optimizer it belongs to: half a percent below it descends, above it not."""
    changes = {"learning_rate": 0.1, "momentum": momentum, "averaged": averaged, "nesterov": nesterov}
    config = from_config.replaced(resolved(), {f"optimizer.{key}": value for key, value in changes.items()})
    assert from_config.stability_edge(config) == pytest.approx(edge)
    part = from_config.chain(config, 1000)

    def size(curvature: jax.Array) -> jax.Array:
        def step(carry: Any, _: None) -> Any:
            x, state = carry
            updates, state = part.update(curvature * x, state, x)
            return (x + updates, state), None

        x = jnp.float32(1.0)
        return jnp.abs(jax.lax.scan(step, (x, part.init(x)), None, length=1000)[0][0])

    below, above = jax.jit(jax.vmap(size))(edge * jnp.array([0.995, 1.005]))
    assert float(below) < 1e-3
    assert not float(above) < 1e3


def resolved() -> dict[str, Any]:
    """Resolve the config of the experiment: a 1-100-1 tanh network on 20 points of a Chebyshev polynomial."""
    return configs.resolve(configs.load(EDGE), from_config.KINDS, command="compare")


def test_sharpness_settles_at_the_edge_of_stability() -> None:
    """Lost: what full-batch descent is known for (arXiv:2103.00065), by our data, learner, optimizer and probe.

    Over the last third of 8,000 steps the mean sharpness is 0.95 to 1.12 of 2 / rate at rates 0.4 and 0.2. Heavy ball
    has its own, higher edge, 2 (1 + momentum) / rate: its sharpness stays below 0.8 of that for 1,600 steps, goes on
    rising, and does not pass it by more than some percent either.
    """
    base = resolved()
    data = from_config.dataset(base)
    batch, probe = from_config.splits(data)["train"], curvature.sharpness()
    looks, apart = 50, 160

    def lane(key: jax.Array, rate: jax.Array, momentum: jax.Array) -> jax.Array:
        changes = {"optimizer.learning_rate": rate, "optimizer.momentum": momentum}
        learner = from_config.learner(from_config.replaced(base, changes), data)
        plain = lambda _, state: learner.step(state, batch, key)[0]

        def look(state: Any, _: None) -> Any:
            state, info = learner.step(jax.lax.fori_loop(1, apart, plain, state), batch, key)
            return state, probe(info)["sharpness"]

        return jax.lax.scan(look, learner.init(key), None, length=looks)[1]

    settings = [(0.4, 0.0), (0.2, 0.0), (0.05, 0.9)]
    rates, momenta = jnp.asarray(settings).T
    found = np.asarray(jax.jit(jax.vmap(lane, (None, 0, 0)))(KEY, rates, momenta))  # [setting, look]
    edges = np.array([2 * (1 + momentum) / rate for rate, momentum in settings])
    shares = found / edges[:, None]
    settled = shares[:2, looks * 2 // 3 :].mean(axis=1)
    assert settled.min() > 0.95 and settled.max() < 1.12, settled
    early, late = shares[2, :10], shares[2, looks * 2 // 3 :]
    assert early.max() < 0.8 < late.min() and late.max() < 1.03, (early, late)


def test_noise_leaves_the_variance_of_theory() -> None:
    """Lost: 0.3333 for descent and 2.8788 for heavy ball, on x^2 / 2 at rate 1/2 under unit noise.

    The stationary variance of a linear filter is the sum of its squared answers to one kick: exact. Drawn noise,
    through our own transform, must agree.
    """
    momenta, theory = jnp.array([0.0, 0.9]), [0.3333, 2.8788]

    def path(momentum: jax.Array, kicks: jax.Array) -> jax.Array:
        part = optimizers.sgd(learning_rate=0.5, momentum=momentum)

        def step(carry: Any, kick: jax.Array) -> Any:
            x, state = carry
            updates, state = part.update(x + kick, state, x)
            return (x + updates, state), x + updates

        x = jnp.float32(0.0)
        return jax.lax.scan(step, (x, part.init(x)), kicks)[1]

    answers = jax.jit(jax.vmap(path, (0, None)))(momenta, jnp.zeros(400).at[0].set(1.0))
    np.testing.assert_allclose(jnp.sum(answers**2, axis=1), theory, rtol=2e-4)

    noise = transforms.noise(strength=1.0, decay=0.0)
    zero, steps = jnp.float32(0.0), 3000

    def drawn(momentum: jax.Array, key: jax.Array) -> jax.Array:
        draw = lambda state, key: noise.update(zero, state, key=key)[::-1]
        kicks = jax.lax.scan(draw, noise.init(zero), jax.random.split(key, steps))[1]
        return jnp.mean(path(momentum, kicks)[200:] ** 2)

    keys = jax.random.split(KEY, 64)
    found = jax.jit(jax.vmap(jax.vmap(drawn, (None, 0)), (0, None)))(momenta, keys)  # [momentum, lane]
    errors = np.asarray(found.std(axis=1)) / 8
    assert (np.abs(np.asarray(found.mean(axis=1)) - theory) < 4 * errors).all() and (errors < 0.03 * theory[1]).all()


def test_ridgeless_least_squares_descends_twice() -> None:
    """Lost: the double descent that theory gives (arXiv:1903.08560): n = 200, noise 1, signal 4, white inputs.

    Risk p / (n - p - 1) below n and 4 (1 - n / p) + n / (p - n - 1) above it: 1.010, 3.061, 3.005; a peak at p = n.
    """
    theory = {100: 1.0101, 150: 3.0612, 400: 3.0050}
    risks = {p: ridgeless(p) for p in (100, 150, 200, 400)}
    for p, expected in theory.items():
        error = risks[p].std(ddof=1) / len(risks[p]) ** 0.5
        assert abs(risks[p].mean() - expected) < 3 * error and error < 0.05 * expected, (p, risks[p].mean(), error)
    assert risks[200].mean() > 4 * max(risks[p].mean() for p in theory)


def ridgeless(weights: int, examples: int = 200, draws: int = 8, outputs: int = 16) -> np.ndarray:
    """Descend from zero on the squared error of a linear model to the least solution: its risk for each draw.

    At shape = weights / examples the curvatures of white inputs fill (1 - sqrt(shape))^2 to (1 + sqrt(shape))^2, for
    which this rate and this momentum are the best ones.
    """
    shape, steps = weights / examples, 60 if weights in (100, 400) else 250
    momentum = min(shape, 1 / shape, 0.95)
    rate = 0.95 / max(1.0, shape) * outputs / 2  # the loss is a mean over outputs, without factor 1/2
    random = np.random.RandomState(weights)
    x = random.randn(draws, examples, weights).astype(np.float32)
    truth = random.randn(draws, weights, outputs) * 2 / weights**0.5
    y = (x @ truth + random.randn(draws, examples, outputs)).astype(np.float32)
    model = mlp(outputs=outputs, depth=0, initializer="zeros")
    loss, part = losses.TABLE["mse"](), optimizers.sgd(learning_rate=rate, momentum=momentum)
    params, state = model.init(KEY, x[0])

    def descend(x: jax.Array, y: jax.Array) -> jax.Array:
        def error(kernel: jax.Array) -> jax.Array:  # the bias stays 0: it would be one weight more
            held = {"output": {**params["output"], "kernel": kernel}}
            return jnp.mean(loss(model.apply(held, state, x, key=None, train=True)[0], y))

        def step(carry: Any, _: None) -> Any:
            kernel, memory = carry
            updates, memory = part.update(jax.grad(error)(kernel), memory, kernel)
            return (kernel + updates, memory), None

        kernel = params["output"]["kernel"]
        return jax.lax.scan(step, (kernel, part.init(kernel)), None, length=steps)[0][0]

    found = np.asarray(jax.jit(jax.vmap(descend))(x, y), np.float64)
    if weights != examples:  # at the peak the descent would never end
        least = np.linalg.pinv(x[0].astype(np.float64)) @ y[0]
        np.testing.assert_allclose(found[0], least, atol=1e-3 * np.abs(least).max())
    return np.sum((found - truth) ** 2, axis=1).mean(axis=1)


def test_muon_brings_every_singular_value_near_one() -> None:
    """Lost: five Newton-Schulz steps, each s -> 3.4445 s - 4.7750 s^3 + 2.0315 s^5, that leave all in [0.68, 1.14].

    So it is where a singular value is at least a hundredth of the Frobenius norm; smaller ones may end at 1.2024.
    """
    random = np.random.RandomState(0)
    u, v = (np.linalg.qr(random.randn(24, 24))[0] for _ in range(2))
    given = np.geomspace(1.0, 1 / 50, 24)
    grads = {"w": jnp.asarray(u @ np.diag(given) @ v.T, jnp.float32)}
    part = optimizers.muon(learning_rate=1.0)
    updates, _ = part.update(grads, part.init(grads), grads)
    values = np.linalg.svd(np.asarray(updates["w"], np.float64), compute_uv=False)
    assert values.min() >= 0.68 and values.max() <= 1.14, values
    s = given / np.linalg.norm(given)
    assert s.min() > 0.01
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    np.testing.assert_allclose(values, np.sort(s)[::-1], atol=1e-4)
