"""Probes that take further gradients: noise between examples, curvature, rank. They cost more than looking.

Each reads `Info.gradient`, the gradient of the step's objective at any parameters on any batch, with the step's random
numbers; a learner that offers none (a game) is measured as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from deepprinciples.kernels.linear_algebra import singular_values
from deepprinciples.parts.curvature import hessian_product, hutchinson, lanczos
from deepprinciples.types import Array, Batch, Info, PyTree

Measured = dict[str, Any]
Probe = Callable[[Info], Measured]
TINY = 1e-30


def _square(tree: PyTree) -> Array:
    return optax.tree.norm(tree, squared=True)


def gradient_noise(*, microbatch: int = 16) -> Probe:
    """Measure how much the gradients of single examples differ, one by one in bounded memory.

    Formula, over the B examples of the batch, g_i their gradients and g their mean:
    trace = (sum |g_i|^2 - B |g|^2) / (B - 1); signal = |g|^2 - trace / B, both unbiased; noise_scale = trace / signal;
    gradient_snr = mean over parameters of g^2 / (mean_i g_i^2 - g^2);
    gradient_agreement = |sum g_i|^2 / (B sum |g_i|^2), 1 where all agree, about 1 / B where they are random.

    One batch gives a rough noise scale, and a negative signal where noise drowns it: average noise_trace and
    noise_signal over seeds or steps and divide last. Batch normalization makes no sense of one example.

    Args:
        microbatch: examples whose gradients are in memory at once; the largest divisor of B up to it is taken.

    Returns:
        (info) -> {name: scalar}. Costs about the gradient of one batch, less well batched.

    References:
        arXiv:1812.06162 (noise scale); arXiv:2001.07384 (signal to noise); arXiv:1905.11692 (agreement).
    """

    def probe(info: Info) -> Measured:
        if info.gradient is None or info.batch is None:
            return {}
        count = len(info.batch.targets)
        if count < 2:
            return {}
        gradient, params = info.gradient, info.params
        each = max(n for n in range(1, min(microbatch, count) + 1) if count % n == 0)
        cut = jax.tree.map(lambda a: a.reshape(count // each, each, 1, *a.shape[1:]), info.batch)

        def some(batch: Batch) -> tuple[PyTree, PyTree, Array]:
            one = jax.vmap(lambda example: gradient(params, example))(batch)
            total = jax.tree.map(lambda g: jnp.sum(g, axis=0), one)
            squares = jax.tree.map(lambda g: jnp.sum(jnp.square(g), axis=0), one)
            return total, squares, _square(one)

        def add(sums: Any, batch: Batch) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, some(batch)), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        (total, squares, energy), _ = jax.lax.scan(add, (zeros, zeros, jnp.zeros(())), cut)
        mean = jax.tree.map(lambda g: g / count, total)
        trace = (energy - count * _square(mean)) / (count - 1)
        signal = _square(mean) - trace / count
        ratios = jax.tree.map(lambda m, s: m**2 / jnp.maximum(s / count - m**2, TINY), mean, squares)
        sizes = sum(leaf.size for leaf in jax.tree.leaves(params))
        return {
            "noise_trace": trace,
            "noise_signal": signal,
            "noise_scale": trace / jnp.where(jnp.abs(signal) > TINY, signal, TINY),
            "gradient_snr": optax.tree.sum(ratios) / sizes,
            "gradient_agreement": _square(total) / jnp.maximum(count * energy, TINY),
        }

    return probe


def step_cosine() -> Probe:
    """Measure how far the gradient turns with a step, on the same batch: below 0 the step went too far.

    Formula: cos(g(theta_t), g(theta_{t+1})).

    Returns:
        (info) -> {"step_cosine": scalar in [-1, 1]}. Costs one gradient.

    References:
        arXiv:1802.08770 (a walk along the walls of a valley).
    """

    def probe(info: Info) -> Measured:
        if info.gradient is None or info.batch is None:
            return {}
        before = info.gradient(info.params, info.batch)
        after = info.gradient(optax.apply_updates(info.params, info.updates), info.batch)
        norms = optax.tree.norm(before) * optax.tree.norm(after)
        return {"step_cosine": optax.tree.vdot(before, after) / jnp.maximum(norms, TINY)}

    return probe


def sharpness(*, iterations: int = 16) -> Probe:
    """Measure the largest eigenvalue of the Hessian of the step's objective, on its batch.

    Formula: lambda_1 of H by Lanczos, and the residual |H v - lambda_1 v|, small against lambda_1 where it converged.
    Gradient descent of rate eta is stable below 2 / eta.

    Args:
        iterations: Hessian-vector products, each about two gradients.

    Returns:
        (info) -> {"sharpness": scalar, "sharpness_residual": scalar}.

    References:
        arXiv:2103.00065 (edge of stability).
    """

    def probe(info: Info) -> Measured:
        found = _product(info)
        if found is None:
            return {}
        product, size, key = found
        ritz = lanczos(product, jax.random.normal(key, (size,)), iterations=iterations)
        return {"sharpness": ritz.values[-1], "sharpness_residual": ritz.residual}

    return probe


def hessian_trace(*, samples: int = 8) -> Probe:
    """Measure the trace of the Hessian of the step's objective, on its batch.

    Formula: mean of z^T H z over random signs z, and its standard error.

    Args:
        samples: Hessian-vector products, each about two gradients.

    Returns:
        (info) -> {"hessian_trace": scalar, "hessian_trace_error": scalar}.

    References:
        Hutchinson 1989 (Communications in Statistics 18); arXiv:1912.07145.
    """

    def probe(info: Info) -> Measured:
        found = _product(info)
        if found is None:
            return {}
        product, size, key = found
        trace, error = hutchinson(product, key, size=size, samples=samples)
        return {"hessian_trace": trace, "hessian_trace_error": error}

    return probe


def _product(info: Info) -> tuple[Callable[[Array], Array], int, Array] | None:
    if info.gradient is None or info.batch is None or info.key is None:
        return None
    gradient, batch = info.gradient, info.batch
    product, size = hessian_product(lambda params: gradient(params, batch), info.params)
    return product, size, info.key


def rank() -> Probe:
    """Measure how many directions each layer's kernel uses.

    Formula, s its singular values, the last axis against all others: effective_rank = exp(entropy of s / sum s);
    stable_rank = |W|_F^2 / |W|_2^2.

    Returns:
        (info) -> {"effective_rank": {layer: scalar}, "stable_rank": {layer: scalar}}; of a layer's largest kernel.
        Costs a singular value decomposition a layer.

    References:
        Roy and Vetterli 2007 (EUSIPCO); arXiv:1706.08947 (stable rank).
    """

    def probe(info: Info) -> Measured:
        kernels = _kernels(info.params)
        if not kernels:
            return {}
        values = {name: singular_values(w.reshape(-1, w.shape[-1])) for name, w in kernels.items()}
        shares = {name: s / jnp.maximum(jnp.sum(s), TINY) for name, s in values.items()}
        entropy = {name: -jnp.sum(p * jnp.log(jnp.maximum(p, TINY))) for name, p in shares.items()}
        return {
            "effective_rank": {name: jnp.exp(h) for name, h in entropy.items()},
            "stable_rank": {
                name: jnp.sum(jnp.square(s)) / jnp.maximum(jnp.max(s) ** 2, TINY) for name, s in values.items()
            },
        }

    return probe


def _kernels(params: PyTree) -> dict[str, Array]:
    if not isinstance(params, Mapping):
        return {}
    held = {str(name): [a for a in jax.tree.leaves(branch) if a.ndim >= 2] for name, branch in params.items()}
    return {name: max(leaves, key=lambda a: a.size) for name, leaves in held.items() if leaves}


TABLE = {f.__name__: f for f in (gradient_noise, step_cosine, sharpness, hessian_trace, rank)}
