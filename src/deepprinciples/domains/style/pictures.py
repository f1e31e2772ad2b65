"""Pictures of the user's, in and out: files that Pillow reads become arrays, arrays become PNG files.

What a picture is used for is decided elsewhere. This module imports no jax.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np

from deepprinciples.errors import ConfigError, DataError, message, not_written

MOST_PIXELS = 2**26  # 64 million: a small file may claim to hold far more than memory does
SHORTEST_SIDE = 16
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # Pillow reads others too: EPS by starting Ghostscript


def read(path: Path | str, size: int, where: str = "picture") -> np.ndarray:
    """Read a picture and scale it so that its longer side has `size` pixels.

    Args:
        path: a PNG, JPEG, WebP, GIF, BMP, TIFF or PPM file, 8 bits a channel; alpha is dropped.
        size: in pixels, of the longer side.
        where: what an error message starts with.

    Returns:
        [H, W, 3] floats in [0, 1].

    Raises:
        DataError: the file is missing, no picture, damaged, too large, or too narrow at this size.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{where}: {path}: found {image.width} x {image.height} pixels, expected at most "
                    f"{MOST_PIXELS:,}; shrink the picture"
                )
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{where}: {path}: expected 8 bits a channel, found mode {image.mode}; convert it")
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{where}: {path}: no such file; expected a picture such as a PNG or a JPEG") from None
    except UnidentifiedImageError:
        raise DataError(f"{where}: {path}: not a picture; expected a file such as a PNG or a JPEG") from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or message(error)
        raise DataError(f"{where}: {path}: cannot be read ({reason}); expected a whole picture file") from None
    return scale(pixels, size, f"{where}: {path}")


def scale(pixels: np.ndarray, size: int, where: str = "picture") -> np.ndarray:
    """Scale pixels [H, W, 3] (uint8) so that the longer side has `size`; returns floats in [0, 1].

    Raises:
        DataError: the shorter side would have fewer than 16 pixels.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    sides = [max(1, round(side * size / max(height, width))) for side in (width, height)]
    if min(sides) < SHORTEST_SIDE:
        raise DataError(
            f"{where}: found {width} x {height} pixels, which gives {sides[0]} x {sides[1]} at size={size}, expected "
            f"both sides of at least {SHORTEST_SIDE}; set a larger size, or crop the picture"
        )
    image = Image.fromarray(pixels).resize((sides[0], sides[1]), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32) / 255.0


def photographs(size: int) -> list[np.ndarray]:
    """Return the two photographs that scikit-learn carries, a tower in China and a flower, scaled by `scale`.

    License: CC BY 2.0 (see the package sklearn.datasets.images).
    """
    from sklearn.datasets import load_sample_images

    return [scale(pixels, size) for pixels in load_sample_images().images]


def refusals(out: str) -> list[str]:
    """Return why no new PNG file can be written there, before minutes are spent; "" is no file and no problem."""
    path = Path(out)
    if out and path.suffix.lower() != ".png":
        return [f"out: found {out[:60]!r}, expected a name that ends in .png"]
    if out and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        return [f"out: {path.parent} is no folder that can be written to; make it, or choose another"]
    if out and (path.exists() or path.is_symlink()):
        return [f"out: {out} is there already and is never overwritten; choose another name"]
    return []


def write(path: Path | str, picture: np.ndarray) -> None:
    """Write a picture [H, W, 3] in [0, 1] as a new PNG file; a file that is there is never touched.

    Raises:
        ConfigError: the path is taken.
        ResourceError: the folder is missing, not writable or full; nothing is left behind.
    """
    from PIL import Image

    path, content = Path(path), io.BytesIO()
    Image.fromarray((np.clip(picture, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)).save(content, format="PNG")
    try:
        with open(path, "xb") as file:
            try:
                file.write(content.getvalue())
                file.flush()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise ConfigError(f"out: {path} is there already and is never overwritten; choose another name") from None
    except OSError as error:
        raise not_written(f"out: {path}", error, "; choose another") from None
