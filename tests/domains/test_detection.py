"""Object detection: boxes and their losses by hand and against a second implementation, and what bad boxes say."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import deepprinciples as dp
from deepprinciples.domains.detection import boxes as geometry
from deepprinciples.domains.detection.detection_loss import assigned, detection
from deepprinciples.domains.detection.detector import detector
from deepprinciples.domains.detection.scenes import boxed_pictures, scattered
from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.split import prepare
from deepprinciples.types import AUXILIARY

A, B = jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 3.0, 4.0])
KEY = jax.random.key(0)


def as_torchvision(kind: str, a: np.ndarray, b: np.ndarray) -> float:
    """Write generalized_box_iou_loss and distance_box_iou_loss of torchvision anew, for boxes (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = a
    x1g, y1g, x2g, y2g = b
    across, down = min(x2, x2g) - max(x1, x1g), min(y2, y2g) - max(y1, y1g)
    inner = across * down if across > 0 and down > 0 else 0.0
    union = (x2 - x1) * (y2 - y1) + (x2g - x1g) * (y2g - y1g) - inner
    eps = 1e-7
    wide, high = max(x2, x2g) - min(x1, x1g), max(y2, y2g) - min(y1, y1g)
    if kind == "giou":
        return 1 - (inner / (union + eps) - (wide * high - union) / (wide * high + eps))
    between = ((x2 + x1) / 2 - (x1g + x2g) / 2) ** 2 + ((y2 + y1) / 2 - (y1g + y2g) / 2) ** 2
    return 1 - inner / (union + eps) + between / (wide**2 + high**2 + eps)


def random_boxes(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 30, (count, 2))
    return np.concatenate([low, low + rng.uniform(1, 18, (count, 2))], axis=1).astype(np.float32)


def test_overlaps_by_hand() -> None:
    """Lost: the formulas on the card. Shared 1, union 4 + 6 - 1 = 9, hull 3 x 4, centers (1, 1) and (2, 2.5)."""
    assert float(geometry.iou(A, B)) == pytest.approx(1 / 9)
    assert float(geometry.giou(A, B)) == pytest.approx(1 / 9 - 3 / 12)
    assert float(geometry.diou(A, B)) == pytest.approx(1 / 9 - 3.25 / 25)
    far = jnp.array([10.0, 0.0, 11.0, 2.0])  # shares nothing: hull 22, union 6
    assert float(geometry.iou(A, far)) == 0.0 and float(geometry.giou(A, far)) == pytest.approx(-16 / 22)


@pytest.mark.parametrize("kind", ["giou", "diou"])
def test_overlaps_are_those_of_torchvision(kind: str) -> None:
    """Lost: a loss of this name would not be the one that papers report."""
    a, b = random_boxes(50), random_boxes(50, seed=1)
    ours = 1.0 - getattr(geometry, kind)(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(ours, [as_torchvision(kind, *pair) for pair in zip(a, b, strict=True)], atol=2e-6)


def outputs_of(boxes: jax.Array, odds: jax.Array) -> dict[str, jax.Array]:
    return {"boxes": boxes, "classes": odds}


def scene(boxes: list[list[float]], classes: list[int]) -> dict[str, jax.Array]:
    return {"boxes": jnp.array([boxes]), "classes": jnp.array([classes])}


def test_the_loss_by_hand() -> None:
    """Lost: what is minimized. A grid of 2 x 2 over 8 pixels, log-odds 0, one object in the last cell."""
    outputs = outputs_of(jnp.tile(jnp.array([4.0, 4.0, 6.0, 8.0]), (1, 2, 2, 1)), jnp.zeros((1, 2, 2, 2)))
    targets = scene([[4.0, 4.0, 8.0, 8.0], [0.0, 0.0, 0.0, 0.0]], [1, -1])
    half = float(np.log(2))
    made = lambda **given: float(jax.jit(detection(**given))(outputs, targets)[0])
    assert made(box="iou", classes="bce", box_weight=0.0) == pytest.approx(8 * half)
    assert made(box="iou", classes="bce", box_weight=3.0) == pytest.approx(8 * half + 3 * 0.5)
    assert made(box="l1", classes="bce", box_weight=3.0) == pytest.approx(8 * half + 3 * 2 / 4 / 4)
    focal = 0.25 * 0.25 * half + 7 * 0.75 * 0.25 * half
    assert made(box="iou", classes="focal", box_weight=0.0) == pytest.approx(focal)


def test_locations_belong_to_the_smallest_box_near_whose_center_they_lie() -> None:
    """Lost: center sampling. Locations lie at 2, 6, 10, 14; the radius of 1.5 strides is 6 pixels."""
    true = jnp.array([[0.0, 0.0, 16.0, 16.0], [5.0, 5.0, 11.0, 11.0], [0.0, 13.0, 1.0, 14.0], [0.0, 0.0, 9.0, 9.0]])
    owners = jax.jit(functools.partial(assigned, (4, 4, 3), stride=4))
    found = owners(true, jnp.array([0, 1, 2, -1]), radius=1.5)
    answers = np.where(found.positive, jnp.argmax(found.classes, axis=1), -1).reshape(4, 4)
    # The tiny box holds no location, but its cell is the last of the first row.
    assert answers.tolist() == [[0, 0, 0, 2], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(found.boxes.reshape(4, 4, 4)[1, 1], true[1])
    near = owners(true, jnp.array([0, -1, -1, -1]), radius=0.5)
    assert int(near.positive.sum()) == 4


@pytest.mark.parametrize(("box", "classes"), [("giou", "focal"), ("diou", "bce"), ("iou", "focal"), ("l1", "bce")])
def test_gradients_of_the_loss(box: str, classes: str) -> None:
    """Lost: training that follows another slope, NaN on empty scenes and flat boxes, and examples that mix."""
    boxes = jnp.asarray(random_boxes(2 * 9, seed=2).reshape(2, 3, 3, 4))
    odds = jax.random.normal(KEY, (2, 3, 3, 2))
    targets = {
        "boxes": jnp.array(
            [[[0.5, 1.0, 9.3, 7.0], [2.0, 3.5, 11.0, 11.5]], [[1.0, 1.0, 6.0, 5.0], [0.0, 0.0, 0.0, 0.0]]]
        ),
        "classes": jnp.array([[0, 1], [1, -1]]),
    }
    loss = jax.jit(detection(box=box, classes=classes, box_weight=0.7))
    of = lambda boxes, odds: loss(outputs_of(boxes, odds), targets).sum()
    check_grads(jax.jit(of), (boxes, odds), order=1, modes=["rev"], rtol=2e-2, atol=2e-2)

    flat = outputs_of(jnp.zeros((2, 3, 3, 4)), jnp.full((2, 3, 3, 2), 200.0))  # sure of all of it, and no area
    nothing = {"boxes": jnp.zeros((2, 2, 4)), "classes": jnp.full((2, 2), -1)}
    points = {"boxes": jnp.full((2, 2, 4), 6.0), "classes": jnp.zeros((2, 2), int)}
    slopes = jax.jit(jax.value_and_grad(lambda outputs, given: loss(outputs, given).sum()))
    for given in (targets, nothing, points):
        value, grads = slopes(flat, given)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, grads)))
    one = jax.tree.map(lambda leaf: leaf[1:], (outputs_of(boxes, odds), targets))
    np.testing.assert_allclose(loss(outputs_of(boxes, odds), targets)[1:], loss(*one), rtol=1e-6)


def test_box_weights_are_lanes_and_shapes_that_do_not_pair_are_named() -> None:
    """Lost: a weight that cannot be swept, or a loss that broadcasts."""
    outputs = outputs_of(jnp.asarray(random_boxes(4).reshape(1, 2, 2, 4)), jnp.zeros((1, 2, 2, 2)))
    targets = scene([[0.0, 0.0, 5.0, 5.0]], [1])
    weights = jnp.array([0.0, 1.0, 2.0])
    values = jax.jit(jax.vmap(lambda weight: detection(box_weight=weight)(outputs, targets)[0]))(weights)
    np.testing.assert_allclose(values, [float(detection(box_weight=w)(outputs, targets)[0]) for w in (0.0, 1.0, 2.0)])
    assert float(values[1] - values[0]) > 0.1
    assert float(values[2] - values[1]) == pytest.approx(float(values[1] - values[0]), rel=1e-5)
    with pytest.raises(ValueError, match=r"detection: found outputs of shapes .* expected outputs {classes"):
        detection()(outputs, scene([[0.0, 0.0, 5.0, 5.0]], [1, 1]))
    with pytest.raises(ValueError, match=r"detection: found an array \[1, 2\] and a table of boxes, classes; expected"):
        detection()(jnp.zeros((1, 2)), targets)


@functools.cache
def passed(prior: float = 0.01) -> tuple:
    """Call a small detector, its activations given and perturbed."""
    model = detector(outputs=3, depth=1, width=4, prior=prior)
    x = jax.random.normal(KEY, (2, 12, 8, 1))
    params, state = jax.jit(model.init)(KEY, x)
    return model, params, x, jax.jit(functools.partial(model.apply, key=None, train=False))(params, state, x)


def test_the_detector_answers_at_every_fourth_pixel() -> None:
    """Lost: a grid that is not where the loss thinks, or a start that sees objects everywhere."""
    model, params, x, (outputs, _, activations) = passed()
    assert outputs["classes"].shape == (2, 3, 2, 3) and outputs["boxes"].shape == (2, 3, 2, 4)
    places = geometry.locations(3, 2, 4).reshape(3, 2, 2)
    assert places[2, 1].tolist() == [10.0, 6.0]
    low, high = outputs["boxes"][..., :2], outputs["boxes"][..., 2:]
    assert bool(jnp.all((low < places[None]) & (places[None] < high)))
    flat = jax.tree.map(jnp.zeros_like, params) | {"classes": params["classes"]}
    start = jax.jit(functools.partial(model.apply, key=None, train=False))(flat, {}, x)[0]["classes"]
    np.testing.assert_allclose(jax.nn.sigmoid(start), 0.01, rtol=1e-5)
    assert {name for name in activations if not name.endswith(AUXILIARY)} == set(params) and model.per_example
    count = lambda: detector(outputs=10).init(KEY, jnp.zeros((1, 48, 48, 1)))[0]
    assert sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(count))) == 33_294
    for shape in ((1, 10, 12, 1), (1, 12, 1)):
        with pytest.raises(ValueError, match="detector: (found inputs|inputs must)|multiples of 4"):
            model.init(KEY, jnp.zeros(shape))


def test_perturbations_give_the_gradient_of_the_answers() -> None:
    """Lost: the backward half of the gradient flow."""
    model, params, x, (outputs, _, activations) = passed()
    total = lambda given: sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(given))
    of = lambda shift: total(model.apply(params, {"perturbations": {"classes": shift}}, x, key=None, train=False)[0])
    slopes = jax.jit(jax.grad(of))(jnp.zeros_like(outputs["classes"]))
    np.testing.assert_allclose(slopes, jnp.cos(outputs["classes"]), atol=2e-6)
    assert activations["boxes"].shape == (2, 3, 2, 4)


def test_scenes_are_the_same_for_a_seed_and_share_no_drawing() -> None:
    """Lost: arms that see other scenes, or a test of digits that were learned by heart."""
    made = functools.partial(scattered, size=12, held_out=6)
    source, again, other = made(), made(), made(data_seed=1)
    parts = lambda s: [np.asarray(leaf) for leaf in jax.tree.leaves((s.inputs, s.targets, s.validation, s.test))]
    for a, b in zip(parts(source), parts(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(source.inputs, other.inputs)
    boxes, classes = source.targets["boxes"], source.targets["classes"]
    there = classes >= 0
    assert there[:, 0].all() and classes.max() < 10 and (boxes[~there] == 0).all()
    heights = (boxes[..., 2] - boxes[..., 0])[there]
    assert heights.min() >= 12 and heights.max() <= 20 and boxes.min() >= 0 and boxes.max() <= 48
    assert source.inputs.min() >= 0 and source.inputs.max() <= 1
    ready = prepare(source, batch_size=4)
    assert ready.class_names == tuple("0123456789") and ready.outputs == 10 and ready.test.size == 6


def test_the_digits_of_a_part_are_drawn_from_that_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a test score of drawings that were trained on."""
    from deepprinciples.domains.detection import scenes

    seen: list[set[int]] = []
    scene_of = scenes._scene

    def watched(random, inks, labels, drawn, textures, most):
        seen.append(frozenset(drawn.tolist()))
        return scene_of(random, inks, labels, drawn, textures, most)

    monkeypatch.setattr(scenes, "_scene", watched)
    scattered(size=3, held_out=2)
    train, validation, test = list(dict.fromkeys(seen))
    assert not train & validation and not train & test and not validation & test
    assert len(train | validation | test) == 1797 and len(train) == 1078


N = 10
PICTURES = np.random.default_rng(0).random((N, 8, 12, 1))
CLASSES = np.tile([1, -1], (N, 1))
BOXES = np.tile([[1.0, 2.0, 5.0, 6.0], [0.0, 0.0, 0.0, 0.0]], (N, 1, 1))


def changed(array: np.ndarray, index: tuple[int, ...], value) -> np.ndarray:
    new = np.array(array)
    new[index] = value
    return new


@pytest.mark.parametrize(
    ("boxes", "classes", "message"),
    [
        (changed(BOXES, (3, 0), [1, 2, 9, 6]), CLASSES,
         r"data.targets.boxes: found 1 box outside the picture, first \(1, 2, 9, 6\) at \[3, 0\]; expected pixels from "
         r"0 to 8 and 12"),
        (changed(BOXES, (0, 0), [-1, 2, 5, 6]), CLASSES, "found 1 box outside the picture"),
        (changed(BOXES, (slice(2), 0), [1, 2, 1, 6]), CLASSES,
         r"data.targets.boxes: found 2 boxes without an area, first \(1, 2, 1, 6\) at \[0, 0\]; expected \(y0, x0, y1"),
        (BOXES, changed(CLASSES, (4, 0), 3), r"data.targets.classes: label 3 at \[4, 0\] is outside -1..2"),
        (BOXES, changed(CLASSES, (4, 0), -2), r"data.targets.classes: label -2 at \[4, 0\] is outside -1..2"),
        (BOXES[:, :1], CLASSES, r"data.targets.classes: found shape \[10, 2\], expected \[10, 1\] as there are boxes"),
        (BOXES[:9], CLASSES[:9], "data.targets.boxes: found 9 examples, expected 10"),
        (BOXES[..., :3], CLASSES, r"data.targets.boxes: found shape \[10, 2, 3\], expected \[N, objects, 4\]"),
    ],
)  # fmt: skip
def test_bad_boxes_are_named(boxes, classes, message) -> None:
    """Lost: hours of training on boxes that lie outside the pictures, without a word."""
    with pytest.raises(DataError, match=message) as caught:
        prepare(boxed_pictures(inputs=PICTURES, targets={"boxes": boxes, "classes": classes}, outputs=3), batch_size=2)
    assert "\n" not in str(caught.value)


def test_boxes_of_ones_own_are_taken() -> None:
    """Lost: a user's data set, or what its classes are called; a box of class -1 is not looked at."""
    own = {"boxes": changed(BOXES, (0, 1), [99, 99, 0, 0]), "classes": CLASSES}
    parts = prepare(boxed_pictures(inputs=PICTURES, targets=own, class_names=("cat", "dog")), batch_size=2)
    assert parts.outputs == 2 and parts.class_names == ("cat", "dog") and parts.train.inputs.shape == (6, 8, 12, 1)
    with pytest.raises(DataError, match="data.targets: found a table of boxes, expected a table of boxes and classes"):
        boxed_pictures(inputs=PICTURES, targets={"boxes": BOXES})
    with pytest.raises(DataError, match="data.test_targets: found NoneType|data.test_targets: found none"):
        boxed_pictures(inputs=PICTURES, targets=own, test_inputs=PICTURES)


def test_a_detector_trains_on_examples(tmp_path) -> None:
    """Lost: detection from a config, and the same data as plain `examples`."""
    config = {
        "data": {"name": "examples", "inputs": PICTURES, "targets": {"boxes": BOXES, "classes": CLASSES}, "outputs": 2,
                 "classes": {"classes": 2}, "batch_size": 4},
        "model": {"name": "detector", "depth": 1, "width": 2},
        "loss": "detection",
        "optimizer": "adam",
        "metrics": {"strict": {"name": "mean_average_precision", "threshold": 0.75}},
        "study": {"metric": "mean_average_precision"},
        "train": {"steps": 4, "probes": ["gradient_norm"], "parallel": "map"},
    }  # fmt: skip
    run = dp.train(config, tmp_path / "run")
    assert np.isfinite(run.results.train_loss).all() and 0 <= float(run.results.score.mean()) <= 1
    model, params = run.model()
    found = dp.detection.decode(model.predict(params, model.data.test.inputs), count=3)
    assert found.boxes.shape == (2, 3, 4) and found.classes.shape == found.scores.shape == (2, 3)
