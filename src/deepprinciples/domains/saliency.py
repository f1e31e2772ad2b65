"""What is special to judging saliency maps: pictures whose evidence is known to the pixel."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Count, Range, Seed, Split

SHARES = (0.6, 0.2, 0.2)  # of the digits, and of the columns of the photographs: training, validation, test
HEIGHTS = (12, 18)  # of a digit, in pixels
BRIGHTNESS, CONTRAST = (0.2, 0.5), 0.15  # mean of the ground, and its standard deviation
Share = Annotated[float, Range("(0, 1]")]


def digit_on_texture(
    *,
    size: Count = 2000,
    held_out: Count = 400,
    side: Annotated[int, Range("[20, 256]")] = 32,
    ink: Share = 0.9,
    data_seed: Seed = 0,
) -> Source:
    """Put one handwritten digit anywhere on a crop of a photograph: the answer is in a box that is known.

    picture = (1 - ink m) ground + ink m, where m in [0, 1] is the digit, 12 to 18 pixels high; the ground is a crop
    with mean 0.2 to 0.5 and standard deviation 0.15, cut to [0, 1]

    Digits of validation and test pictures are other drawings than those of training pictures, and their grounds other
    columns of the two photographs. Source: scikit-learn's digits (UCI) and photographs. License: CC BY 4.0 (digits),
    CC BY (photographs).

    Args:
      size: training pictures.
      held_out: validation pictures, and as many test pictures.
      side: of a picture, in pixels.
      ink: how much of the ground a digit covers.
      data_seed: seed of the pictures, in [0, 2**32).

    Returns:
      Source with inputs [size, side, side, 1] and targets [size]; its `evidence` is the box of the digit.

    References: Alpaydin, Kaynak, "Cascading classifiers", Kybernetika 34 (1998).
    """
    random = np.random.RandomState(data_seed)
    digits, labels, photographs = _digits_and_photographs()
    order, ends = random.permutation(len(labels)), np.cumsum((0.0, *SHARES))
    parts, evidence = {}, {}
    for name, begin, end, count in zip(
        ("train", "validation", "test"), ends, ends[1:], (size, held_out, held_out), strict=False
    ):
        drawn = order[round(begin * len(order)) : round(end * len(order))]
        grounds = [one[:, round(begin * one.shape[1]) : round(end * one.shape[1])] for one in photographs]
        chosen = random.choice(drawn, count)
        made = [_picture(random, digits[one], grounds, side, ink) for one in chosen]
        parts[name] = Split(np.stack([picture for picture, _ in made])[..., None], labels[chosen])
        evidence[name] = np.stack([box for _, box in made])
    return Source(
        *parts["train"],
        "classification",
        10,
        validation=parts["validation"],
        test=parts["test"],
        evidence={name: evidence[name] for name in ("validation", "test")},
        class_names=tuple("0123456789"),
    )


def _digits_and_photographs() -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Return digits in [0, 1] cut to their ink, their labels, and two gray photographs at half their size."""
    from sklearn.datasets import load_digits, load_sample_images

    data = load_digits()
    cut = []
    for image in data.images / 16:
        rows, columns = np.flatnonzero(image.max(axis=1) > 0.2), np.flatnonzero(image.max(axis=0) > 0.2)
        cut.append(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    photographs = []
    for image in load_sample_images().images:
        gray = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].mean(axis=-1) / 255
        photographs.append((gray[::2, ::2] + gray[1::2, ::2] + gray[::2, 1::2] + gray[1::2, 1::2]) / 4)
    return cut, np.asarray(data.target, np.int32), photographs


def _picture(
    random: np.random.RandomState, digit: np.ndarray, grounds: list[np.ndarray], side: int, ink: float
) -> tuple[np.ndarray, np.ndarray]:
    """Make a picture [side, side] and the mask of its box."""
    ground = grounds[random.randint(len(grounds))]
    top, left = (random.randint(length - side + 1) for length in ground.shape)
    picture = ground[top : top + side, left : left + side]
    mean = random.uniform(*BRIGHTNESS)  # crops of a sky and of a roof are made alike in contrast
    picture = np.clip(mean + CONTRAST * (picture - picture.mean()) / max(picture.std(), 0.02), 0.0, 1.0)
    height = random.randint(HEIGHTS[0], HEIGHTS[1] + 1)
    width = min(max(5, round(height * digit.shape[1] / digit.shape[0])), HEIGHTS[1])
    y, x = random.randint(side - height + 1), random.randint(side - width + 1)
    m = ink * np.clip(_between(height, digit.shape[0]) @ digit @ _between(width, digit.shape[1]).T, 0.0, 1.0)
    box = (slice(y, y + height), slice(x, x + width))
    picture[box] = (1.0 - m) * picture[box] + m
    mask = np.zeros((side, side), bool)
    mask[box] = True
    return picture.astype(np.float32), mask


def _between(size: int, given: int) -> np.ndarray:
    """Return the weights [size, given] of a linear interpolation between the centers of pixels."""
    places = np.clip((np.arange(size) + 0.5) * given / size - 0.5, 0, given - 1)
    return np.maximum(1.0 - np.abs(places[:, None] - np.arange(given)[None, :]), 0.0)


TABLES = {"data": {"digit_on_texture": digit_on_texture}}
