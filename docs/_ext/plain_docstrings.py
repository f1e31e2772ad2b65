"""Docstrings as they are written here, plain text with Google's sections, made into reStructuredText.

A star, a bar or an underscore of a formula is meant as it stands, so all of them are escaped.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

SECTIONS = "Args|Attributes|Raises|Returns|Yields|References|Expect|Costs|Example|Examples"
LISTS = ("Args", "Attributes", "Raises")
ITEM = re.compile(r"^([\w.*, ]+?): (.*)", re.DOTALL)


def convert(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the lines of one docstring in place, as autodoc asks for it."""
    del app, what, name, obj, options
    lines[:] = [line for block in rst("\n".join(lines)) for line in [*block.splitlines(), ""]]


def rst(text: str) -> Iterator[str]:
    """Yield the blocks of a docstring as reStructuredText."""
    for heading, body in _sections(text):
        if heading.startswith("Example"):
            yield ".. code-block:: python\n\n" + textwrap.indent(body, "   ")
        elif heading in LISTS:
            yield f"**{heading}**"
            yield from _items(body)
        elif heading:
            first, *rest = re.split(r"\n\s*\n", body)
            yield f"**{heading}:** {_words(first)}"
            yield from (_block(paragraph) for paragraph in rest)
        else:
            yield from map(_block, re.split(r"\n\s*\n", body))


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Split a docstring: what stands under no heading has the heading ""."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        begins = re.match(rf"({SECTIONS}):\s*(.*)$", line)
        if begins:
            found.append((begins[1], [f"    {begins[2]}"] if begins[2] else []))
        elif found[-1][0] and line[:1].strip():
            found.append(("", [line]))
        else:
            found[-1][1].append(line)
    for heading, lines in found:
        body = textwrap.dedent("\n".join(line if line.strip() else "" for line in lines)).strip("\n")
        if body.strip():
            yield heading, body


def _block(paragraph: str) -> str:
    """Turn a paragraph into a list of named things, a formula, or text."""
    lines = paragraph.splitlines()
    if len(lines) > 1 and ITEM.match(lines[0]) and any(line.startswith("    ") for line in lines):
        return "\n".join(_items(paragraph))
    formula = not re.search(r"[.:;?!)\"`]$", paragraph.rstrip())
    return "::\n\n" + textwrap.indent(textwrap.dedent(paragraph), "   ") if formula else _words(paragraph)


def _items(body: str) -> Iterator[str]:
    """Yield `name: text` with its indented lines as a list."""
    for one in re.split(r"\n(?=\S)", body.strip()):
        named = ITEM.match(one)
        yield f"- **{_words(named[1])}**: {_words(named[2])}" if named else f"- {_words(one)}"


def _words(text: str) -> str:
    """Escape one paragraph; what stands in backticks is code, and marks such as *Sweepable.* stay."""
    parts = re.split(r"`+([^`]+)`+", " ".join(text.split()))
    parts[::2] = [re.sub(r"([\\*|_])", r"\\\1", part).replace("<", r"\<") for part in parts[::2]]
    parts[::2] = [re.sub(r"\\\*([A-Z][\w ,.:]*?)\\\*", r"*\1*", part) for part in parts[::2]]
    parts[1::2] = [rf"\ ``{part.strip()}``\ " for part in parts[1::2]]
    return "".join(parts).strip()


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True}
