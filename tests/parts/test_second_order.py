"""Shampoo and SOAP against their algorithms in NumPy, in double precision; Adam with L2 against torch's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from deepprinciples.parts import optimizers

RNG = np.random.default_rng(5)
SHAPES = {"kernel": (4, 3), "conv": (2, 3, 4), "bias": (3,), "alpha": ()}
PARAMS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
GRADS = [{name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()} for _ in range(5)]


def train(part, grads=GRADS, params=PARAMS):
    params = jax.tree.map(jnp.asarray, params)
    state = part.init(params)
    update = jax.jit(part.update)
    for each in grads:
        updates, state = update(each, state, params)
        params = optax.apply_updates(params, updates)
    return params


def gram(g, axis):
    return np.tensordot(g, g, axes=([i for i in range(g.ndim) if i != axis],) * 2)


def along(g, matrix, axis):
    return np.moveaxis(np.tensordot(matrix, g, axes=(1, axis)), 0, axis)


def numpy_shampoo(w, grads, rate, momentum, eps, weight_decay, max_size):
    shape, w = w.shape, np.atleast_1d(w.astype(np.float64))
    sums, m = [eps * np.eye(n) for n in w.shape], np.zeros_like(w)
    for g in grads:
        g = np.atleast_1d(g.astype(np.float64))
        m = momentum * m + (1 - momentum) * g
        step = m
        for axis, n in enumerate(w.shape):
            sums[axis] = sums[axis] + gram(g, axis)
            h = sums[axis] if n <= max_size else np.diag(np.diag(sums[axis]))
            values, vectors = np.linalg.eigh(h)
            step = along(step, vectors @ np.diag(values ** (-1 / (2 * w.ndim))) @ vectors.T, axis)
        w = w - rate * (step + weight_decay * w)
    return w.reshape(shape)


@pytest.mark.parametrize("max_size", [8, 3])
def test_shampoo_is_its_algorithm(max_size: int) -> None:
    """Lost: the exponent for the number of axes, momentum, decay, or the diagonal of long axes."""
    hypers = {"momentum": 0.7, "eps": 1e-3, "weight_decay": 0.1, "max_size": max_size}
    ours = train(optimizers.shampoo(learning_rate=0.2, **hypers))
    for name, w in PARAMS.items():
        twin = numpy_shampoo(w, [g[name] for g in GRADS], 0.2, **hypers)
        np.testing.assert_allclose(ours[name], twin, rtol=1e-4, atol=1e-5, err_msg=name)


def numpy_soap(w, grads, rate, b1, b2, eps, weight_decay, max_size):
    w, count = w.astype(np.float64), 0
    turned = [axis for axis, n in enumerate(w.shape) if n <= max_size and w.ndim >= 2]
    sums, m, v = dict.fromkeys(turned, 0.0), np.zeros_like(w), np.zeros_like(w)
    frames = None
    for g in grads:
        g, step = g.astype(np.float64), 0.0
        if frames is not None:
            count += 1
            m, turned_g = b1 * m + (1 - b1) * g, g
            for axis, q in frames.items():
                turned_g = along(turned_g, q.T, axis)
            v = b2 * v + (1 - b2) * turned_g**2
            step = m / (1 - b1**count)
            for axis, q in frames.items():
                step = along(step, q.T, axis)
            step = step / (np.sqrt(v / (1 - b2**count)) + eps)
            for axis, q in frames.items():
                step = along(step, q, axis)
        sums = {axis: b2 * sums[axis] + (1 - b2) * gram(g, axis) for axis in turned}
        frames = {axis: np.linalg.eigh(h)[1] for axis, h in sums.items()}
        w = w - rate * (step + weight_decay * w)
    return w


@pytest.mark.parametrize("max_size", [8, 3])
def test_soap_is_its_algorithm(max_size: int) -> None:
    """Lost: which frame squares live in, the step that only measures, corrections, decay, or axes left as they are."""
    hypers = {"b1": 0.8, "b2": 0.9, "eps": 1e-6, "weight_decay": 0.1, "max_size": max_size}
    ours = train(optimizers.soap(learning_rate=0.1, **hypers))
    for name, w in PARAMS.items():
        twin = numpy_soap(w, [g[name] for g in GRADS], 0.1, **hypers)
        np.testing.assert_allclose(ours[name], twin, rtol=1e-3, atol=2e-4, err_msg=name)


def test_soap_does_not_step_along_rounding_errors() -> None:
    """Lost: gradients of low rank leave most of the rotated frame empty; division would make full steps of nothing."""
    u, v = RNG.normal(size=(2, 40, 1)).astype(np.float32)
    grads = [{"w": np.float32(scale) * u @ v.T} for scale in (1.0, 0.5, 2.0, 1.5)]
    moved = train(optimizers.soap(learning_rate=1.0), grads, {"w": np.zeros((40, 40), np.float32)})["w"]
    values = np.linalg.svd(moved, compute_uv=False)
    assert values[0] > 1.0 and values[1] < 1e-4 * values[0]


@pytest.mark.parametrize("name", list(optimizers.TABLE))
def test_no_state_is_empty(name: str) -> None:
    """Lost: lanes on several devices: an array without entries cannot be laid out along them."""
    state = jax.eval_shape(optimizers.TABLE[name]().init, jax.tree.map(jnp.asarray, PARAMS))
    assert all(np.prod(leaf.shape) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("name", ["shampoo", "soap"])
def test_a_turned_problem_is_solved_alike(name: str) -> None:
    """Lost: what both are for: steps follow a rotation of the layer, which Adam's do not."""
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0].astype(np.float32)
    grads = [{"w": g["kernel"]} for g in GRADS]
    turned = [{"w": turn @ g["w"]} for g in grads]
    zero = {"w": np.zeros((4, 3), np.float32)}
    part = optimizers.TABLE[name](learning_rate=0.1)
    np.testing.assert_allclose(turn @ train(part, grads, zero)["w"], train(part, turned, zero)["w"], atol=2e-4)
    adam = optimizers.adam(learning_rate=0.1)
    assert np.abs(turn @ train(adam, grads, zero)["w"] - train(adam, turned, zero)["w"]).max() > 0.05


@pytest.mark.parametrize("name", ["shampoo", pytest.param("soap", marks=pytest.mark.slow), "adam_l2"])
def test_lanes_are_runs(name: str) -> None:
    """Lost: a sweep of the floats is not the runs it stands for."""
    decay = {"weight_decay": jnp.array([0.0, 0.3])}
    hypers = {"learning_rate": jnp.array([0.1, 0.02]), "eps": jnp.array([1e-3, 1e-2]), **decay}

    def final(hypers):
        part = optimizers.TABLE[name](**hypers)
        params = jax.tree.map(jnp.asarray, PARAMS)
        state = part.init(params)
        for each in GRADS:
            updates, state = part.update(each, state, params)
            params = optax.apply_updates(params, updates)
        return params

    lanes = jax.jit(jax.vmap(final))(hypers)
    for i in range(2):
        alone = jax.jit(final)({key: value[i] for key, value in hypers.items()})
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5), lanes, alone)


def test_adam_l2_is_torchs_adam_and_not_adamw() -> None:
    """Lost: L2 that passes through Adam's averages, beside adamw whose decay does not."""
    hypers = {"learning_rate": 0.05, "weight_decay": 0.3}
    ours = train(optimizers.adam_l2(**hypers))
    for name, w in PARAMS.items():
        parameter = torch.nn.Parameter(torch.tensor(w))
        adam = torch.optim.Adam([parameter], lr=0.05, weight_decay=0.3)
        for g in GRADS:
            parameter.grad = torch.tensor(g[name])
            adam.step()
        np.testing.assert_allclose(ours[name], parameter.detach(), rtol=1e-4, atol=1e-5)
    assert np.abs(ours["kernel"] - train(optimizers.adamw(**hypers))["kernel"]).max() > 0.01


def test_adam_l2_moves_by_the_rate_whatever_the_share() -> None:
    """Lost: without gradient adamw shrinks weights by rate times share, Adam with L2 by the rate itself."""
    none = [{"w": np.zeros(1, np.float32)}] * 50
    for share in (0.01, 1.0):
        moved = train(optimizers.adam_l2(learning_rate=1e-3, weight_decay=share), none, {"w": np.ones(1, np.float32)})
        assert float(moved["w"][0]) == pytest.approx(0.95, abs=1e-3)
