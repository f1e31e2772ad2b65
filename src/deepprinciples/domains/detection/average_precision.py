"""Mean average precision, the usual score of a detector, on the device from the outputs to the number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.domains.detection.boxes import COUNT, OVERLAP, Detections, decode, iou, paired
from deepprinciples.types import Array, Count, Metric, Scalar, Share, better

Rows = Mapping[str, Array]


@better("max", worst=0.0, best=1.0)
def mean_average_precision(*, threshold: Share = 0.5, overlap: Share = OVERLAP, count: Count = COUNT) -> Metric:
    """Measure how well objects are found and told apart, over all confidences at which one could ask.

    mean over classes of sum_k (R_k - R_(k-1)) max_(j >= k) P_j, with recall R and precision P of the detections of a
    class whose score reaches the k-th largest of the split

    The `count` surest detections of a picture are taken after suppression class by class, see `decode`. From the surest
    on, each finds the object of its class with the largest IoU that no surer one has found, if that IoU reaches the
    threshold; all else is wrong. Equal scores enter together, so the order of the pictures does not matter.

    Args:
      threshold: IoU that a detection needs. *Sweepable.*
      overlap: IoU above which a less sure detection of the same class is dropped. *Sweepable.*
      count: detections of a picture.
    Returns: Metric of outputs {classes [B, h, w, C], boxes [B, h, w, 4]} and targets {boxes [B, N, 4], classes [B, N]},
      from 0 to 1; also the value of each class. Undefined for a class without an object.
    Raises: ValueError where the shapes do not pair.
    References: Everingham et al. 2010, The Pascal Visual Object Classes (VOC) challenge; Lin et al., arXiv:1405.0312
      (COCO, which samples recall at 101 points).
    """

    def statistics(outputs: Any, targets: Any) -> Rows:
        paired("mean_average_precision", outputs, targets)
        found = decode(outputs, count=count, overlap=overlap)
        hits = jax.vmap(lambda *a: matched(*a, threshold))(found, targets["boxes"], targets["classes"])
        objects = jnp.sum(jax.nn.one_hot(targets["classes"], outputs["classes"].shape[-1]), axis=1)
        return {"scores": found.scores, "classes": found.classes, "hits": hits, "objects": objects}

    def per_class(rows: Rows, weights: Array) -> Array:
        counted = (weights > 0)[:, None]
        objects = jnp.sum(rows["objects"] * counted, axis=0)
        scores, hits = rows["scores"].reshape(-1), rows["hits"].reshape(-1)
        kinds = jnp.where(counted, rows["classes"], -1).reshape(-1)
        one = lambda kind, total: precision_area(scores, hits, kinds == kind, total)
        return jax.vmap(one)(jnp.arange(len(objects)), objects)

    mean = lambda rows, weights: jnp.nanmean(per_class(rows, weights))
    return Metric(statistics, mean, per_class, reduce="gather")


def matched(found: Detections, boxes: Array, classes: Array, threshold: Scalar) -> Array:
    """Decide which detections [K] of a picture find one of its objects [N], each object once."""

    def match(free: Array, one: Detections) -> tuple[Array, Array]:
        overlaps = jnp.where(
            free & (classes == one.classes), iou(boxes, jnp.broadcast_to(one.boxes, boxes.shape)), -1.0
        )
        best = jnp.argmax(overlaps)
        hit = overlaps[best] >= threshold
        return free & ~(hit & (jnp.arange(len(classes)) == best)), hit

    return jax.lax.scan(match, classes >= 0, found)[1]


@jax.jit  # outside a program, one compilation in place of dozens
def precision_area(scores: Array, hits: Array, kept: Array, objects: Array) -> Array:
    """Compute the area under the falling envelope of the precision over the recall, of the detections kept of [M].

    NaN where there are no objects.
    """
    falling, hit, kept = jax.lax.sort((jnp.where(kept, -scores, jnp.inf), hits & kept, kept), num_keys=1)
    last = jnp.append(falling[1:] != falling[:-1], True)  # equal scores enter together
    precision = jnp.cumsum(hit) / jnp.maximum(jnp.cumsum(kept), 1)
    envelope = jax.lax.cummax(jnp.where(last, precision, 0.0), reverse=True)
    area = jnp.sum(jnp.where(hit, envelope, 0.0)) / jnp.maximum(objects, 1.0)
    return jnp.where(objects > 0, area, jnp.nan)
