"""Figures over time: learning curves with bands, and small panels of what the units and the transforms do.

Bands are quartiles over seeds, not intervals of a mean: they show how seeds differ, and the captions say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepprinciples.report import formatting, selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import Plot, Point

_BAND = (
    "The line is the median over seeds and the band holds the middle half of them (quartiles); a diverged seed counts "
    "as the worst value, so a line that stops means that half of the seeds have diverged."
)
_ALONE = "The line is the one seed that was run; it stops where that seed diverged."


def learning(results: xr.Dataset, summary: Mapping[str, Any]) -> list[Plot]:
    """Draw training loss and validation metric over steps: median and middle half of the seeds."""
    metric = formatting.name(summary.get("metric"))
    found = [
        _learning(results, "train_loss", "step", "Training loss", "training loss", maximize=False),
        _learning(
            results, "validation", "eval_step", f"Validation {formatting.shorten(metric, 36)}", f"validation {metric}",
            maximize=summary.get("direction") != "min",
        ),
    ]  # fmt: skip
    return [plot for plot in found if plot is not None]


def _learning(results: xr.Dataset, name: str, dim: str, title: str, words: str, *, maximize: bool) -> Plot | None:
    values = selections.take(results, name, ("arm", "seed", dim))
    if values is None:
        return None
    when, along = selections.steps(results, dim), "step"
    held = selections.with_worst(values, selections.diverged(results), when, maximize=maximize)
    if dim == "eval_step" and "environment_steps" in results.coords:
        when, along = np.asarray(results.environment_steps.values, float), "environment step"
    low, middle, high = selections.quartiles(held, axis=1)  # [arm, step] each
    drawn = np.concatenate([low, middle, high])
    if not np.isfinite(drawn).any():
        return None
    log = not maximize and selections.spans_decades(middle, 1.3)
    if log:
        low = np.where(low > 0, low, middle)
    names = selections.labels(results, "arm")
    figure, axes = mpl_style.board(title, 190.0, along, names, range(len(names)))
    limits, said = _limits(low, middle, high, log), list[Point]()
    for index in range(len(names)):
        # The quartile beyond the worst outcome lies outside of the picture, on its bad side.
        bottom = np.where(np.isfinite(low[index]), low[index], limits[0])
        ceiling = np.where(np.isfinite(high[index]), high[index], limits[1])
        seen = np.isfinite(middle[index])
        mpl_style.band(axes, when, bottom, ceiling, index, where=seen)
        _line(axes, when, middle[index], index)
    mpl_style.axis(axes, "x", mpl_style.frame(when, log=False, margin=0.02))
    mpl_style.axis(axes, "y", limits, log=log)
    for index, arm in enumerate(names):
        said += _points(figure, axes, arm, along, when, middle[index], index)
    return Plot(
        name.replace("_", "-"),
        "learning",
        _BAND if values.shape[1] > 1 else _ALONE,
        f"Median {words} over {along}s for {len(names)} arms.",
        figure,
        said,
    )


def _limits(low: np.ndarray, middle: np.ndarray, high: np.ndarray, log: bool) -> tuple[float, float]:
    held = np.concatenate([values[np.isfinite(values)] for values in (low, middle, high)])
    # One exploding band must not flatten all the others: the picture reaches to ten times the medians.
    centre = middle[np.isfinite(middle)]
    if centre.size:
        bands = (high - low)[np.isfinite(high) & np.isfinite(low)]
        usual = float(np.quantile(bands, 0.75)) if bands.size else 0.0
        spread = max(float(np.ptp(centre)), usual) or float(np.ptp(held))  # medians may all be equal
        spread = max(spread, 1e-12 * float(np.abs(centre).max()), 1e-300)
        floor, top = centre.min() - (0 if log else 2 * spread), centre.max() * 10 if log else centre.max() + 2 * spread
        held = np.concatenate([np.clip(held, centre.min() / 10 if log else floor, top), centre])
    return mpl_style.frame(held, log=log)


_PLAYERS = {
    "discriminator_real": ("D on real examples", "Mean probability that the discriminator gives to real examples"),
    "discriminator_fake": ("D on made examples", "Mean probability that the discriminator gives to made examples"),
    "critic_gap": ("Critic gap", "Mean logit of real examples less that of made ones"),
    "diversity": ("Diversity", "Mean distance of two made examples over that of two real ones; 1 is as diverse"),
    "rotation": ("Rotation", "Cosine between the players' gradients before and after a step; below 1 they turn"),
    "generator_gradient": ("Gradient of the generator", "Norm of all gradients of the generator"),
    "discriminator_gradient": ("Gradient of the discriminator", "Norm of all gradients of the discriminator"),
    "penalty": ("Penalty", "Value of all penalties on the discriminator"),
}


_LOGARITHMIC = (
    "update_ratio", "gradient_snr", "sharpness", "sam_sharpness", "preconditioned_sharpness", "norm_test",
    "jacobian_mean_square",
)  # fmt: skip
_SIGNED = (
    "critic_gap", "rotation", "step_cosine", "hessian_trace", "takeuchi", "noise_scale", "step_alpha", "sam_sharpness",
    "gradient_cosine_least",
)  # fmt: skip
_DEEP = {
    "sharpness": ("Sharpness", "Largest eigenvalue of the loss's Hessian on the batch"),
    "takeuchi": ("Noise over curvature", "Mean squared gradient of an example over the Hessian's trace (Takeuchi)"),
    "hessian_trace": ("Trace of the Hessian", "Trace of the loss's Hessian on the batch, estimated"),
    "noise_scale": ("Noise scale", "Noise between examples over signal, in examples: batches far below it are noisy"),
    "gradient_snr": ("Gradient signal to noise", "Mean over parameters of squared mean over variance of the gradient"),
    "gradient_agreement": ("Agreement of examples", "1 where all examples ask for the same step, near 0 where none do"),
    "sam_sharpness": ("Rise up the gradient", "How much the loss rises a short way (0.05) up the gradient"),
    "preconditioned_sharpness": ("Sharpness as Adam sees it", "Largest eigenvalue of the preconditioned Hessian"),
    "gradient_cosine_least": ("Conflict in the batch", "Smallest cosine between gradients of eight parts of the batch"),
    "norm_test": (
        "Error of the gradient",
        "Squared relative error of a batch's gradient; above 1 it is mostly noise",
    ),
    "step_alpha": ("End of the step", "Where a step ends: -1 where it began, 0 at the bottom, 1 as high as before"),
    "jacobian_mean_square": ("Slope of the outputs", "Mean square singular value of outputs against inputs; 1 is even"),
    "step_cosine": ("Turn of the gradient", "Cosine of the gradient before and after a step; below 0 it went too far"),
}


_SHARE = "averaged over layers"
_UNITS = {
    "dead_units": ("Dead units", f"Share of units that give nothing on any input, {_SHARE}", "layer"),
    "saturated_units": ("Saturated units", f"Share of units with almost no slope, {_SHARE}", "layer"),
    "gate_open": ("Open gates", "Share of gates above 0.9, averaged over gates", "gate"),
    "gate_closed": ("Closed gates", "Share of gates below 0.1, averaged over gates", "gate"),
    "update_ratio": ("Size of updates", f"Norm of a step over the norm of the weights, {_SHARE}", "layer"),
}


def units(results: xr.Dataset) -> list[Plot]:
    """Draw small panels over steps: dead and saturated units, gates, how often transforms act, size of updates."""
    found = []
    for name, (title, what, over) in _UNITS.items():
        values = selections.take(results, name, ("arm", "seed", "step", over))
        lines = None if values is None else selections.median(selections.mean(values, axis=3), axis=1)
        found += [_triggers(results)] if name == "update_ratio" else []
        found.append(_panel(results, name, "units", title, what, lines))
    return [plot for plot in found if plot is not None]


def players(results: xr.Dataset) -> list[Plot]:
    """Draw small panels over steps of what both players of a GAN do; none where there are no players."""
    seen = {name: words for name, words in _PLAYERS.items() if name in results and np.any(results[name].values)}
    return _panels(results, "players", seen)


def deep(results: xr.Dataset, summary: Mapping[str, Any]) -> list[Plot]:
    """Draw small panels over steps of curvature and of noise between examples; none where nothing was measured.

    Beside the sharpness of an arm whose edge of stability is known, a dotted line of its color marks that edge.
    """
    return _panels(results, "curvature", _DEEP, {"sharpness": _edges(summary, selections.labels(results, "arm"))})


def own(results: xr.Dataset, summary: Mapping[str, Any]) -> list[Plot]:
    """Draw small panels over steps of the numbers that the user's own probes gave."""
    return _panels(results, "own", selections.own_probes(summary))


def _panels(
    results: xr.Dataset,
    group: str,
    table: Mapping[str, tuple[str, str]],
    edges: Mapping[str, Mapping[int, float]] = MappingProxyType({}),
) -> list[Plot]:
    found = []
    for name, (title, what) in table.items():
        values = selections.take(results, name, ("arm", "seed", "step"))
        lines = None if values is None else selections.median(values, axis=1)
        marks = edges.get(name, {})
        beyond = "; beyond the dotted line of its color a step grows, the edge of stability" if marks else ""
        found.append(_panel(results, name, group, title, what + beyond, lines, marks=marks))
    return [plot for plot in found if plot is not None]


def _edges(summary: Mapping[str, Any], names: Sequence[str]) -> dict[int, float]:
    """Return the edges of stability that the summary holds, by the places of the arms."""
    known = formatting.table(summary.get("stability_edges"))
    found = {index: known.get(name) for index, name in enumerate(names)}
    return {index: float(edge) for index, edge in found.items() if isinstance(edge, int | float) and edge > 0}


def _triggers(results: xr.Dataset) -> Plot | None:
    values = selections.take(results, "trigger_rate", ("arm", "seed", "step", "transform"))
    if values is None:
        return None
    middle = selections.median(values, axis=1)  # [arm, step, transform]
    arms, transforms = selections.labels(results, "arm"), selections.labels(results, "transform")
    seen = [(a, t) for a in range(len(arms)) for t in range(len(transforms)) if np.isfinite(middle[a, :, t]).any()]
    if len(transforms) == 1:
        names, places = [formatting.name(arms[a]) for a, _ in seen], [a for a, _ in seen]
    else:
        names = [f"{formatting.shorten(arms[a], 13)}: {formatting.shorten(transforms[t], 13)}" for a, t in seen]
        places = list(range(len(seen)))
    what = f"Share of steps in which {', '.join(formatting.name(item) for item in transforms)} changed the gradient"
    lines = np.stack([middle[a, :, t] for a, t in seen])
    return _panel(results, "trigger_rate", "units", "How often the gradient was changed", what, lines, names, places)


def _panel(
    results: xr.Dataset,
    name: str,
    group: str,
    title: str,
    what: str,
    lines: np.ndarray | None,
    names: Sequence[str] = (),
    places: Sequence[int] = (),
    marks: Mapping[int, float] = MappingProxyType({}),
) -> Plot | None:
    """Draw a line for each arm, or for each of the given names; None where nothing was measured."""
    if lines is None:
        return None
    names = names or selections.labels(results, "arm")
    places = places or range(len(names))
    seen = [index for index in range(lines.shape[0]) if np.isfinite(lines[index]).any()]
    if not seen:
        return None
    when = selections.steps(results, "step")
    shown = [names[index] for index in seen], [places[index] for index in seen]
    figure, axes = mpl_style.board(title, 130.0, "step", *shown)
    for index in seen:
        _line(axes, when, lines[index], places[index])
    for index, height in marks.items():
        axes.axhline(height, color=mpl_style.look(places[index])["color"], linewidth=1.0, linestyle=":")
    log = selections.spans_decades(lines, 1.5) and (
        group == "own" or name in _LOGARITHMIC or name.endswith("_gradient")
    )
    held = np.concatenate([lines[np.isfinite(lines)], [marks[index] for index in marks if index in seen]])
    low, high = mpl_style.frame(held[held > 0] if log else held, log=log)
    if group != "own" and name not in _SIGNED and not log:
        least = 0.0 if name == "update_ratio" else 1e-3  # shares that are all zero lie on the ground, not in mid air
        low, high = min(low, -0.02 * high), max(high, least)
    mpl_style.axis(axes, "x", mpl_style.frame(when, log=False, margin=0.02))
    mpl_style.axis(axes, "y", (low, high), log=log)
    said = [
        one for index in seen for one in _points(figure, axes, names[index], "step", when, lines[index], places[index])
    ]
    return Plot(
        name.replace("_", "-"),
        group,
        f"{what}; each line is the median over the seeds that had not diverged.",
        f"{title} over steps for {len(seen)} arms.",
        figure,
        said,
    )


def _line(axes: Axes, when: np.ndarray, values: np.ndarray, place: int) -> None:
    marks = mpl_style.marked(len(when), place)
    every = marks.start, marks.step
    axes.plot(when, values, linewidth=1.6, markersize=4, markevery=every, **mpl_style.look(place))


def _points(
    figure: Figure, axes: Axes, name: str, unit: str, when: np.ndarray, values: np.ndarray, place: int
) -> list[Point]:
    """Return what the markers of a line say, and its end."""
    at = {*mpl_style.marked(len(when), place), *np.flatnonzero(np.isfinite(values))[-1:].tolist()}
    return mpl_style.along(figure, axes, name, unit, when, values, sorted(at))
