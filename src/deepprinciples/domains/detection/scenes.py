"""Data factories of pictures with boxes: scenes made of real digits and photographs, and the user's own.

Targets are {boxes: [N, M, 4] pixels (y0, x0, y1, x1), classes: [N, M]}; class -1 is no object, and its box is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from deepprinciples.domains.detection.scene_pictures import draw
from deepprinciples.domains.pasted_digits import ink_and_photographs, of_each_part, resized
from deepprinciples.errors import DataError
from deepprinciples.parts.data.own import examples
from deepprinciples.parts.splitting.array_checks import as_array, first_index, plural, show
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.parts.splitting.trees import Leaves
from deepprinciples.types import Count, Range, Seed, Size, Split

SIDE = 48
HEIGHTS = (12, 20)  # of a digit, pixels
DIM = 0.6  # of the photographs, so that ink is bright on all of them
TRIES = 20  # places that are tried for a digit, before it is left out


def scattered(
    *,
    digits: Annotated[int, Range("[1, 10]")] = 10,
    size: Count = 2000,
    held_out: Count = 400,
    most: Annotated[int, Range("[1, 8]")] = 4,
    data_seed: Seed = 0,
) -> Source:
    """Scatter handwritten digits over crops of photographs: real ink and real textures, and boxes known to the pixel.

    Each scene has 1 to `most` digits, 12 to 20 pixels high and of bright ink, on a dimmed photograph; their boxes
    overlap by less than a tenth of the smaller one. Digits of validation and test scenes are other drawings than those
    of training scenes, and their textures other columns of the two photographs. Source: scikit-learn's digits (UCI) and
    photographs. License: CC BY 4.0 (digits), CC BY (photographs).

    Args:
      digits: how many different digits there are, from 0 on: the classes.
      size: training scenes.
      held_out: validation scenes, and as many test scenes.
      most: digits of a scene at most.
      data_seed: seed of the scenes, in [0, 2**32).

    Returns:
      Source with inputs [size, 48, 48, 1] in [0, 1] and targets {boxes: [size, most, 4], classes: [size, most]}; -1 is
      no digit.

    References: Alpaydin, Kaynak, "Cascading classifiers", Kybernetika 34 (1998).
    """
    random = np.random.RandomState(data_seed)
    inks, labels, photographs = ink_and_photographs(np.float32)
    order = random.permutation(np.flatnonzero(labels < digits))
    parts = {}
    for name, drawn, textures in of_each_part(order, photographs):
        count = size if name == "train" else held_out
        scenes = [_scene(random, inks, labels, drawn, textures, most) for _ in range(count)]
        pictures, boxes, classes = (np.stack(one) for one in zip(*scenes, strict=True))
        parts[name] = Split(pictures[..., None], {"boxes": boxes, "classes": classes})
    leaves, names = Leaves(0, {"classes": digits}), tuple(map(str, range(digits)))
    return of_parts(parts, "structured", digits, standardize=False, leaves=leaves, class_names=names, display=draw)


def _scene(
    random: np.random.RandomState,
    inks: list[np.ndarray],
    labels: np.ndarray,
    drawn: np.ndarray,
    textures: list[np.ndarray],
    most: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make a picture [48, 48], its boxes [most, 4] and their classes [most]."""
    texture = textures[random.randint(len(textures))]
    row, column = (random.randint(length - SIDE + 1) for length in texture.shape)
    picture = DIM * texture[row : row + SIDE, column : column + SIDE][:, :: random.choice((-1, 1))]
    boxes, classes = np.zeros((most, 4), np.float32), np.full(most, -1, np.int32)
    count = 0
    for number in random.choice(drawn, random.randint(1, most + 1), replace=False):
        ink = inks[number]
        height = random.randint(HEIGHTS[0], HEIGHTS[1] + 1)
        width = min(max(4, round(height * ink.shape[1] / ink.shape[0] * random.uniform(0.8, 1.2))), SIDE // 2)
        box = _place(random, height, width, boxes[:count])
        if box is None:
            continue
        boxes[count], classes[count] = box, labels[number]
        count += 1
        cover = random.uniform(0.7, 1.0) * resized(ink, height, width)
        region = picture[box[0] : box[2], box[1] : box[3]]
        region += cover * (1 - region)
    return picture.astype(np.float32), boxes, classes


def _place(random: np.random.RandomState, height: int, width: int, taken: np.ndarray) -> np.ndarray | None:
    """Find a box in the picture that overlaps no other by a tenth of the smaller one; None where none was found."""
    for _ in range(TRIES):
        y, x = random.randint(SIDE - height + 1), random.randint(SIDE - width + 1)
        box = np.array([y, x, y + height, x + width])
        shared = np.maximum(np.minimum(taken[:, 2:], box[None, 2:]) - np.maximum(taken[:, :2], box[None, :2]), 0)
        areas = (taken[:, 2:] - taken[:, :2]).prod(axis=1)
        if np.all(shared.prod(axis=1) < 0.1 * np.minimum(areas, height * width)):
            return box
    return None


def boxed_pictures(
    *,
    inputs: Any,
    targets: Any,
    validation_inputs: Any = None,
    validation_targets: Any = None,
    test_inputs: Any = None,
    test_targets: Any = None,
    outputs: Size = 0,
    class_names: tuple[str, ...] = (),
) -> Source:
    """Use pictures with boxes given from Python; `examples` that know what a box is.

    Parts that are not given are cut out of `inputs` and `targets`. Source: yours. License: yours.

    Args:
      inputs: pictures [N, H, W, channels]; uint8 is divided by 255.
      targets: {"boxes": [N, M, 4] pixels (y0, x0, y1, x1), "classes": [N, M] whole numbers}, as many as the picture
        with the most objects has; class -1 is no object.
      validation_inputs: a fixed validation part, or None.
      validation_targets: its targets.
      test_inputs: a fixed test part, or None.
      test_targets: its targets.
      outputs: number of classes; 0 counts the names, or else takes the largest class + 1.
      class_names: what the classes are called.

    Returns:
      Source of these trees.

    Raises:
      DataError: a box ends outside its picture or has no area, counts differ, or only half of a part is given;
        `prepare` checks the rest.

    References: none.
    """
    given = {
        "": (inputs, targets),
        "validation_": (validation_inputs, validation_targets),
        "test_": (test_inputs, test_targets),
    }
    largest = [_check_boxes(*part, f"data.{name}") for name, part in given.items() if None not in map(_given, part)]
    kinds = outputs or len(class_names) or max(largest) + 1
    return examples(
        inputs=inputs, targets=targets, validation_inputs=validation_inputs, validation_targets=validation_targets,
        test_inputs=test_inputs, test_targets=test_targets, outputs=kinds, classes={"classes": kinds},
        class_names=class_names, display=draw,
    )  # fmt: skip


def _given(value: Any) -> Any:
    return None if value is None else True


def _check_boxes(inputs: Any, targets: Any, prefix: str) -> int:
    """Check the boxes of a part; returns its largest class."""
    where = f"{prefix}targets"
    if not isinstance(targets, Mapping) or set(targets) != {"boxes", "classes"}:
        found = f"a table of {', '.join(map(str, targets))}" if isinstance(targets, Mapping) else type(targets).__name__
        raise DataError(f"{where}: found {found}, expected a table of boxes and classes")
    pictures = as_array(inputs, f"{prefix}inputs")
    boxes, classes = (as_array(targets[name], f"{where}.{name}") for name in ("boxes", "classes"))
    if pictures.ndim != 4:
        raise DataError(f"{prefix}inputs: found shape {show(pictures.shape)}, expected pictures [N, H, W, channels]")
    if boxes.ndim != 3 or boxes.shape[-1] != 4:
        raise DataError(f"{where}.boxes: found shape {show(boxes.shape)}, expected [N, objects, 4] (y0, x0, y1, x1)")
    if classes.shape != boxes.shape[:-1]:
        expected = show(boxes.shape[:-1])
        raise DataError(f"{where}.classes: found shape {show(classes.shape)}, expected {expected} as there are boxes")
    there = classes >= 0
    _refuse(there & ~np.all(boxes[..., 2:] > boxes[..., :2], axis=-1), boxes, f"{where}.boxes",
            "without an area", "(y0, x0, y1, x1) with y0 < y1 and x0 < x1")  # fmt: skip
    most = np.array([*pictures.shape[1:3], *pictures.shape[1:3]]).reshape(1, 1, 4)
    _refuse(there & np.any((boxes < 0) | (boxes > most), axis=-1), boxes, f"{where}.boxes",
            "outside the picture", f"pixels from 0 to {pictures.shape[1]} and {pictures.shape[2]}")  # fmt: skip
    return int(classes.max())


def _refuse(wrong: np.ndarray, boxes: np.ndarray, where: str, what: str, expected: str) -> None:
    if wrong.any():
        index = first_index(wrong)
        count = int(wrong.sum())
        found = plural(count, "box") if count == 1 else f"{count} boxes"
        first = ", ".join(f"{value:g}" for value in boxes[index])
        raise DataError(
            f"{where}: found {found} {what}, first ({first}) at {show(index)}; expected {expected}; class -1 marks "
            "what is no object"
        )
