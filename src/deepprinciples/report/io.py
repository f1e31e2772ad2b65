"""Where the report's files go: each is whole or not there, and none is written through a link.

A report is written into the run directory, which may have come from anybody: a link in it could lead to any file of
the reader's.
"""

from __future__ import annotations

from pathlib import Path

from deepprinciples.atomic import write_bytes
from deepprinciples.errors import ResourceError, not_written


def put(path: Path, content: bytes) -> None:
    """Write a file; a link of that name is replaced, and what it leads to stays as it is.

    Raises:
        ResourceError: it cannot be written.
    """
    try:
        write_bytes(path, content)
    except OSError as error:
        raise not_written(path, error) from None


def folder(path: Path) -> Path:
    """Make a folder where there is none.

    Raises:
        ResourceError: it is a link, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path, error) from None
    if path.is_symlink():
        raise ResourceError(f"{path}: is a link; expected a folder, since files in it are written anew")
    return path
