"""The figure: milliseconds per model-step of every compared line, a panel for each model, on one logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from reading import Row, models, peers, show

INK, SOFT, RULE = "#1c2430", "#56606e", "#e6e9ee"
COLORS = {"ours": "#0072B2", "torch": "#D55E00"}
OTHER = "#c9cfd8"


def draw(rows: Sequence[Row]) -> Figure:
    """Draw the figure: ours in blue, PyTorch in orange, the rest in gray; whiskers span the repeats."""
    names = models(rows)
    counts = [len(peers(rows, name)) for name in names]
    figure = Figure(figsize=(7.2, 0.9 + sum(0.27 * count + 0.5 for count in counts)), layout="constrained")
    FigureCanvasSVG(figure)
    grid = figure.subplots(len(names), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": counts})
    for axes, name in zip(grid[:, 0], names, strict=True):
        own = sorted(peers(rows, name), key=lambda row: -row["ms_per_model_step"])
        values = [row["ms_per_model_step"] for row in own]
        colors = [COLORS.get(row["line"].split()[0].split(".")[0], OTHER) for row in own]
        spread = [
            [row["ms_per_model_step"] - row["low"] for row in own],
            [row["high"] - row["ms_per_model_step"] for row in own],
        ]
        axes.barh(range(len(own)), values, color=colors, height=0.72)
        axes.errorbar(values, range(len(own)), xerr=spread, fmt="none", ecolor=INK, elinewidth=0.8)
        axes.set_xscale("log")
        axes.set_yticks(range(len(own)), [row["line"] for row in own], fontsize=8.5, color=INK)
        for tick, row in zip(axes.get_yticklabels(), own, strict=True):
            tick.set_fontweight("bold" if row["line"].startswith("ours") else "normal")
        for number, row in enumerate(own):
            axes.annotate(show(row["ms_per_model_step"]), (row["high"], number), (4, 0), textcoords="offset points",
                          va="center", fontsize=8, color=SOFT)  # fmt: skip
        axes.set_title(name.upper(), loc="left", fontsize=10, fontweight="bold", color=INK)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color=RULE)
    last = grid[-1, 0]
    every = [row for name in names for row in peers(rows, name)]
    last.set_xlim(min(row["low"] for row in every) / 2, max(row["high"] for row in every) * 2)
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    last.xaxis.set_minor_formatter(NullFormatter())
    last.set_xlabel("milliseconds a model-step, logarithmic; shorter is faster", fontsize=9, color=SOFT)
    return figure


def save(rows: Sequence[Row], path: Path) -> None:
    """Write the figure as SVG, the same bytes for the same rows."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "deepprinciples", "svg.fonttype": "path"}):
        draw(rows).savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
