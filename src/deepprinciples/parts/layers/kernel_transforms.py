"""Functions of a kernel that come between its parameters and the product with the inputs.

A transform is (kernel, step, name of the layer) -> kernel; called inside a compact Linen module, it may keep parameters
and state there, under a name of its own beside the layer's. `noise.drop_weights` is applied after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.parts.layers.design import Design, Step
from deepprinciples.types import Array

Transform = Callable[[Array, Step, str], Array]


class WeightNorm(nn.Module):
    """scale * v / |v| per output unit of a kernel v, with scale starting at |v|: the start is the plain map's.

    A unit whose v is 0 has no direction; it is the plain map's, and so is its gradient, until v moves.
    """

    @nn.compact
    def __call__(self, v: Array) -> Array:
        squares = jnp.sum(v * v, axis=tuple(range(v.ndim - 1)))
        some = squares > 0
        norms = jnp.sqrt(jnp.where(some, squares, 1.0))
        scale = self.param("scale", lambda key: jnp.where(some, norms, 0.0))
        return v * jnp.where(some, scale / norms, 1.0).reshape((1,) * (v.ndim - 1) + norms.shape)


class Spectral(nn.Module):
    """W / sigma(W) of a kernel W, as a matrix [all but the last axis, out], with sigma its largest singular value.

    v = unit(u W^T), u = unit(v W), sigma = v W u^T: one step of the power iteration a call, from a u that the state
    keeps (arXiv:1802.05957). u and v count as constants in the gradient. Evaluation takes a step too, but forgets it.
    Linen's own layer starts from kernels that are already divided, so that an arm with it and an arm without would
    differ in their weights; this one leaves the parameters alone. A kernel of zeros stays one, and keeps its u.
    """

    @nn.compact
    def __call__(self, kernel: Array, train: bool) -> Array:
        matrix = kernel.reshape(-1, kernel.shape[-1])
        shape = (1, kernel.shape[-1])
        stored = self.variable("batch_stats", "u", lambda: random.normal(self.make_rng("params"), shape))
        sigma = self.variable("batch_stats", "sigma", jnp.ones, ())
        v = _unit(stored.value @ matrix.T)
        u = _unit(v @ matrix)
        u, v = jax.lax.stop_gradient((u, v))
        found = (v @ matrix @ u.T)[0, 0]
        if train and not self.is_initializing():
            # A u of zeros would stay one, and the kernel would never be divided again.
            stored.value, sigma.value = jnp.where(found == 0, stored.value, u), found
        return kernel / jnp.where(found == 0, 1.0, found)


def _unit(row: Array) -> Array:
    return row * jax.lax.rsqrt(jnp.maximum(jnp.sum(row * row), 1e-24))


def standardized(kernel: Array) -> Array:
    """Shift and scale the weights of every output unit to mean 0 and variance 1 / fan-in.

    W_u = (V_u - mean V_u) / sqrt(fan_in (var V_u + 1e-10)), over all axes but the last; equal weights become 0, with
    the gradient of V_u - mean V_u

    The paper has variance 1; between this and the output of the group normalization behind it, a factor that is the
    same for all units of a layer makes no difference.

    Args:
        kernel: [in, out] or [kernel, (kernel,) in, out].

    Returns:
        An array like kernel.

    Raises:
        ValueError: a unit has a single weight, which would become 0.

    References:
        arXiv:1903.10520 (weight standardization).
    """
    axes = tuple(range(kernel.ndim - 1))
    fan_in = math.prod(kernel.shape[:-1])
    if fan_in < 2:
        raise ValueError(
            f"weight_standardized: a kernel {list(kernel.shape)} has one weight for each unit, which would become 0; "
            "use another normalization"
        )
    centered = kernel - jnp.mean(kernel, axis=axes, keepdims=True)
    variance = jnp.mean(centered * centered, axis=axes, keepdims=True)
    return centered * jnp.where(variance > 0, jax.lax.rsqrt(fan_in * (variance + 1e-10)), 1.0)


TRANSFORMS: Mapping[str, Transform] = {
    "weight": lambda kernel, step, name: WeightNorm(name=f"{name}_scale")(kernel),
    "spectral": lambda kernel, step, name: Spectral(name=f"{name}_norm")(kernel, step.train),
    "weight_standardized": lambda kernel, step, name: standardized(kernel),
}


def transform_of(design: Design) -> Transform:
    """Return the transform of the design's normalization; for one that acts on activations alone, the identity."""
    return TRANSFORMS.get(design.normalization, lambda kernel, step, name: kernel)


def unnormalized(design: Design) -> Design:
    """Return the design of a readout: without normalization, but "spectral", which bounds the whole network's slope."""
    return design if design.normalization == "spectral" else design._replace(normalization="none")
