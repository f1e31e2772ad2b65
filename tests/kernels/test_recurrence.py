"""The hand-written gradient through time equals autodiff's, for every cell and every way to call it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.kernels.sequences.recurrence import GATES, project, recur


@pytest.fixture
def doubles():
    with jax.enable_x64(True):
        yield


def problem(cell, shape=(5, 3, 7), dtype=np.float32):
    """Draw projected, kernel, push, mask (its first sequence is all padding) and the weights of both outputs."""
    rng = np.random.default_rng(0)
    steps, batch, width = shape
    draw = lambda *s: rng.normal(size=s).astype(dtype)
    mask = rng.random((steps, batch)) < 0.5
    mask[:, 0] = batch == 1
    wide = GATES[cell] * width
    return (draw(steps, batch, wide), draw(width, wide) / 2, draw(*shape), mask, (draw(*shape), draw(*shape)))


def leaky(x, slope):
    return jnp.where(x >= 0, jnp.tanh(x), slope * x)


def pulled(cell, kernels, reverse, projected, kernel, push, mask, weights, slope):
    """Give the outputs and the gradients of projected, kernel, push and slope."""

    def run(projected, kernel, push, slope):
        act = lambda x: leaky(x, slope)
        options = {"push": push, "mask": mask, "reverse": reverse, "kernels": kernels}
        return recur(cell, projected, kernel, activation=act, **options)

    outputs, pull = jax.vjp(run, projected, kernel, push, slope)
    return outputs, pull(weights)


def compare(cell, shape, dtype, *, reverse=False, pushed=True, masked=True, atol):
    projected, kernel, push, mask, weights = problem(cell, shape, dtype)
    options = (projected, kernel, push if pushed else None, mask if masked else None, weights, dtype(0.3))
    both = jax.jit(lambda *a: [pulled(cell, k, reverse, *a) for k in ("auto", "stock")])
    auto, stock = jax.device_get(both(*options))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=atol, rtol=atol), auto, stock)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(auto))


def by_hand(cell, projected, kernel, push, mask, reverse):
    """The formulas of the docstring, one step and one sequence at a time."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    steps, batch, _ = projected.shape
    hidden = np.zeros((steps, batch, kernel.shape[0]))
    for b in range(batch):
        h = c = np.zeros(kernel.shape[0])
        for t in reversed(range(steps)) if reverse else range(steps):
            x, u = np.split(projected[t, b], GATES[cell]), np.split(h @ kernel, GATES[cell])
            if mask[t, b] and cell == "lstm":
                i, f, g, o = (p + q for p, q in zip(x, u, strict=True))
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            elif mask[t, b] and cell == "gru":
                r, z = sigmoid(x[0] + u[0]), sigmoid(x[1] + u[1])
                h = (1 - z) * np.tanh(x[2] + r * u[2]) + z * h
            elif mask[t, b]:
                h = np.tanh(x[0] + u[0])
            hidden[t, b] = h
            h = h + push[t, b]
    return hidden


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("kernels", ["auto", "stock"])
def test_values_by_hand(cell, kernels):
    """Padding would change a state, a push not be carried on, or the cell be another one."""
    projected, kernel, push, mask, _ = problem(cell)

    @jax.jit
    def run():
        options = {"activation": jnp.tanh, "push": push, "mask": mask, "kernels": kernels}
        return [recur(cell, projected, kernel, reverse=r, **options)[0] for r in (False, True)]

    for reverse, found in zip((False, True), run(), strict=True):
        np.testing.assert_allclose(found, by_hand(cell, projected, kernel, push, mask, reverse), atol=3e-6)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize(
    ("reverse", "pushed", "masked"), [(False, True, True), (True, True, True), (True, False, False)]
)
def test_gradients_equal_autodiffs(cell, reverse, pushed, masked):
    """A network would train along a wrong gradient: of inputs, kernel, perturbations or the activation's own number."""
    compare(cell, (5, 3, 7), np.float32, reverse=reverse, pushed=pushed, masked=masked, atol=2e-5)


@pytest.mark.parametrize("cell", GATES)
def test_double_precision_stays_double(cell, doubles):
    """A factor in single precision would hide in the rounding of the tests above."""
    compare(cell, (4, 2, 3), np.float64, atol=1e-12)


@pytest.mark.parametrize("cell", GATES)
def test_one_step_of_one_example(cell):
    """The shortest sequence and the smallest batch would fail."""
    compare(cell, (1, 1, 2), np.float32, atol=1e-5)


def test_lanes_may_have_their_own_everything():
    """Lanes mapped together would train otherwise than alone: kernels, masks and swept slopes, inside a scan."""
    projected, kernel, _, mask, _ = problem("lstm")
    lanes = (np.stack([projected, -projected]), np.stack([kernel, kernel * 2]), np.stack([mask, ~mask]),
             np.array([0.1, 0.9], np.float32))  # fmt: skip

    def train(kernels, projected, kernel, mask, slope):
        def loss(kernel):
            act = lambda x: leaky(x, slope)
            return jnp.sum(jnp.sin(recur("lstm", projected, kernel, activation=act, mask=mask, kernels=kernels)[0]))

        return jax.lax.scan(lambda k, _: (k - 0.01 * jax.grad(loss)(k), None), kernel, None, length=2)[0]

    @jax.jit
    def runs(*lanes):
        mapped = [jax.vmap(functools.partial(train, k))(*lanes) for k in ("auto", "stock")]
        return *mapped, jax.lax.map(lambda lane: train("auto", *lane), lanes)

    auto, stock, one_by_one = runs(*lanes)
    assert np.abs(auto - lanes[1]).max() > 1e-3
    np.testing.assert_allclose(auto, stock, atol=1e-5)
    np.testing.assert_allclose(auto, one_by_one, atol=1e-5)


def test_lanes_on_devices_of_their_own():
    """Lanes sharded over cores would not compile."""
    projected, kernel, *_ = problem("gru")
    mesh, lanes = jax.sharding.Mesh(jax.devices()[:2], ("lanes",)), jax.sharding.PartitionSpec("lanes")

    def slopes(kernels):
        loss = lambda u: recur("gru", projected, u, activation=jnp.tanh, kernels=kernels)[0].sum()
        return jax.vmap(jax.grad(loss))

    sharded = jax.shard_map(slopes("auto"), mesh=mesh, in_specs=lanes, out_specs=lanes, check_vma=False)
    both = np.stack([kernel, kernel * 2])
    np.testing.assert_allclose(jax.jit(sharded)(both), jax.jit(slopes("stock"))(both), atol=2e-5)


def test_the_projections_gradient_is_autodiffs():
    """Input kernels and biases, and the layer below, would train along a wrong gradient."""
    rng = np.random.default_rng(0)
    x, kernel, weights = (rng.normal(size=s).astype(np.float32) for s in ((5, 3, 2), (2, 8), (5, 3, 8)))
    for found, plain in zip(*(jax.vjp(f, x, kernel)[1](weights) for f in (project, jnp.matmul)), strict=True):
        np.testing.assert_allclose(found, plain, atol=1e-5)
