"""Pictures read from files by Pillow, which matplotlib brings: into NumPy arrays, with one line where that fails.

What would be read as something else than it looks like is refused: 16 bits, CMYK, several frames.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from deepprinciples.errors import DataError, message

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")  # none of them runs another program
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm")
PLAIN = ("1", "L", "P", "RGB")
CLEAR = ("LA", "PA", "La", "RGBA", "RGBa")  # with transparency, which is put on white


def read_picture(path: Path) -> np.ndarray:
    """Read a picture of a published set as it is stored: [H, W] or [H, W, channels]."""
    return np.array(opened(path))


def read_color(path: Path, side: int, *, color: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """Read a picture of the user's own, turned as its camera noted, as uint8 [side, side, 3 or 1].

    Returns:
      (picture, its width and height in the file).

    Raises:
      DataError: if it is damaged, has 16 bits or CMYK colors, or several frames.
    """
    from PIL import Image, ImageOps

    image = opened(path)
    if image.mode not in (*PLAIN, *CLEAR):
        raise DataError(f"{path}: {_refused(image.mode)}; save it with 8 bits as gray or RGB")
    image = ImageOps.exif_transpose(image)
    size = image.size
    if image.mode in CLEAR or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", size, "white"), clear)
    image = image.convert("RGB" if color else "L").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(side, side, 3 if color else 1), size


def read_mask(path: Path, side: int, size: tuple[int, int]) -> np.ndarray:
    """Read a mask [side, side] of numbers from 0 to 255, the nearest for each pixel; `size` is that of its picture.

    A palette counts by its indices, not by its colors.

    Raises:
      DataError: if it is damaged, no mask of one channel and 8 bits, or of another size than its picture.
    """
    from PIL import Image

    image = opened(path)
    if image.mode not in ("1", "L", "P"):
        raise DataError(f"{path}: {_refused(image.mode)}; save the mask with 8 bits and one channel")
    if image.size != size:
        found, expected = ("{} x {}".format(*one) for one in (image.size, size))
        raise DataError(f"{path}: found a mask of {found} pixels, expected {expected} as its picture has")
    image = image.convert("L") if image.mode == "1" else image
    return np.asarray(image.resize((side, side), Image.Resampling.NEAREST))


def opened(path: Path) -> Any:
    """Open and decode a picture.

    Raises:
      DataError: if it is missing, damaged, huge, or has several frames.
    """
    from PIL import Image  # slow to import, and only pictures need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1:
                    raise DataError(f"{path}: has {frames} frames, expected one; save the one that counts")
                image.load()
                return image.copy()
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({message(error)}); remove or replace it") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: is too large ({message(error)}); make it smaller") from None


def _refused(mode: str) -> str:
    if mode.startswith(("I", "F")):
        return f"has pixels of 16 bits or more (mode {mode})"
    return f"has the colors {mode}"
