"""Convolution of a map made twice as large, without ever making the large map.

Repeated values make equal products, and stuffed zeros make empty ones. Both are saved by a convolution of the small map
for each of the four (in 1-D: two) phases of the large one, with as few weights as there are neighbors that it meets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from deepprinciples.kernels.convolution import convolve
from deepprinciples.kernels.im2col import batch_last, lies_batch_last
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

    y[2 i + p] = sum_j x[i + j] K_p[j], where K_p[j] is the sum of the w[t] that meet x[i + j] at phase p.

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
    spatial = inputs.ndim - 2
    phases = []
    for phase in itertools.product((0, 1), repeat=spatial):
        weights, pads = kernel, []
        for axis, p in enumerate(phase):
            table, pad = _meetings(kernel.shape[axis], how, p)
            weights = jnp.moveaxis(jnp.tensordot(jnp.asarray(table, kernel.dtype), weights, (1, axis)), 0, axis)
            pads.append(pad)
        phases.append(convolve(inputs, weights, (1,) * spatial, pads, precision=options.get("precision")))
    return _interleaved(phases)


def _interleaved(phases: Sequence[Array]) -> Array:
    """Put the phases [B, H, W, O] of a map together: [B, 2 H, 2 W, O]. What lies innermost in memory stays there."""
    maps = [batch_last(one).swapaxes(0, -1) for one in phases] if lies_batch_last() else list(phases)
    outer, *sides, inner = maps[0].shape
    y = jnp.stack(maps).reshape(*(2,) * len(sides), outer, *sides, inner)  # [2, 2, B or O, H, W, O or B]
    places = [axis for i in range(len(sides)) for axis in (len(sides) + 1 + i, i)]
    y = y.transpose(len(sides), *places, y.ndim - 1).reshape(outer, *(2 * n for n in sides), inner)
    return batch_last(y.swapaxes(0, -1)) if lies_batch_last() else y


def _meetings(width: int, how: Upsample, phase: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Return which weight t of a window meets which neighbor j at a phase: 0 or 1 [j, t], and the padding."""
    low = (width - 1) // 2
    met = [((phase + t - low) // 2, t) for t in range(width) if how == "repeat" or (phase + t - low) % 2]
    neighbors = [j for j, _ in met] or [0]  # a window of one may meet nothing but stuffed zeros
    nearest, farthest = min(neighbors), max(neighbors)
    table = np.zeros((farthest - nearest + 1, width))
    for j, t in met:
        table[j - nearest, t] = 1.0
    return table, (-nearest, farthest)
