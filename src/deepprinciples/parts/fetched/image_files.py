"""Pictures read from files by Pillow, which matplotlib brings: into NumPy arrays, with one line where that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepprinciples.errors import DataError


def read_picture(path: Path) -> np.ndarray:
    """Read a picture of a published set as it is: [H, W] or [H, W, channels]."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(_loaded(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error})") from None


def _loaded(image: Any) -> Any:
    image.load()
    return image
