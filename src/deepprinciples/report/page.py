"""The report: one HTML file that needs no network, runs no script and opens anywhere.

The verdict comes first, then the evidence, then what it cost, how it was made and what it cannot say. The template
page.html has the order and the words; here is the data that it is filled with.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import xarray as xr
from markupsafe import Markup

from deepprinciples.report import formatting, search_text, table_rows, verdict_tables
from deepprinciples.report.audio import players
from deepprinciples.report.figures import plots
from deepprinciples.report.figures.mpl_style import MOST_POINTS, Plot, to_svg
from deepprinciples.report.io import put

_KINDS = {
    "train": "Training run",
    "lr-find": "Range test of learning rates",
    "probe": "Trained networks under the probes",
}


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment of the templates: every text is cleaned and escaped on its way into the page."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("deepprinciples.report"),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else formatting.clean(value, lines=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"nothing": formatting.NOTHING, "tables": table_rows, "words": formatting}
    return made


def pictures(drawn: Iterable[Plot]) -> list[dict[str, Any]]:
    """Return figures as the templates show them: a data URI, the caption, what the figure shows in words, and points.

    A browser shows no words over the parts of an image, so points lie above it.
    """
    return [
        {
            "group": plot.group,
            "source": f"data:image/svg+xml;base64,{base64.b64encode(to_svg(plot)).decode()}",
            "alt": plot.alt,
            "caption": plot.caption,
            "points": plot.points if len(plot.points) <= MOST_POINTS else (),
        }
        for plot in drawn
    ]


def render(
    results: xr.Dataset,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    drawn: Sequence[Plot] | None = None,
) -> str:
    """Return the report as HTML; the same input gives the same bytes.

    Args:
      results: variables over arm, seed, step, layer, ...; any of them may be absent.
      summary: the dict of `summary.json`; any value may be None.
      manifest: the dict of `manifest.json`; any value may be None.
      drawn: the figures, where they are drawn already.

    Returns:
      A whole HTML document without scripts and without links to anywhere else.
    """
    shown: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures(plots.figures(results, summary) if drawn is None else drawn):
        shown.setdefault(picture["group"], []).append(picture)
    probed = summary.get("kind") == "probe"
    return environment().get_template("page.html").render(
        _header(summary, manifest),
        cost=_cost(summary),
        could_show=search_text.can_show(summary),
        divergence=None if probed else table_rows.divergence(results),
        kept=search_text.kept(summary),
        figures_of=lambda group: shown.get(group, []),
        measures=table_rows.measures(results) if probed else [],
        notes=search_text.notes(summary),
        numbers=_numbers(summary),
        paste="\n".join(formatting.paste(formatting.rows(summary.get("rates")))),
        players=players(results),
        probed=probed,
        run={key: value for key, value in manifest.items() if key != "versions" and value is not None},
        summary=summary,
        tuning=search_text.budget(summary),
        versions=formatting.table(manifest.get("versions")),
    ).lstrip()  # fmt: skip


def write(
    path: str | Path,
    results: xr.Dataset,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    *,
    figures: bool = False,
) -> Path:
    """Write the report to a file, UTF-8 on every system.

    Args:
      path: the HTML file.
      results: as for `render`.
      summary: as for `render`.
      manifest: as for `render`.
      figures: write each figure as .svg and .png too, into the folder figures/ beside the file.

    Returns:
      The path written.

    Raises:
      ResourceError: it cannot be written.
    """
    place, drawn = Path(path), plots.figures(results, summary)
    put(place, render(results, summary, manifest, drawn).encode("utf-8"))
    if figures:
        plots.save_all(drawn, place.parent / "figures")
    return place


def _header(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(summary.get("kind"))
    compared, rows = kind not in _KINDS, formatting.rows(summary.get("arms"))
    protocol, cost = formatting.table(summary.get("protocol")), formatting.table(summary.get("cost"))
    better = "smaller is better" if summary.get("direction") == "min" else "larger is better"
    seeds, searches, trials = (protocol.get(key) for key in ("seeds", "searches", "trials"))
    counts = sorted({formatting.number(row.get("n")) for row in rows}) if seeds is None else [formatting.number(seeds)]
    facts = {
        "metric": f"{formatting.name(summary.get('metric'))} ({better})" if summary.get("metric") else "",
        "arms": formatting.number(len(rows)) if compared or len(rows) > 1 else "",
        "seeds" if kind == "probe" else "seeds per arm": ", ".join(counts),
        "searches per arm": formatting.number(searches) if compared and searches else "",
        "trials per search": formatting.number(trials) if compared and trials else "",
        "time": formatting.duration(cost.get("seconds")),
        "made on": formatting.name(manifest.get("device")) if manifest.get("device") is not None else "",
    }
    return {
        "kind": _KINDS.get(kind, "Comparison of training methods"),
        "compared": compared,
        "created": manifest.get("created"),
        "title": formatting.name(summary.get("title")),
        "headline": formatting.name(summary.get("headline") or "No verdict was recorded."),
        "color": table_rows.strongest(summary),
        "known": facts,
        "warnings": formatting.sentences(summary.get("warnings")),
    }


def _numbers(summary: Mapping[str, Any]) -> str:
    """Return the table of verdicts as CSV in base64; empty without comparisons."""
    if not formatting.rows(summary.get("comparisons")):
        return ""
    return base64.b64encode(formatting.clean(verdict_tables.csv(summary), lines=True).encode()).decode()


def _cost(summary: Mapping[str, Any]) -> dict[str, str]:
    values = formatting.table(summary.get("cost"))
    spent = {"time": "seconds", "compiling": "compile_seconds", "running": "run_seconds"}
    return {
        "model steps": formatting.number(values.get("model_steps")),
        "gradient evaluations": formatting.number(values.get("gradient_evaluations")),
        **{name: formatting.duration(values.get(key)) for name, key in spent.items()},
        "share of probes": formatting.percent(values.get("probe_share")),
    }
