"""Slices of an averaged brain with its gray and white matter; fetched as published.py says."""

from __future__ import annotations

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.splitting.drawing import labels_over_picture
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.splitting.trees import Leaves
from deepprinciples.types import Size

TISSUES = ("other", "gray matter", "white matter")
HEIGHT, WIDTH = 224, 192  # of a slice, cut around the brain


def brain_tissue(*, shrink: Size = 4, block: Size = 12, gap: Size = 4, path: str = "", download: bool = True) -> Source:
    """Load slices of a brain in magnetic resonance, and for every pixel: gray matter, white matter or other.

    Horizontal slices of 1 mm of which at least 5 % is tissue. Neighboring slices look nearly alike, so whole blocks of
    them are held out, and the slices between two blocks are left out. The brain is an average of 152 people: it says
    nothing of how well a method does on one person. A pixel has the class that is most of it. Gray values are divided
    by 255. Source: MNI ICBM152 2009a symmetric, as the package nilearn ships it. License: free for any purpose with
    its copyright notice (McConnell Brain Imaging Centre).

    Args:
      shrink: pixels of 1 mm that become one, along each side: 1, 2, 4 or 8.
      block: neighboring slices that stay together.
      gap: slices left out between two blocks.
      path: folder with mni_icbm152_t1.nii.gz, mni_icbm152_gm.nii.gz and mni_icbm152_wm.nii.gz; "" looks in the usual
        places.
      download: fetch the set (5 MB, into the cache directory) where no folder has it.

    Returns:
      Source with inputs [N, 56, 48, 1] in [0, 1] and targets [N, 56, 48] (0 other, 1 gray, 2 white matter).

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Fonov, Evans, Botteron and others, "Unbiased average age-appropriate atlases for pediatric studies",
      NeuroImage 54 (2011).
    """
    if shrink not in (1, 2, 4, 8):
        raise DataError(f"data.shrink: found {shrink}, expected 1, 2, 4 or 8")
    if block < 1 or gap < 0:
        raise DataError(f"data.block: found blocks of {block} and gaps of {gap} slices, expected at least 1 and 0")
    folder = fetching.get("brain_tissue", path, download)
    picture, gray, white = (
        _slices(fetching.read(folder, f"mni_icbm152_{kind}.nii.gz"), shrink) for kind in ("t1", "gm", "wm")
    )  # [Z, H, W]
    classes = np.stack([1 - gray - white, gray, white]).argmax(axis=0).astype(np.int32)
    kept = np.flatnonzero((classes > 0).mean(axis=(1, 2)) >= 0.05)
    place = kept - kept[0]
    chosen = place % (block + gap) < block
    kept, numbers = kept[chosen], (place // (block + gap))[chosen]
    return Source(
        picture[kept][..., None],
        classes[kept],
        "",
        leaves=Leaves(0, len(TISSUES)),
        class_names=TISSUES,
        groups=numbers,
        display=labels_over_picture,
    )


def _slices(content: bytes, shrink: int) -> np.ndarray:
    """Return the slices of a volume, front up, around the brain: [Z, H, W] of means over shrink x shrink pixels."""
    volume = volume_of(content)
    right, front, top = volume.shape
    x, y = (right - WIDTH) // 2, (front - HEIGHT) // 2
    if min(x, y) < 0:
        raise DataError(f"data.brain_tissue: found a volume of {volume.shape}, expected at least {WIDTH} x {HEIGHT}")
    cut = volume[x : x + WIDTH, y : y + HEIGHT].transpose(2, 1, 0)[:, ::-1]  # [Z, H, W]
    small = cut.reshape(top, HEIGHT // shrink, shrink, WIDTH // shrink, shrink).mean(axis=(2, 4), dtype=np.float32)
    return small / np.float32(255)


def volume_of(content: bytes) -> np.ndarray:
    """Read a volume of bytes [X, Y, Z] in the format NIfTI-1, without its transforms."""
    if content[344:348] != b"n+1\0" or content[:4] != b"\\\x01\0\0":
        raise DataError("data.brain_tissue: found no NIfTI-1 file, expected one of little-endian bytes")
    rank, *shape = np.frombuffer(content[40:48], "<i2").tolist()
    start = int(np.frombuffer(content[108:112], "<f4")[0])
    kind = int(np.frombuffer(content[70:72], "<i2")[0])
    if rank != 3 or kind != 2 or len(content) != start + int(np.prod(shape)):
        raise DataError(f"data.brain_tissue: found type {kind} and {rank} dimensions, expected bytes in 3")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape, order="F")
