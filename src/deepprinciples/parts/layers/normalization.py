"""Normalization of the signals inside the layers of a model.

Those that act on kernels instead ("weight", "weight_standardized" and "spectral") are in `kernel_transforms`.
"""

from __future__ import annotations

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from deepprinciples.kernels.im2col import along, as_it_lies
from deepprinciples.kernels.sequences.feature_norm import normalize as over_features
from deepprinciples.parts.layers.design import Design
from deepprinciples.types import Array


def over_spread(x: Array, axes: tuple[int, ...]) -> Array:
    """Divide by the root mean square, x / sqrt(mean x^2 + 1e-6); zeros pass as they are, with slope 1.

    The slope of the formula at zeros is 1000. What is all alike (an empty picture, padding, the start of a sequence)
    stays so from layer to layer and from step to step, and a few factors of 1000 are more than float32 holds.

    Args:
        x: any shape.
        axes: of the mean.

    Returns:
        An array like x.
    """
    squares = jnp.mean(x * x, axis=axes, keepdims=True)
    return x * jnp.where(squares > 0, jax.lax.rsqrt(squares + 1e-6), 1.0)


class Standardize(nn.Module):
    """(x - mean) / sqrt(var + 1e-6) * scale + bias, by statistics of each example alone, as `over_spread` divides.

    groups: of features, each over all positions; 0 for all features of each position. centered: False leaves out the
    mean and the bias.
    """

    groups: int = 0
    centered: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, width, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, width, jnp.float32) if self.centered else None

        def each_position(x: Array, axis: int) -> Array:
            shift = jnp.zeros_like(scale) if bias is None else bias
            flat = x.reshape(-1, x.shape[-1]) if axis else x.reshape(len(x), -1)
            return over_features(flat, scale, shift, self.centered, min(axis, 1)).reshape(x.shape)

        def each_group(x: Array, axis: int) -> Array:
            parts, axes = _grouped(x, axis, self.groups)
            if bias is not None:
                parts = parts - jnp.mean(parts, axis=axes, keepdims=True)
            y = over_spread(parts, axes).reshape(x.shape) * along(scale, x.ndim, axis)
            return y if bias is None else y + along(bias, x.ndim, axis)

        return as_it_lies(each_group if self.groups else each_position, x)


def _grouped(x: Array, axis: int, groups: int) -> tuple[Array, tuple[int, ...]]:
    """Cut the channels of x, which are its first or last axis, into groups; also give the axes of one statistic."""
    if axis:
        return x.reshape(len(x), -1, groups, x.shape[-1] // groups), (1, 3)  # [B, P, G, C / G]
    return x.reshape(groups, len(x) // groups, -1, x.shape[-1]), (1, 2)  # [G, C / G, P, B]


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
        x: [B, ..., C]. "layer" and "rms" act on the C features of each position, "group" on all positions and up to 8
            groups of features (see `groups_of`), "instance" on all positions of each feature, "batch" on all axes
            but the last, with running statistics (decay 0.9), and so does "ghost" on parts of `ghost_size` examples.
            "weight_standardized" is "group" behind kernels that are standardized.
        design: brings the normalization and its sizes.
        train: whether "batch" and "ghost" use and update the statistics of this batch.
        name: of the Linen module.

    Returns:
        An array like x.

    Raises:
        ValueError: a statistic of fewer than three values (two for "rms"), or "ghost" parts that do not divide the
            batch.

    References:
        arXiv:1502.03167 (batch), arXiv:1705.08741 (ghost), arXiv:1607.06450 (layer), arXiv:1803.08494 (group),
        arXiv:1607.08022 (instance), arXiv:1910.07467 (rms), arXiv:1903.10520 (weight standardization).
    """
    kind, width, positions = design.normalization, x.shape[-1], math.prod(x.shape[1:-1])
    if kind in ("batch", "ghost"):
        size = len(x) if kind == "batch" else min(design.ghost_size, len(x))
        if train:
            enough_examples(f"{kind} normalization", size, positions)
        if kind == "ghost":
            return Ghost(design.ghost_size, name=name)(x, train)
        # The two-pass variance: E[x^2] - E[x]^2 loses all digits where the mean is large.
        batch_norm = functools.partial(
            nn.BatchNorm, use_running_average=not train, momentum=0.9, use_fast_variance=False, name=name
        )
        return as_it_lies(lambda x, axis: batch_norm(axis=axis)(x), x)
    groups = {"group": groups_of(width, positions), "weight_standardized": groups_of(width, positions)}
    groups |= {"instance": width, "layer": 0, "rms": 0}
    if kind not in groups:
        return x
    values = width // groups[kind] * positions if groups[kind] else width
    found = ", ".join(["B", *map(str, x.shape[1:])])
    advice = (
        "choose another normalization" if kind == "instance" else "raise the width, or choose another normalization"
    )
    enough(f"{kind} normalization of [{found}]", values, advice, 2 if kind == "rms" else 3)
    return Standardize(groups[kind], kind != "rms", name=name)(x)


def groups_of(width: int, positions: int) -> int:
    """Choose the groups of a group normalization: up to 8, as many as leave each of them 4 values of an example."""
    return next((g for g in (8, 4, 2) if width % g == 0 and width // g * positions >= 4), 1)


class TooFewValues(ValueError):
    """A statistic has fewer than three values: one becomes 0, two become signs, and no gradient passes."""


def enough(what: str, values: int, advice: str, least: int = 3) -> None:
    """Refuse statistics of too few values; raises TooFewValues."""
    if values < least:
        raise TooFewValues(
            f"{what}: {values} value{'s' * (values > 1)} to each statistic, expected {least} or more, because fewer "
            f"become constants or signs, through which no gradient passes; {advice}"
        )


def enough_examples(what: str, examples: int, positions: int) -> None:
    """Refuse statistics over the examples of a batch where these are too few; raises TooFewValues."""
    enough(
        f"{what} over {examples} example{'s' * (examples > 1)}",
        examples * positions,
        "raise data.batch_size, take fewer shares of it (rule, ghost_size), or choose another normalization",
    )
