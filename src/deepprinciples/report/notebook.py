"""A run as a notebook shows it: the verdict, its tables and the two figures that say most, without script or frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from deepprinciples.report import formatting, table_rows
from deepprinciples.report.figures import curves, forest_plot, mpl_style
from deepprinciples.report.page import environment, pictures


def render(results: xr.Dataset, summary: Mapping[str, Any]) -> str:
    """Return HTML to stand among other HTML: its style holds for nothing outside of it.

    Args:
      results: variables over arm, seed, step, ...; any of them may be absent.
      summary: the dict of `summary.json`; any value may be None.
    """
    with mpl_style.style():
        drawn = [forest_plot.forest(summary), *curves.learning(results, summary)[-1:]]
    return _filled(
        summary,
        title=formatting.name(summary.get("title")),
        warnings=formatting.sentences(summary.get("warnings")),
        plots=pictures(plot for plot in drawn if plot is not None),
    )


def verdicts(summary: Mapping[str, Any]) -> str:
    """Return the headline and the tables of arms and of comparisons in the style of the report."""
    return _filled(summary, title="", warnings=[], plots=[])


def _filled(summary: Mapping[str, Any], **parts: Any) -> str:
    return environment().get_template("notebook.html").render(
        color=table_rows.strongest(summary),
        headline=formatting.name(summary.get("headline")),
        tables=[table_rows.arms(summary), table_rows.comparisons(summary)],
        **parts,
    )  # fmt: skip
