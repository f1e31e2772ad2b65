"""Probes of curvature: the largest eigenvalue, the trace, the whole spectrum, and what the optimizer makes of it.

All by Hessian-vector products (`curvature`) of the step's objective on its batch, in evaluation of nothing larger than
a few vectors; a learner that offers no gradient (a game) is measured as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from deepprinciples.kernels import random
from deepprinciples.parts.layers.normalization import TooFewValues
from deepprinciples.parts.probes.hessian import hessian_product, hutchinson, lanczos
from deepprinciples.types import Array, Count, Info, Range

Measured = dict[str, Any]
Probe = Callable[[Info], Measured]
TINY = 1e-30


def sharpness(*, iterations: Count = 16) -> Probe:
    """Measure the largest eigenvalue of the Hessian of the step's objective, on its batch.

    Formula: lambda_1 of H by Lanczos, and the residual |H v - lambda_1 v|, small against lambda_1 where it converged.
    Gradient descent of rate eta is stable below 2 / eta. A Hessian without positive eigenvalues reads 0 where Lanczos
    finds all of its space before `iterations` are done, and else its largest eigenvalue, below 0.

    Args:
        iterations: Hessian-vector products, each about two gradients.

    Returns:
        (info) -> {"sharpness": scalar, "sharpness_residual": scalar}.

    Expect: rises until it meets the edge of stability of the rate, where it stays.

    Costs: iterations + 1 Hessian-vector products, each about two gradients.

    References:
        arXiv:2103.00065 (edge of stability).
    """

    def probe(info: Info) -> Measured:
        found = _product(info)
        if found is None:
            return {}
        product, size, key = found
        ritz = lanczos(product, random.normal(key, (size,)), iterations=iterations)
        return {"sharpness": ritz.values[-1], "sharpness_residual": ritz.residual}

    return probe


def hessian_trace(*, samples: Count = 8) -> Probe:
    """Measure the trace of the Hessian of the step's objective, on its batch.

    Formula: mean of z^T H z over random signs z, and its standard error; takeuchi = mean_i |g_i|^2 / trace, g_i the
    gradients of single examples: Takeuchi's information criterion with both matrices cut down to their traces.

    Args:
        samples: Hessian-vector products, each about two gradients.

    Returns:
        (info) -> {"hessian_trace": scalar, "hessian_trace_error": scalar, "takeuchi": scalar}.

    Expect: the sum over all directions, which follows flatness where the largest one is cut off by the rate. Claimed:
        takeuchi follows the gap between training and test loss.

    Costs: samples Hessian-vector products, each about two gradients, and the gradient of every example.

    References:
        Hutchinson 1989 (Communications in Statistics 18); arXiv:1912.07145; arXiv:1906.07774 (takeuchi).
    """

    def probe(info: Info) -> Measured:
        found = _product(info)
        if found is None:
            return {}
        product, size, key = found
        trace, error = hutchinson(product, key, size=size, samples=samples)
        gradient, params = info.gradient, info.params
        assert gradient is not None
        singles = jax.tree.map(lambda a: a[:, None], info.batch)
        energy = lambda example: optax.tree.norm(gradient(params, example), squared=True)
        try:
            energies = jax.lax.map(energy, singles, batch_size=min(16, singles.size))
        except TooFewValues:  # with the statistics of a batch a single example has no gradient
            return {"hessian_trace": trace, "hessian_trace_error": error}
        takeuchi = jnp.mean(energies) / jnp.where(jnp.abs(trace) > TINY, trace, TINY)
        return {"hessian_trace": trace, "hessian_trace_error": error, "takeuchi": takeuchi}

    return probe


def _product(info: Info) -> tuple[Callable[[Array], Array], int, Array] | None:
    if info.gradient is None or info.batch is None or info.key is None:
        return None
    gradient, batch = info.gradient, info.batch
    product, size = hessian_product(lambda params: gradient(params, batch), info.params)
    return product, size, info.key


def spectrum(*, iterations: Count = 32) -> Probe:
    """Measure the density of the Hessian's eigenvalues, by stochastic Lanczos quadrature from one random start.

    Formula: nodes r_k and weights w_k (summing to 1) of the tridiagonal matrix that Lanczos makes; the density is about
    sum w_k delta(x - r_k). Averaging over seeds averages over starts.

    Args:
        iterations: Hessian-vector products, each about two gradients; also the number of nodes.

    Returns:
        (info) -> {"hessian_ritz": {"ritz_00", ...: node}, "hessian_weight": {the same: weight}}, ascending.

    Expect: a heap at 0 and a few outliers, about one for each class.

    Costs: iterations + 1 Hessian-vector products, each about two gradients.

    References:
        arXiv:1901.10159.
    """

    def probe(info: Info) -> Measured:
        found = _product(info)
        if found is None:
            return {}
        product, size, key = found
        ritz = lanczos(product, random.normal(key, (size,)), iterations=iterations)
        names = [f"ritz_{k:02d}" for k in range(len(ritz.values))]
        return {
            "hessian_ritz": dict(zip(names, ritz.values, strict=True)),
            "hessian_weight": dict(zip(names, ritz.weights, strict=True)),
        }

    return probe


def preconditioned_sharpness(
    *,
    b2: Annotated[float, Range("[0, 1)")] = 0.999,
    eps: Annotated[float, Range("(0, inf)", "give a small positive number such as 1e-8")] = 1e-8,
    iterations: Count = 16,
) -> Probe:
    """Measure the largest eigenvalue of the Hessian as Adam's steps see it.

    Formula: lambda_1 of P^(-1/2) H P^(-1/2), P = sqrt(nu / (1 - b2^t)) + eps from the optimizer's state after the
    step. With momentum b1 and rate eta a step is stable below (2 + 2 b1) / ((1 - b1) eta): 38 / eta at 0.9.

    Args:
        b2: of the optimizer, to undo the start of its average.
        eps: of the optimizer.
        iterations: Hessian-vector products, each about two gradients.

    Returns:
        (info) -> {"preconditioned_sharpness": scalar}; nothing where no state holds second moments as Adam's does,
        of all parameters.

    Expect: meets 38 / rate with Adam at b1 = 0.9 and stays there.

    Costs: iterations + 1 Hessian-vector products, each about two gradients.

    References:
        arXiv:2207.14484.
    """

    def probe(info: Info) -> Measured:
        found = _product(info)
        moments = [s for s in jax.tree.leaves(info.opt_state, is_leaf=_is_adam) if _is_adam(s)]
        if found is None or not moments:
            return {}
        product, size, key = found
        share = 1.0 - b2 ** moments[0].count
        seconds = ravel_pytree(moments[0].nu)[0]
        if seconds.size != size:
            return {}
        root = jnp.sqrt(jnp.sqrt(seconds / share) + eps)
        ritz = lanczos(lambda v: product(v / root) / root, random.normal(key, (size,)), iterations=iterations)
        return {"preconditioned_sharpness": ritz.values[-1]}

    return probe


def _is_adam(node: Any) -> bool:
    return isinstance(node, optax.ScaleByAdamState)


def sam_sharpness(*, rho: Annotated[float, Range("[0, inf)", "0.0 switches it off")] = 0.05) -> Probe:
    """Measure how much the loss rises a short way up the gradient.

    Formula: L(theta + rho g / |g|) - L(theta), on the step's batch.

    Args:
        rho: the length of the way.

    Returns:
        (info) -> {"sam_sharpness": scalar}.

    Expect: lower where a sharpness-aware rule trains.

    Costs: one gradient and two losses.

    References:
        arXiv:2010.01412.
    """

    def probe(info: Info) -> Measured:
        if info.gradient is None or info.objective is None or info.batch is None:
            return {}
        grads = info.gradient(info.params, info.batch)
        way = rho / jnp.maximum(optax.tree.norm(grads), TINY)
        there = jax.tree.map(lambda p, g: p + way * g, info.params, grads)
        return {"sam_sharpness": info.objective(there, info.batch) - info.objective(info.params, info.batch)}

    return probe


TABLE = {f.__name__: f for f in (sharpness, hessian_trace, spectrum, preconditioned_sharpness, sam_sharpness)}
