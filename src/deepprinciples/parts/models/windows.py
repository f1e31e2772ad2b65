"""Convolution and pooling over windows, in the forms XLA runs well inside loops and under vmap.

Only arithmetic on arrays lives here; layers with parameters are Linen's, and take these as their kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from deepprinciples.types import Array


def pool(x: Array) -> Array:
    """Take the maximum over windows of 2 along every axis between batch and channels; odd edges are cropped.

    y[b, i, c] = max(x[b, 2i, c], x[b, 2i + 1, c]) (1-D; the same in 2-D). Axes too short to halve leave x as it is.

    Args:
        x: [B, T, C] or [B, H, W, C].

    Returns:
        [B, T // 2, C] or [B, H // 2, W // 2, C].
    """
    spatial = x.shape[1:-1]
    if min(spatial) < 2:
        return x
    # Not reduce_window: its gradient is slow in loops and does not compile under the GPU's deterministic flag.
    x = x[(slice(None), *(slice(n // 2 * 2) for n in spatial))]
    windows = x.reshape(x.shape[0], *(m for n in spatial for m in (n // 2, 2)), x.shape[-1])
    return windows.max(axis=tuple(range(2, 2 * len(spatial) + 1, 2)))


def patches_convolution(
    inputs: Array, kernel: Array, window_strides: Sequence[int], padding: Any, **options: Any
) -> Array:
    """Convolve by one matrix product over patches; a drop-in for `lax.conv_general_dilated` in `flax.linen.Conv`.

    XLA's own gradients of a convolution are slow inside loops on CPU, and vmap over kernels makes grouped
    convolutions, which are slower still; a matrix product stays a matrix product.

    Args:
        inputs: [B, T, C] or [B, H, W, C].
        kernel: [k, C, O] or [k, k, C, O].
        window_strides: one int per spatial axis.
        padding: "SAME", "VALID" or (low, high) pairs.
        **options: the rest of lax' arguments; dilation and groups are not supported and stay at their defaults.

    Returns:
        [B, T', O] or [B, H', W', O].
    """
    del options
    spatial, window = inputs.shape[1:-1], kernel.shape[:-2]
    pads = lax.padtype_to_pads(spatial, window, window_strides, padding) if isinstance(padding, str) else padding
    padded = jnp.pad(inputs, [(0, 0), *pads, (0, 0)])
    sizes = [(n - k) // s + 1 for n, k, s in zip(padded.shape[1:-1], window, window_strides, strict=True)]
    shifted = []
    for offsets in np.ndindex(*window):
        steps = zip(offsets, sizes, window_strides, strict=True)
        shifted.append(padded[(slice(None), *(slice(o, o + (n - 1) * s + 1, s) for o, n, s in steps))])
    patches = jnp.concatenate(shifted, axis=-1).reshape(-1, math.prod(window) * inputs.shape[-1])
    return (patches @ kernel.reshape(-1, kernel.shape[-1])).reshape(inputs.shape[0], *sizes, kernel.shape[-1])
