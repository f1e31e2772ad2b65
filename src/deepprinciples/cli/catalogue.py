"""The catalogue as pages: one for each part, made of its card, and a table of all. `make catalogue` writes them.

python -m deepprinciples.cli.catalogue FOLDER, which writes the cards that `list` and `show` read anew too.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deepprinciples.cli.part_cards import (
    KEPT,
    SECTIONS,
    Tables,
    arguments,
    cards_of,
    descent_of,
    neutral_of,
    parsed,
    type_of,
    unmarked,
    value_of,
)
from deepprinciples.config.schema import REQUIRED, fields
from deepprinciples.config.wording import plural, singular


def pages(tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield every page as (path below the folder, Markdown); the table of all comes first."""
    yield "README.md", _index(tables)
    for kind, table in tables.items():
        for name, factory in sorted(table.items()):
            yield f"{kind}/{name}.md", _page(kind, name, factory)


def _index(tables: Tables) -> str:
    blocks = [
        "# Catalogue",
        "Every part that a config can name, made from its docstring; `deepprinciples show KIND NAME` shows the same. "
        "Probes measure, all else trains.",
    ]
    for kind, table in tables.items():
        rows = [
            f"| [{name}]({kind}/{name}.md) | {_cell(parsed(one)['summary'])} |" for name, one in sorted(table.items())
        ]
        blocks.append("\n".join([f"## {plural(kind)}", "", "| name | what it does |", "|---|---|", *rows]))
    return "\n\n".join(blocks) + "\n"


def _page(kind: str, name: str, factory: Callable[..., Any]) -> str:
    text, off = parsed(factory), neutral_of(factory)
    blocks = [f"# {name}", f"{singular(kind)} · [all parts](../README.md)", _plain(text["summary"])]
    if text["body"]:
        blocks.append(f"```text\n{text['body']}\n```")
    described = arguments(text["Args"])
    rows = []
    for field in fields(factory).values():
        default = "required" if field.default is REQUIRED else value_of(field.default)
        marks = ["swept"] * field.sweepable
        marks += [f"neutral {value_of(off[field.name])}"] if field.name in off else []
        cells = (
            f"`{field.name}`",
            type_of(field),
            default,
            ", ".join(marks),
            field.interval,
            unmarked(described.get(field.name, "")),
        )
        rows.append("| " + " | ".join(map(_cell, cells)) + " |")
    if rows:
        head = ["| hyper-parameter | type | default | marks | range | meaning |", "|---|---|---|---|---|---|"]
        blocks.append("\n".join([*head, *rows]))
    text["Descent"] = descent_of(factory)
    for heading, title in SECTIONS.items():
        if text[heading]:
            blocks.append(f"**{title}:** {_plain(text[heading])}")
    return "\n\n".join(blocks) + "\n"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("*", "\\*").replace("<", "\\<").replace("_", "\\_")


def _cell(text: str) -> str:
    words = " ".join(str(text).split())
    return words if words.startswith("`") else words.replace("|", "\\|").replace("*", "\\*").replace("<", "\\<")


def write(folder: Path) -> int:
    """Write all pages anew and give their number."""
    from deepprinciples.learners import TABLES

    index = folder / "README.md"
    if index.is_file() and index.read_text(encoding="utf-8").startswith("# Catalogue\n"):  # ours, and perhaps stale
        shutil.rmtree(folder)
    count = 0
    for path, text in pages(TABLES):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        count += 1
    return count


def cards() -> str:
    """Return the cards of all parts as the content of `part_cards.KEPT`; each has lines of its own."""
    from deepprinciples.learners import TABLES

    return json.dumps(cards_of(TABLES), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    KEPT.write_text(cards(), encoding="utf-8")
    print(f"{write(Path(sys.argv[1]))} pages in {sys.argv[1]}")
