"""The paper every figure is drawn on: sizes, colors, type, and how a figure becomes a repeatable file.

Figures are 360 units wide, so that one unit is about one pixel on a phone and text stays readable there. Positions are
given in units from the top left corner and never follow the width of a text: a long or strange name cannot move or
clip anything. What is drawn does not belong here.
"""

from __future__ import annotations

import io
import itertools
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from deepprinciples.report import formatting

WIDTH = 360.0
MOST_POINTS = 2000  # of a figure that say their value: each is an element of the page
INK, SOFT, FAINT, RULE = "#1c2430", "#56606e", "#c9cfd8", "#e6e9ee"
# Okabe and Ito's colors without the yellow, which is too pale for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#3a3a3a")
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
VERDICTS = {
    "better": ("#00684a", "o"),
    "worse": ("#b34700", "s"),
    "equivalent": ("#005a8f", "D"),
    "no evidence": ("#56606e", "o"),
    "cannot be judged": ("#56606e", "v"),
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "deepprinciples",
    "text.parse_math": False,  # a "$" in a name is a dollar, not a formula
    "axes.unicode_minus": True,
    "font.family": ["sans-serif"],
    # The first is the one that positions are measured with; a reader without it sees the next.
    "font.sans-serif": ["DejaVu Sans", "Segoe UI", "Roboto", "Helvetica Neue", "Arial"],
    "font.size": 9.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#8a93a0",
    "axes.labelcolor": SOFT,
    "xtick.color": "#8a93a0",
    "ytick.color": "#8a93a0",
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
}


class Point(NamedTuple):
    """A point that says its value where a mouse rests on it: shares of the figure from the left and the top."""

    left: float
    top: float
    words: str


def points(figure: Figure, axes: Axes, xs: Any, ys: Any, words: Sequence[str]) -> list[Point]:
    """Return the points that lie in a panel, by their data coordinates, once its axes have their limits."""
    places, box = axes.transData.transform(np.column_stack([xs, ys])), axes.bbox.padded(1.0)
    seen = np.all((places >= box.min) & (places <= box.max), axis=1)
    shares = figure.transFigure.inverted().transform(np.where(np.isfinite(places), places, 0.0)).tolist()
    said = zip(shares, words, seen.tolist(), strict=True)
    return [Point(round(x, 4), round(1 - y, 4), text) for (x, y), text, inside in said if inside]


def along(figure: Figure, axes: Axes, name: str, unit: str, xs: Any, ys: Any, at: Iterable[int]) -> list[Point]:
    """Return some of the points of a line, "glorot, step 200: 0.953"; see `points`."""
    held = [(float(xs[k]), float(ys[k])) for k in at]
    place = lambda x: formatting.number(int(x) if x.is_integer() else x, 5)
    words = [f"{formatting.name(name)}, {unit} {place(x)}: {formatting.number(y)}" for x, y in held]
    return points(figure, axes, [x for x, _ in held], [y for _, y in held], words) if held else []


def marked(count: int, place: int) -> range:
    """Return which points of a line over steps have a marker: those of different arms sit at different steps."""
    every = max(1, count // 6)
    return range(place % every, count, every)


class Plot(NamedTuple):
    """A finished figure: file name, group on the page, how to read it, what it shows in words, and what points say."""

    name: str
    group: str
    caption: str
    alt: str
    figure: Figure
    points: Sequence[Point] = ()


class NotebookFigure(Figure):
    """A figure that a notebook shows without pyplot and its backends."""

    def _repr_png_(self) -> bytes:
        return _saved(self, format="png", dpi=144)


def style() -> Any:
    """Return the context in which every figure is made and saved."""
    return matplotlib.rc_context(_STYLE)


def sheet(height: float, title: str) -> Figure:
    """Return an empty figure of the common width with its title at the top left."""
    figure = NotebookFigure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="white")
    write(figure, 8, 17, formatting.shorten(title, 50), size=11, weight="bold", color=INK)
    return figure


def write(
    figure: Figure, x: float, y: float, words: str, *, size: float = 9.5, color: str = SOFT, **options: Any
) -> None:
    """Write words at a place in units from the top left; y is the base line."""
    height = figure.get_figheight() * 72
    figure.text(x / WIDTH, 1 - y / height, words, fontsize=size, color=color, **options)


def panel(figure: Figure, left: float, top: float, width: float, height: float, *, grid: str = "both") -> Axes:
    """Return axes at a place in units from the top left, without upper and right border."""
    total = figure.get_figheight() * 72
    axes = figure.add_axes((left / WIDTH, 1 - (top + height) / total, width / WIDTH, height / total))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(visible=True, axis=grid, color=RULE, linewidth=0.7)  # type: ignore[arg-type]
    return axes


def axis(
    axes: Axes, which: str, limits: tuple[float, float] | None = None, *, log: bool = False, most: int = 5
) -> None:
    """Set the scale of an axis, "x" or "y", its limits where they are given, and few, plain tick labels."""
    if log:
        axes.set(**{f"{which}scale": "log"})
    if limits is not None:
        axes.set(**{f"{which}lim": limits})
    one, (low, high) = getattr(axes, f"{which}axis"), sorted(getattr(axes, f"get_{which}lim")())
    if log and high / low >= 5:
        few = high / low < 30 or np.floor(np.log10(high)) <= np.ceil(np.log10(low))  # decades that lie on the axis
        one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=most + 1))
    else:  # within less than 5 to 1, round numbers at equal distances serve a logarithmic axis too
        one.set_major_locator(MaxNLocator(most - 2 * log, steps=[1, 2, 2.5, 5, 10]))
    if log:
        one.set_minor_locator(NullLocator())
    places = one.get_major_locator().tick_values(low, high)
    powers = isinstance(one.get_major_locator(), LogLocator)
    said = decades([place for place in places if low <= place <= high]) if powers else _evenly(places)
    one.set_major_formatter(lambda value, _: said(value))


def gap(values: Iterable[float], bars: Iterable[tuple[float, float]] = ()) -> tuple[float, float] | None:
    """Return the ends of a stretch of two thirds of an axis or more in which no value and no bar lies, if any.

    Beside a value of 0.10 an axis would press those from 0.95 to 0.97 into a fortieth of its length.
    """
    held = np.unique(np.asarray(list(values), float))
    if held.size < 3:
        return None
    widths = np.diff(held)
    at, whole = int(np.argmax(widths)), held[-1] - held[0]
    left, right = float(held[at]), float(held[at + 1])
    if not 2 / 3 < widths[at] / whole < 0.99 or any(low <= left and high >= right for low, high in bars):
        return None
    return left, right


def broken(axes: Axes, limits: tuple[float, float], left_out: tuple[float, float]) -> None:
    """Set the limits of a horizontal axis that leaves an empty stretch out; both sides of it have one scale."""
    (low, high), (left, right) = limits, left_out
    shown = left - low + high - right
    left, right, kept = left + 0.06 * shown, right - 0.06 * shown, 0.1 * shown
    slope, shift = kept / (right - left), right - left - kept

    def forward(x: np.ndarray) -> np.ndarray:
        return np.where(x < left, x, np.where(x > right, x - shift, left + (x - left) * slope))

    def back(y: np.ndarray) -> np.ndarray:
        return np.where(y < left, y, np.where(y > left + kept, y + shift, left + (y - left) / slope))

    axes.set_xscale("function", functions=(forward, back))
    axes.set_xlim(low, high)
    parts = [MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]).tick_values(*ends) for ends in ((low, left), (right, high))]
    ticks = [*(x for x in parts[0] if low <= x <= left), *(x for x in parts[1] if right <= x <= high)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    said = _evenly(ticks)
    axes.xaxis.set_major_formatter(lambda value, _: said(value))
    axes.axvspan(left, right, color=RULE, linewidth=0)
    cut: dict[str, Any] = {
        "marker": [(-0.5, -1), (0.5, 1)],
        "linestyle": "",
        "markersize": 9,
        "color": SOFT,
        "clip_on": False,
    }
    axes.plot([left, right], [0, 0], transform=axes.get_xaxis_transform(), **cut)


def decades(ticks: Iterable[float]) -> Callable[[float], str]:
    """Return how the ticks of a logarithmic axis are written: as powers where one of them has to be."""
    power = any(map(_is_extreme, ticks))
    return lambda value: tick(value, power=power)


def _evenly(ticks: Sequence[float]) -> Callable[[float], str]:
    """Return how the ticks of an axis are written that lie at equal distances: all with as many decimals, or powers."""
    top, step = max(map(abs, ticks)), min(abs(a - b) for a, b in itertools.pairwise(ticks))
    places = next((k for k in range(6) if all(abs(one - round(one, k)) < 1e-6 * step for one in ticks)), 6)
    if top >= 1e5 or (top < 0.01 and places > 4):
        # Tick places carry rounding dust near zero, which would read as "1.4e-17".
        return lambda value: tick(value, power=True) if abs(value) > 1e-6 * step else "0"
    return lambda value: f"{round(value, places) + 0.0:.{places}f}".replace("-", "\u2212")


def tick(value: float, *, power: bool = False) -> str:
    """Return a tick label: "0.01", "1e-5"; with `power`, "1e-2" too."""
    if power or _is_extreme(value):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "\u2212")
    return formatting.number(float(value), 5)


def _is_extreme(value: float) -> bool:
    return 0 < abs(value) < 9.99e-4 or abs(value) >= 1e5


def look(index: int) -> dict[str, Any]:
    """Return color, line style and marker of the arm at this place; all twelve of a dozen arms differ."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def board(
    title: str,
    tall: float,
    under: str,
    names: Sequence[str] = (),
    places: Sequence[int] = (),
    *,
    left: float = 46.0,
    below: float = 0.0,
) -> tuple[Figure, Axes]:
    """Return a figure with a key of arms in two columns, one panel, and words under it.

    Args:
      title: at the top left.
      tall: height of the panel.
      under: words at the middle of the lower edge.
      names: of the arms in the key.
      places: of the arms among all, which choose their looks.
      left: where the panel begins.
      below: height that is left free between the panel and the words.
    """
    top = 36.0 + 13.0 * ((len(names) + 1) // 2)
    figure = sheet(top + tall + below + 36, title)
    height = figure.get_figheight() * 72
    for index, (words, place) in enumerate(zip(names, places, strict=True)):
        x, y = 10 + (index % 2) * 174, 34 + 13 * (index // 2)
        line = Line2D(
            [x / WIDTH, (x + 12) / WIDTH, (x + 24) / WIDTH], [1 - (y - 3) / height] * 3,
            transform=figure.transFigure, linewidth=1.6, markersize=4, markevery=[1], **look(place),
        )  # fmt: skip
        figure.add_artist(line)
        write(figure, x + 30, y, formatting.shorten(words, 24), color=INK)
    wide = WIDTH - left - 14
    write(figure, left + wide / 2, height - 7, under, ha="center")
    return figure, panel(figure, left, top, wide, tall)


def listing(title: str, count: int, tall: float, *, below: float, grid: str = "") -> tuple[Figure, Axes]:
    """Return a figure with a panel of rows, numbered from 0 at the top, each `tall` units high, and space below."""
    figure = sheet(32 + tall * count + below, title)
    axes = panel(figure, 14, 32, WIDTH - 28, tall * count, grid=grid)
    axes.set_ylim(count, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure, axes


def band(axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, place: int, **options: Any) -> None:
    """Fill between two lines in the pale color of the arm at this place."""
    axes.fill_between(x, low, high, **{"color": look(place)["color"], "alpha": 0.16, "linewidth": 0, **options})


def spread(middle: float, count: int) -> np.ndarray:
    """Return heights of dots around a middle: fixed, not random, so that the same report has the same bytes."""
    return middle + 0.16 * np.cos(2.399963 * np.arange(count))


def frame(values: Iterable[float], *, log: bool, margin: float = 0.05, left_out: float = 0.0) -> tuple[float, float]:
    """Return axis limits that hold all values with a margin, a share of what is shown, never of zero width."""
    held = list(values)
    low, high = min(held), max(held)
    if log:
        factor = max((high / low) ** margin, 1.15)
        return low / factor, high * factor
    space = (high - low - left_out) * margin or max(abs(high) * 0.05, 1e-9)
    return low - space, high + space


def to_svg(plot: Plot) -> bytes:
    """Return a figure as SVG without metadata: the same figure has the same bytes."""
    if plot.figure not in _drawn:
        _drawn[plot.figure] = _saved(
            plot.figure, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _drawn[plot.figure]


_drawn: weakref.WeakKeyDictionary[Figure, bytes] = weakref.WeakKeyDictionary()  # the page and a file show the same


def to_png(plot: Plot) -> bytes:
    """Return a figure as PNG at twice the common size."""
    return _saved(plot.figure, format="png", dpi=160, metadata={"Software": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's own fonts have it
        stream = io.BytesIO()
        figure.savefig(stream, **options)
    return stream.getvalue()
