"""A page for each experiment, of its script, its config, its section of docs/findings.md, and a picture.

Where the findings have no picture, one is drawn from their first table of arms: each arm's score with its interval.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
NUMBER = r"[+\-−]?\d[\d,]*\.?\d*(?:e[+\-−]?\d+)?"
Rows = list[tuple[str, float, float, float]]  # arm, score, and where its interval begins and ends


class Section(NamedTuple):
    """One section of the findings: the question of its heading, what was found, and the scripts that it names."""

    question: str
    text: str
    scripts: tuple[str, ...]


def sections(text: str) -> tuple[str, list[Section]]:
    """Split the findings into what stands before the first experiment, and one section for each.

    A section that names no script belongs to what stands before.
    """
    begin, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    found = []
    for part in rest:
        question, body = part.split("\n", 1)
        scripts = tuple(dict.fromkeys(re.findall(r"python experiments/(\w+)\.py", body)))
        if scripts:
            found.append(Section(question.strip(), body.strip("\n"), scripts))
        else:
            begin += f"## {part}"
    return begin, found


def facts(script: str) -> dict[str, str]:
    """Read what varies, what is looked at, and how long it takes, from the docstring of a script."""
    note = ast.get_docstring(ast.parse((ROOT / "experiments" / f"{script}.py").read_text(encoding="utf-8"))) or ""
    named = r"^(Varies|Looks at|Time on 2 cores): (.*?)(?=^[A-Z][\w ]*: |\Z)"
    return {key: " ".join(said.split()) for key, said in re.findall(named, note, re.MULTILINE | re.DOTALL)}


def scores(text: str) -> tuple[str, Rows]:
    """Take the first table that gives rows a score with an interval; returns what the score is, and the rows."""
    for table in re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE):
        head, _, *lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]
        column = next((k for k, cell in enumerate(head) if k > 1 and cell.endswith("interval")), None)
        if column is None or head[0].startswith("comparison"):
            continue
        between = range(1, column - 1)  # further columns that name a row, such as what was removed
        rows: Rows = []
        for cells in lines:
            score = re.fullmatch(rf"\**({NUMBER})\**", cells[column - 1])
            ends = re.fullmatch(rf"\[?({NUMBER})(?:,| to) ({NUMBER})\]?", cells[column])
            if score and ends:
                name = " ".join([cells[0], *(cells[k] for k in between if not re.search(NUMBER, cells[k]))])
                rows.append((name, *(float(x.replace(",", "").replace("−", "-")) for x in (score[1], *ends.groups()))))
        if len(rows) > 1:
            return head[column - 1], rows
    return "", []


def draw(rows: Rows, metric: str, path: Path) -> None:
    """Draw each row's score and interval, once for light pages and once for dark ones."""
    from concept_figures import both  # matplotlib is slow to import
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    with both(path, (4.4, 0.9 + 0.26 * len(rows))) as pages:
        for figure, ink in pages:
            axes = figure.subplots()
            for place, (_, score, low, high) in enumerate(reversed(rows)):
                axes.plot([low, high], [place, place], color=ink.first, linewidth=1.6, solid_capstyle="butt")
                axes.plot(score, place, "o", color=ink.first, markersize=5)
            axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
            axes.set_ylim(-0.6, len(rows) - 0.4)
            # Few ticks, for a card is small: labels side by side must not meet.
            axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            values = sorted(score for _, score, _, _ in rows)
            if values[-1] > 1000 * values[len(values) // 2] and values[0] > 0.0:  # an arm that exploded
                axes.set_xscale("log")
                axes.set_xlim(left=min(x for _, *row in rows for x in row if x > 0.0) / 2)  # an interval may begin at 0
                axes.xaxis.set_major_locator(LogLocator(numticks=5))
                axes.xaxis.set_minor_locator(NullLocator())
            # In the middle of the card: long names leave no space for it below the axes.
            figure.supxlabel(f"{metric}, with its 95 % interval", color=ink.text, fontsize=9.5)


def page(section: Section, script: str, picture: str) -> str:
    """Write the page of one script."""
    lines = [f"# {section.question}", ""]
    lines += [f"- **{key}:** {_sentence(said)}" for key, said in facts(script).items()]
    if picture:
        lines += ["", picture]
    text = re.sub(r"(!\[[^\]]*\]\()(?!http)", r"\1../", section.text)
    lines += ["", "## What was found", "", re.sub(r"^##", "###", text, flags=re.MULTILINE)]
    lines += ["", "## The script", "", f"```{{literalinclude}} ../../experiments/{script}.py\n:language: python\n```"]
    if (ROOT / "configs" / f"{script}.toml").exists():
        lines += ["", "## The config", "", f"```{{literalinclude}} ../../configs/{script}.toml\n:language: toml\n```"]
    return "\n".join(lines) + "\n"


def write(app: Any) -> None:
    """Write the pages and their index into docs/gallery, which is not kept under version control."""
    del app
    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    begin, found = sections((DOCS / "findings.md").read_text(encoding="utf-8"))
    told = {script for section in found for script in section.scripts}
    missing = {path.stem for path in (ROOT / "experiments").glob("*.py")} - told
    if missing:
        raise ValueError(f"docs/findings.md: expected a section that names each experiment, found none: {missing}")
    written = {"index.md": _index(begin, found)}
    for section in found:
        for script in section.scripts:
            shown = ""
            if _own(section) is None and (rows := scores(section.text))[1]:
                draw(rows[1], rows[0], folder / script)
                shown = _twice(script, f"{rows[0]} of each arm")
            written[f"{script}.md"] = page(section, script, shown)
    for name, text in written.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # an unchanged page is not read again
            path.write_text(text, encoding="utf-8")


def _own(section: Section) -> str | None:
    found = re.search(r"!\[[^\]]*\]\(([^)]+)\)", section.text)
    return found[1] if found else None


def _twice(name: str, text: str) -> str:
    return f"![{text}]({name}-light.svg){{.only-light}}\n![{text}]({name}-dark.svg){{.only-dark}}"


def _index(begin: str, found: list[Section]) -> str:
    lines = [begin.replace("# What the experiments found", "# Experiments and what they found", 1).split("\n## ")[0]]
    lines += ["", "::::{container} cards"]
    for section in found:
        for script in section.scripts:
            lines += ["", ":::{container} card", f"[{section.question}]({script}.md)", ""]
            if own := _own(section):
                lines += [f"![{section.question}](../{own})"]
            elif scores(section.text)[1]:
                lines += [_twice(script, section.question)]
            lines += ["", _sentence(facts(script).get("Varies", "")), ":::"]
    lines += ["", "::::", "", *(f"## {part}" for part in begin.split("\n## ")[1:])]
    names = [f"{script.replace('_', ' ')} <{script}>" for section in found for script in section.scripts]
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *names, "```", ""])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
