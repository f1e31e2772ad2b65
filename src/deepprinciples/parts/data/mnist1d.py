"""MNIST-1D, made from its definition: ten short drawn signals, each padded, stretched, shifted, sheared and blurred.

No download is needed: the published set is the output of a seeded recipe, and the legacy generator of NumPy, whose
numbers never change, gives it again on any machine.
"""

from __future__ import annotations

import numpy as np

from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Split

SEED = 42
CLASSES, PER_CLASS = 10, 500
TRAIN = 4000
PADDING = (36, 60)  # zeros appended, both ends included
LONG = 72  # samples while a signal is worked on: template and most padding
SHORT = 40  # samples of the result
STRETCH = 0.4
SHIFTS = 48
BLURRED_NOISE, BLUR = 0.25, 2.0
WHITE_NOISE = 0.02
SHEAR = 0.75

# One drawing a class, as heights at twelve equal steps; 6, 7 and 8 are 0, 1 and 3 upside down.
DRAWINGS = np.array(
    [
        [0, 4, 6, 7, 8, 8, 8, 8, 7, 6, 4, 0],
        [0, -5, -5, -4, -3, -2, -1, 0, 1, 2, 0, 0],
        [0, 4, 6, 6, 4, 1, -1, -4, -6, -6, -4, 0],
        [0, 2, 3, 3, 2, 0, 0, 2, 3, 3, 2, 0],
        [0, -1, -2, -3, -4, -4, 0, 0, 0, 0, 0, 0],
        [0, -4, -4, -4, -4, 0, 2, 3, 3, 2, -1, 0],
        [0, -4, -6, -7, -8, -8, -8, -8, -7, -6, -4, 0],
        [0, 5, 5, 4, 3, 2, 1, 0, -1, -2, 0, 0],
        [0, -2, -3, -3, -2, 0, 0, -2, -3, -3, -2, 0],
        [0, -10, -15, -15, -10, 0, 0, 0, 0, -3, -7, 0],
    ],
    float,
)


def _resampled(signals: np.ndarray, length: int) -> np.ndarray:
    """Interpolate each row linearly at `length` equal steps from its first to its last sample."""
    old, new = np.linspace(0, 1, signals.shape[1]), np.linspace(0, 1, length)
    return np.stack([np.interp(new, old, row) for row in signals])


def generate(seed: int = SEED) -> tuple[Split, Split]:
    """Make the 5000 signals and cut them into the published parts.

    signal = (1 + s) * shift(resample(pad(drawing))), blurred noise where it is 0, white noise everywhere, minus a ramp;
    then resampled to 40 samples and scaled to mean 0 and standard deviation 1 over the whole set.

    Args:
      seed: seed of NumPy's legacy generator; 42 gives the published set.

    Returns:
      (train, test): inputs float64 [4000, 40] and [1000, 40], targets int [4000] and [1000].

    References: Greydanus, Kobak, arXiv:2011.14439.
    """
    random = np.random.RandomState(seed)
    count = CLASSES * PER_CLASS
    signal = np.empty((count, LONG))
    blurred, white = np.empty((count, LONG)), np.empty((count, LONG))
    ramp = np.empty(count)
    # Centered drawings have standard deviation 1/6; 1e-8 distinguishes a drawn zero from a padded one.
    drawings = DRAWINGS / (6 * DRAWINGS.std(axis=1, keepdims=True)) + 1e-8
    from scipy.ndimage import gaussian_filter1d  # slow to import, and only this data set needs it

    for i in range(count):  # one signal at a time: the order of the draws is part of the recipe
        zeros = PADDING[0] + int(random.rand() * (PADDING[1] - PADDING[0] + 1))
        padded = np.concatenate([drawings[i // PER_CLASS], np.zeros(zeros)])
        height = 1 + STRETCH * (random.rand() - 0.5)
        signal[i] = np.roll(_resampled(padded[None, :], LONG)[0] * height, random.randint(SHIFTS))
        blurred[i] = BLURRED_NOISE * random.randn(LONG)
        white[i] = WHITE_NOISE * random.randn(LONG)
        ramp[i] = SHEAR * (random.rand() - 0.5)
    x = np.where(signal != 0, signal, gaussian_filter1d(blurred, BLUR, axis=1)) + white
    x = _resampled(x - ramp[:, None] * np.linspace(-0.5, 0.5, LONG)[None, :], SHORT)  # [5000, 40]
    x = (x - x.mean()) / x.std()  # over all 5000, test part included: that is how the set was published
    order = random.permutation(count)
    x, y = x[order], (np.arange(count) // PER_CLASS)[order]
    return Split(x[:TRAIN], y[:TRAIN]), Split(x[TRAIN:], y[TRAIN:])


def mnist_1d() -> Source:
    """Generate MNIST-1D: 4000 + 1000 noisy signals of 40 samples in 10 classes, with its own test part.

    Small enough for a laptop, hard enough to tell a linear model (32 % right), an MLP (about 68 %) and a convolutional
    network (about 94 %) apart. Equal to the published set to 1e-12; values are never standardized, so published
    numbers can be compared. Source: generated from the paper's recipe, no download. License: Apache-2.0 (original).

    Returns:
      Source with inputs [4000, 40, 1] and targets [4000]; test [1000, 40, 1] and [1000].

    References: Greydanus, Kobak, "Scaling down deep learning", arXiv:2011.14439.
    """
    train, test = generate()
    return Source(
        train.inputs[:, :, None],
        train.targets,
        "classification",
        CLASSES,
        standardize=False,
        test=Split(test.inputs[:, :, None], test.targets),
    )
