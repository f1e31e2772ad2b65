"""Nuclei, and the TABLE of all pictures that are fetched by name; where their files come from is in published.py.

Parts are cut by groups that belong together, never by neighboring pieces of one thing.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.fetched.brain import brain_tissue
from deepprinciples.parts.fetched.emoji_set import emoji
from deepprinciples.parts.fetched.faces import lfw_subset
from deepprinciples.parts.files.image_files import read_picture
from deepprinciples.parts.splitting.drawing import labels_over_picture
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.parts.splitting.trees import Leaves
from deepprinciples.types import Range, Split

PATCH = 48
# Columns of the picture: training, validation and test. A part has whole patches of its own columns only.
TRAIN, VALIDATION, TEST = (0, 272), (272, 368), (368, 512)
Stride = Annotated[int, Range("[1, 48]")]
Edge = Annotated[int, Range("[1, 8]")]
TISSUES = ("ground", "body", "edge")


def nuclei(*, stride: Stride = 16, edge: Edge = 1, path: str = "", download: bool = True) -> Source:
    """Load patches of a fluorescence picture of cell nuclei, and for every pixel: ground, body or edge of a nucleus.

    One picture of 512 x 512 pixels with 125 nuclei. Patches of 48 x 48 pixels: training patches from its left part
    (columns 0 to 271) overlap, validation (272 to 367) and test patches (368 to 511) do not. No pixel is in two parts,
    and a nucleus that crosses from one part to the next has no label (-1) in the later one. All of it is one picture
    of one microscope: it says nothing of other laboratories. Gray values are divided by 255. Source: Broad Bioimage
    Benchmark Collection BBBC038, as the package stardist ships it. License: BSD-3-Clause; cite Caicedo and others.

    Args:
      stride: pixels from one training patch to the next; 48 for patches that do not overlap.
      edge: width of the edge inside a nucleus, in pixels.
      path: folder with img2d.tif and mask2d.tif; "" looks in the usual places.
      download: fetch the set (1 MB, into the cache directory) where no folder has it.

    Returns:
      Source with inputs [450, 48, 48, 1] in [0, 1] and targets [450, 48, 48] (0 ground, 1 body, 2 edge, -1 no label);
      validation [20, ...], test [30, ...].

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Caicedo and others, "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
    Nature Methods 16 (2019); Schmidt, Weigert, Broaddus, Myers, arXiv:1806.03535.
    """
    folder = fetching.get("nuclei", path, download)
    picture = read_picture(folder / "img2d.tif").astype(np.float32)[:, :, None] / 255  # [512, 512, 1]
    instances = read_picture(folder / "mask2d.tif")
    classes = ground_body_edge(instances, edge)  # [512, 512]
    for first, end in (VALIDATION, TEST):
        begun = np.isin(instances[:, first:end], np.setdiff1d(instances[:, :first], [0]))
        classes[:, first:end][begun] = -1
    cuts = {"train": (TRAIN, stride), "validation": (VALIDATION, PATCH), "test": (TEST, PATCH)}
    parts = {name: Split(_patches(picture, *cut), _patches(classes, *cut)) for name, cut in cuts.items()}
    return of_parts(parts, "", 0, leaves=Leaves(0, len(TISSUES)), class_names=TISSUES, display=labels_over_picture)


def ground_body_edge(instances: np.ndarray, width: int) -> np.ndarray:
    """Turn instance numbers [H, W] (0 is ground) into 0 ground, 1 body, 2 edge: at most `width` from another number."""
    height, wide = instances.shape
    around = np.pad(instances, width, mode="edge")
    shifts = range(2 * width + 1)
    inner = np.all([around[i : i + height, j : j + wide] == instances for i in shifts for j in shifts], axis=0)
    return np.where(instances == 0, 0, np.where(inner, 1, 2)).astype(np.int32)


def _patches(picture: np.ndarray, columns: tuple[int, int], stride: int) -> np.ndarray:
    """Cut every patch that lies in the columns, row by row; what is left over above and below is shared."""
    spare = (picture.shape[0] - PATCH) % stride // 2
    rows = range(spare, picture.shape[0] - PATCH + 1, stride)
    starts = range(columns[0], columns[1] - PATCH + 1, stride)
    return np.stack([picture[i : i + PATCH, j : j + PATCH] for i in rows for j in starts])


TABLE: dict[str, Any] = {f.__name__: f for f in (nuclei, emoji, lfw_subset, brain_tissue)}
