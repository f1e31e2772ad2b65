"""Faces and pieces without a face from a part of Labeled Faces in the Wild; fetched as published.py says."""

from __future__ import annotations

import io

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.splitting.drawing import picture
from deepprinciples.parts.splitting.sources import Source


def lfw_subset(*, path: str = "", download: bool = True) -> Source:
    """Load 200 gray pictures of 25 x 25 pixels: 100 faces, and 100 pieces without a whole one.

    For telling whether there is a face, never whose: the set has no names, and 200 pictures say nothing of how well a
    method does on other people. A few of the pieces show part of a face. Values are in [0, 1]. Source: Labeled Faces
    in the Wild, as the package scikit-image ships it. License: none is stated for the photographs; use, do not ship.

    Args:
      path: folder with lfw_subset.npy; "" looks in the usual places.
      download: fetch the set (1 MB, into the cache directory) where no folder has it.

    Returns:
      Source with inputs [200, 25, 25, 1] in [0, 1] and targets [200]: 1 is a face.

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the Wild", UMass Amherst 07-49 (2007).
    """
    folder = fetching.get("lfw_subset", path, download)
    pictures = np.load(io.BytesIO(fetching.read(folder, "lfw_subset.npy")), allow_pickle=False)
    if pictures.ndim != 3 or len(pictures) % 2:
        raise DataError(f"data.lfw_subset: found an array of shape {pictures.shape}, expected [200, 25, 25]")
    half = len(pictures) // 2
    targets = np.repeat([1, 0], half)
    return Source(
        pictures.astype(np.float32)[..., None],
        targets,
        "classification",
        2,
        class_names=("no face", "face"),
        display=picture,
    )
