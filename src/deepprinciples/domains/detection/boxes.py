"""Boxes (y0, x0, y1, x1) in pixels: how far two of them overlap, and the detections that a detector's outputs hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, PyTree, Scalar

COUNT = 16  # detections that are taken of a picture
OVERLAP = 0.5  # above it, of two detections of one class the less sure one is dropped


class Detections(NamedTuple):
    """What was found in a picture, the surest first.

    boxes: [..., K, 4] in pixels; classes: [..., K], -1 where there were no K detections; scores: [..., K] in [0, 1].
    """

    boxes: Array
    classes: Array
    scores: Array


def ratio(share: Array, whole: Array) -> Array:
    """Return share / whole, and 0 with a gradient of 0 where whole is not above 0."""
    positive = whole > 0
    return jnp.where(positive, share / jnp.where(positive, whole, 1.0), 0.0)


def area(box: Array) -> Array:
    """Compute the area of boxes [..., 4], 0 for one whose corners are in the wrong order."""
    return jnp.prod(jnp.maximum(box[..., 2:] - box[..., :2], 0.0), axis=-1)


def shared_and_union(a: Array, b: Array) -> tuple[Array, Array]:
    """Compute the areas [...] that boxes [..., 4] share and that they cover together."""
    low, high = jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
    shared = area(jnp.concatenate([low, high], axis=-1))
    return shared, area(a) + area(b) - shared


def iou(a: Array, b: Array) -> Array:
    """Compute the intersection over union [...] of boxes [..., 4]; 0 where both have no area."""
    return ratio(*shared_and_union(a, b))


def hull(a: Array, b: Array) -> Array:
    """Return the smallest boxes [..., 4] that hold both."""
    return jnp.concatenate([jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])], axis=-1)


def giou(a: Array, b: Array) -> Array:
    """Compute the generalized IoU [...] of boxes [..., 4].

    iou - (area of the hull - union) / area of the hull, in (-1, 1]

    References: Rezatofighi et al., arXiv:1902.09630.
    """
    shared, union = shared_and_union(a, b)
    around = area(hull(a, b))
    return ratio(shared, union) - ratio(around - union, around)


def diou(a: Array, b: Array) -> Array:
    """Compute the distance IoU [...] of boxes [..., 4].

    iou - |center a - center b|^2 / |diagonal of the hull|^2, in (-1, 1]

    References: Zheng et al., arXiv:1911.08287.
    """
    around = hull(a, b)
    between = 0.25 * jnp.sum(jnp.square(a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]), axis=-1)
    return iou(a, b) - ratio(between, jnp.sum(jnp.square(around[..., 2:] - around[..., :2]), axis=-1))


def locations(rows: int, columns: int, stride: int) -> Array:
    """Return the places (y, x) in pixels of a grid's locations, the centers of its cells: [rows columns, 2]."""
    y, x = jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij")
    return (jnp.stack([y.reshape(-1), x.reshape(-1)], axis=-1) + 0.5) * stride


def paired(name: str, outputs: Any, targets: Any) -> None:
    """Check that outputs are those of a detector and targets those of a picture with boxes.

    Raises:
        ValueError: they are something else, or their shapes do not pair; one line.
    """
    expected = (
        "outputs {classes [B, h, w, C], boxes [B, h, w, 4]} and targets {boxes [B, N, 4], classes [B, N] whole numbers}"
    )
    try:
        kinds, corners = outputs["classes"].shape, outputs["boxes"].shape
        boxes, labels = targets["boxes"].shape, targets["classes"].shape
        whole = jnp.issubdtype(targets["classes"].dtype, jnp.integer)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise ValueError(
            f"{name}: found {_described(outputs)} and {_described(targets)}; expected {expected}"
        ) from None
    grid = len(kinds) == 4 and corners == (*kinds[:3], 4)
    if not (grid and len(labels) == 2 and boxes == (*labels, 4) and whole and labels[0] == kinds[0]):
        raise ValueError(
            f"{name}: found outputs of shapes {list(kinds)} and {list(corners)}, targets of {list(boxes)} and "
            f"{list(labels)}; expected {expected}"
        )


def _described(tree: Any) -> str:
    if isinstance(tree, Mapping):
        return f"a table of {', '.join(map(str, tree))}"
    return f"an array {list(tree.shape)}" if hasattr(tree, "shape") else f"a {type(tree).__name__}"


def decode(outputs: PyTree, *, count: int = COUNT, overlap: Scalar = OVERLAP) -> Detections:
    """Turn the outputs of a detector into the `count` surest detections of every picture.

    Classes are suppressed one by one: the surest (location, class) is taken, and all of that class whose boxes have an
    IoU above `overlap` with its box are dropped; and so on. Of equal scores the first location and class comes first.
    A location with a NaN detects nothing.

    Args:
        outputs: {classes: [B, h, w, C] log-odds, boxes: [B, h, w, 4] pixels}.
        count: detections of a picture, K.
        overlap: in [0, 1].

    Returns:
        `Detections`: boxes [B, K, 4], classes [B, K], scores [B, K], falling.
    """
    kinds = outputs["classes"].shape[-1]
    boxes = outputs["boxes"].reshape(len(outputs["boxes"]), -1, 4)  # [B, M, 4]
    odds = outputs["classes"].reshape(len(boxes), -1, kinds)
    lost = jnp.isnan(odds) | jnp.isnan(boxes).any(axis=-1, keepdims=True)
    scores = jnp.where(lost, -1.0, jax.nn.sigmoid(odds))
    return jax.vmap(lambda one, rest: _surest(one, rest, count, overlap))(boxes, scores)


def _surest(boxes: Array, scores: Array, count: int, overlap: Scalar) -> Detections:
    """Take detections of one picture out of boxes [M, 4] with scores [M, C], -1 for what cannot be taken."""
    places, kinds = jnp.arange(scores.shape[0]), jnp.arange(scores.shape[1])

    def take(left: Array, _: None) -> tuple[Array, Detections]:
        place, kind = jnp.divmod(jnp.argmax(left), len(kinds))
        score, box = left[place, kind], boxes[place]
        gone = (iou(boxes, jnp.broadcast_to(box, boxes.shape)) > overlap) | (places == place)
        left = jnp.where(gone[:, None] & (kinds == kind)[None, :], -1.0, left)
        return left, Detections(box, jnp.where(score < 0, -1, kind), jnp.maximum(score, 0.0))

    return jax.lax.scan(take, scores, length=count)[1]
