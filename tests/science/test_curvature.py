"""Curvature and noise between examples: dense Hessians, one gradient at a time, and numbers of theory."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from deepprinciples.parts import losses, metrics
from deepprinciples.parts.data import mnist1d
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.parts.probes import curvature, gradients, hessian
from deepprinciples.types import Batch, Info

KEY = jax.random.key(0, impl="threefry2x32")


def looked(objective: Any, params: Any, batch: Batch, step: Any = None) -> Info:
    """Make what a learner tells a probe, for an objective (params, batch) -> scalar."""
    gradient = jax.grad(objective)
    step = jax.tree.map(jnp.zeros_like, params) if step is None else step
    grads = gradient(params, batch)
    return Info(objective(params, batch), params, grads, step, (), {}, dict, batch=batch, gradient=gradient, key=KEY)


def measured(probe: Any, objective: Any, params: Any, batch: Batch) -> dict[str, jax.Array]:
    return jax.jit(lambda p, b: probe(looked(objective, p, b)))(params, batch)


class Softmax(NamedTuple):
    """Softmax regression on MNIST-1D, convex: our linear model and our loss over one array w [41, 10], biases last."""

    objective: Any
    outputs: Any
    train: Batch
    test: Batch


@pytest.fixture(scope="module")
def softmax() -> Softmax:
    parts = [Batch(jnp.asarray(x, jnp.float32), jnp.asarray(y)) for x, y in mnist1d.generate()]
    model, loss = mlp(outputs=10, depth=0), losses.TABLE["softmax_cross_entropy"]()

    def outputs(w: jax.Array, inputs: jax.Array) -> jax.Array:
        params = {"output": {"kernel": w[:40], "bias": w[40]}}
        return model.apply(params, {}, inputs, key=None, train=False)[0]

    return Softmax(lambda w, batch: jnp.mean(loss(outputs(w, batch.inputs), batch.targets)), outputs, *parts)


def test_the_numbers_of_a_convex_problem(softmax: Softmax) -> None:
    """Lost: least cross-entropy 1.5832478 with 37.225 % right on train and 32.4 % on test examples; largest
    eigenvalue 0.963191 and trace 36.7309 at W = 0, 0.986682 and 28.0584 at the optimum."""
    objective, batch = softmax.objective, softmax.train
    start = jnp.zeros((41, 10))
    best = jnp.asarray(_newton(batch), jnp.float32)
    assert float(objective(best, batch)) == pytest.approx(1.5832478, abs=1e-5)
    for part, right in ((softmax.train, 1489), (softmax.test, 324)):
        assert int(metrics.accuracy()(softmax.outputs(best, part.inputs), part.targets).sum()) == right
    for w, largest, trace in ((start, 0.963191, 36.7309), (best, 0.986682, 28.0584)):
        top = measured(curvature.sharpness(iterations=40), objective, w, batch)
        assert float(top["sharpness"]) == pytest.approx(largest, rel=1e-4)
        assert float(top["sharpness_residual"]) < 1e-2 * largest
        found = measured(curvature.hessian_trace(samples=64), objective, w, batch)
        assert abs(float(found["hessian_trace"]) - trace) < 3 * float(found["hessian_trace_error"])
        assert float(found["hessian_trace_error"]) < 0.1 * trace


def test_takeuchis_ratio_by_hand() -> None:
    """Lost: noise over curvature. For (w x - y)^2 / 2 it is mean of ((w x - y) x)^2 over the mean of x^2."""
    x, y, w = np.arange(1.0, 6.0), np.array([2.0, 1.0, 5.0, 3.0, 4.0]), 0.7
    batch = Batch(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    objective = lambda w, batch: jnp.mean(0.5 * jnp.square(w[0] * batch.inputs - batch.targets))
    found = measured(curvature.hessian_trace(), objective, jnp.array([w], jnp.float32), batch)
    assert float(found["hessian_trace"]) == pytest.approx(np.mean(x**2), rel=1e-5)
    expected = np.mean(((w * x - y) * x) ** 2) / np.mean(x**2)
    assert float(found["takeuchi"]) == pytest.approx(expected, rel=1e-5)


def _newton(train: Batch) -> np.ndarray:
    """Go to the optimum by Newton's steps in NumPy, with a little ridge for the directions that nothing depends on."""
    x, labels = np.asarray(train.inputs, np.float64), np.eye(10)[np.asarray(train.targets)]
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    w, ridge = np.zeros((41, 10)), 1e-9 * np.eye(410)
    for _ in range(8):
        p = special.softmax(x @ w, axis=1)
        spread = (x[:, :, None] * p[:, None, :]).reshape(len(x), 410)
        hessian = -(spread.T @ spread).reshape(41, 10, 41, 10)
        for k in range(10):
            hessian[:, k, :, k] += x.T @ (p[:, k, None] * x)
        gradient = x.T @ (p - labels)
        w = w - np.linalg.solve(hessian.reshape(410, 410) / len(x) + ridge, gradient.ravel() / len(x)).reshape(41, 10)
    return w


def test_lanczos_is_the_dense_spectrum() -> None:
    """Lost: eigenvalues that come twice, or a spectrum whose moments are another's."""
    drawn = np.random.RandomState(0).randn(30, 30)
    dense = jnp.asarray(drawn + drawn.T, jnp.float32)
    start = jax.random.normal(KEY, (30,))
    ritz = jax.jit(lambda s: hessian.lanczos(lambda v: dense @ v, s, iterations=30))(start)
    np.testing.assert_allclose(ritz.values, np.linalg.eigvalsh(np.asarray(dense, np.float64)), atol=2e-4)
    assert float(ritz.weights.sum()) == pytest.approx(1.0, abs=1e-5) and float(ritz.residual) < 1e-3
    unit = np.asarray(start) / np.linalg.norm(start)
    moment = float(unit @ np.asarray(dense @ (dense @ unit)))
    assert float(jnp.vdot(ritz.weights, ritz.values**2)) == pytest.approx(moment, rel=1e-4)
    low = jax.jit(lambda s: hessian.lanczos(lambda v: jnp.outer(s, s) @ v, s, iterations=5))(start)
    assert float(low.values[-1]) == pytest.approx(float(start @ start), rel=1e-4)  # a space of one direction
    assert np.abs(np.asarray(low.values[:-1])).max() < 1e-2


def test_a_hessian_product_is_the_dense_one() -> None:
    """Lost: parameters in another order, or a derivative of the wrong function."""
    params = {"w": jax.random.normal(KEY, (3, 2)), "b": jnp.ones(2)}

    def objective(p: Any) -> jax.Array:
        return jnp.sum(jnp.tanh(jnp.ones(3) @ p["w"] + p["b"]) ** 2 * jnp.sum(p["w"] ** 2))

    product, size = hessian.hessian_product(jax.grad(objective), params)
    flat, shaped = jax.flatten_util.ravel_pytree(params)
    dense = jax.hessian(lambda v: objective(shaped(v)))(flat)
    for k in range(size):
        np.testing.assert_allclose(product(jnp.eye(size)[k]), dense[k], rtol=1e-4, atol=1e-5)


def test_noise_between_examples_is_that_of_one_gradient_at_a_time() -> None:
    """Lost: a noise scale of the batches' order, or of a part of the batch."""
    drawn = np.random.RandomState(1)
    batch = Batch(drawn.randn(24, 5).astype(np.float32), drawn.randn(24).astype(np.float32))
    objective = lambda p, b: jnp.mean((b.inputs @ p["w"] - b.targets) ** 2)
    params = {"w": jnp.asarray(drawn.randn(5), jnp.float32)}
    g = np.stack([
        2 * (x @ np.asarray(params["w"]) - y) * x for x, y in zip(batch.inputs, batch.targets, strict=True)
    ]).astype(np.float64)  # fmt: skip
    mean = g.mean(axis=0)
    trace = ((g - mean) ** 2).sum() / 23
    signal = mean @ mean - trace / 24
    expected = {
        "noise_trace": trace, "noise_signal": signal, "noise_scale": trace / signal,
        "gradient_snr": np.mean(mean**2 / ((g**2).mean(axis=0) - mean**2)),
        "gradient_agreement": (g.sum(axis=0) ** 2).sum() / (24 * (g**2).sum()),
    }  # fmt: skip
    for microbatch in (1, 5, 16, 100):
        found = measured(gradients.gradient_noise(microbatch=microbatch), objective, params, batch)
        assert {k: float(found[k]) for k in expected} == pytest.approx(expected, rel=1e-4)


def test_the_noise_scale_has_no_bias() -> None:
    """Lost: 2 %: batches of 8 from N(g, S) must give trace S and |g|^2 on average."""
    size, g, scale = 8, np.array([0.3, -0.2, 0.1]), np.array([1.0, 0.5, 2.0])
    drawn = g + scale * np.random.RandomState(2).randn(4000, size, 3)
    objective = lambda p, b: jnp.mean(b.inputs @ p)  # its gradient at an example is the example
    probe = gradients.gradient_noise()
    found = jax.jit(jax.vmap(lambda x: probe(looked(objective, jnp.zeros(3), Batch(x, jnp.zeros(size))))))(
        jnp.asarray(drawn, jnp.float32)
    )
    assert float(found["noise_trace"].mean()) == pytest.approx((scale**2).sum(), rel=0.02)
    spread = float(found["noise_signal"].std() / np.sqrt(4000))
    assert abs(float(found["noise_signal"].mean()) - g @ g) < 3 * spread


def test_steps_on_a_parabola_turn_as_they_must() -> None:
    """Lost: below 1 / h the gradient keeps its direction, above it turns back."""
    objective = lambda p, b: jnp.sum(p**2)  # h = 2
    params, batch = jnp.array([1.0, 2.0]), Batch(jnp.zeros((2, 1)), jnp.zeros(2))
    for rate, cosine in ((0.3, 1.0), (0.9, -1.0)):
        info = looked(objective, params, batch, -rate * 2 * params)
        assert float(gradients.step_cosine()(info)["step_cosine"]) == pytest.approx(cosine, abs=1e-6)


def test_ranks_of_known_kernels() -> None:
    """Lost: a layer of one direction would look as rich as any."""
    one, all_ = np.outer([1.0, 2.0, 3.0], [1.0, 1.0]), np.eye(4)
    params = {"one": {"kernel": jnp.asarray(one)}, "all": {"kernel": jnp.asarray(all_)}}
    info = looked(lambda p, b: jnp.zeros(()), params, Batch(jnp.zeros((2, 1)), jnp.zeros(2)))
    found = gradients.rank()(info)
    for name, rank in (("one", 1.0), ("all", 4.0)):
        assert float(found["effective_rank"][name]) == pytest.approx(rank, rel=1e-4)
        assert float(found["stable_rank"][name]) == pytest.approx(rank, rel=1e-4)
