"""The stored answers of a teacher in an augmented batch: kept, mixed with the labels, or moved with the picture."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepprinciples.domains import driving
from deepprinciples.parts import augment
from deepprinciples.types import Batch

KEY = jax.random.key(3, impl="threefry2x32")
RANDOM = np.random.default_rng(0)
CLASSES, NETWORKS = 3, 2
PICTURES = jnp.asarray(RANDOM.standard_normal((6, 8, 8, 1)), jnp.float32)
LABELS = jnp.array([0, 1, 2, 2, 1, 0])
ANSWERS = jnp.asarray(RANDOM.standard_normal((6, NETWORKS, CLASSES)), jnp.float32)
MAPS = jnp.asarray(RANDOM.standard_normal((6, NETWORKS, 8, 8, CLASSES)), jnp.float32)
MIXING = {"mixup", "cutmix"}
MOVING = {
    "affine": {"flip": 0.5, "rotate": 40.0, "shift": 0.2},
    "flip": {"probability": 0.5},
    "shift": {"strength": 0.3},
    "rotate": {"degrees": 40.0},
    "zoom": {"strength": 0.5},
    "shear": {"strength": 0.5},
    "rand_augment": {"strength": 1.0},
    "trivial_augment": {},
}


def made(name, **given):
    """Build a part; those that mix labels need to know how many classes there are."""
    return augment.TABLE[name](**({"outputs": CLASSES} if name in {*MIXING, "label_smoothing"} else {}), **given)


@pytest.mark.parametrize("name", sorted(set(augment.TABLE) - MIXING))
def test_a_part_that_mixes_nothing_keeps_the_answers(name: str) -> None:
    """Lost: distillation of augmented pictures, or answers of another example than the labels."""
    found = jax.jit(made(name).apply)(KEY, Batch(PICTURES, LABELS, ANSWERS))
    np.testing.assert_array_equal(found.teacher, ANSWERS)


@pytest.mark.parametrize("name", sorted(MIXING))
@pytest.mark.parametrize("answers", [ANSWERS, MAPS], ids=["classes", "maps"])
def test_answers_are_mixed_with_the_share_of_the_labels(name: str, answers: jax.Array) -> None:
    """Lost: a network is taught the answer to one of two mixed pictures, or another mixture than the labels say."""
    batch = Batch(PICTURES, jax.nn.one_hot(LABELS, CLASSES), answers)
    found = jax.jit(made(name, strength=1.0).apply)(jax.random.key(1), batch)
    share = float(found.targets[1, 1])  # example 1 is of class 1, the one before it of class 0
    assert 0.05 < share < 0.95
    expected = share * answers + (1 - share) * np.roll(answers, 1, axis=0)
    np.testing.assert_allclose(found.teacher, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(MIXING))
def test_without_a_teacher_there_is_none_afterwards(name: str) -> None:
    """Lost: mixup and cutmix without distillation."""
    assert made(name).apply(KEY, Batch(PICTURES, LABELS)).teacher is None


@pytest.mark.parametrize("name", sorted(MOVING))
def test_answers_for_each_pixel_move_with_the_picture(name: str) -> None:
    """Lost: a network that segments is taught where things were before the picture moved."""
    part = augment.TABLE[name](**MOVING[name])
    found = jax.jit(part.apply)(KEY, Batch(PICTURES, MAPS[:, 1], MAPS))
    assert not np.allclose(found.teacher, MAPS)
    np.testing.assert_allclose(found.teacher[:, 1], found.targets, rtol=1e-6)  # float targets are moved as pictures
    other = jax.jit(part.apply)(KEY, Batch(PICTURES, MAPS[:, 0], MAPS))
    np.testing.assert_allclose(found.teacher[:, 0], other.targets, rtol=1e-6)


def test_all_parts_that_move_pictures_are_tried() -> None:
    """Lost: a new part that moves the picture and leaves the answers where they were."""
    batch = Batch(PICTURES, MAPS[:, 0])
    moving = {name for name in set(augment.TABLE) - MIXING - {"label_smoothing"}
              if not np.array_equal(jax.jit(made(name).apply)(KEY, batch).targets, batch.targets)}  # fmt: skip
    assert moving - {"affine"} == set(MOVING) - {"affine"}  # affine by itself is switched off


def test_the_view_from_beside_the_lane_keeps_what_else_a_batch_holds() -> None:
    """Lost: a further field of a batch, in one augmentation of a domain."""
    shown = Batch(jnp.zeros((6, 32, 64, 1)), jnp.zeros((6, 1)), ANSWERS)
    np.testing.assert_array_equal(driving.shifted_view().apply(KEY, shown).teacher, ANSWERS)
