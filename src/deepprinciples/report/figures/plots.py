"""All figures of a study in the order of the page, and their files.

A figure that lacks its variable is left out; nothing here fails because a study measured less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from deepprinciples.report import io
from deepprinciples.report.figures import (
    circuit_diagrams,
    curves,
    forest_plot,
    heat_maps,
    mpl_style,
    return_plots,
    search_plots,
    size_plots,
    spectra,
)
from deepprinciples.report.figures.examples import recordings, samples
from deepprinciples.report.figures.mpl_style import Plot


def figures(results: xr.Dataset, summary: Mapping[str, Any]) -> list[Plot]:
    """Draw every figure the results allow.

    Args:
      results: the study's variables over arm, seed, step, layer, ...; any of them may be absent.
      summary: the dict of `summary.json`; any value may be None.

    Returns:
      Plots in page order; each has a name (unique), a group, a caption, a text alternative and a matplotlib figure.
    """
    with mpl_style.style():
        tested = search_plots.rates(results, summary)
        if tested is not None:  # a range test has nothing else to show
            return [tested]
        effect = [forest_plot.forest(summary), forest_plot.seed_dots(results, summary)]
        found = [plot for plot in effect if plot is not None]
        found += return_plots.profile(summary)
        found += size_plots.against_size(summary)
        found += curves.learning(results, summary)
        found += circuit_diagrams.diagrams(summary)
        found += samples.gallery(results)
        found += recordings.drawings(results)
        found += samples.pictures(results)
        found += curves.players(results)
        if results.sizes.get("step", 0) > 1 or summary.get("kind") != "probe":  # else tables show it
            found += heat_maps.heat_maps(results)
            found += curves.units(results)
            found += curves.deep(results, summary)
            found += curves.own(results, summary) + heat_maps.own(results, summary)
        found += spectra.figures(results)
        found += search_plots.chosen(summary)
        found += forest_plot.tuning(results, summary)
        against = search_plots.budget(results, summary)
        found += [against] if against is not None else []
    return found


class Plots(NamedTuple):
    """The figures of a run as methods: `plots.curves()`, and each of the report's by its name, `plots.forest()`.

    A name is that of the file in figures/ with "_" for "-". Every call draws anew and returns a matplotlib figure.

    Raises:
      AttributeError: the run has no such figure; the message lists those it has.
    """

    results: xr.Dataset
    summary: Mapping[str, Any]

    def curves(self) -> Figure:
        """Draw the validation metric over the steps, by arm: the median of the seeds and their middle half."""
        return self.__getattr__("validation")()

    def __getattr__(self, name: str) -> Callable[[], Figure]:
        if name.startswith("_"):  # what notebooks ask of any object
            raise AttributeError(name)
        drawn = _by_name(self)
        if name not in drawn:
            raise AttributeError(f"no figure {name!r} of this run; it has {', '.join(drawn) or 'none'}")
        return lambda: drawn[name].figure

    def __dir__(self) -> list[str]:
        return ["curves", *_by_name(self)]


def _by_name(plots: Plots) -> dict[str, Plot]:
    return {plot.name.replace("-", "_"): plot for plot in figures(plots.results, plots.summary)}


def save_all(drawn: Sequence[Plot], folder: str | Path) -> list[Path]:
    """Write figures as .svg and .png into a folder, made if it is missing; returns the paths.

    Raises:
      ResourceError: the folder is a link, or something cannot be written.
    """
    place, written = io.folder(Path(folder)), []
    for plot in drawn:
        for content, suffix in ((mpl_style.to_svg(plot), "svg"), (mpl_style.to_png(plot), "png")):
            written.append(place / f"{plot.name}.{suffix}")
            io.put(written[-1], content)
    return written
