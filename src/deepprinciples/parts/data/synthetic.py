"""Problems made from a seed whose right answer is known: memory over long spans, a teacher to be matched, mixtures.

Drawn with NumPy's frozen generator, so a seed means the same examples on every machine and in every year.
The centers and the spread of a mixture go along with its examples, so that modes can be counted.
Real data do not belong here.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.types import Count, Range, Seed, Split

ALPHABET = 8
BLANK, MARKER = 0, 9  # symbols are 1..8
VOCABULARY = 10
Above = Annotated[float, Range("(0, inf)")]


def adding(*, length: Annotated[int, Range("[2, inf)")] = 60, size: Count = 6000, data_seed: Seed = 0) -> Source:
    """Make the adding problem: remember two marked numbers of a sequence and give their sum.

    target = x[i, 0] + x[j, 0] where x[i, 1] = x[j, 1] = 1, one mark in each half; values are uniform on [0, 1).
    Always answering 1 has mean squared error 1/6. Source: generated. License: none needed. Never standardized, so
    published errors can be compared.

    Args:
      length: steps T of a sequence, at least 2.
      size: number of sequences.
      data_seed: seed of the examples, in [0, 2**32).

    Returns:
      Source with inputs [size, T, 2] (value, mark) and real targets [size].

    References: Hochreiter, Schmidhuber, "Long short-term memory" (1997); Le, Jaitly, Hinton, arXiv:1504.00941.
    """
    random = np.random.RandomState(data_seed)
    values = random.random_sample((size, length))
    rows = np.arange(size)
    first = random.randint(0, length // 2, size)
    second = random.randint(length // 2, length, size)
    marks = np.zeros((size, length))
    marks[rows, first] = 1
    marks[rows, second] = 1
    inputs = np.stack([values, marks], axis=-1).astype(np.float32)  # [N, T, 2]
    targets = inputs[rows, first, 0].astype(np.float64) + inputs[rows, second, 0]
    return Source(inputs, targets, "regression", 1, standardize=False)


def copy_memory(*, delay: Count = 50, symbols: Count = 10, size: Count = 4000, data_seed: Seed = 0) -> Source:
    """Make the copy task: read symbols, wait, and write them down when the marker comes.

    input  = s symbols of 1..8, T - 1 blanks (0), the marker (9), s blanks; target = T + s blanks, the s symbols.
    Without memory the best cross-entropy is s ln 8 / (T + 2 s). Source: generated. License: none needed.

    Args:
      delay: steps T between the last symbol and the first answer, at least 1.
      symbols: symbols s to remember, at least 1.
      size: number of sequences.
      data_seed: seed of the examples, in [0, 2**32).

    Returns:
      Source with token inputs [size, T + 2 s] below 10 and targets of the same shape.

    References: Hochreiter, Schmidhuber (1997); Arjovsky, Shah, Bengio, arXiv:1511.06464.
    """
    random = np.random.RandomState(data_seed)
    message = random.randint(1, ALPHABET + 1, (size, symbols))
    inputs = np.full((size, delay + 2 * symbols), BLANK)  # [N, T + 2 s]
    inputs[:, :symbols] = message
    inputs[:, symbols + delay - 1] = MARKER
    targets = np.full(inputs.shape, BLANK)
    targets[:, -symbols:] = message
    return Source(
        inputs.astype(np.int32),
        targets.astype(np.int32),
        "classification",
        VOCABULARY,
        vocabulary=VOCABULARY,
        standardize=False,
    )


def teacher(
    *,
    features: Count = 20,
    width: Count = 32,
    noise: Annotated[float, Range("[0, inf)")] = 0.1,
    size: Annotated[int, Range("[2, inf)")] = 4000,
    data_seed: Seed = 0,
) -> Source:
    """Make a regression problem from a fixed random network with one hidden layer.

    y = a . tanh(W x) / scale + noise e; x, e normal, W normal with variance 4 / features, a normal; scale makes the
    clean signal's standard deviation 1, so the best mean squared error is noise squared. Source: generated.
    License: none needed. Never standardized.

    Args:
      features: inputs of an example.
      width: hidden units of the teacher.
      noise: standard deviation of what cannot be learned, against 1 of the signal; 0.0 gives clean targets.
      size: number of examples, at least 2.
      data_seed: seed of teacher and examples, in [0, 2**32).

    Returns:
      Source with inputs [size, features] and real targets [size].

    References: Seung, Sompolinsky, Tishby, "Statistical mechanics of learning from examples" (1992).
    """
    random = np.random.RandomState(data_seed)
    weights = random.randn(features, width) * 2 / np.sqrt(features)
    readout = random.randn(width)
    inputs = random.randn(size, features)
    signal = np.tanh(inputs @ weights) @ readout
    targets = signal / signal.std() + noise * random.randn(size)
    return Source(inputs.astype(np.float32), targets, "regression", 1, standardize=False)


def chebyshev(*, degree: Count = 4, points: Annotated[int, Range("[5, inf)")] = 20) -> Source:
    """Make a Chebyshev polynomial to be fitted on a line: few points, so that every step can see all of them.

    y = cos(degree arccos x) at equally spaced x in [-1, 1]; the points between them are the validation part and the
    test part in turn. Source: generated. License: none needed. Never standardized.

    Args:
      degree: of the polynomial, at least 1.
      points: training examples, at least 5.

    Returns:
      Source with inputs [points, 1] and real targets [points].

    References: arXiv:2103.00065, whose experiments at the edge of stability it serves.
    """
    grid = np.linspace(-1, 1, points)
    between = (grid[1:] + grid[:-1]) / 2

    def part(x: np.ndarray) -> Split:
        return Split(x[:, None].astype(np.float32), np.cos(degree * np.arccos(x))[:, None])

    parts = {"train": part(grid), "validation": part(between[::2]), "test": part(between[1::2])}
    return of_parts(parts, "regression", 1, standardize=False)


def gaussian_ring(
    *,
    modes: Count = 8,
    radius: Above = 1.0,
    std: Above = 0.01,
    size: Count = 12500,
    data_seed: Seed = 0,
) -> Source:
    """Make a mixture of equally likely Gaussians on a circle.

    x = radius (cos 2 pi m / M, sin 2 pi m / M) + std e, e normal; every mode has the same number of examples, give or
    take one. Source: generated. License: none needed. Never standardized, so published numbers can be compared.

    Args:
      modes: number of modes M.
      radius: distance of the centers from the origin.
      std: standard deviation around each center.
      size: number of examples, at least one a mode.
      data_seed: seed of the examples, in [0, 2**32).

    Returns:
      Source with inputs [size, 2] and the index of the mode as label [size].

    Raises:
      DataError: if there are fewer examples than modes.

    References: Metz, Poole, Pfau, Sohl-Dickstein, arXiv:1611.02163; the sizes of Lin, Khetan, Fanti, Oh,
      arXiv:1712.04086.
    """
    angles = 2 * np.pi * np.arange(modes) / modes
    return _mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std, size, data_seed)


def gaussian_grid(
    *, side: Count = 5, spacing: Above = 2.0, std: Above = 0.05, size: Count = 12500, data_seed: Seed = 0
) -> Source:
    """Make a mixture of equally likely Gaussians on a square grid around the origin.

    x = spacing (i - (side - 1) / 2, j - (side - 1) / 2) + std e, e normal, i and j from 0 to side - 1; every mode has
    the same number of examples, give or take one. Source: generated. License: none needed. Never standardized, so
    published numbers can be compared.

    Args:
      side: modes along each axis; there are side^2.
      spacing: distance between neighboring centers.
      std: standard deviation around each center.
      size: number of examples, at least one a mode.
      data_seed: seed of the examples, in [0, 2**32).

    Returns:
      Source with inputs [size, 2] and the index of the mode, i side + j, as label [size].

    Raises:
      DataError: if there are fewer examples than modes.

    References: Dumoulin et al., arXiv:1606.00704; the sizes of Lin, Khetan, Fanti, Oh, arXiv:1712.04086.
    """
    steps = spacing * (np.arange(side) - (side - 1) / 2)
    return _mixture(np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2), std, size, data_seed)


def _mixture(centers: np.ndarray, std: float, size: int, data_seed: int) -> Source:
    modes = len(centers)
    if size < modes:
        raise DataError(f"data.size: found {size}, expected at least {modes}, one for each mode")
    random = np.random.RandomState(data_seed)
    labels = random.permutation(np.arange(size) % modes)
    inputs = centers[labels] + std * random.randn(size, 2)
    return Source(
        inputs.astype(np.float32),
        labels.astype(np.int32),
        "classification",
        modes,
        standardize=False,
        modes=centers.astype(np.float32),
        mode_std=float(std),
    )
