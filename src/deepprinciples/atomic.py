"""Files written whole or not at all: the one place that does it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write a file so that after any crash it holds the old content or the new, never a mixture.

    A link of that name is replaced, and what it leads to stays as it is.

    Args:
        path: the file; its folder must exist.
        content: the bytes.

    Raises:
        OSError: the disk is full, not writable, or failed while flushing; the old file is then untouched.
    """
    path = Path(path)
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a rename in it survives a power cut; systems that cannot are left alone."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
