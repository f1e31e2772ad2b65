"""Anomaly scores: the split shows nothing strange in training, areas and distances are those of theory."""

import numpy as np
import pytest

from deepprinciples.domains import anomaly
from deepprinciples.errors import DataError

X = np.random.RandomState(0).randn(60, 3) * [1, 5, 0] + [0, 2, 7]
STRANGE = np.arange(60) % 4 == 0


def test_nothing_strange_is_learned_from():
    """The detector would have seen what it is to find; scaling would use the test examples."""
    task = anomaly.task(X, STRANGE)
    assert len(task.train) + len(task.test) == 60 and task.strange.sum() == STRANGE.sum() == 15
    assert (~task.strange).sum() == 15
    np.testing.assert_allclose(task.train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(task.train.std(axis=0), [1, 1, 0], atol=1e-5)
    known = {tuple(row) for row in task.train.round(4)}
    assert not known & {tuple(row) for row in task.test.round(4)}
    assert not np.array_equal(anomaly.task(X, STRANGE, seed=1).train, task.train)


@pytest.mark.parametrize("strange", [np.zeros(60, bool), np.ones(60, bool)])
def test_a_task_needs_both_kinds(strange):
    """An area of nothing would be told."""
    with pytest.raises(DataError, match="expected some and not all"):
        anomaly.task(X, strange)


def test_areas_by_hand():
    """The verdict would rest on another number: 5 of 6 pairs in order, and ties half."""
    strange = np.array([False, False, True, True, True])
    assert anomaly.roc_auc(np.array([0.1, 0.5, 0.4, 0.6, 0.9]), strange) == pytest.approx(5 / 6)
    assert anomaly.roc_auc(np.array([1.0, 1.0, 1.0, 1.0, 1.0]), strange) == 0.5
    with pytest.raises(DataError, match="1 of 5 are not finite"):
        anomaly.roc_auc(np.array([0.1, np.nan, 0.4, 0.6, 0.9]), strange)


def test_the_nearest_reference_counts():
    """Distances would be to the wrong example: against all pairs."""
    random = np.random.RandomState(1)
    a, b = random.randn(7, 4), random.randn(11, 4)
    np.testing.assert_allclose(anomaly.nearest(a, b), np.linalg.norm(a[:, None] - b[None], axis=2).min(axis=1))


def test_a_far_point_is_isolated():
    """High scores would mean normal."""
    random = np.random.RandomState(2)
    scores = anomaly.isolation(random.randn(200, 2), np.array([[0.0, 0.0], [9.0, 9.0]]), seed=0)
    assert scores[1] > scores[0]
