"""Augmentation of pictures against SciPy on the same matrices, boxes by hand, and draws against their distributions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import deepprinciples as dp
from deepprinciples.kernels import warp
from deepprinciples.kernels.warp import Warp
from deepprinciples.parts import augment
from deepprinciples.parts.augment import geometric, photometric
from deepprinciples.types import Batch

KEY = jax.random.key(3, impl="threefry2x32")
RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.standard_normal((6, 9, 12, 3)).astype(np.float32)
MASKS = RANDOM.integers(-1, 4, (6, 9, 12)).astype(np.int32)
PICTURE_PARTS = [name for name in augment.TABLE if name not in ("label_smoothing", "mixup", "dropout", "input_noise")]


def still(count: int) -> Warp:
    return Warp(jnp.broadcast_to(jnp.eye(2), (count, 2, 2)), jnp.zeros((count, 2)))


def test_a_warp_is_that_of_scipy() -> None:
    """Lost: pictures are moved by another matrix than masks and boxes, or read at the wrong places."""
    matrix = (np.eye(2) + 0.5 * RANDOM.standard_normal((6, 2, 2))).astype(np.float32)
    shift = RANDOM.uniform(-3, 3, (6, 2)).astype(np.float32)
    where = Warp(jnp.asarray(matrix), jnp.asarray(shift))
    pictures, masks = jax.jit(lambda x, y: (warp.bilinear(x, where), warp.nearest(y, where)))(PICTURES, MASKS)
    middle = np.array([4.0, 5.5])
    for i in range(6):
        back = np.linalg.inv(matrix[i].astype(np.float64))
        given = {"matrix": back, "offset": middle - back @ (middle + shift[i])}
        for channel in range(3):
            picture = PICTURES[i, :, :, channel].astype(np.float64)
            expected = ndimage.affine_transform(picture, **given, order=1, mode="nearest")
            np.testing.assert_allclose(pictures[i, :, :, channel], expected, atol=1e-5)
        expected = ndimage.affine_transform(MASKS[i], **given, order=0, mode="grid-constant", cval=-1)
        np.testing.assert_array_equal(masks[i], expected)


def test_boxes_by_hand() -> None:
    """Lost: boxes that no longer lie around what they are drawn around, or that stay where nothing is left."""
    corners = jnp.array([[1.0, 2.0, 3.0, 5.0], [6.0, 8.0, 8.0, 10.0], [7.0, 7.0, 7.0, 7.0]])[None]  # of 8 x 10 pixels
    classes = jnp.array([[2, 0, -1]])
    mirror = Warp(jnp.array([[[1.0, 0.0], [0.0, -1.0]]]), jnp.zeros((1, 2)))
    found, kept = warp.boxes(corners, classes, mirror, 8, 10)
    np.testing.assert_array_equal(found[0], [[1, 5, 3, 8], [6, 0, 8, 2], [7, 7, 7, 7]])
    np.testing.assert_array_equal(kept, classes)
    quarter = geometric.warp_of(*(jnp.array([v]) for v in (jnp.pi / 2, 1.0, 0.0)), jnp.ones((1, 2)), jnp.zeros((1, 2)))
    found, kept = warp.boxes(corners, classes, quarter, 8, 10)  # counterclockwise: (y, x) -> (4 - (x - 5), 5 + (y - 4))
    np.testing.assert_allclose(found[0, 0], [4, 2, 7, 4], atol=1e-5)
    np.testing.assert_allclose(found[0, 1], [0, 7, 1, 9], atol=1e-5)  # cut off at the border, its middle is on it
    away = still(1)._replace(shift=jnp.array([[2.0, 0.0]]))
    found, kept = warp.boxes(corners, classes, away, 8, 10)
    np.testing.assert_array_equal(kept, [[2, -1, -1]])
    np.testing.assert_array_equal(found[0, 0], [3, 2, 5, 5])


def test_pictures_masks_and_boxes_move_together() -> None:
    """Lost: a network learns outlines and boxes that lie beside the thing."""
    picture = np.zeros((64, 24, 30, 1), np.float32)
    picture[:, 8:14, 10:20] = 1.0
    box = np.tile(np.array([[[8.0, 10.0, 14.0, 20.0]]], np.float32), (64, 1, 1))
    targets = {
        "mask": (picture[..., 0]).astype(np.int32),
        "boxes": jnp.asarray(box),
        "classes": jnp.zeros((64, 1), int),
    }
    part = augment.affine(flip=0.5, flip_rows=0.5, shift=0.1, rotate=30.0, zoom=0.3, shear=0.2)
    inputs, moved, _ = jax.jit(part.apply)(KEY, Batch(jnp.asarray(picture), targets))
    labels = np.asarray(moved["mask"])
    assert (labels == -1).any() and np.unique(labels).tolist() == [-1, 0, 1]
    there = labels >= 0
    gray = np.asarray(inputs)[..., 0]
    assert np.mean((gray > 0.5)[there] == (labels == 1)[there]) > 0.99
    for i in np.flatnonzero(np.asarray(moved["classes"])[:, 0] == 0):
        rows, columns = np.nonzero(gray[i] > 0.5)
        y0, x0, y1, x1 = np.asarray(moved["boxes"])[i, 0]
        seen = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        np.testing.assert_allclose([y0, x0, y1, x1], seen, atol=1.5)


def test_flips_and_shifts_move_whole_pixels() -> None:
    """Lost: flips and shifts that blur, or go further than asked for."""
    x = jnp.asarray(np.tile(PICTURES[:1], (400, 1, 1, 1)))
    flipped = np.asarray(augment.flip(probability=0.25).apply(KEY, Batch(x, None)).inputs)
    mirrored = (flipped == PICTURES[:1, :, ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == PICTURES[:1]).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 0.19 < mirrored.mean() < 0.31
    shifted = np.asarray(augment.shift(strength=0.25).apply(KEY, Batch(x, None)).inputs)
    padded = np.pad(PICTURES[0], ((2, 2), (3, 3), (0, 0)), mode="edge")
    places = [padded[i : i + 9, j : j + 12] for i in range(5) for j in range(7)]
    hits = np.array([[np.array_equal(one, place) for place in places] for one in shifted])
    assert hits.any(axis=1).all() and hits.any(axis=0).all()


def test_a_picture_as_target_moves_and_others_stay() -> None:
    """Lost: an autoencoder is asked for the picture before the shift; labels are taken for masks."""
    part = augment.affine(rotate=40.0)
    both = part.apply(KEY, Batch(jnp.asarray(PICTURES), jnp.asarray(PICTURES)))
    np.testing.assert_array_equal(both.inputs, both.targets)
    labels = {"label": jnp.arange(6), "steering": jnp.ones((6, 1))}
    found = part.apply(KEY, Batch(jnp.asarray(PICTURES), labels)).targets
    assert found["label"] is labels["label"] and found["steering"] is labels["steering"]


@pytest.mark.parametrize("name", PICTURE_PARTS)
def test_switched_off_it_changes_no_target(name: str) -> None:
    """Lost: an arm without augmentation learns other masks and boxes than the data have."""
    if name == "cutmix":
        return
    factory = augment.TABLE[name]
    boxes = jnp.asarray(RANDOM.uniform(0, 9, (6, 2, 4)), jnp.float32)
    boxes = jnp.concatenate(
        [jnp.minimum(boxes[..., :2], boxes[..., 2:]), jnp.maximum(boxes[..., :2], boxes[..., 2:])], -1
    )
    targets = {"mask": jnp.asarray(MASKS), "boxes": boxes, "classes": jnp.tile(jnp.array([3, -1]), (6, 1))}
    off = {key: jnp.float32(value) for key, value in factory.neutral.items()}
    found = jax.jit(lambda h: factory(**h).apply(KEY, Batch(jnp.asarray(PICTURES), targets)))(off)
    np.testing.assert_array_equal(found.inputs, PICTURES)
    for key in ("mask", "classes"):
        np.testing.assert_array_equal(found.targets[key], targets[key])
    np.testing.assert_allclose(found.targets["boxes"], boxes, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in PICTURE_PARTS if name != "cutmix"])
def test_what_is_no_picture_is_refused_in_one_line(name: str) -> None:
    """Lost: vectors or tokens fail deep inside, or are moved as if they were pictures."""
    for inputs in (jnp.zeros((4, 3)), jnp.zeros((4, 5, 5, 1), jnp.int32), {"a": jnp.zeros((4, 3))}):
        with pytest.raises(ValueError, match=rf"^{name if name in FOUND else 'affine'}: inputs are .*remove augment"):
            augment.TABLE[name]().apply(KEY, Batch(inputs, jnp.zeros(4, jnp.int32)))


FOUND = ("affine", "brightness", "contrast", "blur", "cutout", "rand_augment", "trivial_augment")


def test_boxes_without_classes_are_refused() -> None:
    """Lost: a box of which nothing is left would be learned."""
    with pytest.raises(ValueError, match="boxes but no classes"):
        augment.affine().apply(KEY, Batch(jnp.asarray(PICTURES), {"boxes": jnp.zeros((6, 1, 4))}))


def test_brightness_and_contrast_by_hand() -> None:
    """Lost: one number a picture, drawn from the range on the card, that leaves the mean or the differences alone."""
    x = jnp.asarray(np.tile(PICTURES, (100, 1, 1, 1)))
    change = np.asarray(augment.brightness(strength=0.5).apply(KEY, Batch(x, None)).inputs - x)
    np.testing.assert_allclose(change.std(axis=(1, 2, 3)), 0.0, atol=1e-6)
    amounts = change.mean(axis=(1, 2, 3))
    assert abs(amounts).max() <= 0.5 and amounts.min() < -0.45 and amounts.max() > 0.45
    seen = np.asarray(augment.contrast(strength=1.0).apply(KEY, Batch(x, None)).inputs)
    np.testing.assert_allclose(seen.mean(axis=(1, 2)), np.asarray(x).mean(axis=(1, 2)), atol=1e-5)
    factors = seen.std(axis=(1, 2))[:, 0] / np.asarray(x).std(axis=(1, 2))[:, 0]
    assert 0.5 <= factors.min() < 0.52 and 1.9 < factors.max() <= 2.0 + 1e-5


def test_blur_is_a_gaussian_of_each_pictures_own_width() -> None:
    """Lost: another width than asked for, or pictures that get darker towards the edge."""
    widths = np.array([0.0, 0.3, 0.5, 1.0, 2.0, 4.0])
    found = photometric.blurred(jnp.asarray(PICTURES), jnp.asarray(widths, jnp.float32))
    for picture, width, out in zip(PICTURES, widths, found, strict=True):
        smooth = lambda one, s=width: ndimage.gaussian_filter(
            one, (s, s, 0), mode="constant", truncate=30 / max(s, 0.3)
        )
        expected = smooth(picture.astype(np.float64)) / smooth(np.ones_like(picture, np.float64)) if width else picture
        np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(photometric.blurred(jnp.ones((1, 7, 5, 2)), jnp.array([3.0])), 1.0, atol=1e-6)


def test_cutout_covers_the_share_it_says() -> None:
    """Lost: boxes of another size, or the same place in all pictures."""
    x = jnp.ones((500, 20, 20, 2))
    covered = np.asarray(augment.cutout(size=0.4).apply(KEY, Batch(x, None)).inputs == 0)
    assert (covered[..., 0] == covered[..., 1]).all()
    rows, columns = covered[..., 0].any(axis=2).sum(axis=1), covered[..., 0].any(axis=1).sum(axis=1)
    assert rows.max() == columns.max() == 8 and rows.min() == 4
    np.testing.assert_array_equal(rows * columns, covered[..., 0].sum(axis=(1, 2)))
    assert covered[..., 0].any(axis=0).all()


def test_policies_choose_as_their_papers_say() -> None:
    """Lost: each operation with the same probability, one strength for RandAugment and any for TrivialAugment."""
    x = jnp.asarray(np.tile(PICTURES[:1], (900, 1, 1, 1)))
    apply = lambda part: np.asarray(jax.jit(part.apply)(KEY, Batch(x, None)).inputs)
    one = apply(augment.rand_augment(strength=1.0, count=1))
    kinds, counts = np.unique(np.round(one, 4), axis=0, return_counts=True)
    assert len(kinds) == 1 + 2 * 7 + 1  # nothing; two signs of seven operations; blur has none
    np.testing.assert_allclose(sorted(counts), [50] * 14 + [100] * 2, atol=25)
    lifted = (one - PICTURES[:1]).mean(axis=(1, 2, 3))
    flat = (one - PICTURES[:1]).std(axis=(1, 2, 3)) < 1e-5
    np.testing.assert_allclose(np.unique(np.round(lifted[flat], 3)), [-0.9, 0.0, 0.9], atol=1e-6)
    any_strength = apply(augment.trivial_augment(strength=1.0))
    flat = (any_strength - PICTURES[:1]).std(axis=(1, 2, 3)) < 1e-5
    lifted = np.abs((any_strength - PICTURES[:1]).mean(axis=(1, 2, 3))[flat])
    lifted = lifted[lifted > 1e-5]
    assert lifted.max() <= 0.9 and abs(lifted.mean() - 0.45) < 0.08


def test_arms_that_differ_in_amounts_are_one_program(tmp_path) -> None:
    """Lost: a study of augmentations compiles once for each arm."""
    labels = np.arange(60) % 3
    config = {
        "data": {"name": "arrays", "inputs": RANDOM.standard_normal((60, 6, 6, 1)), "targets": labels, "batch_size": 8},
        "model": {"name": "mlp", "depth": 1, "width": 2},
        "loss": "softmax_cross_entropy",
        "optimizer": "adam",
        "augment": {"affine": {}, "blur": {"strength": 0.0}, "cutout": {"size": 0.0}},
        "train": {"steps": 4, "probes": []},
        "study": {"seeds": 2},
        "arms": {
            "plain": {},
            "flips": {"augment.affine.flip": 0.5},
            "turns": {"augment.affine.rotate": 20.0, "augment.blur.strength": 1.0},
            "holes": {"augment.cutout.size": 0.5},
        },
    }
    run = dp.compare(config, tmp_path / "run")
    assert [row["arms"] for row in run.summary["programs"]] == [list(config["arms"])]
    losses = run.results.train_loss.isel(seed=0)
    assert len({float(losses.sel(arm=name)[-1]) for name in config["arms"]}) == 4
