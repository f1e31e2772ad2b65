"""What a generator made: grids of samples, how they came about, and what lies between two of them.

Always the first seed that did not diverge, named in the caption, so that nobody can pick the prettiest.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from deepprinciples.report import formatting, selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import INK, WIDTH, Plot

_LEFT, _MARGIN, _MOST_ARMS = 10.0, 10.0, 12


def pictures(results: xr.Dataset) -> list[Plot]:
    """Draw samples at the end, samples over time, and interpolations; points in the plane or pictures."""
    made = _of_first_seed(results, "samples")
    if made is None:
        return []
    values, seeds = made
    names = selections.labels(results, "arm")[:_MOST_ARMS]
    if values.ndim == 4 and values.shape[-1] == 2:  # [arm, time, sample, 2]
        return [_points(values[: len(names)], names, seeds), _ways(values[: len(names)], names, seeds)]
    if values.ndim != 6 or values.shape[-1] not in (1, 3):  # [arm, time, sample, row, column, channel]
        return []
    values = _bright(values[: len(names)])
    found = [_strips(values[:, -1], names, seeds, "samples", "Samples at the end", "made from the same noise")]
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
    """Take each arm's first seed that did not diverge: [arm, eval_step, sample, ...], and the seeds' names."""
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


def _reach(values: np.ndarray) -> float:
    """Give how far most points lie from the middle."""
    held = values[np.isfinite(values)]
    return float(np.quantile(np.abs(held), 0.99)) * 1.15 if held.size else 1.0


def _scatter(axes: Axes, points: np.ndarray, arm: int, reach: float, size: float) -> None:
    axes.plot(points[:, 0], points[:, 1], ".", markersize=size, alpha=0.5, color=mpl_style.look(arm)["color"])
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xticks([])
    axes.set_yticks([])


def _ways(values: np.ndarray, names: list[str], seeds: list[str]) -> Plot:
    """Draw samples in the plane over the evaluations, one row an arm, [arm, time, sample, 2]."""
    times = np.unique(np.linspace(0, values.shape[1] - 1, min(5, values.shape[1])).round().astype(int))
    wide = (WIDTH - (len(times) + 1) * 4) / len(times)
    figure = mpl_style.sheet(44 + len(names) * (wide + 18), "How samples came about")
    reach = _reach(values[:, -1])
    for arm, label in enumerate(names):
        top = 42 + arm * (wide + 18)
        mpl_style.write(figure, 4, top + 9, formatting.shorten(label, 48), color=INK)
        for column, time in enumerate(times):
            axes = mpl_style.panel(figure, 4 + column * (wide + 4), top + 13, wide, wide, grid="")
            _scatter(axes, values[arm, time, :128], arm, reach, 1.6)
    caption = _caption(seeds, "the samples over the evaluations of the run, left to right")
    return Plot("progress", "samples", caption, f"Samples in the plane over time for {len(names)} arms.", figure)


def _points(values: np.ndarray, names: list[str], seeds: list[str]) -> Plot:
    """Draw the last samples of every arm as points in the plane, [arm, time, sample, 2], two arms a row."""
    wide = (WIDTH - 3 * _MARGIN) / 2
    figure = mpl_style.sheet(44 + -(-len(names) // 2) * (wide + 18), "Samples at the end")
    last, reach = values[:, -1], _reach(values[:, -1])
    for arm, label in enumerate(names):
        left, top = _MARGIN + arm % 2 * (wide + _MARGIN), 42 + arm // 2 * (wide + 18)
        mpl_style.write(figure, left, top + 9, formatting.shorten(label, 24), color=INK)
        axes = mpl_style.panel(figure, left, top + 13, wide, wide, grid="")
        _scatter(axes, last[arm], arm, reach, 2.5)
    words = "the samples of the last evaluation, all panels at one scale"
    caption = _caption(seeds, words).replace("Each row", "Each panel")
    return Plot("samples", "samples", caption, f"Samples in the plane for {len(names)} arms.", figure)
