"""Folders of pictures of the user's own: one folder a class, or pictures with masks. image_files.py reads a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.files import image_files
from deepprinciples.parts.files.array_files import shown
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.drawing import labels_over_picture, picture
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.splitting.trees import Leaves
from deepprinciples.types import Range

Side = Annotated[int, Range("[4, 4096]")]


def folder(
    *,
    path: str,
    masks: str = "",
    mask_values: tuple[int, ...] = (0, 255),
    ignored: int = -1,
    size: Side = 32,
    color: bool = True,
    together: str = "",
) -> Source:
    """Read pictures from folders: one folder a class, or one folder of pictures and one of their masks.

    PNG, JPEG, TIFF, BMP, GIF, WebP and PPM of 8 bits; whatever their size, they become squares. Transparency is put on
    white, values are divided by 255. Other files are left out, and noted. Source: yours. License: yours.

    Args:
      path: the folder. Without masks each folder in it is a class, with the name of the folder.
      masks: folder of masks, named as the pictures in `path` up to the ending; "" for classes.
      mask_values: gray values of the masks (or indices of their palette) that are class 0, 1, ...
      ignored: gray value of pixels that have no label; -1 for none.
      size: side of the squares, in pixels; pictures are averaged, masks take the nearest pixel.
      color: three channels, or one of gray.
      together: text in file names: pictures alike before it stay in one part, such as those of a person. With "_",
        these are p7_1.png and p7_2.png. "" for none.

    Returns:
      Source with inputs [N, size, size, 3 or 1] in [0, 1], and targets [N], or [N, size, size] with masks.

    Raises:
      DataError: for a missing or empty folder, one class only, a damaged picture, one of 16 bits, CMYK or several
        frames, and a mask that is missing, of another size, or has another value.

    References: none.
    """
    root = _directory(path, "data.path")
    if masks:
        return _with_masks(root, _directory(masks, "data.masks"), mask_values, ignored, size, color, together)
    names = sorted(one.name for one in root.iterdir() if one.is_dir() and not one.name.startswith("."))
    if len(names) < 2:
        found = f"only the class {shown(names[0])}" if names else "no folder"
        raise DataError(f"{root}: found {found}, expected a folder for each of two classes or more")
    paths: list[Path] = []
    targets: list[int] = []
    notes: tuple[str, ...] = ()
    for number, name in enumerate(names):
        files, left_out = _pictures(root / name)
        paths += files
        targets += [number] * len(files)
        notes += left_out
    return Source(
        np.stack([image_files.read_color(one, size, color=color)[0] for one in paths]),
        np.array(targets),
        "classification",
        len(names),
        notes=notes,
        class_names=tuple(names),
        groups=_groups(paths, together),
        display=picture,
    )


def _with_masks(
    root: Path, masks: Path, values: tuple[int, ...], ignored: int, size: int, color: bool, together: str
) -> Source:
    if len(values) < 2 or len({*values, ignored}) <= len(values) or not all(0 <= value <= 255 for value in values):
        raise DataError(
            f"data.mask_values: found {list(values)} beside data.ignored = {ignored}, expected two or more different "
            "values from 0 to 255"
        )
    label = np.full(256, -2, np.int32)
    label[list(values)] = np.arange(len(values))
    if ignored >= 0:
        label[ignored] = -1
    paths, notes = _pictures(root)
    by_stem = {one.stem: one for one in _pictures(masks)[0]}
    inputs, targets = [], []
    for one in paths:
        if one.stem not in by_stem:
            raise DataError(
                f"{masks}: has no mask {shown(one.stem)}, expected one of the name of each picture in {root}"
            )
        pixels, measured = image_files.read_color(one, size, color=color)
        mask = image_files.read_mask(by_stem[one.stem], size, measured)
        classes = label[mask]
        if (classes == -2).any():
            raise DataError(
                f"{by_stem[one.stem]}: found the value {int(mask[classes == -2][0])}, expected one of {list(values)}; "
                "name all of them in data.mask_values, or one in data.ignored"
            )
        inputs.append(pixels)
        targets.append(classes)
    return Source(
        np.stack(inputs),
        np.stack(targets),
        "",
        notes=notes,
        leaves=Leaves(0, len(values)),
        groups=_groups(paths, together),
        display=labels_over_picture,
    )


def _directory(path: str, where: str) -> Path:
    found = Path(path).expanduser()
    if not found.is_dir():
        raise DataError(f"{where}: {found} is no folder, expected one with pictures")
    return found


def _pictures(root: Path) -> tuple[list[Path], tuple[str, ...]]:
    """List the pictures of a folder by name, and note what else is there."""
    files = sorted(one for one in root.iterdir() if one.is_file() and not one.name.startswith("."))
    found = [one for one in files if one.suffix.lower() in image_files.SUFFIXES]
    if not found:
        raise DataError(f"{root}: found no picture, expected files such as .png or .jpg")
    other = [one.name for one in files if one not in set(found)]
    note = f"{root}: {plural(len(other), 'file')} left out as no picture, first {shown(other[0])}" if other else ""
    return found, (note,) if note else ()


def _groups(paths: list[Path], together: str) -> np.ndarray | None:
    if not together:
        return None
    names = [one.name.partition(together)[0] for one in paths]
    return np.unique(names, return_inverse=True)[1]
