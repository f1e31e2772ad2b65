"""What keeps the scale of signals and kernels in check, inside the layers of a model.

Some normalizations act on what an activation reads (`normalize`), some on the kernel that made it: `Rescale`
("weight"), `standardized` and `Spectral`. A feature that tells how alike the examples of a batch are lives in
`batchwise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels import draws
from deepprinciples.parts.models.design import Design, Function
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
        stored = self.variable("batch_stats", "u", lambda: draws.normal(self.make_rng("params"), shape))
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


def standardized(kernel: Array) -> Array:
    """Give the weights of every output unit mean 0 and variance 1 / fan-in.

    W_u = (V_u - mean V_u) / sqrt(fan_in (var V_u + 1e-10)), over all axes but the last

    The paper has variance 1; between this and what the group normalization behind it gives on, a factor that is the
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
    return centered * jax.lax.rsqrt(fan_in * (variance + 1e-10))


class Ghost(nn.Module):
    """Batch normalization by the statistics of small parts of the batch, examples in a row.

    The running statistics are what a batch normalization (decay 0.9) would have after seeing the parts one after
    another: r' = 0.9^k r + 0.1 sum_i 0.9^(k-i) m_i for k parts. (The paper's formula weighs by 0.9^i, and then its
    weights do not sum to 1.)
    """

    size: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        width = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, width)
        var = self.variable("batch_stats", "var", jnp.ones, width)
        scale = self.param("scale", nn.initializers.ones, width, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, width, jnp.float32)
        shape = (1,) * (x.ndim - 1) + width
        if not train:
            return _whitened(x, mean.value.reshape(shape), var.value.reshape(shape), scale, bias)
        size = min(self.size, len(x))
        if len(x) % size:
            raise ValueError(
                f"ghost: a batch of {len(x)} does not come in parts of {size}; choose a ghost_size that divides it"
            )
        parts = x.reshape(-1, size, *x.shape[1:])  # [k, size, ..., C]
        axes = tuple(range(1, x.ndim))
        means, variances = jnp.mean(parts, axis=axes, keepdims=True), jnp.var(parts, axis=axes, keepdims=True)
        if not self.is_initializing():
            shares = 0.1 * 0.9 ** jnp.arange(len(parts) - 1.0, -1.0, -1.0)[:, None]  # [k, 1]
            for stored, seen in ((mean, means), (var, variances)):
                new = jnp.sum(shares * seen.reshape(len(parts), -1), axis=0)
                stored.value = 0.9 ** len(parts) * stored.value + new
        return _whitened(parts, means, variances, scale, bias).reshape(x.shape)


def _whitened(x: Array, mean: Array, var: Array, scale: Array, bias: Array) -> Array:
    shape = (1,) * (x.ndim - 1) + scale.shape
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * scale.reshape(shape) + bias.reshape(shape)


def normalize(x: Array, design: Design, train: bool, name: str = "norm") -> Array:
    """Normalize over features (layer, group, rms), over positions (instance) or over the batch (batch, ghost).

    What acts on kernels alone ("weight", "spectral"), and "none", leaves x alone.

    The running variances are those of the batches, sum (x - mean)^2 / n, as in Flax and Keras; PyTorch's divide by
    n - 1, which in evaluation shrinks outputs by sqrt((n - 1) / n). eps is 1e-5 for "batch" and "ghost" as there, and
    1e-6 for the others, where PyTorch has 1e-5 (and 1.2e-7 for "rms").

    Args:
        x: [B, ..., C]. "layer" and "rms" act on the C features of each position, "group" on all positions and
            gcd(8, C) groups of features, "instance" on all positions of each feature, "batch" on all axes but the
            last, with running statistics (decay 0.9), and so does "ghost" on parts of `ghost_size` examples.
            "weight_standardized" is "group" behind kernels that are standardized.
        design: brings the normalization and its sizes.
        train: whether "batch" and "ghost" use and update the statistics of this batch.
        name: of the Linen module.

    Returns:
        An array like x.

    Raises:
        ValueError: "instance" with fewer than two positions, or "ghost" parts that do not divide the batch.

    References:
        arXiv:1502.03167 (batch), arXiv:1705.08741 (ghost), arXiv:1607.06450 (layer), arXiv:1803.08494 (group),
        arXiv:1607.08022 (instance), arXiv:1910.07467 (rms), arXiv:1903.10520 (weight standardization).
    """
    kind = design.normalization
    if kind == "batch":
        # The two-pass variance: E[x^2] - E[x]^2 loses all digits where the mean is large.
        return nn.BatchNorm(use_running_average=not train, momentum=0.9, use_fast_variance=False, name=name)(x)
    if kind == "ghost":
        return Ghost(design.ghost_size, name=name)(x, train)
    if kind == "layer":
        return nn.LayerNorm(use_fast_variance=False, name=name)(x)
    if kind in ("group", "weight_standardized"):
        return nn.GroupNorm(num_groups=math.gcd(8, x.shape[-1]), use_fast_variance=False, name=name)(x)
    if kind == "instance":
        if math.prod(x.shape[1:-1]) < 2:  # Linen would give zeros, and the network be dead
            found = ", ".join(["B", *map(str, x.shape[1:])])
            raise ValueError(
                f"instance: each feature has one position [{found}], which would become 0; use normalization layer"
            )
        return nn.InstanceNorm(use_fast_variance=False, name=name)(x)
    if kind == "rms":
        return nn.RMSNorm(name=name)(x)
    return x
