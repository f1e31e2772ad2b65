"""Figures of probes that measure whole curves: spectra, gradients through time, and the loss around solutions.

Each says in its caption how it is read. What is drawn over steps is in `curves` and `heat_maps`.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from deepprinciples.report import formatting, selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import INK, WIDTH, Plot

_LEFT, _TALL = 52.0, 130.0
_POINTS = 300  # where a density is drawn
_WIDTH = 0.01  # of a broadened eigenvalue, as a share of the whole range


def figures(results: xr.Dataset) -> list[Plot]:
    """Draw what there is of spectra, gradients through time, landscapes, ways between solutions, and likeness."""
    found = [_through_time(results), _spectrum(results), _landscape(results), _between(results), _similarity(results)]
    return [plot for plot in found if plot is not None]


def _through_time(results: xr.Dataset) -> Plot | None:
    values = selections.take(results, "gradient_through_time", ("arm", "seed", "step", "lag"))
    if values is None:
        return None
    lags = np.array([int(name.removeprefix("lag_")) for name in selections.labels(results, "lag")])
    middle = selections.median(values, axis=1)  # [arm, step, lag]
    names = selections.labels(results, "arm")
    when = selections.steps(results, "step")
    seen = [a for a in range(len(names)) if np.any(middle[a] > 0)]
    if not seen:
        return None
    under = "time steps before the last"
    shown = [names[a] for a in seen], seen
    figure, axes = mpl_style.board("Gradient through time", _TALL, under, *shown, left=_LEFT)
    drawn = []
    for a in seen:
        known = [k for k in range(len(when)) if np.any(middle[a, k] > 0)]
        for k, strength in {known[0]: 0.45, known[-1]: 1.0}.items():
            line = np.where(middle[a, k] > 0, middle[a, k], np.nan)
            axes.plot(lags, line, linewidth=1.6, markersize=3.5, alpha=strength, **mpl_style.look(a))
            drawn.append(line)
    held = np.concatenate(drawn)
    mpl_style.axis(axes, "x", mpl_style.frame(lags, log=False, margin=0.02))
    mpl_style.axis(axes, "y", mpl_style.frame(held[np.isfinite(held)], log=True), log=True)
    return Plot(
        "gradient-through-time",
        "flow",
        "Norm of one example's gradient at the hidden state so many time steps before the last, median over seeds; "
        "pale at the first probe, full at the last: a line that falls steeply means that early inputs teach nothing.",
        f"Gradient norm against lag for {len(seen)} arms.",
        figure,
    )


def _spectrum(results: xr.Dataset) -> Plot | None:
    dims = ("arm", "seed", "step", "ritz")
    nodes, weights = (selections.take(results, name, dims) for name in ("hessian_ritz", "hessian_weight"))
    if nodes is None or weights is None:
        return None
    names, when = selections.labels(results, "arm"), selections.steps(results, "step")
    rows = [(a, _known(nodes[a])) for a in range(len(names)) if np.isfinite(nodes[a]).any()]
    height = 40 + len(rows) * (_TALL + 34) + 22
    figure = mpl_style.sheet(height, "Spectrum of the Hessian")
    top = 44.0
    for a, known in rows:
        mpl_style.write(figure, 10, top + 6, formatting.shorten(names[a], 48), color=INK)
        axes = mpl_style.panel(figure, _LEFT, top + 14, WIDTH - _LEFT - 14, _TALL)
        marks = sorted({known[0], known[-1]})
        for place, k in enumerate(marks):
            where, density = _density(nodes[a, :, k], weights[a, :, k])
            style = {"color": mpl_style.look(a)["color"], "alpha": 0.45 if place < len(marks) - 1 else 1.0}
            axes.plot(where, np.maximum(density, 1e-6), linewidth=1.5, **style)
        mpl_style.axis(axes, "x")
        axes.set_yscale("log")
        axes.set_ylim(1e-5, None)
        mpl_style.axis(axes, "y", log=True)
        said = " and ".join(mpl_style.tick(when[k]) for k in marks)
        mpl_style.write(figure, WIDTH - 14, top + 6, f"step {said}", ha="right")
        top += _TALL + 34
    mpl_style.write(figure, _LEFT + (WIDTH - _LEFT - 14) / 2, height - 6, "eigenvalue", ha="center")
    return Plot(
        "hessian-spectrum",
        "curvature",
        "Density of the Hessian's eigenvalues, mean over seeds; pale at the first probe, full at the last. The mass "
        "at 0 is of directions that change nothing; humps far to the right are the few stiff ones that bound the rate.",
        f"Density of eigenvalues for {len(rows)} arms.",
        figure,
    )


def _known(nodes: np.ndarray) -> list[int]:
    return [k for k in range(nodes.shape[1]) if np.isfinite(nodes[:, k]).any()]


def _density(nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Broaden nodes [seed, node] by a normal density; the mean over the seeds that have values."""
    alive = np.isfinite(nodes).all(axis=1)
    nodes, weights = nodes[alive], weights[alive]
    low, high = float(nodes.min()), float(nodes.max())
    spread = max(high - low, 1e-12)
    where = np.linspace(low - 0.05 * spread, high + 0.05 * spread, _POINTS)
    width = _WIDTH * spread
    bumps = np.exp(-0.5 * ((where[:, None, None] - nodes) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return where, (bumps * weights).sum(axis=2).mean(axis=1)


def _landscape(results: xr.Dataset) -> Plot | None:
    values = selections.take(results, "landscape", ("arm", "seed", "way", "place"))
    if values is None:
        return None
    lines = values.reshape(-1, values.shape[-1])
    return _lines(
        "landscape", "Loss around the solutions", lines, selections.steps(results, "place"),
        "place along the direction",
        "Loss along random directions from each seed's weights (at 0), two a seed, each unit's direction as long as "
        "the unit: a narrow valley is a sharp minimum, and 1 is a change as large as the weights.",
    )  # fmt: skip


def _between(results: xr.Dataset) -> Plot | None:
    values = selections.take(results, "between", ("arm", "pair", "point"))
    if values is None:
        return None
    lines = values.reshape(-1, values.shape[-1])
    return _lines(
        "between", "Loss between solutions", lines, selections.steps(results, "point"), "share of the way",
        "Loss on the straight way from one seed's weights (0) to another's (1): a hill between them means that the two "
        "found different valleys.",
    )  # fmt: skip


def _lines(name: str, title: str, lines: np.ndarray, places: np.ndarray, under: str, caption: str) -> Plot | None:
    held = lines[np.isfinite(lines)]
    if not held.size:
        return None
    figure, axes = mpl_style.board(title, _TALL, under, left=_LEFT)
    for line in lines:
        axes.plot(
            places, np.where(np.isfinite(line), line, np.nan), linewidth=1.1, alpha=0.7, color=mpl_style.COLORS[0]
        )
    log = selections.spans_decades(lines, 1.5)
    mpl_style.axis(axes, "x", mpl_style.frame(places, log=False, margin=0.0))
    mpl_style.axis(axes, "y", mpl_style.frame(held, log=log), log=log)
    return Plot(name, "landscape", caption, f"{title}: {len(lines)} lines.", figure)


def _similarity(results: xr.Dataset) -> Plot | None:
    values = selections.take(results, "similarity", ("arm", "layer", "other_layer"))
    if values is None:
        return None
    names = selections.labels(results, "layer")
    seen = np.isfinite(values[0]).any(axis=1)
    chosen = [name for name, there in zip(names, seen, strict=True) if there]
    side = 200.0
    figure = mpl_style.sheet(44 + side + 40, "Likeness of layers between seeds")
    axes = mpl_style.panel(figure, 84, 40, side, side, grid="")
    shown = axes.imshow(
        values[0][seen][:, np.isfinite(values[0]).any(axis=0)], vmin=0, vmax=1, origin="lower",
        cmap=matplotlib.colormaps["cividis"], aspect="auto", interpolation="none",
    )  # fmt: skip
    _names(axes, chosen)
    bar = figure.colorbar(shown, cax=mpl_style.panel(figure, 84 + side + 16, 40, 9, side, grid=""))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8.5)
    mpl_style.write(figure, 84 + side / 2, 40 + side + 32, "layers of one seed, against those of another", ha="center")
    return Plot(
        "similarity",
        "landscape",
        "Linear CKA of the layers of two seeds, mean over neighboring seeds: a bright diagonal means that every seed "
        "learns the same things at the same depth; a bright block, that layers in it say the same.",
        f"Likeness of {len(chosen)} layers of two seeds.",
        figure,
    )


def _names(axes: Axes, names: Sequence[str]) -> None:
    places = np.arange(0, len(names), -(-len(names) // 6))
    labels = [formatting.shorten(names[int(place)], 13) for place in places]
    axes.set_yticks(places, labels, fontsize=8.5, parse_math=False)
    axes.set_xticks(places, [str(int(place)) for place in places], fontsize=8.5)
