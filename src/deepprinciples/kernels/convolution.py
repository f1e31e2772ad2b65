"""Convolution by one matrix product over patches, a drop-in for `lax.conv_general_dilated` in `flax.linen.Conv`.

XLA's own gradients of a convolution are slow inside loops on CPU, and vmap over kernels makes grouped convolutions,
which are slower still; a matrix product stays a matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from deepprinciples.kernels.windows import Padding, shifted, size, windows
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
        **options: the rest of lax' arguments.

    Returns:
        [B, T', O] or [B, H', W', O].
    """
    if lhs_dilation is not None and any(d != 1 for d in lhs_dilation):
        return lax.conv_general_dilated(
            inputs,
            kernel,
            window_strides,
            padding,
            lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers,
            feature_group_count=feature_group_count,
            precision=precision,
            **options,
        )
    cut = windows(inputs.shape[1:-1], kernel.shape[:-2], window_strides, padding, rhs_dilation)
    batch, counts = inputs.shape[0], cut.counts(inputs.shape[1:-1])
    rows, places, features = batch * math.prod(counts), size(cut), kernel.shape[-1]
    parts = shifted(inputs, cut)
    if feature_group_count == 1:
        patches = jnp.concatenate(parts, axis=-1).reshape(rows, -1)
        product = jnp.matmul(patches, kernel.reshape(-1, features), precision=precision)
    else:
        groups = feature_group_count
        patches = jnp.stack(parts, axis=-2).reshape(rows, places, groups, -1)  # [rows, k, G, C/G]
        grouped = kernel.reshape(places, kernel.shape[-2], groups, -1)  # [k, C/G, G, O/G]
        product = jnp.einsum("rkgc,kcgo->rgo", patches, grouped, precision=precision)
    return product.reshape(batch, *counts, features)
