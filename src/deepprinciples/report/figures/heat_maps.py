"""Heat maps of layer against step: where gradients vanish or explode, and when.

One figure for each quantity, one panel for each arm, one color scale for all panels of a figure, so that arms compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepprinciples.report import formatting, selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import INK, WIDTH, Plot, Point

_LEFT, _RIGHT, _TOP = 74.0, 14.0, 74.0
_COLORS = matplotlib.colormaps["cividis"].with_extremes(bad="#d5d9e0")
_QUANTITIES = {
    "gradient_norm": ("Gradient norm of the weights", "the norm of a layer's weight gradient"),
    "gradient_mean_square": ("Mean square gradient at activations", "the mean square gradient of a layer's output"),
    "effective_rank": ("Effective rank of the weights", "how many directions a layer's kernel uses"),
    "activation_mean_square": ("Mean square activation", "the mean square of a layer's output"),
    "activation_change": ("Change of activations", "how far a layer's output is from what it was at the start"),
    "distance": ("Distance from the start", "how far a layer's weights are from where they began"),
}
_SHARES = {
    "dead_units": ("Dead units by layer", "the share of a layer's units that give nothing on any input"),
    "dormant_units": ("Dormant units by layer", "the share of a layer's units that give almost nothing"),
    "saturated_units": ("Saturated units by layer", "the share of a layer's units with almost no slope"),
    "gradient_histogram": ("Sizes of gradient entries", "the share of all gradient entries in a decade of sizes"),
}


def heat_maps(results: xr.Dataset) -> list[Plot]:
    """Draw norms and mean squares (log10) and shares of units as layer x step maps, medians over seeds."""
    found = [_figure(results, name, title, what, log=True) for name, (title, what) in _QUANTITIES.items()]
    found += [_figure(results, name, title, what, log=False) for name, (title, what) in _SHARES.items()]
    return [plot for plot in found if plot is not None]


def own(results: xr.Dataset, summary: Mapping[str, Any]) -> list[Plot]:
    """Draw what the user's own probes gave of each layer, on a log scale where it spans decades."""
    found = []
    for name, (title, what) in selections.own_probes(summary).items():
        values = selections.take(results, name, ("arm", "seed", "step", "layer"))
        if values is not None:
            found.append(_figure(results, name, title, what, log=selections.spans_decades(values), group="own"))
    return [plot for plot in found if plot is not None]


def _figure(results: xr.Dataset, name: str, title: str, what: str, *, log: bool, group: str = "") -> Plot | None:
    dim = "decade" if name == "gradient_histogram" else "layer"
    values = selections.take(results, name, ("arm", "seed", "step", dim))
    if values is None:
        return None
    middle = selections.median(values, axis=1)  # [arm, step, layer]
    with np.errstate(divide="ignore", invalid="ignore"):
        # A zero gradient is -inf and takes the lowest color.
        maps = np.where(middle >= 0, np.log10(middle), np.nan) if log else middle
    held = maps[np.isfinite(maps)]
    if not held.size or not (log or group or held.any()):
        return None
    low, high = float(np.quantile(held, 0.01)), float(np.quantile(held, 0.99))
    if high - low < (1e-6 * max(abs(low), 1e-6) if group and not log else 0.2):
        low, high = low - 0.1, high + 0.1
    if not (log or group):  # shares
        low, high = max(low, 0.0), min(high, 1.0)
    names, layers = selections.labels(results, "arm"), list(map(_row_name, selections.labels(results, dim)))
    kept = [np.flatnonzero(np.any(~np.isnan(maps[arm]), axis=0)) for arm in range(len(names))]
    heights = [min(130.0, max(54.0, 5.6 * len(rows))) for rows in kept]
    height = _TOP + sum(tall + 20 for tall in heights) + 30
    figure = mpl_style.sheet(height, title)
    _color_bar(figure, low, high, log=log)
    # All maps are in one panel, whose y is in units from its top: axes of their own would take most of the time.
    axes = mpl_style.panel(figure, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, height - _TOP - 35, grid="")
    axes.spines[:].set_visible(False)
    marks: dict[float, tuple[int, int]] = {}
    below = 15.0
    for arm, (rows, tall) in enumerate(zip(kept, heights, strict=True)):
        mpl_style.write(figure, 10, _TOP + below - 5, formatting.shorten(names[arm], 48), color=INK)
        _map(axes, maps[arm][:, rows].T, below, tall, low, high)
        places = np.arange(0, len(rows), -(-len(rows) // 5) or 1)
        marks |= {below + tall * (1 - (k + 0.5) / len(rows)): (arm, rows[k]) for k in places}
        below += tall + 20
    axes.set_ylim(height - _TOP - 35, 0)
    shown = [formatting.shorten(layers[row], 13) for _, row in marks.values()]
    axes.set_yticks(list(marks), shown, fontsize=8.5, parse_math=False)
    when = selections.steps(results, "step")
    # Columns are probes, not steps: labels stay right where probes are unevenly spaced.
    columns = np.unique(np.linspace(0, len(when) - 1, min(len(when), 5)).round().astype(int))
    axes.set_xlim(-0.5, len(when) - 0.5)
    axes.set_xticks(columns, [mpl_style.tick(step) for step in when[columns]], fontsize=8.5)
    mpl_style.write(figure, (WIDTH + _LEFT) / 2, height - 6, "step", ha="center")
    said: list[Point] = []
    for y, (arm, row) in marks.items():  # the cells in a row and a column that have labels
        at = f"{formatting.name(names[arm])}, {layers[row]}, step"
        words = [f"{at} {mpl_style.tick(when[c])}: {formatting.number(float(middle[arm, c, row]))}" for c in columns]
        said += mpl_style.points(figure, axes, columns, np.full(len(columns), y), words)
    scale, reading = "a log scale", ": an even color from bottom to top means the signal reaches every layer, grey"
    if not log or group:
        scale, reading = "a log scale" if log else "a scale", "; grey"
    order = "smallest" if dim == "decade" else "first layer"
    # Shares by layer stand with the small panels of the units.
    return Plot(
        f"{name.replace('_', '-')}{'' if log or group else '-map'}",
        group or ("flow" if log else "units"),
        f"{f'{what}. Color is this value' if group else f'Color is {what}'} on {scale} shared by all arms (median "
        f"over seeds that had not diverged; {order} at the bottom){reading} means no value.",
        f"{title}: layer against step for {len(names)} arms.",
        figure,
        said,
    )


def _row_name(layer: str) -> str:
    """Return a short label: a layer of a GAN by its player's initial, a decade by its end."""
    if layer.startswith("decade_"):
        exponent = int(layer.removeprefix("decade_")) - 8
        return f"< 1e{exponent}".replace("-", "\u2212")
    return layer.replace("discriminator.", "D.").replace("generator.", "G.")


def _map(axes: Axes, values: np.ndarray, top: float, tall: float, low: float, high: float) -> None:
    """Draw a map [layer, step], the first layer at the bottom, at a height in units from the top of the panel."""
    if not values.size:
        axes.text(0.5, top + tall / 2, "no values", transform=axes.get_yaxis_transform(), ha="center", va="center")
        return
    shown = np.ma.masked_invalid(np.where(np.isneginf(values), low - 1, values))
    extent = (-0.5, values.shape[1] - 0.5, top + tall, top)
    axes.imshow(shown, cmap=_COLORS, vmin=low, vmax=high, aspect="auto", interpolation="none", extent=extent,
                origin="lower")  # fmt: skip


def _color_bar(figure: Figure, low: float, high: float, *, log: bool) -> None:
    axes = mpl_style.panel(figure, _LEFT, 42, WIDTH - _LEFT - _RIGHT, 9, grid="")
    ramp = np.linspace(0, 1, 64)[None, :]
    axes.imshow(ramp, cmap=_COLORS, aspect="auto", interpolation="none", extent=(low, high, 0, 1))
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    first, last = np.ceil(low), np.floor(high)
    # Whole decades where the scale holds two of them; its two ends, written inwards, where it does not.
    decades = log and last > first
    ticks = np.arange(first, last + 1, max(1, np.ceil((last - first) / 5))) if decades else np.array([low, high])
    shown = [float(f"{10.0 ** float(t) if log else float(t):.2g}") for t in ticks]
    axes.set_xticks(ticks, list(map(mpl_style.decades(shown), shown)), fontsize=8.5)
    if not decades:
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[1].set_horizontalalignment("right")
    mpl_style.write(figure, 10, 50, "low to high")
