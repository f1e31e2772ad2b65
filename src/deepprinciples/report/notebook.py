"""A run as a notebook shows it: the verdict, its tables and the two figures that say most, without script or frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from deepprinciples.report import curves, forest_plot, formatting, html_tables, mpl_style
from deepprinciples.report.sheet import CSS

_CLASS = "deepprinciples-run"


def render(results: xr.Dataset, summary: Mapping[str, Any]) -> str:
    """Return HTML to stand among other HTML: its style holds for nothing outside of it.

    Args:
      results: variables over arm, seed, step, ...; any of them may be absent.
      summary: the dict of `summary.json`; any value may be None.
    """
    head = formatting.escape(formatting.name(summary.get("title")))
    verdict = formatting.escape(formatting.name(summary.get("headline")))
    warnings = formatting.sentences(summary.get("warnings"))
    return (
        f"<style>{_scoped()}</style>\n"
        f'<div class="{_CLASS}"><h3>{head}</h3>\n'
        f'<div class="verdict {html_tables.strongest(summary)}"><p>{verdict}</p></div>\n'
        f"{verdicts(summary)}\n"
        f"{html_tables.bullets(warnings) if warnings else ''}"
        f"{_figures(results, summary)}</div>"
    )


def verdicts(summary: Mapping[str, Any]) -> str:
    """Return the tables of arms and of comparisons, as far as there are rows."""
    arms = html_tables.arms(summary) if formatting.rows(summary.get("arms")) else ""
    return arms + (html_tables.comparisons(summary) if formatting.rows(summary.get("comparisons")) else "")


def styled(body: str) -> str:
    """Return HTML in the style of the report, which holds for nothing outside of it."""
    return f'<style>{_scoped()}</style>\n<div class="{_CLASS}">{body}</div>'


def _figures(results: xr.Dataset, summary: Mapping[str, Any]) -> str:
    with mpl_style.style():
        drawn = [forest_plot.forest(summary), *curves.learning(results, summary)[-1:]]
        pictures = "".join(f"<figure>{mpl_style.to_svg(plot)}</figure>" for plot in drawn if plot is not None)
    return f'<div class="plots">{pictures}</div>' if pictures else ""


def _scoped() -> str:
    """Put the rules of the report's style below one class; rules of the whole page become those of the class."""
    inside = CSS.replace(":root{", "&{").replace("body{", "&{").replace("html{", "&{")
    return f".{_CLASS}{{{inside}}}"
