"""Mean average precision on the device against a plain NumPy twin, on random and on degenerate scenes."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.domains.detection.average_precision import mean_average_precision, precision_area
from deepprinciples.domains.detection.boxes import decode

KINDS, SIDE = 3, 4


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return shared / union if union > 0 else 0.0


def detections(odds, boxes, count, overlap):
    """Suppress class by class over all (location, class) in the order of their scores; the `count` surest that stay."""
    odds, boxes = odds.reshape(-1, odds.shape[-1]), boxes.reshape(-1, 4)
    scores = 1 / (1 + np.exp(-odds.astype(np.float32)))
    order = sorted(
        ((place, kind) for place in range(len(odds)) for kind in range(odds.shape[-1])), key=lambda one: -scores[one]
    )
    kept = []
    for place, kind in order:
        if not np.isfinite(scores[place, kind]) or np.isnan(boxes[place]).any():
            continue
        if all(other != kind or iou(boxes[place], boxes[at]) <= overlap for at, other in kept):
            kept.append((place, kind))
    return [(scores[one], one[1], boxes[one[0]]) for one in kept[:count]]


def _examples(outputs, targets):
    return zip(outputs["classes"], outputs["boxes"], targets["boxes"], targets["classes"], strict=True)


def twin(outputs, targets, threshold, count=16, overlap=0.5):
    """Compute the average precision of each class, one detection and one threshold after the other."""
    kinds = outputs["classes"].shape[-1]
    rows = {kind: [] for kind in range(kinds)}  # (score, hit)
    for odds, boxes, true, labels in _examples(outputs, targets):
        free = set(np.flatnonzero(labels >= 0))
        for score, kind, box in detections(odds, boxes, count, overlap):
            fitting = [(iou(box, true[n]), -n) for n in free if labels[n] == kind]
            best, number = max(fitting, default=(-1.0, 0))
            if best >= threshold:
                free.remove(-number)
            rows[kind].append((score, best >= threshold))
    found = []
    for kind in range(kinds):
        objects = int((targets["classes"] == kind).sum())
        if not objects:
            found.append(np.nan)
            continue
        curve = []  # (recall, precision) at every score, from the largest on
        for score in sorted({score for score, _ in rows[kind]}, reverse=True):
            taken = [hit for other, hit in rows[kind] if other >= score]
            curve.append((sum(taken) / objects, sum(taken) / len(taken)))
        area = before = 0.0
        for number, (recall, _) in enumerate(curve):
            area += (recall - before) * max(precision for _, precision in curve[number:])
            before = recall
        found.append(area)
    return np.array(found)


def scenes(seed=0, count=6, objects=4, none=0.3, like=0.6):
    """Draw random scenes, and outputs of which a share `like` has boxes near the true ones."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 10, (count, objects, 2))
    true = np.concatenate([low, low + rng.uniform(3, 8, (count, objects, 2))], axis=-1).astype(np.float32)
    labels = np.where(rng.random((count, objects)) < none, -1, rng.integers(0, KINDS, (count, objects)))
    picked = true[np.arange(count)[:, None, None], rng.integers(0, objects, (count, SIDE, SIDE))]
    near = picked + rng.normal(0, 0.6, picked.shape)
    low = rng.uniform(0, 10, (count, SIDE, SIDE, 2))
    far = np.concatenate([low, low + rng.uniform(3, 8, low.shape)], axis=-1)
    boxes = np.where(rng.random((count, SIDE, SIDE, 1)) < like, near, far).astype(np.float32)
    odds = rng.normal(0, 2, (count, SIDE, SIDE, KINDS)).astype(np.float32)
    return {"boxes": boxes, "classes": odds}, {"boxes": true, "classes": labels.astype(np.int32)}


@functools.cache
def compiled(threshold: float):
    part = mean_average_precision(threshold=threshold)

    @jax.jit
    def both(outputs, targets, weights):
        rows = part.statistics(outputs, targets)
        return part.compute(rows, weights), part.per_class(rows, weights)

    return both


def ours(outputs, targets, threshold, weights=None):
    weights = np.ones(len(targets["classes"])) if weights is None else weights
    return (np.asarray(one) for one in compiled(threshold)(outputs, targets, weights))


@pytest.mark.parametrize("threshold", [0.5, 0.75])
@pytest.mark.parametrize("seed", range(4))
def test_random_scenes_score_as_the_twin_says(seed: int, threshold: float) -> None:
    """Lost: the number that the verdict rests on."""
    outputs, targets = scenes(seed)
    mean, each = ours(outputs, targets, threshold)
    expected = twin(outputs, targets, threshold)
    np.testing.assert_allclose(each, expected, atol=1e-6)
    assert float(mean) == pytest.approx(np.nanmean(expected), abs=1e-6)
    assert threshold == 0.75 or 0.05 < mean < 0.95  # neither end: the twin has something to say


def test_the_order_of_the_scenes_and_padding_do_not_matter() -> None:
    """Lost: a score that depends on how examples were batched, also where scores are tied."""
    outputs, targets = scenes(7)
    outputs["classes"] = np.round(outputs["classes"])  # many ties
    expected = twin(outputs, targets, 0.5)
    for order in (np.arange(6), np.arange(6)[::-1]):
        shuffled = jax.tree.map(lambda leaf, order=order: leaf[order], (outputs, targets))
        np.testing.assert_allclose(list(ours(*shuffled, 0.5))[1], expected, atol=1e-6)
    padded = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf[:2]]), (outputs, targets))
    found = list(ours(*padded, 0.5, np.array([1.0] * 6 + [0.0] * 2)))[1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_degenerate_scenes() -> None:
    """Lost: 0 / 0 in the middle of a study; an empty scene, a class that is not there, outputs that diverged."""
    outputs, targets = scenes(3)
    empty = {**targets, "classes": np.where(np.arange(6)[:, None] < 3, -1, targets["classes"]).astype(np.int32)}
    np.testing.assert_allclose(list(ours(outputs, empty, 0.5))[1], twin(outputs, empty, 0.5), atol=1e-6)

    one = {**targets, "classes": np.minimum(targets["classes"], 0)}  # classes 1 and 2 are nowhere
    mean, each = ours(outputs, one, 0.5)
    assert np.isnan(each[1:]).all() and float(mean) == pytest.approx(float(each[0]))
    nothing = {**targets, "classes": np.full((6, 4), -1, np.int32)}
    assert np.isnan(list(ours(outputs, nothing, 0.5))[0])

    lost = {**outputs, "classes": np.full_like(outputs["classes"], np.nan)}
    assert float(list(ours(lost, targets, 0.5))[0]) == 0.0  # no predictions
    some = {**outputs, "boxes": np.where(np.arange(6).reshape(6, 1, 1, 1) == 0, np.nan, outputs["boxes"])}
    np.testing.assert_allclose(list(ours(some, targets, 0.5))[1], twin(some, targets, 0.5), atol=1e-6)

    points = {**outputs, "boxes": np.zeros_like(outputs["boxes"])}  # no area, all in one place
    np.testing.assert_allclose(list(ours(points, targets, 0.5))[1], twin(points, targets, 0.5), atol=1e-6)


def test_perfect_answers_score_one_and_doubles_cost() -> None:
    """Lost: the ends of the scale, and that an object is found once."""
    true = np.array([[[0, 0, 4, 4], [8, 8, 14, 14]]], np.float32)
    labels = np.array([[1, 2]], np.int32)
    boxes, odds = np.zeros((1, SIDE, SIDE, 4), np.float32), np.full((1, SIDE, SIDE, KINDS), -9.0, np.float32)
    boxes[0, 0, :2] = true[0]
    odds[0, 0, 0, 1] = odds[0, 0, 1, 2] = 5.0
    targets = {"boxes": true, "classes": labels}
    assert float(list(ours({"boxes": boxes, "classes": odds}, targets, 0.75))[0]) == 1.0
    boxes[0, 1, 0], odds[0, 1, 0, 1] = [0, 0, 4, 1.9], 6.0  # surer, on the same object, and too small to be suppressed
    each = list(ours({"boxes": boxes, "classes": odds}, targets, 0.5))[1]
    np.testing.assert_allclose(each[1:], [0.5, 1.0])


def test_the_area_by_hand() -> None:
    """Lost: the envelope. Hits 1, 0, 1 of 3 objects: precision 1, 1/2, 2/3, so 1/3 + 1/3 * 2/3."""
    scores, hits = jnp.array([0.9, 0.8, 0.7, 0.99]), jnp.array([True, False, True, True])
    kept = jnp.array([True, True, True, False])
    assert float(precision_area(scores, hits, kept, jnp.float32(3))) == pytest.approx(1 / 3 + 2 / 9)
    tied = jnp.array([0.9, 0.7, 0.7, 0.99])  # the last two enter together
    assert float(precision_area(tied, hits, kept, jnp.float32(3))) == pytest.approx(1 / 3 + 2 / 9)
    assert float(precision_area(jnp.full(4, 0.7), hits, kept, jnp.float32(3))) == pytest.approx(2 / 3 * 2 / 3)
    assert np.isnan(precision_area(scores, hits, kept, jnp.float32(0)))
    assert float(precision_area(scores, hits, kept & False, jnp.float32(3))) == 0.0


def test_detections_are_those_of_the_twin() -> None:
    """Lost: what `decode` gives a script, suppression class by class included."""
    outputs, _ = scenes(11, count=3)
    found = jax.jit(functools.partial(decode, count=7, overlap=0.3))(outputs)
    for number in range(3):
        expected = detections(outputs["classes"][number], outputs["boxes"][number], 7, 0.3)
        assert found.classes[number].tolist() == [kind for _, kind, _ in expected]
        np.testing.assert_allclose(found.scores[number], [score for score, _, _ in expected], rtol=1e-5)
        np.testing.assert_allclose(found.boxes[number], np.stack([box for _, _, box in expected]), rtol=1e-6)
    few = decode(jax.tree.map(lambda leaf: leaf[:, :1, :1], outputs), count=5)
    assert few.classes[0, KINDS:].tolist() == [-1, -1] and few.scores[0, KINDS:].tolist() == [0.0, 0.0]
