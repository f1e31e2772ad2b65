"""Losses of segmentation against numpy and PyTorch twins over maps, with positions that have no label."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import special

from deepprinciples.parts import losses

RNG = np.random.default_rng(8)
X = RNG.normal(size=(3, 5, 4, 3)).astype(np.float32) * 2
Y = RNG.integers(-1, 3, (3, 5, 4)).astype(np.int32)
Y[1][Y[1] == 2] = 0  # an example that lacks a class


def overlap(alpha: float, beta: float, smooth: float) -> list[float]:
    """Compute the mean over classes of each example's Tversky index, one position at a time."""
    found = []
    for x, y in zip(X, Y, strict=True):
        q, labels = special.softmax(x[y >= 0].astype(np.float64), axis=-1), y[y >= 0]
        values = []
        for c in range(3):
            right = sum(q[m, c] for m in range(len(labels)) if labels[m] == c) + smooth
            false = sum(q[m, c] for m in range(len(labels)) if labels[m] != c)
            lost = sum(1 - q[m, c] for m in range(len(labels)) if labels[m] == c)
            values.append(right / (right + alpha * false + beta * lost))
        found.append(np.mean(values))
    return found


def of(name: str, **hypers: float) -> np.ndarray:
    return np.asarray(losses.TABLE[name](**hypers)(jnp.asarray(X), jnp.asarray(Y)))


def test_overlaps_counted_one_position_at_a_time() -> None:
    """Lost: the Dice and Tversky losses of the papers, or the rule that -1 is no label."""
    np.testing.assert_allclose(of("dice", smooth=0.2), 1 - np.array(overlap(0.5, 0.5, 0.2)), rtol=1e-5)
    np.testing.assert_allclose(of("tversky", alpha=0.1, beta=0.8), 1 - np.array(overlap(0.1, 0.8, 0.5)), rtol=1e-5)
    np.testing.assert_allclose(of("tversky", alpha=0.5, beta=0.5), of("dice"), rtol=1e-6)


def test_dice_by_hand() -> None:
    """Lost: which of its two ends is the cross-entropy. Four pixels, sure and right but for one."""
    outputs = 50.0 * jax.nn.one_hot(jnp.array([[0, 0, 0, 1]]), 2)
    labels = jnp.array([[0, 0, 1, 1]])
    # Class 0: TP 2, FP 1; class 1: TP 1, FN 1. With 0.5 beforehand: 5 / 6 and 3 / 4.
    np.testing.assert_allclose(losses.dice()(outputs, labels), [1 - (5 / 6 + 3 / 4) / 2], rtol=1e-5)
    np.testing.assert_allclose(losses.dice(share=0.0)(outputs, labels), [50 / 4], rtol=1e-5)


def test_no_share_of_dice_is_the_cross_entropy_and_shares_are_lanes() -> None:
    """Lost: mixes share no program, or the arm at 0.0 is not the plain one."""
    np.testing.assert_array_equal(of("dice", share=0.0), of("softmax_cross_entropy"))
    shares = jnp.array([0.0, 0.3, 1.0])
    lanes = jax.vmap(lambda s: losses.dice(share=s)(jnp.asarray(X), jnp.asarray(Y)))(shares)
    np.testing.assert_allclose(lanes, [of("dice", share=float(s)) for s in shares], rtol=1e-5)


def test_an_example_without_labels_costs_nothing() -> None:
    """Lost: an unlabeled patch moves the weights, or makes them NaN."""
    nothing = jnp.full((2, 4), -1)
    for name in ("dice", "tversky"):
        value, slope = jax.value_and_grad(lambda x, n=name: jnp.sum(losses.TABLE[n]()(x, nothing)))(jnp.ones((2, 4, 3)))
        assert value == 0 and not np.any(np.asarray(slope))


def test_weights_of_classes_are_pytorchs() -> None:
    """Lost: class weights that are not what everybody means, on maps too."""
    priors = np.array([0.7, 0.2, 0.1])
    kept = Y >= 0
    weights = torch.tensor(1 / priors / 3, dtype=torch.float32)
    rows = torch.nn.functional.cross_entropy(
        torch.tensor(X[kept]), torch.tensor(Y[kept]).long(), weight=weights, reduction="none"
    ).numpy()
    values = np.zeros(Y.shape, np.float32)
    values[kept] = rows
    expected = [v[k].mean() for v, k in zip(values, kept, strict=True)]
    np.testing.assert_allclose(of("weighted_cross_entropy", priors=(7.0, 2.0, 1.0)), expected, rtol=1e-5)
    half = of("weighted_cross_entropy", priors=(7.0, 2.0, 1.0), strength=0.0)
    np.testing.assert_allclose(half, of("softmax_cross_entropy"), rtol=1e-6)


@pytest.mark.parametrize("name", ["dice", "tversky", "weighted_cross_entropy"])
def test_wrong_pairs_are_one_line(name: str) -> None:
    """Lost: a mask of another size is broadcast, or the error is one of shapes."""
    with pytest.raises(ValueError, match=rf"{name}: outputs float32\[2, 4, 4, 3\] and targets int32\[2, 8, 8\] do not"):
        losses.TABLE[name]()(jnp.zeros((2, 4, 4, 3)), jnp.zeros((2, 8, 8), jnp.int32))
