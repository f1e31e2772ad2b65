"""The F1 of edges against a twin in scipy.ndimage and by hand."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from deepprinciples.domains.registry import TABLES
from deepprinciples.parts.metrics.boundary_metrics import boundary_f1

CROSS = ndimage.generate_binary_structure(2, 1)


def value(outputs: np.ndarray, labels: np.ndarray, tolerance: int) -> tuple[float, np.ndarray]:
    """Compute the metric of a split, and the values of its classes."""
    metric = boundary_f1(tolerance=tolerance)
    assert metric.reduce == "sum" and metric.per_class is not None
    rows = jax.jit(metric.statistics)(jnp.asarray(outputs), jnp.asarray(labels))
    sums, count = {name: jnp.sum(each, axis=0) for name, each in rows.items()}, jnp.asarray(float(len(labels)))
    return float(metric.compute(sums, count)), np.asarray(metric.per_class(sums, count))


def twin(answers: np.ndarray, labels: np.ndarray, classes: int, tolerance: float) -> np.ndarray:
    """Compute the values of the classes by distance transforms, one picture and one class at a time."""
    values = []
    for c in range(classes):
        sums = np.zeros(4)
        for guess, label in zip(np.where(labels < 0, -1, answers), labels, strict=True):
            edges = [(m == c) & ndimage.binary_dilation((m >= 0) & (m != c), CROSS) for m in (guess, label)]
            away = [ndimage.distance_transform_edt(~e) if e.any() else np.full(e.shape, np.inf) for e in edges]
            found, meant = edges
            sums += [found.sum(), (found & (away[1] <= tolerance)).sum(), meant.sum(),
                     (meant & (away[0] <= tolerance)).sum()]  # fmt: skip
        precision, recall = sums[1] / max(sums[0], 1), sums[3] / max(sums[2], 1)
        none = sums[0] + sums[2] == 0
        both = precision + recall
        values.append(np.nan if none else 2 * precision * recall / both if both else 0.0)
    return np.array(values)


def blobs(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draw maps of three classes with smooth edges: ground, discs and their rims."""
    fields = ndimage.gaussian_filter(rng.normal(size=(count, size, size)), (0, 2, 2))
    return np.digitize(fields / fields.std(), [0.2, 0.8]).astype(np.int32)


@pytest.mark.parametrize("tolerance", [0, 1, 2, 3])
def test_edges_are_those_of_distance_transforms(tolerance: int) -> None:
    """Lost: a tolerance that is one pixel off, or squares in place of circles."""
    rng = np.random.default_rng(tolerance)
    labels = blobs(rng, 5, 16)
    answers = np.where(rng.random(labels.shape) < 0.1, rng.integers(0, 3, labels.shape), np.roll(labels, 1, axis=2))
    labels[rng.random(labels.shape) < 0.1] = -1
    labels[4] = -1  # of one picture nothing is known
    expected = twin(answers, labels, 3, tolerance)
    mean, each = value(np.eye(3, dtype=np.float32)[answers], labels, tolerance)
    np.testing.assert_allclose(each, expected, rtol=1e-6)
    assert mean == pytest.approx(np.nanmean(expected)) and 0.05 < mean < 1


def test_a_square_by_hand() -> None:
    """Lost: what an edge is. A square of 4 x 4 is answered one pixel to the right of where it lies."""
    labels = np.zeros((1, 10, 10), np.int32)
    labels[0, 3:7, 3:7] = 1
    answers = np.roll(labels, 1, axis=2)
    odds = (2.0 * answers - 1).astype(np.float32)
    # Of the 12 pixels around a square, the 3 + 3 above and below that both have, and no other.
    assert value(odds, labels, 0)[1][1] == pytest.approx(6 / 12)
    assert value(odds, labels, 1)[0] == 1.0 == value(odds, answers, 0)[0]
    assert value(odds[..., None], labels, 0)[1][1] == pytest.approx(6 / 12)
    assert value(-odds, np.zeros_like(labels), 1)[0] == 0.0  # edges where there are none
    assert np.isnan(value(-np.ones_like(odds), np.zeros_like(labels), 1)[0])


def test_signals_have_edges_too() -> None:
    """Lost: the same for events in time."""
    labels = np.array([[0, 0, 0, 1, 1, 1, 0, 0]])
    answers = np.array([[0, 0, 0, 0, 0, 1, 0, 0]])
    outputs = np.eye(2, dtype=np.float32)[answers]
    np.testing.assert_allclose(value(outputs, labels, 0)[1], [1 / 2, 2 / 3])  # of {2, 6} 6; of {3, 5} 5, and only 5


def test_an_output_that_holds_nan_is_no_edge_of_its_label() -> None:
    """Lost: a broken model has edges in the right places."""
    labels = np.zeros((2, 8, 8), np.int32)
    labels[:, 2:5, 2:5] = 1
    outputs = np.eye(2, dtype=np.float32)[labels]
    outputs[labels == 1, 0] = np.nan
    assert value(outputs, labels, 0)[0] == 0.0


def test_no_positions_are_refused() -> None:
    """Lost: examples of a table are taken for pixels of one picture."""
    with pytest.raises(ValueError, match=r"boundary_f1: found outputs float32\[4, 3\]; expected positions"):
        boundary_f1().statistics(jnp.zeros((4, 3)), jnp.zeros(4, jnp.int32))
    with pytest.raises(ValueError, match="boundary_f1: outputs .* do not pair"):
        boundary_f1().statistics(jnp.zeros((4, 6, 6, 3)), jnp.zeros((4, 6, 5), jnp.int32))


def test_the_card() -> None:
    """Lost: a metric that no config can name."""
    assert TABLES["metric"]["boundary_f1"] is boundary_f1 and boundary_f1.direction == "max"
    assert (boundary_f1.worst, boundary_f1.best) == (0.0, 1.0)
    card = inspect.cleandoc(boundary_f1.__doc__ or "")
    assert "\n  tolerance: " in card and "Returns: Metric" in card and "References: " in card
