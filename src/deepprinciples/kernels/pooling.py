"""Pooling by elementwise arithmetic on shifted windows: no `reduce_window`, no `select_and_scatter`.

XLA's own gradient of max-pooling is slow inside loops on CPU and does not compile under the GPU's deterministic flag.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp

from deepprinciples.kernels.im2col import Padding, Windows, batch_last, lies_batch_last, shifted, size, windows
from deepprinciples.types import Array


def max_pool(
    x: Array, window_shape: Sequence[int], strides: Sequence[int] | None = None, padding: Padding = "VALID"
) -> Array:
    """Take the maximum over windows; the gradient goes to the first place that holds it.

    y[b, i, c] = max_k x[b, i * stride + k, c] (1-D; the same in more dimensions). Takes the arguments of
    `flax.linen.max_pool`, strides of 1 by default.

    Args:
        x: [B, T, C] or [B, H, W, C], floats.
        window_shape: one int per spatial axis.
        strides: one int per spatial axis.
        padding: "SAME", "VALID" or (low, high) pairs; padding is never the maximum.

    Returns:
        [B, T', C] or [B, H', W', C].
    """
    cut = windows(x.shape[1:-1], window_shape, strides, padding)
    if not lies_batch_last():
        return maxima(x, cut)
    return batch_last(maxima(batch_last(x).swapaxes(0, -1), cut).swapaxes(0, -1))


def avg_pool(
    x: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> Array:
    """Take the mean over windows, with the arguments of `flax.linen.avg_pool`.

    Args:
        x: [B, T, C] or [B, H, W, C], floats.
        window_shape: one int per spatial axis.
        strides: one int per spatial axis.
        padding: "SAME", "VALID" or (low, high) pairs of zeros.
        count_include_pad: whether the zeros of the padding count as entries.

    Returns:
        [B, T', C] or [B, H', W', C].
    """
    cut = windows(x.shape[1:-1], window_shape, strides, padding)
    total = reduce(jnp.add, shifted(x, cut))
    if count_include_pad:
        return total / size(cut)
    ones = jnp.ones((1, *x.shape[1:-1], 1), x.dtype)
    return total / reduce(jnp.add, shifted(ones, cut))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def maxima(x: Array, cut: Windows) -> Array:
    """Take the maximum over windows of all axes of x but the first and the last, whatever those two are."""
    return _max_forward(x, cut)[0]


def _max_forward(x: Array, cut: Windows) -> tuple[Array, tuple[Array, Array]]:
    parts = shifted(x, cut, -jnp.inf)
    best, place = parts[0], jnp.zeros(parts[0].shape, jnp.int8 if len(parts) < 128 else jnp.int32)
    for number, part in enumerate(parts[1:], start=1):
        place = jnp.where(part > best, jnp.asarray(number, place.dtype), place)
        best = jnp.maximum(best, part)
    return best, (place, jnp.zeros((0, *x.shape[1:-1]), x.dtype))


def _max_backward(cut: Windows, residuals: tuple[Array, Array], dy: Array) -> tuple[Array]:
    place, like = residuals
    spatial = like.shape[1:]
    if cut.shape == cut.strides and cut.dilation == (1,) * len(cut.shape) and not any(map(any, cut.pads)):
        return (_spread(place, dy, cut, spatial),)
    zero = jnp.zeros((dy.shape[0], *spatial, dy.shape[-1]), dy.dtype)
    _, back = jax.vjp(lambda x: shifted(x, cut), zero)
    return back([jnp.where(place == number, dy, 0.0) for number in range(size(cut))])


def _spread(place: Array, dy: Array, cut: Windows, spatial: tuple[int, ...]) -> Array:
    """Write dy to its places where windows do not overlap, by putting the places side by side axis after axis."""
    counts = dy.shape[1:-1]
    # Stacked, not selected by an index array: XLA's CPU loops stay simple enough to use vectors.
    parts = [jnp.where(place == number, dy, 0.0) for number in range(size(cut))]
    for axis in reversed(range(len(counts))):
        each = cut.shape[axis]
        parts = [jnp.stack(parts[n : n + each], axis=axis + 2) for n in range(0, len(parts), each)]
        parts = [part.reshape(*part.shape[: axis + 1], counts[axis] * each, *part.shape[axis + 3 :]) for part in parts]
    rest = [(0, n - c * k) for n, c, k in zip(spatial, counts, cut.shape, strict=True)]
    return jnp.pad(parts[0], [(0, 0), *rest, (0, 0)]) if any(map(any, rest)) else parts[0]


maxima.defvjp(_max_forward, _max_backward)
