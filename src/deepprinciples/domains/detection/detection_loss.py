"""The loss of a detector without anchors: each location says which class is there, and where its box ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.domains.detection import boxes as geometry
from deepprinciples.types import Array, Count, NonNegative, Positive, PyTree, Scalar, Strength, traits

BALANCE = 0.25  # the paper's weight alpha of a yes; a no has 1 - alpha


class Assigned(NamedTuple):
    """What each of M locations should answer: the object it belongs to, as its class and its box."""

    positive: Array  # [M], whether there is one
    classes: Array  # [M, C], 1 for its class
    boxes: Array  # [M, 4]


@traits(per_example=True)
def detection(
    *,
    box: Literal["giou", "diou", "iou", "l1"] = "giou",
    classes: Literal["focal", "bce"] = "focal",
    box_weight: Strength = 1.0,
    gamma: NonNegative = 2.0,
    radius: Positive = 1.5,
    stride: Count = 4,
) -> Callable[[PyTree, PyTree], Array]:
    """Score the classes and boxes that a detector finds at the locations of its grid.

    loss = (sum over locations and classes of c + box_weight sum over positive locations of b) / max(1, positive ones)

    A location is positive where it lies in a box and at most radius strides from its center along each axis, and where
    its cell holds the center; of several boxes it belongs to the smallest. c of "bce" is the binary cross-entropy, c of
    "focal" is -0.25 t s(-x)^gamma log s(x) - 0.75 (1 - t) s(x)^gamma log s(-x); b is 1 - giou, 1 - diou, 1 - iou, or
    the mean of |difference| / stride over the four sides. Each picture counts alike: the paper divides by the positive
    locations of the batch. Objects of class -1 are not there.

    Args:
      box: how boxes are scored.
      classes: how classes are scored.
      box_weight: weight of the boxes beside the classes. *Sweepable.*
      gamma: how far classes that are answered well count less, with "focal". *Sweepable.*
      radius: of positive locations around the center of a box, in strides. *Sweepable.*
      stride: pixels from one location to the next.
    Returns: function (outputs {classes [B, h, w, C], boxes [B, h, w, 4]}, targets {boxes [B, N, 4], classes [B, N]}) ->
      [B].
    Raises: ValueError where the shapes do not pair.
    Expect: The IoU family is claimed to beat l1 at strict thresholds, since it is what is measured, and does not depend
      on the size of a box; focal to beat bce where locations without an object are many. Nothing for giou where boxes
      overlap anyway, as they do when both hold the location.
    Costs: Nothing that is measurable beside the network.
    References: Tian et al., arXiv:1904.01355 (FCOS, center sampling); Lin et al., arXiv:1708.02002 (focal);
      Rezatofighi et al., arXiv:1902.09630 (giou); Zheng et al., arXiv:1911.08287 (diou).
    """

    def one(odds: Array, found: Array, true: Array, labels: Array) -> Array:
        wanted = assigned(odds.shape, true, labels, radius=radius, stride=stride)
        positives = jnp.maximum(jnp.sum(wanted.positive, dtype=odds.dtype), 1.0)
        x, t = odds.reshape(wanted.classes.shape), wanted.classes
        yes, no = jax.nn.log_sigmoid(x), jax.nn.log_sigmoid(-x)
        if classes == "bce":
            answers = -t * yes - (1.0 - t) * no
        else:
            answers = -BALANCE * t * jnp.exp(gamma * no) * yes - (1 - BALANCE) * (1.0 - t) * jnp.exp(gamma * yes) * no
        sides = _apart(box, found.reshape(-1, 4), wanted.boxes, stride)
        return (jnp.sum(answers) + box_weight * jnp.sum(jnp.where(wanted.positive, sides, 0.0))) / positives

    def loss(outputs: Any, targets: Any) -> Array:
        geometry.paired("detection", outputs, targets)
        return jax.vmap(one)(outputs["classes"], outputs["boxes"], targets["boxes"], targets["classes"])

    return loss


def _apart(box: str, found: Array, true: Array, stride: int) -> Array:
    """Score boxes [M, 4] against the true ones."""
    if box == "l1":
        return jnp.mean(jnp.abs(found - true), axis=-1) / stride
    return 1.0 - {"giou": geometry.giou, "diou": geometry.diou, "iou": geometry.iou}[box](found, true)


def assigned(shape: tuple[int, ...], true: Array, labels: Array, *, radius: Scalar, stride: int) -> Assigned:
    """Give every location of a grid the object that it belongs to, see `detection`.

    Args:
        shape: (rows, columns, classes) of the grid.
        true: boxes [N, 4] in pixels.
        labels: their classes [N], -1 where there is no object.
        radius: in strides.
        stride: pixels from one location to the next.
    """
    rows, columns, kinds = shape
    points = geometry.locations(rows, columns, stride)[:, None, :]  # [M, 1, 2]
    low, high = true[None, :, :2], true[None, :, 2:]  # [1, N, 2]
    center = 0.5 * (low + high)
    near = jnp.abs(points - center) <= radius * stride
    inside = (points >= low) & (points < high)
    most = jnp.array([rows - 1, columns - 1])[None, None, :]
    own = jnp.minimum(jnp.floor(center / stride), most) == jnp.floor(points / stride)
    held = (jnp.all(near & inside, axis=-1) | jnp.all(own, axis=-1)) & (labels >= 0)[None, :]  # [M, N]
    smallest = jnp.argmin(jnp.where(held, geometry.area(true)[None, :], jnp.inf), axis=1)
    chosen = jax.nn.one_hot(smallest, len(labels)) * held  # a product with one-hot rows is quicker than a gather
    return Assigned(jnp.any(held, axis=1), chosen @ jax.nn.one_hot(labels, kinds), chosen @ true)
