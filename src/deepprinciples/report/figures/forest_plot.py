"""Figures of what came out: the differences between arms, every seed's score, and how each arm was tuned.

The numbers of the forest plot are those of the summary; no statistics are made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepprinciples.report import formatting, search_text, selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import FAINT, INK, SOFT, WIDTH, Plot, Point

_ROW = 32.0


def forest(summary: Mapping[str, Any]) -> Plot | None:
    """Draw each comparison's difference with its interval around zero, colored and worded by verdict."""
    rows = [
        row
        for row in formatting.rows(summary.get("comparisons"))
        if formatting.finite(row.get("difference")) is not None
    ]
    if not rows:
        return None
    metric = formatting.name(summary.get("metric"))
    conditional = any(search_text.verdict(row.get("verdict"))[1] for row in rows)
    title, below = f"Difference in {formatting.shorten(metric, 30)}", 66 + _ROW * len(rows)
    figure, axes = mpl_style.listing(title, len(rows), _ROW, below=44 + 14 * conditional, grid="x")
    reach = [0.0]
    for index, row in enumerate(rows):
        reach += _difference(figure, axes, index, row)
    # Space on both sides of zero, so that "which side is better" always has a place to be read.
    low, high = mpl_style.frame(reach, log=False, margin=0.06)
    width = high - low
    mpl_style.axis(axes, "x", (min(low, -0.12 * width), max(high, 0.12 * width)))
    _rules(axes, len(rows))
    places = np.arange(len(rows)) + 0.68
    said = mpl_style.points(figure, axes, [row["difference"] for row in rows], places, list(map(_in_words, rows)))
    good, bad = ("first is better →", "← second is better")
    if summary.get("direction") == "min":
        good, bad = ("second is better →", "← first is better")
    mpl_style.write(figure, 14, below, bad)
    mpl_style.write(figure, WIDTH - 14, below, good, ha="right")
    if conditional:
        mpl_style.write(figure, 14, below + 14, "* for the settings found")
    return Plot(
        "forest",
        "effects",
        f"Each bar is the interval of the mean paired difference in {metric} (first arm minus second); a bar that "
        "crosses the zero line does not tell the two arms apart.",
        f"Differences in {metric} with intervals for {len(rows)} comparisons.",
        figure,
        said,
    )


def _in_words(row: Mapping[str, Any]) -> str:
    """Return what a difference says: "skip − plain: +0.8692 [+0.8650, +0.8734], better"."""
    ends, pair = row.get("interval"), f"{formatting.name(row.get('a'))} − {formatting.name(row.get('b'))}"
    held = f" {formatting.bounds(ends, signed=True)}" if formatting.pair(ends) else ""
    return f"{pair}: {formatting.estimate(row.get('difference'), ends, signed=True)}{held}, {row.get('verdict')}"


def _difference(figure: Figure, axes: Axes, index: int, row: Mapping[str, Any]) -> list[float]:
    middle, ends = formatting.finite(row.get("difference")) or 0.0, formatting.pair(row.get("interval"))
    verdict, conditional = search_text.verdict(row.get("verdict"))
    color, marker = mpl_style.VERDICTS.get(verdict, (SOFT, "o"))
    y, top = index + 0.68, 32 + _ROW * index + 11
    axes.plot([0, 0], [index + 0.44, index + 1], color=INK, linewidth=0.9)  # not through the names
    if ends:
        axes.plot(ends, [y, y], color=color, linewidth=2.2, solid_capstyle="butt")
    hollow = conditional or verdict in ("no evidence", "cannot be judged")
    axes.plot([middle], [y], marker, color=color, markersize=6, markerfacecolor="white" if hollow else color)
    words = f"{formatting.shorten(row.get('a'), 20)} − {formatting.shorten(row.get('b'), 20)}"
    mpl_style.write(figure, 14, top, words, color=INK)
    word = formatting.shorten(verdict, 16) + "*" * conditional
    mpl_style.write(figure, WIDTH - 14, top, word, color=color, ha="right", weight="normal" if conditional else "bold")
    return [middle, *(ends or ())]


def seed_dots(results: xr.Dataset, summary: Mapping[str, Any]) -> Plot | None:
    """Draw every seed's score for each arm, the same seed joined from arm to arm."""
    score = selections.take(results, "score", ("arm", "seed"))
    if score is None:
        return None
    arms, at = selections.labels(results, "arm"), selections.diverged(results)
    lost = ~np.isfinite(score) if at is None else np.isfinite(at) | ~np.isfinite(score)
    maximize = summary.get("direction") != "min"
    held = score[np.isfinite(score)]
    log = selections.spans_decades(held) and not maximize
    rows = {str(row.get("name")): row for row in formatting.rows(summary.get("arms"))}
    bars = [formatting.pair(row.get("interval")) or (formatting.finite(row.get("mean")),) for row in rows.values()]
    reach = [*held, *(value for ends in bars for value in ends if value is not None and (value > 0 or not log))]
    whole = [ends for row in rows.values() if (ends := formatting.pair(row.get("interval")))]
    stretch = None if log else mpl_style.gap(reach, whole)
    left_out = 0.9 * (stretch[1] - stretch[0]) if stretch else 0.0
    low, high = mpl_style.frame(reach, log=log, left_out=left_out)
    edge = low if maximize else high
    shown = np.where(np.isfinite(score), score, edge)
    metric = formatting.name(summary.get("metric"))
    title = f"Every seed's {formatting.shorten(metric, 30)} on test data"
    figure, axes = mpl_style.listing(title, len(arms), _ROW, below=48, grid="x")
    places = np.arange(len(arms)) + 0.68
    axes.plot(shown[:, selections.thinned(score.shape[1])], places, color=FAINT, linewidth=0.6, alpha=0.7)
    for index, arm in enumerate(arms):
        _seed_row(axes, index, shown[index], lost[index], rows.get(arm, {}))
        mpl_style.write(figure, 14, 32 + _ROW * index + 11, formatting.shorten(arm, 48), color=INK)
    _rules(axes, len(arms))
    if stretch:
        mpl_style.broken(axes, (low, high), stretch)
    else:
        mpl_style.axis(axes, "x", (low, high), log=log)
    mpl_style.write(figure, WIDTH / 2, 72 + _ROW * len(arms), formatting.shorten(metric, 40), ha="center")
    seeds, said = selections.labels(results, "seed"), []
    if score.shape[1] <= selections.MOST:
        for index, arm in enumerate(arms):
            values = zip(seeds, score[index], lost[index], strict=True)
            words = [f"{arm}, seed {s}: {'diverged' if gone else formatting.number(x)}" for s, x, gone in values]
            said += mpl_style.points(figure, axes, shown[index], mpl_style.spread(index + 0.68, len(seeds)), words)
    return Plot(
        "seeds",
        "effects",
        f"One dot is one seed's {metric} on test data, light lines join the same seed from arm to arm, the dark bar is "
        "the mean with its interval"
        + (" over searches" if any(search_text.in_searches(row) for row in rows.values()) else "")
        + ", and a red cross is a seed that diverged (at the edge if it has no score)."
        + (" The axis leaves out the gray stretch, in which nothing lies." if stretch else "")
        + selections.left_out(score.shape[1], "seeds of each arm"),
        f"Scores of {score.shape[1]} seeds for each of {len(arms)} arms.",
        figure,
        said,
    )


def _seed_row(axes: Axes, index: int, values: np.ndarray, lost: np.ndarray, row: Mapping[str, Any]) -> None:
    style = mpl_style.look(index)
    y = index + 0.68
    spread = mpl_style.spread(y, values.size)
    drawn, crosses = (np.flatnonzero(which) for which in (~lost, lost))
    drawn, crosses = (which[selections.thinned(which.size)] for which in (drawn, crosses))  # a rare cross stays
    axes.plot(
        values[drawn], spread[drawn], style["marker"], color=style["color"], markersize=4, alpha=0.75, markeredgewidth=0
    )
    axes.plot(values[crosses], spread[crosses], "x", color="#b3261e", markersize=5, markeredgewidth=1.3, clip_on=False)
    middle, ends = formatting.finite(row.get("mean")), formatting.pair(row.get("interval"))
    if middle is not None:
        axes.plot(ends or (middle, middle), [y, y], color=INK, linewidth=2.2, solid_capstyle="butt")
        axes.plot([middle, middle], [y - 0.24, y + 0.24], color=INK, linewidth=1.8)


def _rules(axes: Axes, count: int) -> None:
    for index in range(1, count):
        axes.axhline(index, color=mpl_style.RULE, linewidth=0.7)


class _Trials(NamedTuple):
    """The trials of all searches, arm by arm; NaN where an arm has none."""

    points: np.ndarray  # [arm, trial], of one hyper-parameter
    score: np.ndarray  # [arm, trial, replicate]
    chosen: np.ndarray  # [arm, trial], bool: a search chose it


def tuning(results: xr.Dataset, summary: Mapping[str, Any]) -> list[Plot]:
    """Draw the score of every trial against each tuned hyper-parameter, one panel for each arm that tuned it."""
    points = selections.take(results, "tuning_point", ("arm", "search", "trial", "parameter"))
    if points is None:
        return []
    arms, searches, trials, parameters = points.shape
    score = selections.take(results, "tuning_score", ("arm", "search", "trial", "replicate"))
    if score is None:
        # Every trial of every arm diverged: that is worth a picture too.
        score = np.full((arms, searches, trials, 1), np.nan)
    best = selections.take(results, "chosen_trial", ("arm", "search"))
    chosen = np.zeros((arms, searches, trials), bool) if best is None else best[..., None] == np.arange(trials)
    most = max(1, selections.MOST // trials)
    drawn = selections.thinned(searches, most)
    flat = (arms, drawn.size * trials)
    points, score, chosen = (a[:, drawn].reshape(*flat, *a.shape[3:]) for a in (points, score, chosen))
    words = selections.left_out(searches, "searches of each arm", most)
    found = []
    for index, parameter in enumerate(selections.labels(results, "parameter")):
        tried = _Trials(points[:, :, index], score, chosen)
        seen = [arm for arm in range(arms) if np.isfinite(tried.points[arm]).any()]
        if seen:
            one = _tuning(results, summary, index, parameter, tried, seen)
            found.append(one._replace(caption=one.caption + words))
    return found


def _tuning(
    results: xr.Dataset, summary: Mapping[str, Any], number: int, parameter: str, tried: _Trials, arms: Sequence[int]
) -> Plot:
    maximize = summary.get("direction") != "min"
    points, score = tried.points, tried.score
    middle = selections.quartiles(np.where(np.isfinite(score), score, -1e300 if maximize else 1e300), axis=2)[1]
    log, tall = selections.spans_decades(points[arms]), 92.0
    limits = mpl_style.frame(points[arms][np.isfinite(points[arms])], log=log)
    held = score[arms][np.isfinite(score[arms])]
    steep = not maximize and selections.spans_decades(held)
    heights = mpl_style.frame(held, log=steep, margin=0.1) if held.size else (0.0, 1.0)
    rows = (len(arms) + 1) // 2
    height = 30 + rows * (tall + 22) + 34
    figure = mpl_style.sheet(height, f"Tuning {formatting.shorten(parameter, 40)}")
    metric = formatting.name(summary.get("metric"))
    names = selections.labels(results, "arm")
    typical = {
        str(row.get("name")): formatting.table(row.get("tuned_point")) for row in formatting.rows(summary.get("arms"))
    }
    said: list[Point] = []
    for place, arm in enumerate(arms):
        left, top = 44 + (place % 2) * 162, 44 + (place // 2) * (tall + 22)
        mpl_style.write(figure, left, top - 4, formatting.shorten(names[arm], 22), color=INK)
        axes = mpl_style.panel(figure, left, top, 134, tall)  # the outer labels of two panels must not meet
        _trials(axes, arm, tried, middle[arm], heights[0] if maximize else heights[1])
        median = formatting.finite(typical.get(names[arm], {}).get(parameter))
        if median is not None:
            axes.axvline(median, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
        mpl_style.axis(axes, "x", limits, log=log, most=4)
        mpl_style.axis(axes, "y", heights, log=steep, most=4)
        axes.tick_params(labelsize=8.5, labelbottom=place + 2 >= len(arms), labelleft=place % 2 == 0)
        said += mpl_style.along(figure, axes, names[arm], parameter, points[arm], middle[arm], range(len(middle[arm])))
    mpl_style.write(figure, WIDTH / 2, height - 8, formatting.shorten(parameter, 50), ha="center")
    one = score.shape[2] == 1
    return Plot(
        f"tuning-{number}",
        "tuning",
        f"Validation {metric} against {formatting.name(parameter)}: a dot is one trial of one search"
        + ("" if one else " (median over the tuning seeds, with their range as a thin line)")
        + f", a ring the trial that a search chose, a cross a trial {'that' if one else 'in which most runs'} "
        "diverged, and the dashed line the median of the values chosen; rings at the border of a panel mean that the "
        "range was too narrow.",
        f"Validation {metric} against {formatting.name(parameter)} for {len(arms)} arms.",
        figure,
        said,
    )


def _trials(axes: Axes, arm: int, tried: _Trials, middle: np.ndarray, edge: float) -> None:
    style, x, score = mpl_style.look(arm), tried.points[arm], tried.score[arm]
    for value, trial in zip(x, score, strict=True):
        seen = trial[np.isfinite(trial)]
        if np.isfinite(value) and seen.size > 1:
            axes.plot([value, value], [seen.min(), seen.max()], color=style["color"], linewidth=0.9, alpha=0.6)
    good = np.isfinite(x) & np.isfinite(middle)
    failed = np.isfinite(x) & ~np.isfinite(middle)
    axes.plot(
        x[good], middle[good], style["marker"], color=style["color"], markersize=4.5, markeredgewidth=0, alpha=0.75
    )
    axes.plot(x[failed], np.full(failed.sum(), edge), "x", color="#b3261e", markersize=5, clip_on=False)
    ring = good & tried.chosen[arm]
    axes.plot(x[ring], middle[ring], "o", color=INK, markersize=7, markerfacecolor="none", markeredgewidth=0.9)
