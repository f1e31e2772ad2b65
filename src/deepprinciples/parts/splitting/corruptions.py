"""Corrupted pictures for a further test set: what `test_sets.NAME.corrupt` does, in five severities.

Amounts are in units of the training pixels' standard deviation, so a corruption means the same at any scale. What is
random is drawn once for each picture from `split_seed`. Augmentation of training batches lives in `parts.augment`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, get_args

import numpy as np
from scipy import ndimage

from deepprinciples.errors import DataError
from deepprinciples.types import Range, Split

Corruption = Literal["none", "noise", "blur", "brightness", "contrast", "rotate", "shift", "occlude"]
Severity = Annotated[int, Range("[1, 5]")]

AMOUNTS = {
    "noise": (0.2, 0.4, 0.6, 0.8, 1.0),  # standard deviation of normal noise
    "blur": (0.5, 0.75, 1.0, 1.5, 2.0),  # standard deviation of the Gaussian, in pixels
    "brightness": (0.4, 0.8, 1.2, 1.6, 2.0),  # added to a picture, or taken away
    "contrast": (0.8, 0.65, 0.5, 0.35, 0.2),  # factor of what pixels differ from the mean of the picture
    "rotate": (10.0, 20.0, 30.0, 40.0, 50.0),  # degrees, to the left or to the right
    "shift": (0.05, 0.1, 0.15, 0.2, 0.25),  # share of each side, up or down and to the left or to the right
    "occlude": (0.2, 0.3, 0.4, 0.5, 0.6),  # side of a box of the mean color, as a share of the picture's
}
_MOVES = ("rotate", "shift")


def corrupted(
    part: Split, how: Corruption, severity: int, train: Split, draw: np.random.RandomState, where: str
) -> Split:
    """Corrupt the pictures of a part.

    Args:
      part: pictures [N, H, W, C] and their targets.
      how: which corruption; "none" gives the part back.
      severity: 1 to 5.
      train: the training part, of which the scale of the pixels is taken.
      draw: random numbers.
      where: prefix of messages.

    Raises:
      DataError: for another severity, inputs that are no pictures, and targets that would have to move with them.

    References: the design of Hendrycks and Dietterich, arXiv:1903.12261.
    """
    if how not in get_args(Corruption):
        raise DataError(f"{where}.corrupt: found {how!r}, expected one of {', '.join(get_args(Corruption))}")
    if how == "none":
        return part
    x = part.inputs
    if not isinstance(x, np.ndarray) or x.ndim != 4 or x.dtype.kind != "f":
        raise DataError(f'{where}.corrupt: found inputs that are no pictures [N, H, W, C]; set corrupt = "none"')
    y = part.targets
    if how in _MOVES and (not isinstance(y, np.ndarray) or y.ndim > 2):
        raise DataError(f"{where}.corrupt: {how} moves pictures, and these targets would stay; corrupt values instead")
    if severity not in range(1, 6):
        raise DataError(f"{where}.severity: found {severity}, expected 1 to 5")
    amount, pixels = AMOUNTS[how][severity - 1], np.asarray(train.inputs, np.float32)
    scale, mean = float(pixels.std()), pixels.mean(axis=(0, 1, 2))
    signs = draw.choice([-1.0, 1.0], (len(x), 2)).astype(np.float32)

    def occlude(picture: np.ndarray, sign: np.ndarray) -> np.ndarray:
        del sign
        found = picture.copy()
        sides = [max(1, round(amount * n)) for n in picture.shape[:2]]
        row, column = (draw.randint(n - side + 1) for n, side in zip(picture.shape, sides, strict=False))
        found[row : row + sides[0], column : column + sides[1]] = mean
        return found

    ways: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "noise": lambda p, _: p + amount * scale * draw.standard_normal(p.shape),
        "blur": lambda p, _: ndimage.gaussian_filter(p, (amount, amount, 0), mode="nearest"),
        "brightness": lambda p, s: p + s[0] * amount * scale,
        "contrast": lambda p, _: p.mean(axis=(0, 1)) + amount * (p - p.mean(axis=(0, 1))),
        "rotate": lambda p, s: ndimage.rotate(p, s[0] * amount, reshape=False, order=1, mode="nearest"),
        "shift": lambda p, s: ndimage.shift(
            p, (*np.rint(s * amount * np.array(p.shape[:2])), 0), order=1, mode="nearest"
        ),
        "occlude": occlude,
    }
    return part._replace(inputs=np.stack([ways[how](*one) for one in zip(x, signs, strict=True)]).astype(x.dtype))
