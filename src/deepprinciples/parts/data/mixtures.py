"""Mixtures of Gaussians in the plane whose modes are known: the benchmarks on which a generator forgets modes.

The centers and the spread go along with the examples, so that modes can be counted. Drawn with NumPy's frozen
generator, so a seed means the same examples on every machine. Real data do not belong here.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.data.held_out import random_state
from deepprinciples.parts.data.sources import Source
from deepprinciples.types import Range, Seed, Size


def gaussian_ring(
    *,
    modes: int = 8,
    radius: Annotated[float, Range("(0, inf)")] = 1.0,
    std: float = 0.01,
    size: Size = 12500,
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
      DataError: if modes or size is too small, or radius or std is not positive.

    References: Metz, Poole, Pfau, Sohl-Dickstein, arXiv:1611.02163; the sizes of Lin, Khetan, Fanti, Oh,
      arXiv:1712.04086.
    """
    _at_least(1, modes=modes)
    _positive(radius=radius, std=std)
    angles = 2 * np.pi * np.arange(modes) / modes
    return _mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std, size, data_seed)


def gaussian_grid(
    *, side: int = 5, spacing: float = 2.0, std: float = 0.05, size: Size = 12500, data_seed: Seed = 0
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
      DataError: if side or size is too small, or spacing or std is not positive.

    References: Dumoulin et al., arXiv:1606.00704; the sizes of Lin, Khetan, Fanti, Oh, arXiv:1712.04086.
    """
    _at_least(1, side=side)
    _positive(spacing=spacing, std=std)
    steps = spacing * (np.arange(side) - (side - 1) / 2)
    return _mixture(np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2), std, size, data_seed)


def _mixture(centers: np.ndarray, std: float, size: int, data_seed: int) -> Source:
    modes = len(centers)
    _at_least(modes, size=size)
    random = random_state(data_seed, "data.data_seed")
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


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise DataError(f"data.{name}: found {value}, expected at least {least}")


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < np.inf:
            raise DataError(f"data.{name}: found {value}, expected a positive number")


TABLE = {f.__name__: f for f in (gaussian_ring, gaussian_grid)}
