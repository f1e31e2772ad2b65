"""Rules against numbers from theory and against twins in torch and NumPy that know nothing of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deepprinciples.parts import gradient_rules
from deepprinciples.parts.models.cnn import cnn
from deepprinciples.parts.models.recurrent import lstm
from deepprinciples.types import Batch

KEY = jax.random.key(0, impl="threefry2x32")
DRAW = np.random.default_rng(0)
PARAMS = {
    name: DRAW.normal(size=shape).astype(np.float32)
    for name, shape in {"a": (4, 8), "b": (8,), "c": (8, 3), "d": (3,)}.items()
}
X, Y = DRAW.normal(size=(16, 4)).astype(np.float32), DRAW.normal(size=(16, 3)).astype(np.float32)
BATCH = Batch(jnp.array(X), jnp.array(Y))


def net(p, state, batch, key):
    """Give the mean squared error of a small tanh net."""
    del key
    outputs = jnp.tanh(batch.inputs @ p["a"] + jnp.broadcast_to(p["b"], (len(batch.inputs), 8))) @ p["c"]
    return jnp.mean(jnp.sum((outputs + p["d"][None] - batch.targets) ** 2, axis=1)), state


def quadratic(curvature):
    """Give L = 1/2 sum h w^2, whatever the batch."""
    return lambda w, state, batch, key: (0.5 * jnp.sum(curvature * w**2), state)


def descend(rule, loss, params, rate, steps):
    """Step down `steps` times, as plain SGD."""
    take = rule(loss)
    step = lambda p, _: (jax.tree.map(lambda w, g: w - rate * g, p, take(p, {}, BATCH, KEY)[1]), None)
    return jax.jit(lambda p: jax.lax.scan(step, p, None, steps)[0])(params)


def test_sam_on_a_quadratic_ends_in_a_two_cycle() -> None:
    """SAM would not overshoot the minimum as it does: amplitude eta h rho / (2 - eta h) = 0.00555556."""
    run = lambda steps: float(descend(gradient_rules.sam(rho=0.05), quadratic(2.0), jnp.array(1.0), 0.1, steps))
    one, other = run(500), run(501)
    assert one == pytest.approx(-other, rel=1e-4) and abs(one) == pytest.approx(0.00555556, rel=1e-5)


def twin(name: str, rate: float, rho: float, eps: float, steps: int):
    """Train the net in torch, by the paper's algorithm."""
    p = {key: torch.tensor(value, dtype=torch.float64, requires_grad=True) for key, value in PARAMS.items()}
    x, y = torch.tensor(X, dtype=torch.float64), torch.tensor(Y, dtype=torch.float64)

    def slopes():
        loss = ((torch.tanh(x @ p["a"] + p["b"]) @ p["c"] + p["d"] - y) ** 2).sum(1).mean()
        return dict(zip(p, torch.autograd.grad(loss, list(p.values())), strict=True))

    for _ in range(steps):
        first, start = slopes(), {key: w.detach().clone() for key, w in p.items()}
        scale = {key: w.abs() + eps if name == "asam" else torch.ones_like(w) for key, w in start.items()}
        size = torch.sqrt(sum(((scale[key] * first[key]) ** 2).sum() for key in p))
        with torch.no_grad():
            for key, w in p.items():
                w += rho * scale[key] ** 2 * first[key] / size
        second = slopes()
        with torch.no_grad():
            for key, w in p.items():
                w.copy_(start[key] - rate * second[key])
    return {key: w.detach().numpy() for key, w in p.items()}


@pytest.mark.parametrize(("name", "hypers"), [("sam", {"rho": 0.3}), ("asam", {"rho": 0.7, "eps": 0.05})])
def test_sam_and_asam_train_like_their_twins(name: str, hypers: dict) -> None:
    """The method of the paper would go by its name only."""
    found = descend(gradient_rules.TABLE[name](**hypers), net, jax.tree.map(jnp.array, PARAMS), 0.02, 5)
    expected = twin(name, 0.02, hypers["rho"], hypers.get("eps", 0.0), 5)
    for key in PARAMS:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=3e-6)
    plain = descend(gradient_rules.plain(), net, jax.tree.map(jnp.array, PARAMS), 0.02, 5)
    assert np.abs(plain["a"] - expected["a"]).max() > 1e-3


def test_asam_does_not_see_how_layers_are_scaled() -> None:
    """ASAM's reason to be: w1 w2 with w1 / 4 and 4 w2 is the same function, and has the same sharpness."""
    loss = lambda w, state, batch, key: ((w[0] * w[1] - 2.0) ** 2, state)
    take = gradient_rules.asam(rho=0.1, eps=0.0)(loss)
    one = take(jnp.array([1.0, 1.5]), {}, BATCH, KEY)[1] * jnp.array([1.0, 1.5])
    other = take(jnp.array([0.25, 6.0]), {}, BATCH, KEY)[1] * jnp.array([0.25, 6.0])
    np.testing.assert_allclose(one, other, rtol=1e-5)
    apart = gradient_rules.sam(rho=0.1)(loss)(jnp.array([0.25, 6.0]), {}, BATCH, KEY)[1] * jnp.array([0.25, 6.0])
    assert np.abs(np.asarray(one) - apart).max() > 0.1


def finite_differences(objective, params):
    """Differentiate in float64 by central differences."""
    slopes = {key: np.zeros_like(w, np.float64) for key, w in params.items()}
    for key, w in params.items():
        for index in np.ndindex(w.shape):
            ends = []
            for sign in (1, -1):
                moved = {k: v.astype(np.float64) for k, v in params.items()}
                moved[key][index] += sign * 1e-5
                ends.append(objective(moved))
            slopes[key][index] = (ends[0] - ends[1]) / 2e-5
    return slopes


def test_penalty_on_input_gradients_is_what_finite_differences_give() -> None:
    """The penalty's own gradient would be wrong or missing. Slopes of the inputs by hand: 2 C (o - y) (1 - h^2) A."""

    def objective(p):
        hidden = np.tanh(X @ p["a"] + p["b"])
        errors = hidden @ p["c"] + p["d"] - Y
        slopes = ((2 * errors @ p["c"].T) * (1 - hidden**2)) @ p["a"].T  # [B, 4]
        return np.mean(np.sum(errors**2, axis=1)) + 0.5 * 0.3 * np.mean(np.sum(slopes**2, axis=1))

    (loss, _), grads = jax.jit(gradient_rules.input_gradient_penalty(strength=0.3)(net))(PARAMS, {}, BATCH, KEY)
    np.testing.assert_allclose(loss, net(PARAMS, {}, BATCH, KEY)[0], rtol=1e-6)
    for key, expected in finite_differences(objective, PARAMS).items():
        np.testing.assert_allclose(grads[key], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("model", "shape"), [
    (lstm, (5, 2)), (lambda **more: cnn(**more, depth=1, stages=1), (4, 4, 1)),
])  # fmt: skip
def test_kernels_of_our_own_can_be_differentiated_twice(model, shape) -> None:
    """A gradient written by hand would be right and its own gradient wrong: against XLA's own kernels."""
    batch = Batch(
        jnp.array(np.random.default_rng(1).normal(size=(6, *shape)), jnp.float32), jnp.array([0, 1, 2, 0, 1, 2])
    )

    def grads(kernels: str, strength: float):
        made = model(width=3, outputs=3, kernels=kernels)
        params, state = made.init(KEY, batch.inputs)

        def loss_fn(p, s, b, k):
            outputs, s, _ = made.apply(p, s, b.inputs, key=k, train=True)
            return jnp.mean(-jax.nn.log_softmax(outputs)[jnp.arange(6), b.targets]), s

        return jax.jit(
            lambda p: gradient_rules.input_gradient_penalty(strength=strength)(loss_fn)(p, state, batch, KEY)[1]
        )(params)

    ours, stock, off = (jax.tree.leaves(grads(*how)) for how in (("auto", 5.0), ("stock", 5.0), ("auto", 0.0)))
    for one, other in zip(ours, stock, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert max(np.abs(one - other).max() for one, other in zip(ours, off, strict=True)) > 1e-2


def test_penalty_on_the_gradient_norm_is_exact_on_a_quadratic() -> None:
    """L + s |grad L|, L = 1/2 sum h w^2: gradient h w + s h^2 w / |h w|."""
    h, w = np.array([1.0, 3.0]), np.array([2.0, -1.0])
    (_, _), grads = gradient_rules.gradient_norm_penalty(strength=0.4)(quadratic(h))(jnp.array(w), {}, BATCH, KEY)
    np.testing.assert_allclose(grads, h * w + 0.4 * h**2 * w / np.linalg.norm(h * w), rtol=1e-5)


def test_penalty_on_the_gradient_norm_is_near_the_second_derivative() -> None:
    """The difference would stand for another objective: against the gradient of |grad L| itself."""

    def norm(p):
        slopes = jax.grad(lambda q: net(q, {}, BATCH, KEY)[0])(p)
        return jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(slopes)))

    params = jax.tree.map(jnp.array, PARAMS)
    exact, plain = jax.grad(norm)(params), gradient_rules.plain()(net)(params, {}, BATCH, KEY)[1]
    found = gradient_rules.gradient_norm_penalty(strength=0.5, radius=0.005)(net)(params, {}, BATCH, KEY)[1]
    for key in PARAMS:
        gap = np.abs((found[key] - plain[key]) / 0.5 - exact[key]).max()
        assert gap < 0.02 * np.abs(exact["a"]).max(), key


def test_extragradient_on_a_quadratic_and_on_a_saddle() -> None:
    """A look ahead by e multiplies the slope h by 1 - e h; and on min_x max_y x y it draws in, descent out."""
    h, w = np.array([1.0, 3.0]), np.array([2.0, -1.0])
    (_, _), grads = gradient_rules.extragradient(step_size=0.2)(quadratic(h))(jnp.array(w), {}, BATCH, KEY)
    np.testing.assert_allclose(grads, h * (1 - 0.2 * h) * w, rtol=1e-6)

    @jax.custom_vjp
    def saddle(z):
        return z[0] * z[1]

    saddle.defvjp(lambda z: (z[0] * z[1], z), lambda z, ct: (ct * jnp.array([z[1], -z[0]]),))
    field = lambda z, state, batch, key: (saddle(z), state)
    radius = lambda rule: float(jnp.linalg.norm(descend(rule, field, jnp.array([1.0, 0.0]), 0.1, 100)))
    # Eigenvalues 1 - i e and 1 - e^2 - i e: radius (1 + e^2)^50, and (1 - e^2 + e^4)^50.
    assert radius(gradient_rules.plain()) == pytest.approx(1.01**50, rel=1e-4)
    assert radius(gradient_rules.extragradient(step_size=0.1)) == pytest.approx(0.9901**50, rel=1e-4)
