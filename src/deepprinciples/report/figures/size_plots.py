"""Figures of what a model costs: the metric against bytes and against multiply-adds, an arm a point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepprinciples.report import formatting
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import FAINT, INK, Plot, Point

_TALL = 190.0
_WORDS = {"bytes": "bytes", "multiply_adds": "multiply-adds of one example"}


def against_size(summary: Mapping[str, Any]) -> list[Plot]:
    """Draw the mean metric of each arm with its interval against the size of its model, where sizes differ."""
    return [
        _against(summary, key) for key in formatting.sizes(summary) if key in _WORDS and len(_points(summary, key)) > 1
    ]


def _points(summary: Mapping[str, Any], key: str) -> list[tuple[int, str, float, float, tuple[float, float]]]:
    """List place, name, size, mean and interval of the arms that have them."""
    found = []
    for place, row in enumerate(formatting.rows(summary.get("arms"))):
        size, mean = formatting.finite(formatting.table(row.get("size")).get(key)), formatting.finite(row.get("mean"))
        if size and mean is not None:
            ends = formatting.pair(row.get("interval")) or (mean, mean)
            found.append((place, formatting.name(row.get("name")), size, mean, ends))
    return found


def _against(summary: Mapping[str, Any], key: str) -> Plot:
    points, metric = _points(summary, key), formatting.name(summary.get("metric"))
    maximize = summary.get("direction") != "min"
    title = f"{formatting.shorten(metric, 24).capitalize()} against {key.replace('_', '-')}"
    figure, axes = mpl_style.board(title, _TALL, _WORDS[key], [one[1] for one in points], [one[0] for one in points])
    best: list[tuple[float, float]] = []  # those that no smaller model beats
    for _, _, size, mean, _ in sorted(points, key=lambda one: (one[2], -one[3] if maximize else one[3])):
        if not best or (mean > best[-1][1] if maximize else mean < best[-1][1]):
            best.append((size, mean))
    axes.plot(*zip(*best, strict=True), color=FAINT, linewidth=3.0, zorder=1)
    for place, _, size, mean, ends in points:
        style = mpl_style.look(place)
        axes.plot([size, size], ends, color=style["color"], linewidth=1.2)
        axes.plot([size], [mean], markersize=6, markeredgecolor=INK, markeredgewidth=0.4, **style)
    mpl_style.axis(axes, "x", mpl_style.frame([one[2] for one in points], log=True), log=True)
    mpl_style.axis(axes, "y", mpl_style.frame([end for one in points for end in (*one[4], one[3])], log=False))
    said: list[Point] = []
    for _, name, size, mean, _ in points:
        said += mpl_style.along(figure, axes, name, _WORDS[key], [size], [mean], [0])
    return Plot(
        f"size-{key.replace('_', '-')}",
        "size",
        f"Each point is an arm, its mean {metric} on test data with its interval against {_WORDS[key]}; the grey line "
        "joins the arms that no smaller one beats on the mean, which is no test.",
        f"{metric} against {_WORDS[key]} for {len(points)} arms.",
        figure,
        said,
    )
