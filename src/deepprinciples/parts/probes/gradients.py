"""Probes that take further gradients: noise between examples, how a step turns, rank. They cost more than looking.

Each reads `Info.gradient`, the gradient of the step's objective at any parameters on any batch, with the step's random
numbers; a learner that offers none (a game) is measured as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from deepprinciples.kernels.linear_algebra import singular_values
from deepprinciples.types import Array, Batch, Count, Info, PyTree, Range

Measured = dict[str, Any]
Probe = Callable[[Info], Measured]
TINY = 1e-30


def _square(tree: PyTree) -> Array:
    return optax.tree.norm(tree, squared=True)


def gradient_noise(*, microbatch: Count = 16) -> Probe:
    """Measure how much the gradients of single examples differ, one by one in bounded memory.

    Formula, over the B examples of the batch, g_i their gradients and g their mean:
    trace = (sum |g_i|^2 - B |g|^2) / (B - 1); signal = |g|^2 - trace / B, both unbiased; noise_scale = trace / signal;
    gradient_snr = mean over parameters of g^2 / (mean_i g_i^2 - g^2);
    gradient_agreement = |sum g_i|^2 / (B sum |g_i|^2), 1 where all agree, about 1 / B where they are random;
    norm_test = trace / (B |g|^2), inner_product_test = var_i(g_i g) / (B |g|^4), orthogonality_test = the rest of the
    first: each is the squared relative error of g that its name tells, and above 1 asks for a larger batch;
    early_stopping = 1 - mean over parameters of B g^2 / var_i(g_i), above 0 where the gradient is all noise;
    cabs = trace / loss: times the learning rate it is a batch size to choose.

    One batch gives a rough noise scale, and a negative signal where noise drowns it: average noise_trace and
    noise_signal over seeds or steps and divide last. Batch normalization makes no sense of one example: then a run
    has none of these.

    Args:
        microbatch: examples whose gradients are in memory at once; the largest divisor of B up to it is taken.

    Returns:
        (info) -> {name: scalar}.

    Expect: grows while a run gets better: batches that were large enough no longer are.

    Costs: about two gradients of the batch, taken example by example.

    References:
        arXiv:1812.06162 (noise scale); arXiv:2001.07384 (signal to noise); arXiv:1905.11692 (agreement);
        arXiv:1710.11258 (tests of the batch size); arXiv:1703.09580 (early stopping);
        arXiv:1612.05086 (cabs).
    """

    def probe(info: Info) -> Measured:
        if info.gradient is None or info.batch is None:
            return {}
        count = info.batch.size
        if count < 2:
            return {}
        gradient, params = info.gradient, info.params
        each = max(n for n in range(1, min(microbatch, count) + 1) if count % n == 0)
        cut = jax.tree.map(lambda a: a.reshape(count // each, each, 1, *a.shape[1:]), info.batch)
        whole = gradient(params, info.batch)

        def some(batch: Batch) -> tuple[PyTree, PyTree, Array, Array]:
            one = jax.vmap(lambda example: gradient(params, example))(batch)
            total = jax.tree.map(lambda g: jnp.sum(g, axis=0), one)
            squares = jax.tree.map(lambda g: jnp.sum(jnp.square(g), axis=0), one)
            along = jax.vmap(lambda g: optax.tree.vdot(g, whole))(one)
            return total, squares, _square(one), jnp.sum(jnp.square(along - _square(whole)))

        def add(sums: Any, batch: Batch) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, some(batch)), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        (total, squares, energy, along), _ = jax.lax.scan(add, (zeros, zeros, jnp.zeros(()), jnp.zeros(())), cut)
        mean = jax.tree.map(lambda g: g / count, total)
        trace = (energy - count * _square(mean)) / (count - 1)
        signal = _square(mean) - trace / count
        # A variance below what float32 can tell from 0 would give a ratio of pure rounding.
        spread = jax.tree.map(lambda m, s: jnp.maximum(s / count - m**2, 1e-6 * s / count + TINY), mean, squares)
        ratios = jax.tree.map(lambda m, v: m**2 / v, mean, spread)
        snr = optax.tree.sum(ratios) / sum(leaf.size for leaf in jax.tree.leaves(params))
        square = jnp.maximum(_square(mean), TINY)
        norm_test, inner = trace / (count * square), along / ((count - 1) * count * square**2)
        return {
            "noise_trace": trace,
            "noise_signal": signal,
            "noise_scale": trace / jnp.where(jnp.abs(signal) > TINY, signal, TINY),
            "gradient_snr": snr,
            "gradient_agreement": _square(total) / jnp.maximum(count * energy, TINY),
            "norm_test": norm_test,
            "inner_product_test": inner,
            "orthogonality_test": norm_test - inner,
            "early_stopping": 1.0 - snr * (count - 1),
            "cabs": trace / jnp.maximum(info.loss, TINY),
        }

    return probe


def step_cosine() -> Probe:
    """Measure how far the gradient turns with a step, on the same batch: below 0 the step went too far.

    Formula: cos(g, g'), g before and g' after the step s; step_alpha = -(g' s) / (g s): where the step ends on the
    parabola through both slopes, -1 where it began, 0 at the bottom, above 1 higher than before.

    Returns:
        (info) -> {"step_cosine": scalar in [-1, 1], "step_alpha": scalar}.

    Expect: near 1 far below the edge of stability, negative at and beyond it.

    Costs: one gradient.

    References:
        arXiv:1802.08770 (a walk along the walls of a valley); arXiv:2102.06604 (alpha).
    """

    def probe(info: Info) -> Measured:
        if info.gradient is None or info.batch is None:
            return {}
        before = info.gradient(info.params, info.batch)
        after = info.gradient(optax.apply_updates(info.params, info.updates), info.batch)
        norms = optax.tree.norm(before) * optax.tree.norm(after)
        slopes = [optax.tree.vdot(g, info.updates) for g in (before, after)]
        return {
            "step_cosine": optax.tree.vdot(before, after) / jnp.maximum(norms, TINY),
            "step_alpha": -slopes[1] / jnp.where(slopes[0] == 0, -TINY, slopes[0]),
        }

    return probe


def gradient_conflict(*, shares: Annotated[int, Range("[2, inf)")] = 8) -> Probe:
    """Measure whether parts of the batch pull in different directions.

    Formula: the cosines between the gradients of `shares` equal parts of the batch: the smallest, and the mean.

    Args:
        shares: parts, at least 2; the largest divisor of the batch size up to it is taken. That many gradients are in
            memory.

    Returns:
        (info) -> {"gradient_cosine_least": scalar, "gradient_cosine_mean": scalar}.

    Expect: near 1 at the start, falling to 0 or below as what is left differs from example to example.

    Costs: about one gradient, and a copy of it for each part.

    References:
        arXiv:1904.06963 (gradient confusion).
    """

    def probe(info: Info) -> Measured:
        if info.gradient is None or info.batch is None or info.batch.size < 2:
            return {}
        count, gradient, params = info.batch.size, info.gradient, info.params
        parts = max(n for n in range(1, min(shares, count) + 1) if count % n == 0)
        if parts < 2:
            return {}
        cut = jax.tree.map(lambda a: a.reshape(parts, count // parts, *a.shape[1:]), info.batch)
        rows = jax.lax.map(lambda batch: ravel_pytree(gradient(params, batch))[0], cut)  # [parts, n]
        rows = rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), TINY)
        cosines = (rows @ rows.T)[jnp.triu_indices(parts, 1)]
        return {"gradient_cosine_least": jnp.min(cosines), "gradient_cosine_mean": jnp.mean(cosines)}

    return probe


def rank() -> Probe:
    """Measure how many directions each layer's kernel uses.

    Formula, s its singular values, the last axis against all others: effective_rank = exp(entropy of s / sum s);
    stable_rank = |W|_F^2 / |W|_2^2.

    Returns:
        (info) -> {"effective_rank": {layer: scalar}, "stable_rank": {layer: scalar}}; of a layer's largest kernel.

    Expect: falls as features align; falls at once where a layer collapses.

    Costs: a singular value decomposition of each kernel.

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


TABLE = {f.__name__: f for f in (gradient_noise, step_cosine, gradient_conflict, rank)}
