"""Convolution of a map made twice as large, without ever making the large map.

Repeated values make equal products, and stuffed zeros make empty ones. Both are saved by one convolution of the small
map whose kernel has the four (in 1-D: two) phases of the large map side by side.
"""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from deepprinciples.kernels.convolution import convolve
from deepprinciples.types import Array

Upsample = Literal["repeat", "zeros"]


def enlarge(x: Array, how: Upsample) -> Array:
    """Double every spatial axis: each value twice ("repeat"), or each value with a zero before it ("zeros").

    A "SAME" convolution of the latter, kernel at least 2 wide, is `flax.linen.ConvTranspose` with strides 2.

    Args:
        x: [B, T, C] or [B, H, W, C].
        how: which.

    Returns:
        [B, 2 T, C] or [B, 2 H, 2 W, C].
    """
    for axis in range(1, x.ndim - 1):
        other = x if how == "repeat" else jnp.zeros_like(x)
        shape = (*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
        x = jnp.stack([other, x], axis=axis + 1).reshape(shape)
    return x


def upsample_convolve(inputs: Array, kernel: Array, *positional: Any, how: Upsample, **options: Any) -> Array:
    """Convolve `enlarge(inputs)` with a kernel, "SAME", in the protocol of `lax.conv_general_dilated`.

    y[2 i + p] = sum_j x[i + j] K[j, p], where K[j, p] is the sum of the w[t] that meet x[i + j] at phase p.

    Args:
        inputs: [B, T, C] or [B, H, W, C].
        kernel: [k, C, O] or [k, k, C, O].
        positional: strides (all 1) and padding ("SAME"), as Linen gives them.
        how: the map is made larger by "repeat" or by "zeros".
        options: the rest of lax' arguments; only the precision counts.

    Returns:
        [B, 2 T, O] or [B, 2 H, 2 W, O].
    """
    del positional
    spatial, features = inputs.ndim - 2, kernel.shape[-1]
    table, pads = _phases(kernel.shape[0], how)
    meets = jnp.asarray(table, kernel.dtype)
    if spatial == 1:
        phases = jnp.einsum("apt,tco->acpo", meets, kernel)
    else:
        phases = jnp.einsum("apt,bqu,tuco->abcpqo", meets, meets, kernel)
    phases = phases.reshape(*phases.shape[: spatial + 1], -1)  # [a, (b,) C, phases * O]
    y = convolve(inputs, phases, (1,) * spatial, [pads] * spatial, precision=options.get("precision"))
    y = y.reshape(*y.shape[:-1], *(2,) * spatial, features)  # [B, H, W, 2, 2, O]
    places = [axis for i in range(1, spatial + 1) for axis in (i, i + spatial)]
    y = y.transpose(0, *places, 2 * spatial + 1)
    return y.reshape(y.shape[0], *(2 * n for n in inputs.shape[1:-1]), features)


def _phases(width: int, how: Upsample) -> tuple[np.ndarray, tuple[int, int]]:
    """Say which weight t of a window meets which neighbor j at which phase p: 0 or 1 [j, p, t], and the padding."""
    low = (width - 1) // 2
    meetings = [
        ((p + t - low) // 2, p, t) for p in (0, 1) for t in range(width) if how == "repeat" or (p + t - low) % 2
    ]
    nearest, farthest = min(0, *(j for j, _, _ in meetings)), max(0, *(j for j, _, _ in meetings))
    meets = np.zeros((farthest - nearest + 1, 2, width))
    for j, p, t in meetings:
        meets[j - nearest, p, t] = 1.0
    return meets, (-nearest, farthest)
