"""Convolution, a drop-in for `lax.conv_general_dilated` in `flax.linen.Conv`: on CPU one matrix product.

XLA's own gradients of a convolution are slow inside loops on CPU, and vmap over kernels makes grouped convolutions,
which are slower still; a matrix product stays a matrix product. The batch lies innermost in memory: what windows see is
then copied in rows, and the product has one very long side. Other devices use XLA's kernels.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from deepprinciples.kernels.im2col import Padding, Windows, batch_last, lies_batch_last, shifted, size, windows
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
    if dilated or not lies_batch_last():
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
    else:
        cut = windows(inputs.shape[1:-1], kernel.shape[:-2], window_strides, padding, rhs_dilation)
        if feature_group_count == 1:
            return _product(inputs, kernel, cut, precision, pool_window)
        if feature_group_count == kernel.shape[-1] and kernel.shape[-2] == 1:
            y = _depthwise(inputs, kernel, cut)
        else:
            y = _in_groups(inputs, kernel, cut, feature_group_count, precision)
    return max_pool(y, pool_window, pool_window) if pool_window else y


def _channels_last_everywhere(spatial: int) -> lax.ConvDimensionNumbers:
    last = (0, spatial + 1, *range(1, spatial + 1))
    return lax.ConvDimensionNumbers(last, (spatial + 1, spatial, *range(spatial)), last)


def _product(x: Array, kernel: Array, cut: Windows, precision: Any, pool: Sequence[int]) -> Array:
    """Copy what the windows see along some axes, multiply, and add what their places along the other axes give.

    With no axis left to add along, these are patches, nine copies of x for a 3 x 3 kernel. With one there are three,
    and three products for each channel out, whole rows apart; with both there is no copy, and nine products. The pool
    is taken here: after the layout is fixed, a CNN would take twice the time.
    """
    added, features, zero = _axes_to_add(kernel, cut), kernel.shape[-1], jnp.zeros((), x.dtype)
    copied = cut._replace(shape=(1,) * added + cut.shape[added:], pads=((0, 0),) * added + cut.pads[added:])
    patches = jnp.concatenate(shifted(batch_last(x).swapaxes(0, -1), copied), axis=0)  # [k C, ..., B]
    places = list(itertools.product(*map(range, cut.shape[:added])))
    weights = jnp.moveaxis(kernel.reshape(len(places), -1, features), 1, 2).reshape(-1, len(patches))
    products = jnp.matmul(weights, patches.reshape(len(patches), -1), precision=precision)
    parts = lax.split(products.reshape(-1, *patches.shape[1:]), [features] * len(places))
    moved = (lax.pad(part, zero, _moves(at, cut, x.ndim)) for at, part in zip(places, parts, strict=True))
    y = functools.reduce(jnp.add, moved)
    y = maxima(y, windows(y.shape[1:-1], pool, pool)) if pool else y
    return batch_last(y.swapaxes(0, -1))


def _axes_to_add(kernel: Array, cut: Windows) -> int:
    """Choose along how many axes, from the first, products are added: with the fewest rows to write and to read."""
    channels, features = kernel.shape[-2:]
    if any(stride != 1 for stride in cut.strides):
        return 0

    def rows(added: int) -> float:
        copies, sums = math.prod(cut.shape[added:]), math.prod(cut.shape[:added])
        twice = 1.0 if added else 1.7  # all parts of patches are written before they are put together
        return (twice * copies * channels if copies > 1 else 0) + (sums * features if sums > 1 else 0)

    return min(range(len(cut.shape) + 1), key=rows)


def _moves(place: Sequence[int], cut: Windows, ndim: int) -> list[tuple[int, int, int]]:
    """Move what a place of the windows gives to the windows that have it there; a negative pad cuts off."""
    moves = [(0, 0, 0)] * ndim
    for axis, at in enumerate(place):
        (low, high), step = cut.pads[axis], cut.dilation[axis]
        moves[axis + 1] = (low - at * step, high - (cut.shape[axis] - 1 - at) * step, 0)
    return moves


def _in_groups(x: Array, kernel: Array, cut: Windows, groups: int, precision: Any) -> Array:
    batch, counts = x.shape[0], cut.counts(x.shape[1:-1])
    parts = shifted(batch_last(x).swapaxes(0, -1), cut)  # [C, ..., B], which is how x lies in memory
    patches = jnp.stack(parts).reshape(size(cut), groups, kernel.shape[-2], -1)  # [k, G, C/G, columns]
    product = jnp.einsum("kgcn,kcgo->gon", patches, _grouped(kernel, cut, groups), precision=precision)
    return batch_last(product.reshape(kernel.shape[-1], *counts, batch).swapaxes(0, -1))


def _depthwise(x: Array, kernel: Array, cut: Windows) -> Array:
    """Weigh shifted maps and add them, which XLA fuses into one loop: with one channel a group no product is left."""
    weights = kernel.reshape(size(cut), *(1,) * (x.ndim - 1), -1)
    return functools.reduce(jnp.add, (part * row for part, row in zip(shifted(x, cut), weights, strict=True)))


def _grouped(kernel: Array, cut: Windows, groups: int) -> Array:
    return kernel.reshape(size(cut), kernel.shape[-2], groups, -1)  # [k, C/G, G, O/G]
