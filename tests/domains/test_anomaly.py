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


def test_a_texture_task_learns_from_no_pixel_it_is_tested_on():
    """Patches overlap: the detector would have seen parts of the test examples."""
    random = np.random.RandomState(3)
    normal, strange = random.rand(24, 60), random.rand(24, 30)
    task = anomaly.texture_task(normal, strange)
    other = normal.copy()
    other[:, 40:] = random.rand(24, 20)  # the last third
    changed = anomaly.texture_task(other, strange)
    np.testing.assert_array_equal(changed.train, task.train)
    assert task.train.shape == (5 * 10, 144)  # rows 0, 3, ..., 12; columns 0, 3, ..., 27 of the first 40
    assert (~task.strange).sum() == 3 * 2 and task.strange.sum() == 3 * 4  # steps of 6
    assert not np.allclose(changed.test[:6], task.test[:6]) and np.allclose(changed.test[6:], task.test[6:])


def test_brightness_and_contrast_say_nothing_of_a_texture():
    """A dark picture would be distinguished from a bright one, which needs no detector."""
    random = np.random.RandomState(4)
    normal, strange = random.rand(24, 60), random.rand(24, 30)
    task, faint = anomaly.texture_task(normal, strange), anomaly.texture_task(0.3 * normal + 0.5, 0.6 * strange)
    np.testing.assert_allclose(faint.train, task.train, atol=1e-4)
    np.testing.assert_allclose(faint.test, task.test, atol=1e-4)
    assert np.isfinite(anomaly.texture_task(normal, np.full((24, 30), 0.5)).test).all()


def test_photographs_become_tasks_in_both_directions():
    """The script would run on digits alone, or ask one direction twice."""
    tasks = anomaly.tasks()
    assert list(tasks) == ["tissue", "digits", "foliage", "petals"]
    for name in ("foliage", "petals"):
        task = tasks[name]
        assert len(task.train) > 500 and task.strange.sum() > 50 and (~task.strange).sum() > 50, name
        assert np.isfinite(task.train).all() and task.train.shape[1:] == task.test.shape[1:] == (144,)
    near = {name: anomaly.roc_auc(anomaly.nearest(tasks[name].test, tasks[name].train), tasks[name].strange)
            for name in ("foliage", "petals")}  # fmt: skip
    # Smooth petals are nearer to foliage than other foliage is: one direction is easy, the other misleads distances.
    assert near["petals"] > 0.9 and near["foliage"] < 0.5, near
