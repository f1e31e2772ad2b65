"""A label of -1 is no label: losses and metrics of classes leave such positions out of an example's mean."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from deepprinciples.parts import losses, metrics

CLASSES = 4
OUTPUTS = np.random.default_rng(0).normal(size=(3, 5, 6, CLASSES)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, CLASSES, (3, 5, 6)).astype(np.int32)
LABELS[:, ::2, 1:] = -1


def of_labels(table):
    """List the parts that take integer labels of any shape."""
    found = []
    for name, factory in table.items():
        given = {"counts": jnp.ones(CLASSES)} if "counts" in inspect.signature(factory).parameters else {}
        try:
            part = factory(**given)
            jax.eval_shape(part, OUTPUTS, np.abs(LABELS))
        except (TypeError, ValueError):
            continue
        found.append((name, part))
    return found


@pytest.mark.parametrize(("name", "part"), of_labels(losses.TABLE) + of_labels(metrics.TABLE))
def test_unlabeled_positions_do_not_count(name, part):
    """Lost: what is at the edge of a segmentation, or behind the end of a sentence, would be learned as a class."""
    found = part(jnp.asarray(OUTPUTS), jnp.asarray(LABELS))
    for row, labels, value in zip(OUTPUTS, LABELS, found, strict=True):
        kept = labels >= 0
        np.testing.assert_allclose(value, part(row[kept][None], labels[kept][None])[0], rtol=1e-5)
    slope = jax.grad(lambda outputs: jnp.sum(part(outputs, jnp.asarray(LABELS))))(jnp.asarray(OUTPUTS))
    assert not np.any(np.asarray(slope)[LABELS < 0])


def test_as_in_pytorch():
    found = losses.TABLE["softmax_cross_entropy"]()(jnp.asarray(OUTPUTS), jnp.asarray(LABELS))
    twin = torch.nn.CrossEntropyLoss(ignore_index=-1)
    rows = zip(torch.tensor(OUTPUTS).flatten(1, 2), torch.tensor(LABELS).flatten(1).long(), strict=True)
    np.testing.assert_allclose(found, [twin(*row) for row in rows], rtol=1e-6)


def test_at_least_the_usual_losses_are_covered():
    names = {name for name, _ in of_labels(losses.TABLE) + of_labels(metrics.TABLE)}
    assert {
        "softmax_cross_entropy",
        "focal",
        "one_hot_mse",
        "multiclass_hinge",
        "accuracy",
        "error_rate",
        "brier",
    } <= names
