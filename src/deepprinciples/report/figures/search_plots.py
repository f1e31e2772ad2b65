"""Figures of a search: the values chosen, the best score against the budget, and what a range test of rates saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from deepprinciples.report import formatting, selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import FAINT, INK, SOFT, WIDTH, Plot, Point

_TALL = 170.0
_BAR = 15.0


def budget(results: xr.Dataset, summary: Mapping[str, Any]) -> Plot | None:
    """Draw the best validation score to expect of a number of trials, one line for each arm that tuned."""
    rows = [
        (formatting.name(row.get("name")), formatting.series(row, "trials", "expected", "low", "high"))
        for row in formatting.rows(formatting.table(summary.get("budget")).get("arms"))
    ]
    drawn = [(name, np.array(series)) for name, series in rows if len(series) > 1]
    if not drawn:
        return None
    places = {formatting.name(name): index for index, name in enumerate(selections.labels(results, "arm"))}
    metric, count = formatting.name(summary.get("metric")), max(len(series) for _, series in drawn)
    held = np.concatenate([series[:, 1] for _, series in drawn])
    log = summary.get("direction") == "min" and selections.spans_decades(held, 1.3)
    names = [name for name, _ in drawn]
    marks = [places.get(name, number) for number, name in enumerate(names)]
    title = f"Best validation {formatting.shorten(metric, 24)} of so many trials"
    figure, axes = mpl_style.board(title, _TALL, "trials", names, marks)
    for place, (_, series) in zip(marks, drawn, strict=True):
        trials, best, low, high = series.T
        mpl_style.band(axes, trials, low, high, place, alpha=0.1)
        every = max(1, len(trials) // 8)
        axes.plot(trials, best, linewidth=1.6, markersize=4, markevery=every, **mpl_style.look(place))
    longest = max(float(series[-1, 0]) for _, series in drawn)
    wide = count > 5  # the first trials are the ones that differ
    mpl_style.axis(axes, "x", mpl_style.frame([1.0, longest], log=wide, margin=0.03), log=wide)
    mpl_style.axis(axes, "y", mpl_style.frame(held, log=log, margin=0.12), log=log)
    said: list[Point] = []
    for name, series in drawn:
        some = range(0, len(series), max(1, len(series) // 8))
        said += mpl_style.along(figure, axes, name, "trials", series[:, 0], series[:, 1], some)
    return Plot(
        "budget",
        "tuning",
        f"The line is the best validation {metric} to expect had a search made only so many trials, the band the "
        "middle half over the luck of which ones, out of the trials of all searches: an arm that is good at the left "
        "already is easy to tune.",
        f"Best validation {metric} against trials for {len(names)} arms.",
        figure,
        said,
    )


def rates(results: xr.Dataset, summary: Mapping[str, Any]) -> Plot | None:
    """Draw training loss against a rising learning rate, with the range to tune in below; None for other runs."""
    losses = selections.take(results, "train_loss", ("arm", "seed", "step"))
    rate = selections.take(results, "learning_rate", ("step",))
    if losses is None or rate is None or not (rate > 0).all():
        return None
    low, middle, high = selections.quartiles(np.where(np.isfinite(losses), losses, 1e300), axis=1)  # [arm, step]
    started = middle[:, 0][np.isfinite(middle[:, 0])]
    if not started.size:
        return None
    names = selections.labels(results, "arm")
    rows = {formatting.name(row.get("name")): row for row in formatting.rows(summary.get("rates"))}
    held = [name for name in names if _ends(rows.get(formatting.name(name), {}))]
    below = 8 + _BAR * max(1, len(held))
    title = "Training loss against learning rate"
    figure, axes = mpl_style.board(title, _TALL, "learning rate", names, range(len(names)), below=below + 14)
    top = figure.get_figheight() * 72 - below - 38
    ranges = mpl_style.panel(figure, 46, top, WIDTH - 60, below, grid="x")
    seen = middle[np.isfinite(middle) & (middle < 1.6 * started.max())]
    log = selections.spans_decades(seen, 1.3)
    limits = mpl_style.frame([*seen, *started], log=log)
    for index, name in enumerate(names):
        style, row = mpl_style.look(index), rows.get(formatting.name(name), {})
        bottom = np.where(np.isfinite(low[index]), low[index], limits[1])
        ceiling = np.where(np.isfinite(high[index]), high[index], limits[1])
        mpl_style.band(axes, rate, bottom, ceiling, index)
        axes.plot(rate, middle[index], linewidth=1.5, color=style["color"], linestyle=style["linestyle"])
        _marks(axes, rate, middle[index], row, style)
        if name in held:
            ranges.plot(
                _ends(row), [held.index(name) + 0.5] * 2, color=style["color"], linewidth=4, solid_capstyle="butt"
            )
    mpl_style.axis(axes, "y", limits, log=log)
    for one in (axes, ranges):
        mpl_style.axis(one, "x", (float(rate[0]), float(rate[-1])), log=True)
    axes.tick_params(labelbottom=False)
    ranges.set_ylim(max(1, len(held)), -0.2)
    ranges.set_yticks([])
    ranges.spines["left"].set_visible(False)
    return Plot(
        "rates",
        "rates",
        "The line is the median training loss over seeds while the learning rate rises, the band the middle half of "
        "them; the marker is where it falls fastest, the cross where it breaks, and the bar below is the range to "
        "tune in, which is a guess.",
        f"Training loss against learning rate for {len(names)} arms.",
        figure,
    )


def _marks(axes: Axes, rate: np.ndarray, losses: np.ndarray, row: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    """Mark the steepest fall and the place where it breaks."""
    for key, marker, color, size in (("steepest", style["marker"], style["color"], 6.5), ("breaks", "x", INK, 6.5)):
        value = formatting.finite(row.get(key))
        if value is not None and value > 0:
            place = min(int(np.searchsorted(rate, value * (1 - 1e-9))), losses.size - 1)
            if np.isfinite(losses[place]):
                axes.plot([value], [losses[place]], marker, color=color, markersize=size, zorder=5, markeredgewidth=1.4)


def _ends(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the range to tune in, empty where there is none."""
    low, high = formatting.finite(row.get("low")), formatting.finite(row.get("high"))
    return (low, high) if low is not None and high is not None and 0 < low < high else ()


_CHOSEN = 52.0  # height of an arm's row


def chosen(summary: Mapping[str, Any]) -> list[Plot]:
    """Draw the value that each search chose, one dot a search, with how many chose each part of the range.

    One figure for each tuned hyper-parameter, one row for each arm that tuned it.
    """
    rows: dict[str, list[tuple[int, Mapping[str, Any], Mapping[str, Any]]]] = {}
    for place, row in enumerate(formatting.rows(summary.get("arms"))):
        for region in formatting.rows(row.get("regions")):
            if len(_numbers(region.get("ends"))) > 1 and _values(row, region):
                rows.setdefault(str(region.get("path")), []).append((place, row, region))
    return [_chosen(number, path, held) for number, (path, held) in enumerate(rows.items())]


def _values(row: Mapping[str, Any], region: Mapping[str, Any]) -> list[float]:
    return _numbers([point.get(str(region.get("path"))) for point in formatting.rows(row.get("chosen"))])


def _numbers(values: Any) -> list[float]:
    held = values if isinstance(values, (list, tuple)) else []
    return [number for value in held if (number := formatting.finite(value)) is not None and abs(number) < 1e300]


def _chosen(number: int, path: str, rows: list[tuple[int, Mapping[str, Any], Mapping[str, Any]]]) -> Plot:
    every = [value for _, row, region in rows for value in [*_numbers(region.get("ends")), *_values(row, region)]]
    log = min(every) > 0 and all(region.get("log") is True for _, _, region in rows)
    figure, axes = mpl_style.listing(f"Chosen {formatting.shorten(path, 42)}", len(rows), _CHOSEN, below=44)
    mpl_style.axis(axes, "x", mpl_style.frame(every, log=log, margin=0.03), log=log)
    for index, (place, row, region) in enumerate(rows):
        mpl_style.write(figure, 14, 32 + _CHOSEN * index + 11, formatting.shorten(row.get("name"), 48), color=INK)
        _chosen_row(axes, index, mpl_style.look(place), row, region)
    said: list[Point] = []
    for index, (_, row, region) in enumerate(rows):
        values, name = _values(row, region), formatting.name(row.get("name"))
        words = [f"{name}, search {k}: {formatting.number(value)}" for k, value in enumerate(values)]
        said += mpl_style.points(figure, axes, values, mpl_style.spread(index + 0.74, len(values)), words)
    mpl_style.write(figure, WIDTH / 2, 68 + _CHOSEN * len(rows), formatting.shorten(path, 50), ha="center")
    most = max(len(_values(row, region)) for _, row, region in rows)
    return Plot(
        f"chosen-{number}",
        "tuning",
        f"A dot is the {formatting.name(path)} that one search chose, a dark bar the median; the numbers count "
        "the dots in each part of the range that was searched. Dots that lie far apart mean that the score hardly "
        "depends on the value there, or that one search cannot find the best; dots at one end mean that the range was "
        "too narrow." + selections.left_out(most, "searches of an arm"),
        f"The {formatting.name(path)} chosen by up to {most} searches for each of {len(rows)} arms.",
        figure,
        said,
    )


def _chosen_row(
    axes: Axes, index: int, style: Mapping[str, Any], row: Mapping[str, Any], region: Mapping[str, Any]
) -> None:
    ends, counts, values = _numbers(region.get("ends")), _numbers(region.get("counts")), _values(row, region)
    shown = axes.transData.transform([(end, 0.0) for end in ends])[:, 0]  # the middle as the eye sees it, on any scale
    for end in ends:
        axes.plot([end, end], [index + 0.28, index + 1], color=FAINT, linewidth=0.7)
    for left, right, count in zip(shown[:-1], shown[1:], counts, strict=False):
        middle = axes.transData.inverted().transform(((left + right) / 2, 0.0))[0]
        if right - left > 12:
            color, weight = (INK, "bold") if count else (SOFT, "normal")
            axes.text(middle, index + 0.44, f"{count:.0f}", ha="center", fontsize=8.5, color=color, weight=weight)
    y = mpl_style.spread(index + 0.74, len(values))
    drawn = selections.thinned(len(values))
    look = {**style, "linestyle": "", "markersize": 5, "alpha": 0.75, "markeredgewidth": 0}
    axes.plot(np.array(values)[drawn], y[drawn], **look)
    typical = formatting.finite(formatting.table(row.get("tuned_point")).get(str(region.get("path"))))
    if typical is not None:
        axes.plot([typical, typical], [index + 0.52, index + 0.96], color=INK, linewidth=1.8)
