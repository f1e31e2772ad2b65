"""The figures of the pages on concepts, drawn when the site is built, once for light pages and once for dark ones.

Three are drawings of made-up scores, as their captions say; `probes` is measured by a short run.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

FOLDER = Path(__file__).parents[1] / "figures"
MARKS = "os^D"


class Ink(NamedTuple):
    """The colors of a figure on one background."""

    text: str
    soft: str
    first: str
    second: str
    third: str


LIGHT = Ink("#1c2430", "#8a93a0", "#0072B2", "#B34700", "#00684a")
DARK = Ink("#e6e9ee", "#7d8794", "#6cb8ee", "#f0944d", "#4fc79c")


@contextlib.contextmanager
def both(path: Path, size: tuple[float, float]) -> Iterator[list[tuple[Figure, Ink]]]:
    """Hand out two figures to be drawn alike, and save them as PATH-light.svg and PATH-dark.svg."""
    style = {
        "font.size": 9.5, "svg.hashsalt": "deepprinciples", "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    made = []
    with matplotlib.rc_context(style):
        for ink in (LIGHT, DARK):
            colors = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), ink.text)
            colors |= dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), ink.soft)
            matplotlib.rcParams.update(colors)
            figure = Figure(figsize=size, layout="constrained")
            figure.patch.set_alpha(0.0)
            made.append((figure, ink, colors))
        yield [(_with_colors(figure, colors), ink) for figure, ink, colors in made]
        path.parent.mkdir(exist_ok=True)
        for (figure, _, _), name in zip(made, ("light", "dark"), strict=True):
            figure.savefig(path.with_name(f"{path.name}-{name}.svg"), metadata={"Date": None})


def _with_colors(figure: Figure, colors: dict[str, str]) -> Figure:
    """Let the axes of a figure have its own colors, whatever is set when they are made."""
    make = figure.subplots

    def subplots(*args: Any, **kwargs: Any) -> Any:
        with matplotlib.rc_context(colors):
            axes = make(*args, **kwargs)
        for one in np.ravel(axes):
            one.patch.set_alpha(0.0)
        return axes

    figure.subplots = subplots  # type: ignore[method-assign]
    return figure


def pairing() -> None:
    """Draw twelve seeds of two arms, and the interval of their difference with and without the pairs."""
    rng = np.random.default_rng(0)
    seeds = rng.normal(0.0, 0.02, 12)
    plain, mine = 0.90 + seeds, 0.91 + seeds + rng.normal(0.0, 0.004, 12)
    means = mine.mean() - plain.mean()
    apart = student.ppf(0.975, 22) * np.sqrt((mine.var(ddof=1) + plain.var(ddof=1)) / 12)
    paired = student.ppf(0.975, 11) * (mine - plain).std(ddof=1) / np.sqrt(12)
    with both(FOLDER / "pairing", (5.6, 2.6)) as pages:
        for figure, ink in pages:
            left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.1))
            left.plot([0, 1], [plain, mine], "-", color=ink.soft, linewidth=0.8)
            left.plot(np.zeros(12), plain, "o", color=ink.first)
            left.plot(np.ones(12), mine, "s", color=ink.second)
            left.set_xticks([0, 1], ["plain", "mine"])
            left.set_xlim(-0.4, 1.4)
            left.set_ylabel("accuracy; a line is a seed")
            right.axvline(0.0, color=ink.soft, linewidth=0.8)
            for place, half, color in ((1, apart, ink.soft), (0, paired, ink.third)):
                right.plot([means - half, means + half], [place, place], color=color, linewidth=2.2)
                right.plot(means, place, "D", color=color)
            right.set_yticks([0, 1], ["in pairs", "each arm\nfor itself"])
            right.set_ylim(-0.6, 1.6)
            right.set_xlabel("mine - plain, 95 % interval")


def budget() -> None:
    """Draw the best of n trials of two methods: one that is good almost anywhere, one that has to be tuned."""
    rng = np.random.default_rng(0)
    place = rng.uniform(size=(4000, 32))  # where on the range a trial lies, from 0 to 1
    robust = 0.90 - 0.05 * np.abs(place - 0.5)
    fussy = 0.55 + 0.39 * np.exp(-(((place - 0.7) / 0.12) ** 2))
    trials = np.arange(1, 33)
    with both(FOLDER / "budget", (5.6, 2.6)) as pages:
        for figure, ink in pages:
            left, right = figure.subplots(1, 2)
            line = np.linspace(0.0, 1.0, 200)
            left.plot(line, 0.90 - 0.05 * np.abs(line - 0.5), color=ink.first)
            left.plot(line, 0.55 + 0.39 * np.exp(-(((line - 0.7) / 0.12) ** 2)), "--", color=ink.second)
            left.set_xticks([])
            left.set_xlabel("learning rate, over its range")
            left.set_ylabel("accuracy")
            for scores, color, way, name in ((robust, ink.first, "-", "robust"), (fussy, ink.second, "--", "fussy")):
                best = np.maximum.accumulate(scores, axis=1)
                right.plot(trials, best.mean(axis=0), way, color=color, label=name)
                right.fill_between(
                    trials, *np.quantile(best, [0.25, 0.75], axis=0), color=color, alpha=0.18, linewidth=0
                )
            right.set_xlabel("trials of the search")
            right.set_ylabel("best of them")
            right.legend(frameon=False, labelcolor=ink.text, loc="lower right")


def verdicts() -> None:
    """Draw an interval for each verdict, beside no difference and a margin."""
    rows = [
        ("better", 1.0, 0.35), ("worse", -0.9, 0.4), ("equivalent", 0.06, 0.3), ("no evidence", 0.35, 0.75),
        ("cannot be judged", 0.7, 1.1),
    ]  # fmt: skip
    with both(FOLDER / "verdicts", (4.8, 2.4)) as pages:
        for figure, ink in pages:
            axes = figure.subplots()
            colors = (ink.third, ink.second, ink.first, ink.soft, ink.soft)
            axes.axvspan(-0.45, 0.45, color=ink.first, alpha=0.12, linewidth=0)
            axes.axvline(0.0, color=ink.soft, linewidth=0.8)
            for place, ((_, middle, half), color) in enumerate(zip(reversed(rows), reversed(colors), strict=True)):
                way = ":" if place == 0 else "-"
                axes.plot([middle - half, middle + half], [place, place], way, color=color, linewidth=2.2)
                axes.plot(middle, place, "o", color=color)
            axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
            axes.set_ylim(-0.6, len(rows) - 0.4)
            axes.set_xticks([-0.45, 0.0, 0.45], ["-margin", "0", "+margin"])
            axes.set_xlabel("difference, first minus second")


def probes() -> None:
    """Train a 16-layer network for some steps in three ways, and draw each layer's gradient norm at the first step."""
    import deepprinciples as dp

    config = {
        "data": "digits",
        "model": {"name": "mlp", "depth": 16, "width": 64, "activation": "tanh"}
        | {"initializer": {"name": "normal", "stddev": 0.05}},
        "loss": "softmax_cross_entropy",
        "optimizer": {"name": "sgd", "learning_rate": 0.01},
        "train": {"steps": 20, "probes": ["gradient_norm"], "probe_every": 1},
        "study": {"seeds": 3},
        "arms": {"plain": {}, "glorot": {"model.initializer": "glorot_normal"}, "skip": {"model.skip": "residual"}},
    }
    with tempfile.TemporaryDirectory() as folder:
        norms = dp.compare(config, Path(folder) / "run").results.gradient_norm.isel(step=0).median("seed").load()
    with both(FOLDER / "probes", (4.8, 2.6)) as pages:
        for figure, ink in pages:
            axes = figure.subplots()
            for name, color, mark in zip(
                ("plain", "glorot", "skip"), (ink.first, ink.second, ink.third), MARKS, strict=False
            ):
                axes.semilogy(norms.sel(arm=name).values, f"{mark}-", color=color, markersize=4, label=name)
            axes.set_xticks([0, 5, 10, 15, 16], ["layer_00", "layer_05", "layer_10", "", "output"])
            axes.set_ylabel("gradient norm, first step")
            axes.legend(frameon=False, labelcolor=ink.text)


def write(app: Any) -> None:
    """Draw every figure that is not there yet; `make clean` takes them away."""
    del app
    for draw in (pairing, budget, verdicts, probes):
        if not (FOLDER / f"{draw.__name__}-dark.svg").exists():
            draw()


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
