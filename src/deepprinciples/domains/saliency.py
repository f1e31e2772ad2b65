"""What is special to judging saliency maps: pictures whose evidence is known to the pixel."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from deepprinciples.domains.pasted_digits import ink_and_photographs, of_each_part, resized
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.types import Count, Range, Seed, Split

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
    digits, labels, photographs = ink_and_photographs(np.float64)
    parts, evidence = {}, {}
    for name, drawn, grounds in of_each_part(random.permutation(len(labels)), photographs):
        chosen = random.choice(drawn, size if name == "train" else held_out)
        made = [_picture(random, digits[one], grounds, side, ink) for one in chosen]
        parts[name] = Split(np.stack([picture for picture, _ in made])[..., None], labels[chosen])
        evidence[name] = np.stack([box for _, box in made])
    held = {name: evidence[name] for name in ("validation", "test")}
    return of_parts(parts, "classification", 10, evidence=held, class_names=tuple("0123456789"))


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
    m = ink * resized(digit, height, width)
    box = (slice(y, y + height), slice(x, x + width))
    picture[box] = (1.0 - m) * picture[box] + m
    mask = np.zeros((side, side), bool)
    mask[box] = True
    return picture.astype(np.float32), mask


TABLES = {"data": {"digit_on_texture": digit_on_texture}}
