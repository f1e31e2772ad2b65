"""Metrics of where the answers of a segmentation change from one class to another.

Outputs and labels are those of `split_metrics`, with at least one axis of positions between the first and the classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import reduce

import jax
import jax.numpy as jnp

from deepprinciples.parts.metrics import is_classes
from deepprinciples.parts.metrics.split_metrics import answers_of, class_scores
from deepprinciples.types import Array, Metric, Size, better, traits

Sums = Mapping[str, Array]


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def boundary_f1(*, tolerance: Size = 2) -> Metric:
    """Measure how well the edges of the answers lie on the edges of the labels, for segmentation.

    mean over classes that have an edge of 2 P R / (P + R), where P is the share of positions on an edge of the answers
    that lie within the tolerance of an edge of the labels, and R the reverse, positions of all examples together

    An edge of a class are its positions with a neighbor of another class along an axis. Positions without a label have
    no edge and make none; the border of the map makes none either. Csurka and others take the mean over pictures.

    Args:
      tolerance: Euclidean distance in positions (pixels) at which edges still meet.
    Returns: Metric of outputs [B, H, W, C] or log-odds [B, H, W] (or [B, T, C], [B, T]), from 0 to 1; also the value of
      each class.
    Raises: ValueError where the shapes do not pair, or there are no positions.
    References: Csurka, Larlus, Perronnin, Meylan 2013, What is a good evaluation measure for semantic segmentation?
    """

    def statistics(outputs: Array, targets: Array) -> Sums:
        scores, flat = class_scores("boundary_f1", outputs, targets)
        given = outputs.shape[:-1] if is_classes(outputs, targets) or outputs.shape[-1] == 1 else outputs.shape
        if len(given) < 2:
            raise ValueError(
                f"boundary_f1: found outputs {outputs.dtype}{list(outputs.shape)}; expected positions, such as "
                "[B, H, W, C] with labels [B, H, W]"
            )
        answers = jnp.where(flat >= 0, answers_of(scores, flat), -1)
        labels, answers = (a.reshape(given) for a in (flat, answers))  # [B, H, W]
        classes = range(scores.shape[-1])
        meant, found = (jnp.stack([_edge(a, c) for c in classes], axis=-1) for a in (labels, answers))
        positions = tuple(range(1, meant.ndim - 1))
        count = lambda edges: jnp.sum(edges, axis=positions, dtype=jnp.float32)  # [B, C]
        return {
            "meant": count(meant),
            "found": count(found),
            "met": count(meant & _near(found, tolerance)),
            "right": count(found & _near(meant, tolerance)),
        }

    def per_class(sums: Sums, examples: Array) -> Array:
        del examples
        precision = sums["right"] / jnp.maximum(sums["found"], 1.0)
        recall = sums["met"] / jnp.maximum(sums["meant"], 1.0)
        both = precision + recall
        score = jnp.where(both > 0, 2.0 * precision * recall / jnp.where(both > 0, both, 1.0), 0.0)
        return jnp.where(sums["meant"] + sums["found"] > 0, score, jnp.nan)

    return Metric(statistics, lambda sums, examples: jnp.nanmean(per_class(sums, examples)), per_class)


def _edge(labels: Array, c: int) -> Array:
    """Find the positions of class c of labels [B, H, W] that have a labeled neighbor of another class."""
    inside, other = labels == c, (labels >= 0) & (labels != c)
    steps = [tuple(sign * (axis == a) for a in range(labels.ndim - 1)) for axis in range(labels.ndim - 1)
             for sign in (1, -1)]  # fmt: skip
    return inside & reduce(jnp.logical_or, [_moved(other, step) for step in steps])


def _near(edges: Array, tolerance: int) -> Array:
    """Find the positions of [B, H, W, C] at most so far from an edge."""
    reach = range(-tolerance, tolerance + 1)
    steps = [s for s in itertools.product(reach, repeat=edges.ndim - 2) if sum(d * d for d in s) <= tolerance**2]
    return reduce(jnp.logical_or, [_moved(edges, step) for step in steps])


def _moved(x: Array, step: tuple[int, ...]) -> Array:
    """Move x [B, H, W, ...] by whole positions, with False in the places that are left."""
    pads = [(0, 0, 0), *((d, -d, 0) for d in step), *((0, 0, 0),) * (x.ndim - 1 - len(step))]
    return jax.lax.pad(x, jnp.asarray(False), pads)


TABLE = {boundary_f1.__name__: boundary_f1}
