"""Tables of what was measured at a single step, where a figure over steps would be a dot."""

from __future__ import annotations

import numpy as np
import xarray as xr

from deepprinciples.report import formatting, selections
from deepprinciples.report.html_tables import grid


def tables(results: xr.Dataset) -> str:
    """Return what probes measured as tables: numbers of a whole net, then numbers of each layer; medians over seeds."""
    whole, layers = [], []
    for name in map(str, results.data_vars):
        values = selections.take(results, name, ("arm", "seed", "step"))
        if values is not None:
            whole.append([formatting.escape(name.replace("_", " ")), *map(_cell, _spread(values.reshape(-1)))])
    names = selections.labels(results, "layer")
    measured = [str(name) for name in results.data_vars if results[name].dims == ("arm", "seed", "step", "layer")]
    if names and measured:
        flat = {name: results[name].values.astype(float).reshape(-1, len(names)) for name in measured}
        columns = {name: selections.median(values, axis=0) for name, values in flat.items()}
        for k, layer in enumerate(names):
            layers.append([formatting.escape(layer), *(_cell(columns[name][k]) for name in measured)])
    head = [("measure", "text"), ("median over seeds", ""), ("least", ""), ("most", "")]
    by_layer = [("layer", "text"), *((name.replace("_", " "), "") for name in measured)]
    made = grid(head, whole, "Measures of the whole net") if whole else ""
    return made + (grid(by_layer, layers, "Measures of each layer, medians over seeds") if layers else "")


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    held = values[np.isfinite(values)]
    return float(np.median(held)), float(held.min()), float(held.max())


def _cell(value: float) -> str:
    return formatting.escape(formatting.number(float(value))) if np.isfinite(value) else formatting.NOTHING
