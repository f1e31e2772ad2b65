"""What a generator made: grids of samples, how they came about, and what lies between two of them.

Always the first seed that did not diverge, named in the caption, so that nobody can pick the prettiest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepprinciples.report import formatting, selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import INK, WIDTH, Plot

_LEFT, _MARGIN, _MOST_ARMS = 10.0, 10.0, 12
_MOST_CLASSES, _ACROSS = 20, 8  # rows and columns of a grid by class


def gallery(results: xr.Dataset) -> list[Plot]:
    """Draw test examples with the truth, and below it what each arm's first seed says of them."""
    if "gallery" not in results.variables:
        return []
    values = np.asarray(results.gallery.values) / 255.0  # [truth and arms, example, row, column, channel]
    names = selections.labels(results, "gallery_of")[: _MOST_ARMS + 1]
    words = "The first test examples, not chosen: the truth, and below it what the first seed of each arm says."
    seeds = selections.labels(results, "seed")[:1]
    if names[0] != "truth":
        words = "Moments of a fresh episode, from its start at the left to its end, of the first seed of each arm."
        drawn = _strips(values[: len(names)], names, seeds, "gallery", "An episode", "")
        return [drawn._replace(group="gallery", caption=words, alt=f"Moments of an episode of {len(names)} arms.")]
    drawn = _strips(values[: len(names)], names, seeds, "gallery", "Test examples", "")
    return [drawn._replace(group="gallery", caption=words, alt=f"Test examples: the truth and {len(names) - 1} arms.")]


def pictures(results: xr.Dataset) -> list[Plot]:
    """Draw samples at the end, samples over time, and interpolations; points in the plane or pictures."""
    made = _of_first_seed(results, "samples")
    if made is None:
        return []
    values, seeds = made
    names = selections.labels(results, "arm")[:_MOST_ARMS]
    if values.ndim == 4 and values.shape[-1] == 2:  # [arm, time, sample, 2]
        return _planes(values[: len(names)], names, seeds)
    if values.ndim != 6 or values.shape[-1] not in (1, 3):  # [arm, time, sample, row, column, channel]
        return []
    values = _bright(values[: len(names)])
    classes = _of_first_seed(results, "sample_class")
    if classes is None:
        found = [_strips(values[:, -1], names, seeds, "samples", "Samples at the end", "made from the same noise")]
    else:
        asked = np.asarray(classes[0][0, -1], int)  # [sample], the same for all arms
        known = selections.labels(results, "class") if "class" in results.coords else []
        labels = known if len(known) > asked.max() else [str(k) for k in range(asked.max() + 1)]
        found = [_by_class(values[k, -1], asked, labels, name, seeds[k], k) for k, name in enumerate(names)]
    times = np.unique(np.linspace(0, values.shape[1] - 1, min(8, values.shape[1])).round().astype(int))
    words = "one sample, left to right over the evaluations of the run"
    found.append(_strips(values[:, times, 0], names, seeds, "progress", "How samples came about", words))
    line = _of_first_seed(results, "interpolation")
    if line is not None:
        between = _bright(line[0][: len(names), -1])
        words = "a way through the noise, from one sample to another"
        found.append(_strips(between, names, seeds, "interpolation", "Between two samples", words))
    return found


def _of_first_seed(results: xr.Dataset, name: str) -> tuple[np.ndarray, list[str]] | None:
    """Return each arm's first seed that did not diverge, [arm, eval_step, sample, ...], and the seeds' names."""
    if name not in results.variables or results[name].size == 0:
        return None
    values = np.asarray(results[name].values, dtype=float)  # [arm, seed, eval_step, sample, ...]
    lost = selections.diverged(results)
    whole = np.ones(values.shape[:2], bool) if lost is None else np.isnan(lost)
    first = whole.argmax(axis=1)
    seeds = [selections.labels(results, "seed")[k] for k in first]
    return np.stack([values[arm, k] for arm, k in enumerate(first)]), seeds


def _bright(values: np.ndarray) -> np.ndarray:
    """Scale to [0, 1] by the range that holds 98 of 100 values, the same for all arms."""
    held = values[np.isfinite(values)]
    low, high = np.quantile(held, (0.01, 0.99)) if held.size else (0.0, 1.0)
    return np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-12), 0, 1)


def _caption(seeds: list[str], words: str) -> str:
    one = f"seed {seeds[0]}" if len(set(seeds)) == 1 else "each arm's first seed that did not diverge"
    return f"Each row is an arm: {words} ({one}, not chosen)."


def _strips(values: np.ndarray, names: list[str], seeds: list[str], name: str, title: str, words: str) -> Plot:
    """Draw one strip of pictures an arm, [arm, picture, row, column, channel]."""
    count, rows, columns = values.shape[1:4]
    across = min(count, 16)
    down = -(-count // across)
    wide = WIDTH - 2 * _MARGIN
    tall = wide * down * (rows + 1) / (across * (columns + 1))
    figure = mpl_style.sheet(44 + len(names) * (tall + 18), title)
    for arm, label in enumerate(names):
        top = 42 + arm * (tall + 18)
        mpl_style.write(figure, _LEFT, top + 9, formatting.shorten(label, 48), color=INK)
        axes = mpl_style.panel(figure, _MARGIN, top + 13, wide, tall, grid="")
        sheet = np.ones((down * (rows + 1), across * (columns + 1), values.shape[-1]))
        for k, picture in enumerate(values[arm]):
            r, c = k // across * (rows + 1), k % across * (columns + 1)
            sheet[r : r + rows, c : c + columns] = picture
        flat = sheet[..., 0] if sheet.shape[-1] == 1 else sheet
        axes.imshow(flat, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="none")
        axes.set_axis_off()
    return Plot(name, "samples", _caption(seeds, words), f"{title} for {len(names)} arms.", figure)


def _by_class(values: np.ndarray, asked: np.ndarray, words: list[str], arm: str, seed: str, number: int) -> Plot:
    """Draw the samples of one arm, [sample, row, column, channel], in one row for each class that was asked for."""
    shown = [(k, np.flatnonzero(asked == k)[:_ACROSS]) for k in np.unique(asked)[:_MOST_CLASSES]]
    rows, columns = values.shape[1:3]
    start = _LEFT + 8 + 6.5 * min(8, max(len(words[k]) for k, _ in shown))  # beside the longest name
    side = min(54.0, (WIDTH - start - _MARGIN) / max(len(held) for _, held in shown))
    tall = side * rows / columns
    figure = mpl_style.sheet(34 + len(shown) * tall + _MARGIN, f"Samples by class: {formatting.shorten(arm, 30)}")
    for row, (k, held) in enumerate(shown):
        top = 34 + row * tall
        mpl_style.write(figure, _LEFT, top + tall / 2 + 3, formatting.shorten(words[k], 8), color=INK)
        for column, sample in enumerate(held):
            axes = mpl_style.panel(figure, start + column * side, top, side - 2, tall - 2, grid="")
            picture = values[sample]
            flat = picture[..., 0] if picture.shape[-1] == 1 else picture
            axes.imshow(flat, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="none")
            axes.set_axis_off()
    caption = f"Each row holds samples of the class beside it, at the end of the run (seed {seed}, not chosen)."
    alt = f"Samples of {arm} in {len(shown)} rows, one for each class."
    return Plot(f"samples_{number:02d}", "samples", caption, alt, figure)


def _plane(figure: Figure, left: float, top: float, side: float, points: np.ndarray, **options: Any) -> Axes:
    """Draw points [sample, 2] into a square at a place in units from the top left corner."""
    axes = mpl_style.panel(figure, left, top, side, side, grid="")
    axes.plot(points[:, 0], points[:, 1], ".", alpha=0.5, **options)
    axes.set(xticks=[], yticks=[])
    return axes


def _planes(values: np.ndarray, names: list[str], seeds: list[str]) -> list[Plot]:
    """Draw samples in the plane, [arm, time, sample, 2]: the last ones, two arms a row, and all of them over time."""
    held = np.abs(values[:, -1][np.isfinite(values[:, -1])])
    reach = float(np.quantile(held, 0.99)) * 1.15 if held.size else 1.0  # most points
    times = np.unique(np.linspace(0, values.shape[1] - 1, min(5, values.shape[1])).round().astype(int))
    wide, small = (WIDTH - 3 * _MARGIN) / 2, (WIDTH - (len(times) + 1) * 4) / len(times)
    last = mpl_style.sheet(44 + -(-len(names) // 2) * (wide + 18), "Samples at the end")
    ways = mpl_style.sheet(44 + len(names) * (small + 18), "How samples came about")
    for arm, label in enumerate(names):
        color = mpl_style.look(arm)["color"]
        left, top, below = _MARGIN + arm % 2 * (wide + _MARGIN), 42 + arm // 2 * (wide + 18), 42 + arm * (small + 18)
        mpl_style.write(last, left, top + 9, formatting.shorten(label, 24), color=INK)
        mpl_style.write(ways, 4, below + 9, formatting.shorten(label, 48), color=INK)
        drawn = [_plane(last, left, top + 13, wide, values[arm, -1], markersize=2.5, color=color)]
        for k, time in enumerate(times):
            left, points = 4 + k * (small + 4), values[arm, time, :128]
            drawn.append(_plane(ways, left, below + 13, small, points, markersize=1.6, color=color))
        for axes in drawn:
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    caption = _caption(seeds, "the samples of the last evaluation, all panels at one scale")
    caption = caption.replace("Each row", "Each panel")
    over_time = _caption(seeds, "the samples over the evaluations of the run, left to right")
    arms = f"for {len(names)} arms."
    return [
        Plot("samples", "samples", caption, f"Samples in the plane {arms}", last),
        Plot("progress", "samples", over_time, f"Samples in the plane over time {arms}", ways),
    ]
