"""Saliency maps beside the examples they explain: a column an example, a row a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from deepprinciples.report import formatting
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import INK, WIDTH, Plot

_LEFT, _RIGHT, _GAP, _HEAD = 92.0, 8.0, 4.0, 48.0
_OUTLINE = "#E69F00"


def draw(results: xr.Dataset, class_names: Sequence[str] = (), *, examples: int = 8) -> Plot:
    """Draw the maps of one seed, all of an example beside each other's.

    Args:
        results: those of an `Explanation`, of one seed.
        class_names: of the labels.
        examples: how many are shown, the first ones.
    """
    count = min(examples, results.sizes["example"])
    methods = [str(name) for name in results.attribution.values]
    inputs = np.asarray(results.input.values[:count], float)
    flat = results["maps"].ndim < 4  # signals and feature vectors are drawn as strips
    side = (WIDTH - _LEFT - _RIGHT + _GAP) / count - _GAP
    shape = (1, 1) if flat else results["maps"].shape[-2:]
    tall = side * min(shape[0] / shape[1], 2.0) if not flat else 18.0
    title = f"What the answer rests on, seed {int(results.seed)}"
    figure = mpl_style.sheet(_HEAD + (len(methods) + 1) * (tall + _GAP) + 6, title)
    for row, name in enumerate(["input", *methods]):
        top = _HEAD + row * (tall + _GAP)
        words = formatting.shorten(name.replace("_", " "), 22)
        mpl_style.write(figure, 8, top + tall / 2 + 3, words, size=7.5, color=INK)
        for k in range(count):
            axes = mpl_style.panel(figure, _LEFT + k * (side + _GAP), top, side, tall, grid="")
            values = inputs[k] if row == 0 else np.asarray(results["maps"].sel(attribution=name).values[k], float)
            _show(axes, values, is_map=row > 0, flat=flat)
            if "mask" in results and not flat:
                mask = np.asarray(results.mask.values[k], float)
                axes.contour(mask, levels=[0.5], colors=_OUTLINE, linewidths=0.8)
            axes.set_axis_off()
            if row == 0:
                x = _LEFT + k * (side + _GAP) + side / 2
                mpl_style.write(figure, x, top - 4, _caption(results, k, class_names), size=7, ha="center")
    outlined = " The outline is where the evidence lies." if "mask" in results and not flat else ""
    caption = (
        "Red speaks for the explained output, blue against it; every map has a scale of its own. Above each example: "
        f"its label and, where it differs, the network's answer.{outlined}"
    )
    return Plot(
        "attributions", "attributions", caption, f"Maps of {len(methods)} methods for {count} examples.", figure
    )


def _show(axes: Axes, values: np.ndarray, *, is_map: bool, flat: bool) -> None:
    if flat:
        values = values.reshape(1, -1) if values.ndim == 1 else values.T
    options: dict[str, Any] = {"aspect": "auto", "interpolation": "none"}
    if is_map:
        reach = float(np.quantile(np.abs(values), 0.995)) or float(np.max(np.abs(values))) or 1.0
        options |= {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    else:
        low, high = np.quantile(values, (0.01, 0.99))
        values = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
        if not flat:
            values = values if values.shape[-1] == 3 else values.mean(axis=-1)
        options |= {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}
    axes.imshow(values, **options)


def _caption(results: xr.Dataset, example: int, class_names: Sequence[str]) -> str:
    name = lambda number: class_names[number] if number < len(class_names) else str(number)
    answer = name(int(results.answer.values[example]))
    if "label" not in results or int(results.label.values[example]) < 0:
        return formatting.shorten(answer, 10)
    label = name(int(results.label.values[example]))
    return formatting.shorten(label if label == answer else f"{label} as {answer}", 12)
