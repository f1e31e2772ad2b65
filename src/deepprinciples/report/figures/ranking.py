"""The critical difference diagram: methods on a line of mean ranks, joined where a test cannot distinguish them.

Ranks and the distance come from `stats.many_tasks`; no statistics are made here. A study of one task has no such
figure, so it is no part of the page: whoever compared over several tasks draws it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deepprinciples.report import formatting
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import INK, SOFT, WIDTH, Plot

_SIDE, _LINE, _STEP, _BAR = 100.0, 78.0, 18.0, 7.0  # space for names, height of the line, of a name, of a bar


def groups(ranks: Sequence[float], distance: float) -> list[tuple[int, int]]:
    """Find the longest runs of sorted ranks that lie within a distance of each other.

    Args:
      ranks: mean ranks, ascending.
      distance: methods that differ by more are not joined.

    Returns:
      (first, last) places of each run of two or more; none lies inside another.
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank <= distance)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def critical_difference(names: Sequence[str], ranks: Sequence[float], distance: float) -> Plot:
    """Draw mean ranks on a line, the best at the left; bars join methods that the test cannot distinguish.

    Args:
      names: of the methods, two or more.
      ranks: mean rank of each over the tasks, 1 is best.
      distance: difference of mean ranks that is beyond chance (Nemenyi).

    Returns:
      The figure.

    References:
      Demsar 2006, Statistical comparisons of classifiers over multiple data sets.
    """
    order = np.argsort(np.asarray(ranks, np.float64), kind="stable")
    placed, named = [float(ranks[k]) for k in order], [formatting.shorten(names[k], 13) for k in order]
    joined, half = groups(placed, distance), (len(placed) + 1) // 2
    scale = (WIDTH - 2 * _SIDE) / (len(placed) - 1)
    at = [_SIDE + (rank - 1) * scale for rank in placed]
    top = _LINE + 16 + _BAR * len(joined)
    with mpl_style.style():
        figure = mpl_style.sheet(top + _STEP * half, "Mean ranks over the tasks")
        _ruler(figure, len(placed), scale, distance)
        for number, (first, last) in enumerate(joined):
            y = _LINE + 8 + _BAR * number
            _stroke(figure, (at[first] - 3, at[last] + 3), (y, y), INK, 3.0)
        for place, x in enumerate(at):
            better = place < half
            y = top + _STEP * (place if better else len(at) - 1 - place)
            edge = _SIDE - 8 if better else WIDTH - _SIDE + 8
            _stroke(figure, (x, x, edge), (_LINE, y, y), SOFT, 0.9)
            words, side = f"{named[place]} {placed[place]:.1f}", "right" if better else "left"
            mpl_style.write(figure, edge - 3 if better else edge + 3, y + 3, words, color=INK, ha=side)
    return Plot(
        "critical-difference",
        "effects",
        f"Mean ranks over the tasks, the best at the left. Methods under one bar differ by no more than {distance:.2f} "
        "ranks, which chance explains.",
        f"Mean ranks of {len(placed)} methods; {len(joined)} groups cannot be distinguished.",
        figure,
    )


def _ruler(figure: Figure, count: int, scale: float, distance: float) -> None:
    """Draw the line of ranks, and the critical difference above it as long as it is there."""
    reach = min(distance * scale, WIDTH - 2 * _SIDE)  # one beyond all ranks fills the line
    mpl_style.write(figure, _SIDE, 38, f"critical difference {distance:.2f}")
    _stroke(figure, (_SIDE, _SIDE + reach), (45, 45), INK, 2.2)
    _stroke(figure, (_SIDE, WIDTH - _SIDE), (_LINE, _LINE), SOFT, 0.9)
    for rank in range(1, count + 1):
        x = _SIDE + (rank - 1) * scale
        _stroke(figure, (x, x), (_LINE - 4, _LINE), SOFT, 0.9)
        mpl_style.write(figure, x, _LINE - 8, str(rank), ha="center", size=8.5)


def _stroke(figure: Figure, xs: Sequence[float], ys: Sequence[float], color: str, width: float) -> None:
    """Draw a line through places in units from the top left corner."""
    height = figure.get_figheight() * 72
    places = [x / WIDTH for x in xs], [1 - y / height for y in ys]
    figure.add_artist(Line2D(*places, transform=figure.transFigure, color=color, linewidth=width))
