"""What pages that are read elsewhere too need to be pages of the site: links that lead to the site's own places."""

from __future__ import annotations

import re
from typing import Any

GALLERY = "gallery/index.md"


def adapt(app: Any, name: str, source: list[str]) -> None:
    """Change the text of a page before it is read; files stay as they are.

    The findings are one file, of which the gallery makes a page for each experiment. A page of the catalogue stands in
    no list of contents: the index of the catalogue and the search lead there.
    """
    up = "../" * name.count("/")
    source[0] = re.sub(r"\]\((?:\.\./)*findings\.md(?:#[\w-]*)?\)", f"]({up}{GALLERY})", source[0])
    if name.startswith(("catalogue/", "benchmarks-")) and name != "catalogue/README":
        source[0] = f"---\norphan: true\n---\n\n{source[0]}"


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", adapt)
    return {"parallel_read_safe": True}
