"""The report: one HTML file that needs no network, runs no script and opens anywhere.

The verdict comes first, then the evidence, then what it cost, how it was made and what it cannot say. The page decides
the order; the tables and the figures are made elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from deepprinciples.report import formatting, html_tables, mpl_style, plots, probe_tables, search_tables, search_text
from deepprinciples.report.io import put
from deepprinciples.report.sheet import CSS

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_KINDS = {
    "train": "Training run",
    "lr-find": "Range test of learning rates",
    "probe": "Trained networks under the probes",
}


def _compared(summary: Mapping[str, Any]) -> bool:
    return str(summary.get("kind")) not in _KINDS


def render(
    results: xr.Dataset,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    drawn: Sequence[mpl_style.Plot] | None = None,
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
    drawn = plots.figures(results, summary) if drawn is None else drawn
    sections = [section for section in _sections(results, summary, manifest, drawn) if section[2]]
    links = "".join(f'<a href="#{key}">{formatting.escape(title)}</a>' for key, title, _ in sections)
    body = "\n".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{formatting.escape(title)}</h2>\n{content}</section>'
        for key, title, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{formatting.escape(formatting.name(summary.get('title')))}</title>\n<style>\n{CSS}\n</style>\n</head>\n<body>\n"
        f"{_header(summary, manifest, links)}\n<main>\n{body}\n</main>\n{_footer(manifest)}\n</body>\n</html>\n"
    )


def write_all(folder: Path, results: xr.Dataset, summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Write the report of a run and the files of its figures into the run's directory; each is drawn once.

    Args:
      folder: the run's directory.
      results: as for `render`.
      summary: as for `render`.
      manifest: as for `render`.

    Raises:
      ResourceError: something cannot be written.
    """
    drawn = plots.figures(results, summary)
    write(folder / "report.html", results, summary, manifest, drawn)
    plots.save_all(results, summary, folder / "figures", drawn)


def write(
    path: str | Path,
    results: xr.Dataset,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    drawn: Sequence[mpl_style.Plot] | None = None,
) -> Path:
    """Write the report to a file, UTF-8 on every system.

    Args:
      path: the HTML file.
      results: as for `render`.
      summary: as for `render`.
      manifest: as for `render`.
      drawn: as for `render`.

    Returns:
      The path written.

    Raises:
      ResourceError: it cannot be written.
    """
    place = Path(path)
    put(place, render(results, summary, manifest, drawn).encode("utf-8"))
    return place


def _header(summary: Mapping[str, Any], manifest: Mapping[str, Any], links: str) -> str:
    compared, looked = _compared(summary), summary.get("kind") == "probe"
    protocol, cost = formatting.table(summary.get("protocol")), formatting.table(summary.get("cost"))
    rows = formatting.rows(summary.get("arms"))
    better = "smaller is better" if summary.get("direction") == "min" else "larger is better"
    seeds, searches, trials = (protocol.get(key) for key in ("seeds", "searches", "trials"))
    counts = sorted({formatting.number(row.get("n")) for row in rows}) if seeds is None else [formatting.number(seeds)]
    facts = {
        "metric": f"{formatting.name(summary.get('metric'))} ({better})" if summary.get("metric") else "",
        "arms": formatting.number(len(rows)) if compared or len(rows) > 1 else "",
        "seeds" if looked else "seeds per arm": ", ".join(counts),
        "searches per arm": formatting.number(searches) if compared and searches else "",
        "trials per search": formatting.number(trials) if compared and trials else "",
        "time": formatting.duration(cost.get("seconds")),
        "made on": formatting.name(manifest.get("device")) if manifest.get("device") is not None else "",
    }
    kind = _KINDS.get(str(summary.get("kind")), "Comparison of training methods")
    created = f" · {formatting.escape(manifest.get('created'))}" if manifest.get("created") is not None else ""
    warnings = formatting.sentences(summary.get("warnings"))
    warned = f'<div class="warn" role="note"><p>Before you trust it</p>{html_tables.bullets(warnings)}</div>\n'
    title = formatting.escape(formatting.name(summary.get("title")))
    headline = formatting.name(summary.get("headline")) if summary.get("headline") else "No verdict was recorded."
    return (
        f'<header>\n<p class="over">{kind}{created}</p>\n<h1>{title}</h1>\n'
        f'<div class="verdict {html_tables.strongest(summary)}"><p>{formatting.escape(headline)}</p></div>\n'
        f'{html_tables.facts(facts)}\n{warned * bool(warnings)}<nav aria-label="Sections">{links}</nav>\n</header>'
    )


def _sections(
    results: xr.Dataset, summary: Mapping[str, Any], manifest: Mapping[str, Any], drawn: Sequence[mpl_style.Plot]
) -> list[tuple[str, str, str]]:
    if summary.get("rates") is not None:
        return _tested(summary, manifest, drawn)
    compared = _compared(summary)
    tuned = compared and (formatting.table(summary.get("protocol")).get("trials") or _plots(drawn, "tuning"))
    limits = formatting.sentences(summary.get("limits"))
    looked = summary.get("kind") == "probe"
    return [
        ("measures", "What was measured", probe_tables.tables(results) if looked else ""),
        (
            "arms",
            "Arms" if compared else "Result",
            html_tables.arms(summary) if formatting.rows(summary.get("arms")) else "",
        ),
        ("comparisons", "What the comparison says" if compared else "Seeds", _effects(summary, drawn)),
        ("test-sets", "Further test sets", _test_sets(summary)),
        ("averages", "Averaged and raw weights", _averages(summary)),
        ("learning", "Learning curves", _plots(drawn, "learning")),
        ("samples", "What was made", _plots(drawn, "samples")),
        ("players", "The two players", _plots(drawn, "players")),
        ("flow", "Gradient flow", _plots(drawn, "flow")),
        ("landscape", "Around and between solutions", _plots(drawn, "landscape")),
        ("curvature", "Curvature and noise", _plots(drawn, "curvature")),
        ("units", "Units, clipping and updates", _plots(drawn, "units")),
        ("tuning", "How it was tuned", _search(summary, drawn) if tuned else ""),
        ("diverged", "What diverged", "" if looked else html_tables.divergence(results)),
        ("cost", "Cost", "" if looked else html_tables.cost(summary)),
        ("limits", "What this cannot say", html_tables.bullets(limits) if limits else ""),
        ("repeat", "Repeat it", _repeat(summary, manifest)),
    ]


def _search(summary: Mapping[str, Any], drawn: Sequence[mpl_style.Plot]) -> str:
    tables_first = search_tables.tuning(summary) + search_tables.promises(summary)
    return tables_first + _plots(drawn, "tuning") + search_tables.importance(summary)


def _tested(
    summary: Mapping[str, Any], manifest: Mapping[str, Any], drawn: Sequence[mpl_style.Plot]
) -> list[tuple[str, str, str]]:
    """Give the sections of a range test."""
    lines = "\n".join(formatting.paste(formatting.rows(summary.get("rates"))))
    pasted = f"<p>To paste into a config:</p><pre>{formatting.escape(lines, lines=True)}</pre>" if lines else ""
    return [
        ("rates", "Loss against learning rate", html_tables.rates(summary) + pasted + _plots(drawn, "rates")),
        ("cost", "Cost", html_tables.cost(summary)),
        ("limits", "What this cannot say", html_tables.bullets(formatting.sentences(summary.get("limits")))),
        ("repeat", "Repeat it", _repeat(summary, manifest)),
    ]


def _effects(summary: Mapping[str, Any], drawn: Sequence[mpl_style.Plot]) -> str:
    rows = formatting.rows(summary.get("comparisons"))
    if not rows:
        return _plots(drawn, "effects")
    told = html_tables.bullets(formatting.name(row.get("sentence")) for row in rows if row.get("sentence") is not None)
    paired = (
        "Searches are paired: search k draws the same trials and has the same seeds in both arms, and counts once, as "
        "the mean of its runs."
        if any(row.get("unit") == "search" for row in rows)
        else "Seeds are paired: seed k has the same start, batches and noise in both arms."
    )
    words = (
        f"<p>{paired} Differences are first minus second; p-values are corrected for all comparisons made (Holm).</p>"
    )
    shown = search_text.can_show(summary)
    shown = f"<p>{formatting.escape(shown)}</p>" if shown else ""
    figures, table = _plots(drawn, "effects"), html_tables.comparisons(summary)
    return told + shown + figures + f"<p>{words}</p>" + table + search_tables.variance(summary)


def _test_sets(summary: Mapping[str, Any]) -> str:
    sets = formatting.rows(summary.get("test_sets"))
    if not sets:
        return ""
    compared = any(formatting.rows(one.get("comparisons")) for one in sets)
    words = "<p>The same runs, judged on data that stand beside the test split.</p>"
    if compared:
        words += (
            "<p>The comparisons on each set are a family of their own, corrected apart from the others (Holm): with "
            "many sets, some of them will show a difference by chance.</p>"
        )
    made = [words, html_tables.test_sets(summary)]
    for one in sets if compared else ():
        rows = formatting.rows(one.get("comparisons"))
        made += [
            f"<h3>{formatting.escape(formatting.name(one.get('name')))}</h3>",
            html_tables.bullets(map(_sentence, rows)),
        ]
        made.append(html_tables.comparisons({**summary, "comparisons": rows}))
    return "\n".join(made)


def _sentence(row: Mapping[str, Any]) -> str:
    return formatting.name(row.get("sentence"))


def _averages(summary: Mapping[str, Any]) -> str:
    rows = formatting.rows(summary.get("averages"))
    if not rows:
        return ""
    told = html_tables.bullets(formatting.name(row.get("sentence")) for row in rows if row.get("sentence") is not None)
    words = (
        "<p>The score of an arm is that of its averaged weights; here it stands against the last weights of the same "
        "lanes. These comparisons are a family of their own, corrected apart from the others (Holm).</p>"
    )
    return told + words + html_tables.comparisons({**summary, "comparisons": rows})


def _plots(drawn: Sequence[mpl_style.Plot], group: str) -> str:
    made = "\n".join(
        f"<figure>{mpl_style.to_svg(plot)}<figcaption>{formatting.escape(plot.caption)}</figcaption></figure>"
        for plot in drawn
        if plot.group == group
    )
    return f'<div class="plots">\n{made}\n</div>\n' if made else ""


def _repeat(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    parts = []
    if summary.get("command") is not None:
        parts.append(f'<pre class="command">{formatting.escape(summary.get("command"), lines=True)}</pre>')
    if summary.get("config_toml") is not None:
        config = formatting.escape(summary.get("config_toml"), lines=True)
        title = "The config with every default written out"
        parts.append(f"<details><summary>{title}</summary><pre>{config}</pre></details>")
    if formatting.table(summary.get("protocol")):
        parts.append(
            f"<details><summary>The protocol</summary>{html_tables.mapping(summary.get('protocol'))}</details>"
        )
    if formatting.table(manifest.get("versions")):
        parts.append(f"<details><summary>Versions</summary>{html_tables.mapping(manifest.get('versions'))}</details>")
    others = {key: value for key, value in manifest.items() if key != "versions" and value is not None}
    if others:
        parts.append(f"<details><summary>The run</summary>{html_tables.mapping(others)}</details>")
    return "\n".join(parts)


def _footer(manifest: Mapping[str, Any]) -> str:
    version = formatting.table(manifest.get("versions")).get("deepprinciples")
    made = f" {formatting.escape(version)}" if version is not None else ""
    return f"<footer>Made by deepprinciples{made}. This page runs no code and loads nothing.</footer>"
