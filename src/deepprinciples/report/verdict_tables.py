"""The verdicts of a study as one table, for a paper, a page or a spreadsheet: Markdown, LaTeX, CSV or pandas.

Numbers come with the summary; none are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deepprinciples.report import formatting
from deepprinciples.report.formatting import NOTHING

if TYPE_CHECKING:
    import pandas as pd

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$",
    "\u2212": "$-$", NOTHING: "--", "\u2026": r"\dots{}",
}  # fmt: skip
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "[": "&#91;", **{char: "\\" + char for char in "\\`*_|~$"}}


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(char, char) for char in text)


def _rows(summary: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pair each arm with each of its comparisons, in their order; an arm that is the first of none has none."""
    arms, compared = formatting.rows(summary.get("arms")), formatting.rows(summary.get("comparisons"))
    firsts = {row.get("a") for row in compared}
    yield from ((arm, {}) for arm in arms if arm.get("name") not in firsts)
    by_name = {arm.get("name"): arm for arm in arms}
    yield from ((by_name.get(row.get("a"), {}), row) for row in compared)


def frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return the verdicts as a pandas table of plain numbers; NaN where there is none."""
    import pandas as pd

    body = []
    for arm, row in _rows(summary):
        (low, high), (less, more) = (formatting.pair(one.get("interval")) or (None, None) for one in (arm, row))
        body.append({
            "arm": arm.get("name"), "runs": arm.get("n"), "diverged": arm.get("diverged"),
            "mean": arm.get("mean"), "low": low, "high": high,
            "against": row.get("b", ""), "difference": row.get("difference"), "difference_low": less,
            "difference_high": more, "p_adjusted": row.get("p_adjusted"), "verdict": row.get("verdict", ""),
        })  # fmt: skip
    numbers = ["mean", "low", "high", "difference", "difference_low", "difference_high", "p_adjusted"]
    return pd.DataFrame(body).astype(dict.fromkeys(numbers, float))


def _cells(summary: Mapping[str, Any], name: Callable[[Any], str] = formatting.name) -> list[list[str]]:
    """Return the same as words, the titles first; numbers with the decimals that they have in the report.

    Args:
      summary: of a run.
      name: turns the name of an arm or of a metric into a cell.
    """
    rows = list(_rows(summary))
    means = formatting.decimals(arm.get("interval") for arm, _ in rows)
    gaps = formatting.decimals(row.get("interval") for _, row in rows if row)
    level = formatting.finite(formatting.table(summary.get("protocol")).get("confidence"))
    interval = f"{formatting.percent(0.95 if level is None else level)} interval"
    cells = [["arm", f"mean {name(summary.get('metric'))}", interval]]
    if any(row for _, row in rows):
        cells[0] += ["compared with", "difference", interval, "p, Holm", "verdict"]
    for arm, row in rows:
        line = [
            name(arm.get("name")),
            formatting.estimate(arm.get("mean"), arm.get("interval"), places=means),
            formatting.bounds(arm.get("interval"), places=means),
        ]
        if row:
            line += [
                name(row.get("b")),
                formatting.estimate(row.get("difference"), row.get("interval"), signed=True, places=gaps),
                formatting.bounds(row.get("interval"), signed=True, places=gaps),
                formatting.probability(row.get("p_adjusted")),
                name(row.get("verdict")),
            ]
        cells.append(line + [NOTHING] * (len(cells[0]) - len(line)))
    return cells


def _alignment(titles: Sequence[str], left: str, right: str) -> list[str]:
    """Return the alignment of each column: words to the left, numbers to the right."""
    return [left if k in (0, 3, 7) else right for k in range(len(titles))]


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the verdicts as a table of Markdown."""
    head, *body = _cells(summary, lambda value: _escaped(formatting.name(value), _MARKDOWN))
    lines = [head, _alignment(head, "---", "---:"), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(summary: Mapping[str, Any]) -> str:
    """Return the verdicts as a tabular of LaTeX, which needs the package booktabs."""
    cells = [[_escaped(cell, _TEX) for cell in line] for line in _cells(summary)]
    rows = [" & ".join(line) + r" \\" for line in cells]
    # A row that begins with [ or * would be an option of the line break or of the rule before it.
    head, *body = ("{}" + row if row[0] in "[*" else row for row in rows)
    columns = "".join(_alignment(cells[0], "l", "r"))
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule"]
    return "".join(f"{line}\n" for line in [*top, *body, r"\bottomrule", r"\end{tabular}"])


def csv(summary: Mapping[str, Any]) -> str:
    """Return the verdicts as comma-separated values, numbers in full."""
    return frame(summary).to_csv(index=False)


FORMS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv,
    "pandas": frame,
}
