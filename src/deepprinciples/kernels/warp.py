"""Affine warps of pictures, masks and boxes that stay together, quick enough for a step of training.

A warp is a matrix [B, 2, 2] and a shift [B, 2] that move points: with both counted from the middle of the picture,
row and column p come to M p + t. Pictures and masks are read at the point that each of their pixels came from.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.types import Array


class Warp(NamedTuple):
    """Where points go: p -> matrix p + shift, row first, in pixels from the middle of the picture."""

    matrix: Array  # [B, 2, 2]
    shift: Array  # [B, 2]


def bilinear(pictures: Array, warp: Warp) -> Array:
    """Move pictures; what comes from outside repeats the pixels of the edge.

    The four neighbors are added up in a loop of four steps: one gather at a time costs a CPU a sixth of four at once,
    and half of the products with hat functions that are the same in matrix form.

    Args:
        pictures: floats [B, H, W, C].
        warp: where points go.

    Returns:
        [B, H, W, C], as scipy.ndimage.affine_transform(order=1, mode="nearest") of the inverse matrix.
    """
    count, height, width, channels = pictures.shape
    y, x = _origins(height, width, warp)
    y, x = jnp.clip(y, 0.0, height - 1), jnp.clip(x, 0.0, width - 1)
    top, left = jnp.floor(y), jnp.floor(x)
    down, right = y - top, x - left  # in [0, 1)
    row, column = top.astype(jnp.int32), left.astype(jnp.int32)
    flat = pictures.reshape(-1)
    first = jnp.arange(count)[:, None, None] * (height * width)
    last = jnp.arange(channels)[None, None, None]

    def add(corner: int, total: Array) -> Array:
        lower, further = corner // 2, corner % 2
        i, j = jnp.minimum(row + lower, height - 1), jnp.minimum(column + further, width - 1)
        share = jnp.where(lower == 1, down, 1.0 - down) * jnp.where(further == 1, right, 1.0 - right)
        places = (first + i * width + j)[..., None] * channels + last
        return total + share[..., None] * flat.at[places].get(mode="promise_in_bounds")

    return jax.lax.fori_loop(0, 4, add, jnp.zeros_like(pictures))


def nearest(masks: Array, warp: Warp, outside: int = -1) -> Array:
    """Move masks; each pixel takes the label of the nearest one.

    Args:
        masks: whole numbers [B, H, W].
        warp: where points go.
        outside: label of what comes from outside the mask.

    Returns:
        [B, H, W], as scipy.ndimage.affine_transform(order=0, mode="grid-constant") of the inverse matrix.
    """
    count, height, width = masks.shape
    row, column = (jnp.floor(v + 0.5) for v in _origins(height, width, warp))
    inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
    i, j = (jnp.clip(v, 0, n - 1).astype(jnp.int32) for v, n in ((row, height), (column, width)))
    places = jnp.arange(count)[:, None, None] * (height * width) + i * width + j
    return jnp.where(inside, masks.reshape(-1).at[places].get(mode="promise_in_bounds"), outside)


def boxes(corners: Array, classes: Array, warp: Warp, height: int, width: int) -> tuple[Array, Array]:
    """Move boxes: each becomes the smallest upright one around its moved corners, cut off at the border.

    Args:
        corners: [B, K, 4], first row, first column, last row, last column; pixel i reaches from i to i + 1.
        classes: whole numbers [B, K]; -1 is no box, and its corners stay.
        warp: where points go.
        height: of the picture.
        width: of the picture.

    Returns:
        (corners [B, K, 4], classes [B, K]); a box whose middle leaves the picture has class -1.
    """
    ends = jnp.array([height, width], corners.dtype).reshape(1, 1, 2)
    middle = ends[:, :, None] / 2
    at = jnp.stack([corners[..., jnp.array(pair)] for pair in ((0, 1), (0, 3), (2, 1), (2, 3))], axis=2)  # [B, K, 4, 2]
    matrix, shift = (v.astype(corners.dtype) for v in warp)
    move = lambda p: jnp.sum(matrix[:, None, None] * (p - middle)[..., None, :], -1) + shift[:, None, None] + middle
    moved = move(at)
    low, high = moved.min(axis=2), moved.max(axis=2)
    center = move((corners[..., :2] + corners[..., 2:])[:, :, None] / 2)[:, :, 0]
    seen = jnp.all((center >= 0) & (center <= ends), axis=-1)
    cut = jnp.concatenate([jnp.clip(low, 0, ends), jnp.clip(high, 0, ends)], axis=-1)
    there = classes >= 0
    return jnp.where(there[..., None], cut, corners), jnp.where(there & ~seen, -1, classes)


def _origins(height: int, width: int, warp: Warp) -> tuple[Array, Array]:
    """Return the row and column [B, H, W] that each pixel came from; exact where a warp does nothing."""
    (a, b), (c, d) = (warp.matrix[:, 0].T, warp.matrix[:, 1].T)
    determinant = a * d - b * c
    at = lambda v: v[:, None, None]
    row = jnp.arange(height)[None, :, None] - (height - 1) / 2 - at(warp.shift[:, 0])
    column = jnp.arange(width)[None, None, :] - (width - 1) / 2 - at(warp.shift[:, 1])
    y = at(d / determinant) * row - at(b / determinant) * column + (height - 1) / 2
    x = at(a / determinant) * column - at(c / determinant) * row + (width - 1) / 2
    return y, x
