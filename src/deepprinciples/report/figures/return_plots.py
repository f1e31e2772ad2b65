"""The performance profile of learners that act: how many runs of each arm reach a return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepprinciples.report import formatting
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import Plot, Point

_TALL = 170.0


def profile(summary: Mapping[str, Any]) -> list[Plot]:
    """Draw the share of runs beyond each threshold with its band, one line for each arm; nothing for single runs."""
    given = formatting.table(summary.get("returns"))
    rows = [
        (place, formatting.name(row.get("name")), formatting.series({**row, **given}, *_SERIES))
        for place, row in enumerate(formatting.rows(given.get("arms")))
        if row.get("interval")
    ]
    drawn = [(place, name, np.array(series)) for place, name, series in rows if len(series) > 1]
    if not drawn:
        return []
    metric = formatting.name(summary.get("metric"))
    side = "below" if summary.get("direction") == "min" else "above"
    title, names = f"Share of runs {side} each {formatting.shorten(metric, 24)}", [name for _, name, _ in drawn]
    figure, axes = mpl_style.board(
        title, _TALL, formatting.shorten(metric, 40), names, [place for place, _, _ in drawn]
    )
    for place, _, series in drawn:
        threshold, share, low, high = series.T
        mpl_style.band(axes, threshold, low, high, place, alpha=0.1, step="post")
        style = {**mpl_style.look(place), "marker": ""}
        axes.plot(threshold, share, linewidth=1.6, drawstyle="steps-post", **style)
    ends = drawn[0][2][[0, -1], 0]
    mpl_style.axis(axes, "x", mpl_style.frame(ends, log=False, margin=0.0))
    mpl_style.axis(axes, "y", (0.0, 1.05))
    said: list[Point] = []
    for _, name, series in drawn:
        every = range(0, len(series), max(1, len(series) // 12))
        said += mpl_style.along(figure, axes, name, metric, series[:, 0], series[:, 1], every)
    return [
        Plot(
            "profile",
            "returns",
            f"The line is the share of an arm's runs whose {metric} is {side} the value on the axis, the band its "
            "interval at each value for itself, from resampled runs. An arm whose line is above another's everywhere "
            "is better at every quantile; bands that meet at 0 or 1 are too certain at few runs.",
            f"Performance profiles of {len(drawn)} arms.",
            figure,
            said,
        )
    ]


_SERIES = ("thresholds", "profile", "low", "high")
