"""Regularizers against hand-worked penalties and the distributions of their papers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import stats

from deepprinciples.parts import augment, losses, regularizers
from deepprinciples.types import Batch

KEY = jax.random.key(1, impl="threefry2x32")
PARAMS = {"layer": {"kernel": jnp.array([[1.0, -2.0], [3.0, 0.0]]), "bias": jnp.array([10.0])}}


def test_penalties_by_hand() -> None:
    """Lost: the meaning of `strength`, and that biases are left alone."""
    assert float(regularizers.l1(strength=0.5)(PARAMS)) == 3.0
    assert float(regularizers.l1(strength=0.5, biases=True)(PARAMS)) == 8.0
    assert float(regularizers.l2(strength=0.5)(PARAMS)) == 3.5
    assert float(regularizers.elastic_net(strength=0.5, l1_share=0.25)(PARAMS)) == pytest.approx(0.25 * 3 + 0.75 * 3.5)
    # W^T W - I = [[9, -2], [-2, 3]]: squares 81 + 4 + 4 + 9
    assert float(regularizers.orthogonality(strength=2.0)(PARAMS)) == pytest.approx(98.0)


def test_gradient_of_l2_is_strength_times_weight() -> None:
    """Lost: l2 and weight_decay of the same strength differ by a factor of two."""
    grads = jax.grad(regularizers.l2(strength=0.3))(PARAMS)
    np.testing.assert_allclose(grads["layer"]["kernel"], 0.3 * PARAMS["layer"]["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(grads["layer"]["bias"], [0.0])


def test_group_lasso_by_hand() -> None:
    """Lost: which weights are a unit, the root of their number, and a gradient where a unit is already silent."""
    params = {"w": jnp.array([[3.0, 0.0], [4.0, 0.0], [0.0, 0.0]]), "b": jnp.array([7.0])}
    assert float(regularizers.group_lasso(strength=0.5)(params)) == pytest.approx(0.5 * 3**0.5 * 5.0)
    assert float(regularizers.group_lasso(strength=0.5, groups="inputs")(params)) == pytest.approx(0.5 * 2**0.5 * 7.0)
    grads = jax.grad(regularizers.group_lasso(strength=1.0))(params)
    np.testing.assert_allclose(grads["w"], 3**0.5 * np.array([[0.6, 0.0], [0.8, 0.0], [0.0, 0.0]]), rtol=1e-6)
    conv = {"w": jax.random.normal(KEY, (3, 3, 2, 4))}
    for groups, axes, count in (("outputs", (0, 1, 2), 18), ("inputs", (0, 1, 3), 36)):
        expected = count**0.5 * np.sum(np.sqrt(np.sum(np.square(conv["w"]), axis=axes)))
        found = regularizers.group_lasso(strength=1.0, groups=groups)(conv)
        assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (3, 2, 4)])
def test_spectral_penalty_is_numpys_largest_singular_value(shape: tuple[int, ...]) -> None:
    """Lost: the penalty, and its gradient s u v^T."""
    w = jax.random.normal(KEY, shape)
    u, s, v = np.linalg.svd(np.asarray(w, np.float64).reshape(-1, shape[-1]), full_matrices=False)
    penalty = regularizers.spectral(strength=0.6)
    assert float(penalty({"w": w, "b": jnp.ones(9)})) == pytest.approx(0.3 * s[0] ** 2, rel=1e-5)
    expected = 0.6 * s[0] * np.outer(u[:, 0], v[0]).reshape(shape)
    np.testing.assert_allclose(jax.grad(penalty)({"w": w})["w"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("w", [np.eye(4), np.zeros((4, 3))])
def test_spectral_penalty_of_equal_singular_values(w: np.ndarray) -> None:
    """Lost: NaN at orthogonal and at zero kernels, where the largest singular value is no single one."""
    grads = jax.grad(regularizers.spectral(strength=1.0))({"w": jnp.asarray(w, jnp.float32)})["w"]
    assert np.isfinite(grads).all()


def test_cutmix_shares_labels_by_area() -> None:
    """Lost: labels that do not say how much of each image is there; boxes of another size than Beta asks for."""
    x = jnp.stack([jnp.zeros((9, 7, 2)), jnp.ones((9, 7, 2))])
    part = augment.cutmix(strength=1.0, outputs=2)
    out = jax.jit(jax.vmap(lambda key: part.apply(key, Batch(x, jnp.array([0, 1])))))(jax.random.split(KEY, 3000))
    ones = np.mean(out.inputs, axis=(2, 3, 4))  # [3000, 2]
    np.testing.assert_allclose(out.targets[..., 1], ones, atol=1e-6)
    np.testing.assert_allclose(ones.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(out.inputs[:, 0], 1 - out.inputs[:, 1])
    boxes = np.asarray(out.inputs[:, 0, :, :, 0]) == 1
    rows, columns = boxes.any(axis=2).sum(axis=1), boxes.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(rows * columns, boxes.sum(axis=(1, 2)))  # a box has no holes
    # Of a side s, cut off at the border, s - s^2 / 4 is left on average; s = sqrt(1 - m), m ~ U(0, 1): 2/3 - 1/8.
    np.testing.assert_allclose([rows.mean() / 9, columns.mean() / 7], 2 / 3 - 1 / 8, atol=0.02)


def test_cutmix_pastes_label_maps() -> None:
    """Lost: every position learns the labels of two pictures, shared by area, though it shows one of them."""
    labels = jnp.asarray(np.random.default_rng(0).integers(-1, 3, (4, 6, 5)), jnp.int32)
    answers = jax.nn.one_hot(labels, 3) * 7.0
    batch = Batch(labels[..., None].astype(jnp.float32), labels, teacher=answers)
    out = augment.cutmix(strength=1.0, outputs=3).apply(KEY, batch)
    assert (np.asarray(out.inputs) != np.asarray(batch.inputs)).any()
    np.testing.assert_array_equal(out.targets, out.inputs[..., 0])
    np.testing.assert_array_equal(out.teacher, jax.nn.one_hot(out.targets, 3) * 7.0)


@pytest.mark.parametrize("name", ["label_smoothing", "mixup"])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "dice", "tversky", "poly_loss", "generalized_cross_entropy"])
def test_positions_without_a_label_stay_without(name: str, loss: str) -> None:
    """Lost: switched off, a part counts void pixels and padding in the mean, and on, it teaches them all classes."""
    rng = np.random.default_rng(0)
    labels = jnp.asarray(rng.integers(-1, 3, (4, 6)), jnp.int32)
    outputs = jnp.asarray(rng.normal(size=(4, 6, 3)), jnp.float32)
    formula = losses.TABLE[loss]()
    part = augment.TABLE[name](strength=0.0, outputs=3)
    targets = part.apply(KEY, Batch(outputs, labels)).targets
    value = lambda targets: jax.value_and_grad(lambda out: jnp.sum(formula(out, targets)))(outputs)
    for found, expected in zip(value(targets), value(labels), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_smoothed_labels_with_void_as_in_torch() -> None:
    """Lost: void positions are taught to be every class alike."""
    rng = np.random.default_rng(0)
    labels, outputs = rng.integers(-1, 3, (1, 40)), rng.normal(size=(1, 40, 3)).astype(np.float32)
    batch = augment.label_smoothing(strength=0.3, outputs=3).apply(KEY, Batch(outputs, jnp.asarray(labels, jnp.int32)))
    twin = torch.nn.CrossEntropyLoss(ignore_index=-1, label_smoothing=0.3)
    expected = twin(torch.tensor(outputs[0]), torch.tensor(labels[0]))
    found = losses.softmax_cross_entropy()(jnp.asarray(outputs), batch.targets)
    np.testing.assert_allclose(found[0], float(expected), rtol=1e-6)


def test_cutmix_of_sequences_and_vectors() -> None:
    """Lost: a stretch of time for sequences; a refusal in words for vectors."""
    part = augment.cutmix(strength=1.0, outputs=1)
    x = jnp.stack([jnp.zeros((50, 1)), jnp.ones((50, 1))])
    out = part.apply(KEY, Batch(x, jnp.array([[0.0], [1.0]])))
    np.testing.assert_allclose(out.targets[:, 0], jnp.mean(out.inputs, axis=(1, 2)), atol=1e-6)
    assert np.count_nonzero(np.diff(out.inputs[0, :, 0])) <= 2
    with pytest.raises(ValueError, match=r"cutmix: inputs \[2, 3\] have no box to cut"):
        part.apply(KEY, Batch(jnp.zeros((2, 3)), jnp.zeros((2, 1))))


@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12)])
def test_orthogonal_kernels_cost_nothing(shape: tuple[int, int]) -> None:
    """Lost: the penalty pulls away from the matrices it should pull to."""
    w = jax.nn.initializers.orthogonal()(KEY, shape, jnp.float32)
    assert float(regularizers.orthogonality(strength=1.0)({"w": w})) < 1e-9


def test_label_smoothing_by_hand() -> None:
    """Lost: smoothed rows that do not sum to one."""
    batch = Batch(jnp.zeros((2, 1)), jnp.array([1, 0]))
    rows = augment.label_smoothing(strength=0.3, outputs=3).apply(KEY, batch).targets
    np.testing.assert_allclose(rows, [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]], rtol=1e-6)


@pytest.mark.parametrize("strength", [0.2, 1.0, 4.0])
def test_mixup_draws_its_share_from_beta(strength: float) -> None:
    """Lost: mixup mixes by another distribution than Beta(strength, strength)."""
    mixup = augment.mixup(strength=strength, outputs=2)
    batch = Batch(jnp.array([[1.0], [0.0]]), jnp.array([1, 0]))

    @jax.jit
    @jax.vmap
    def draw(key):
        out = mixup.apply(key, batch)
        return out.inputs[0, 0], out.targets[0, 1], jnp.sum(out.targets)

    share, label, total = draw(jax.random.split(KEY, 4000))
    assert stats.kstest(np.asarray(share, np.float64), stats.beta(strength, strength).cdf).pvalue > 1e-3
    np.testing.assert_allclose(label, share, atol=1e-6)
    np.testing.assert_allclose(total, 2.0, rtol=1e-5)


def test_mixup_of_real_targets() -> None:
    """Lost: mixup for regression, input and target on the same line."""
    x = jnp.array([[0.0], [1.0], [5.0]])
    out = augment.mixup(strength=1.0, outputs=1).apply(KEY, Batch(x, 3.0 * x))
    np.testing.assert_allclose(out.targets, 3.0 * out.inputs, rtol=1e-5)


def test_input_dropout_keeps_the_mean() -> None:
    """Lost: inverted scaling; features are dropped at another rate than asked."""
    out = augment.dropout(rate=0.3).apply(KEY, Batch(jnp.ones((200, 100)), None)).inputs
    np.testing.assert_allclose(np.mean(out == 0), 0.3, atol=0.01)
    np.testing.assert_allclose(np.unique(out), [0.0, 1 / 0.7], rtol=1e-6)


def test_input_noise_has_its_strength() -> None:
    """Lost: noise of another size, or the same in all lanes."""
    draw = lambda key: augment.input_noise(strength=0.5).apply(key, Batch(jnp.zeros((50, 40)), None)).inputs
    first, second = jax.vmap(draw)(jax.random.split(KEY, 2))
    np.testing.assert_allclose(np.std(first), 0.5, rtol=0.05)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "dropout", "input_noise"])
def test_tokens_are_refused_in_words(name: str) -> None:
    """Lost: token ids multiplied by numbers, silently."""
    part = augment.TABLE[name](**({"outputs": 2} if "mix" in name else {}))
    with pytest.raises(ValueError, match=f"{name}: inputs are int32 .* remove augment.{name}"):
        part.apply(KEY, Batch(jnp.zeros((2, 3), jnp.int32), jnp.array([0, 1])))
