"""Convolution, a drop-in for `lax.conv_general_dilated` in `flax.linen.Conv`: on CPU one matrix product over patches.

XLA's own gradients of a convolution are slow inside loops on CPU, and vmap over kernels makes grouped convolutions,
which are slower still; a matrix product stays a matrix product. The batch lies innermost in memory where it is large
enough: patches are then contiguous copies, and the product has one very long side. Other devices use XLA's kernels.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from deepprinciples.kernels.im2col import Padding, Windows, batch_last, prefers_batch_last, shifted, size, windows
from deepprinciples.kernels.pooling import max_pool, maxima
from deepprinciples.types import Array


def convolve(
    inputs: Array,
    kernel: Array,
    window_strides: Sequence[int],
    padding: Padding,
    *,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
    pool_window: Sequence[int] = (),
    **options: Any,
) -> Array:
    """Convolve channels-last arrays with kernels whose last two axes are channels in and out.

    y[b, i, o] = sum_{k, c} x[b, i * stride + k * dilation, c] w[k, c, o] (1-D; the same in more dimensions; with
    groups, o sees the channels of its group alone). Dilated inputs (transposed convolutions) go to `lax`.

    Args:
        inputs: [B, T, C] or [B, H, W, C].
        kernel: [k, C / groups, O] or [k, k, C / groups, O].
        window_strides: one int per spatial axis.
        padding: "SAME", "VALID" or (low, high) pairs.
        lhs_dilation: one int per spatial axis, or None.
        rhs_dilation: one int per spatial axis, or None.
        dimension_numbers: as Linen gives them; only channels-last is meant.
        feature_group_count: groups.
        precision: of the products.
        pool_window: windows of this shape, side by side, of which the maximum is taken at once; () leaves that out.
        **options: the rest of lax' arguments.

    Returns:
        [B, T', O] or [B, H', W', O]; less by the pool.
    """
    dilated = lhs_dilation is not None and any(d != 1 for d in lhs_dilation)
    if dilated or jax.default_backend() != "cpu":
        y = lax.conv_general_dilated(
            inputs,
            kernel,
            window_strides,
            padding,
            lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers or _channels_last_everywhere(inputs.ndim - 2),
            feature_group_count=feature_group_count,
            precision=precision,
            **options,
        )
        return max_pool(y, pool_window, pool_window) if pool_window else y
    cut = windows(inputs.shape[1:-1], kernel.shape[:-2], window_strides, padding, rhs_dilation)
    if feature_group_count == kernel.shape[-1] > 1 and kernel.shape[-2] == 1:
        y = _depthwise(inputs, kernel, cut)
        return max_pool(y, pool_window, pool_window) if pool_window else y
    product = _batch_last if prefers_batch_last(inputs) else _channels_last
    narrow = 2 * kernel.shape[-1] <= kernel.shape[-2] and feature_group_count == 1 and not pool_window
    if product is _batch_last and narrow and all(stride == 1 for stride in cut.strides) and _inside(cut):
        return _narrowing(inputs, kernel, cut, precision)
    return product(inputs, kernel, cut, feature_group_count, precision, pool_window)


def _inside(cut: Windows) -> bool:
    """Check that every window meets the map, so that padding reaches no further than a window."""
    return all(max(pads) <= span for span, pads in zip(_spans(cut), cut.pads, strict=True))


def _spans(cut: Windows) -> list[int]:
    return [(k - 1) * dilation for k, dilation in zip(cut.shape, cut.dilation, strict=True)]


def _channels_last_everywhere(spatial: int) -> lax.ConvDimensionNumbers:
    last = (0, spatial + 1, *range(1, spatial + 1))
    return lax.ConvDimensionNumbers(last, (spatial + 1, spatial, *range(spatial)), last)


def _channels_last(x: Array, kernel: Array, cut: Windows, groups: int, precision: Any, pool: Sequence[int]) -> Array:
    batch, counts = x.shape[0], cut.counts(x.shape[1:-1])
    rows, features = batch * math.prod(counts), kernel.shape[-1]
    parts = shifted(x, cut)
    if groups == 1:
        patches = jnp.concatenate(parts, axis=-1).reshape(rows, -1)
        product = jnp.matmul(patches, kernel.reshape(-1, features), precision=precision)
    else:
        patches = jnp.stack(parts, axis=-2).reshape(rows, size(cut), groups, -1)  # [rows, k, G, C/G]
        product = jnp.einsum("nkgc,kcgo->ngo", patches, _grouped(kernel, cut, groups), precision=precision)
    y = product.reshape(batch, *counts, features)
    return maxima(y, windows(counts, pool, pool)) if pool else y


def _batch_last(x: Array, kernel: Array, cut: Windows, groups: int, precision: Any, pool: Sequence[int]) -> Array:
    batch, counts = x.shape[0], cut.counts(x.shape[1:-1])
    columns, features = batch * math.prod(counts), kernel.shape[-1]
    parts = shifted(batch_last(x).swapaxes(0, -1), cut)  # [C, ..., B], which is how x lies in memory
    if groups == 1:
        patches = jnp.concatenate(parts, axis=0).reshape(-1, columns)
        product = jnp.matmul(kernel.reshape(-1, features).T, patches, precision=precision)
    else:
        patches = jnp.stack(parts).reshape(size(cut), groups, -1, columns)  # [k, G, C/G, columns]
        product = jnp.einsum("kgcn,kcgo->gon", patches, _grouped(kernel, cut, groups), precision=precision)
    y = product.reshape(features, *counts, batch)
    y = maxima(y, windows(counts, pool, pool)) if pool else y
    return batch_last(y.swapaxes(0, -1))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _narrowing(x: Array, kernel: Array, cut: Windows, precision: Any) -> Array:
    """Multiply first and add shifted maps after: with few channels out, those are far less than the patches.

    Its gradient is written by hand: autodiff would shift the gradients of the maps with a choice for each value.
    """
    return _sum_of_maps(x, kernel, cut, precision)


def _sum_of_maps(x: Array, kernel: Array, cut: Windows, precision: Any) -> Array:
    features = kernel.shape[-1]
    spatial, batch, counts = x.shape[1:-1], x.shape[0], cut.counts(x.shape[1:-1])
    flat = batch_last(x).swapaxes(0, -1).reshape(x.shape[-1], -1)  # [C, ... B]
    maps = jnp.matmul(_rows(kernel, cut), flat, precision=precision).reshape(size(cut), features, *spatial, batch)
    maps = jnp.pad(maps, [(0, 0), (0, 0), *cut.pads, (0, 0)])
    y = jnp.zeros((), maps.dtype)
    for number, place in enumerate(itertools.product(*map(range, cut.shape))):
        starts = [offset * dilation for offset, dilation in zip(place, cut.dilation, strict=True)]
        ranges = (slice(start, start + count) for start, count in zip(starts, counts, strict=True))
        y = y + maps[(number, slice(None), *ranges)]
    return batch_last(y.swapaxes(0, -1))


def _rows(kernel: Array, cut: Windows) -> Array:
    """Lay a kernel out as [k O, C]."""
    channels, features = kernel.shape[-2:]
    return jnp.moveaxis(kernel.reshape(size(cut), channels, features), 1, 2).reshape(-1, channels)


def _narrowing_backward(cut: Windows, precision: Any, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """Take patches of dy in mirrored windows: an input's gradient is a convolution of dy, with few channels in."""
    x, kernel = saved
    channels, features = kernel.shape[-2:]
    pads = tuple((span - low, span - high) for span, (low, high) in zip(_spans(cut), cut.pads, strict=True))
    mirrored = cut._replace(pads=pads)
    parts = shifted(batch_last(dy).swapaxes(0, -1), mirrored)[::-1]
    patches = jnp.concatenate(parts, axis=0).reshape(size(cut) * features, -1)  # [k O, ... B]
    flat = batch_last(x).swapaxes(0, -1).reshape(channels, -1)
    d_rows = jnp.matmul(patches, flat.T, precision=precision).reshape(size(cut), features, channels)
    d_x = jnp.matmul(_rows(kernel, cut).T, patches, precision=precision)
    d_x = batch_last(d_x.reshape(channels, *x.shape[1:-1], x.shape[0]).swapaxes(0, -1))
    return d_x, jnp.moveaxis(d_rows, 1, 2).reshape(kernel.shape)


_narrowing.defvjp(
    lambda x, kernel, cut, precision: (_sum_of_maps(x, kernel, cut, precision), (x, kernel)), _narrowing_backward
)


def _depthwise(x: Array, kernel: Array, cut: Windows) -> Array:
    """Weigh shifted maps and add them, which XLA fuses into one loop: with one channel a group no product is left."""
    weights = kernel.reshape(size(cut), *(1,) * (x.ndim - 1), -1)
    return functools.reduce(jnp.add, (part * row for part, row in zip(shifted(x, cut), weights, strict=True)))


def _grouped(kernel: Array, cut: Windows, groups: int) -> Array:
    return kernel.reshape(size(cut), kernel.shape[-2], groups, -1)  # [k, C/G, G, O/G]
