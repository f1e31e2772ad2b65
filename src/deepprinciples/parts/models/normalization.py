"""What keeps the scale of signals and kernels in check, inside the layers of a model.

Some normalizations act on what an activation reads (`normalize`), some on the kernel that made it: `Rescale`
("weight") and `Spectral`. A feature that tells how alike the examples of a batch are lives in `batchwise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.parts.models.design import Design, Function, Normalization
from deepprinciples.types import Array


class Rescale(nn.Module):
    """y * scale / |v| + bias per output unit of a kernel v, with scale starting at |v|: the start is the plain map's.

    Here y is what v gives without a bias or, where `bias_initializer` is None, v itself.
    """

    bias_initializer: Function | None = None

    @nn.compact
    def __call__(self, y: Array, v: Array) -> Array:
        norms = jnp.sqrt(jnp.sum(v * v, axis=tuple(range(v.ndim - 1))))
        scale = self.param("scale", lambda key: norms)
        shape = (1,) * (y.ndim - 1) + norms.shape
        y = y * (scale / norms).reshape(shape)
        if self.bias_initializer is None:
            return y
        return y + self.param("bias", self.bias_initializer, norms.shape, jnp.float32).reshape(shape)


class Spectral(nn.Module):
    """W / sigma(W) of a kernel W, as a matrix [all but the last axis, out], with sigma its largest singular value.

    v = unit(u W^T), u = unit(v W), sigma = v W u^T: one step of the power iteration a call, from a u that the state
    keeps (arXiv:1802.05957). u and v count as constants in the gradient. Evaluation takes a step too, but forgets it.
    Linen's own layer starts from kernels that are already divided, so that an arm with it and an arm without would
    differ in their weights; this one leaves the parameters alone. A kernel of zeros stays one.
    """

    @nn.compact
    def __call__(self, kernel: Array, train: bool) -> Array:
        matrix = kernel.reshape(-1, kernel.shape[-1])
        shape = (1, kernel.shape[-1])
        stored = self.variable("batch_stats", "u", lambda: jax.random.normal(self.make_rng("params"), shape))
        sigma = self.variable("batch_stats", "sigma", jnp.ones, ())
        v = _unit(stored.value @ matrix.T)
        u = _unit(v @ matrix)
        u, v = jax.lax.stop_gradient((u, v))
        found = (v @ matrix @ u.T)[0, 0]
        if train and not self.is_initializing():
            stored.value, sigma.value = u, found
        return kernel / jnp.where(found == 0, 1.0, found)


def _unit(row: Array) -> Array:
    return row * jax.lax.rsqrt(jnp.maximum(jnp.sum(row * row), 1e-24))


def through(product: Callable[..., Array], change: Callable[[Array], Array]) -> Callable[..., Array]:
    """Have a product of inputs and a kernel, in the protocol of Linen's hooks, see the kernel changed."""
    return lambda inputs, kernel, *args, **options: product(inputs, change(kernel), *args, **options)


def unnormalized(design: Design) -> Design:
    """Return the design of a readout: without normalization, but "spectral", which bounds the whole network's slope."""
    return design if design.normalization == "spectral" else design._replace(normalization="none")


def normalize(x: Array, kind: Normalization, train: bool, name: str = "norm") -> Array:
    """Normalize over features (layer, group, rms) or over the batch (batch).

    What acts on kernels ("weight", "spectral"), and "none", leaves x alone.

    Args:
        x: [B, ..., C]. "layer" and "rms" act on the C features of each position, "group" on all positions and
            gcd(8, C) groups of features, "batch" on all axes but the last, with running statistics (decay 0.9).
        kind: which.
        train: whether "batch" uses and updates the statistics of this batch.
        name: of the Linen module.

    Returns:
        An array like x.

    References:
        arXiv:1502.03167 (batch), arXiv:1607.06450 (layer), arXiv:1803.08494 (group), arXiv:1910.07467 (rms).
    """
    if kind == "batch":
        # The two-pass variance: E[x^2] - E[x]^2 loses all digits where the mean is large.
        return nn.BatchNorm(use_running_average=not train, momentum=0.9, use_fast_variance=False, name=name)(x)
    if kind == "layer":
        return nn.LayerNorm(use_fast_variance=False, name=name)(x)
    if kind == "group":
        return nn.GroupNorm(num_groups=math.gcd(8, x.shape[-1]), use_fast_variance=False, name=name)(x)
    if kind == "rms":
        return nn.RMSNorm(name=name)(x)
    return x
