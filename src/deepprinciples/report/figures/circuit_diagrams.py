"""Circuits as they are drawn in papers: a wire for every qubit, boxes for rotations, dots joined for a cz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from deepprinciples.report import formatting
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import COLORS, FAINT, INK, SOFT, WIDTH, Plot

_ROW, _BOX, _MOST, _MOST_QUBITS = 22.0, 22.0, 4, 12
_START, _LINK = 34.0, 9.0  # where the first box begins, and from one cz to the next


def diagrams(summary: Mapping[str, Any]) -> list[Plot]:
    """Draw each circuit of a study once, with the arms that have it."""
    arms_of: dict[tuple[Any, ...], list[str]] = {}
    for arm, one in formatting.table(summary.get("circuits")).items():
        found = formatting.table(one)
        sizes = [formatting.finite(found.get(key)) for key in ("qubits", "depth", "outputs")]
        if all(sizes):
            key = (*(int(size or 0) for size in sizes), formatting.name(found.get("observable")))
            arms_of.setdefault(key, []).append(formatting.name(arm))
    return [_diagram(number, key, arms) for number, (key, arms) in enumerate([*arms_of.items()][:_MOST])]


def _diagram(number: int, circuit: tuple[Any, ...], arms: list[str]) -> Plot:
    qubits, depth, outputs, observable = circuit
    shown = min(qubits, _MOST_QUBITS)
    figure = mpl_style.sheet(60 + shown * _ROW, f"Circuit of {formatting.shorten(', '.join(arms), 36)}")
    axes = mpl_style.panel(figure, 0, 28, WIDTH, 32 + shown * _ROW, grid="")
    axes.set(xlim=(0, WIDTH), ylim=(32 + shown * _ROW, 0))
    axes.set_axis_off()
    ladder = _START + 3 * (_BOX + 4) + 8
    layer_end = ladder + _LINK * max(shown - 1, 1) + 4
    end = layer_end + 14
    measured = shown if observable == "global" else min(outputs, shown)
    for qubit in range(shown):
        y = 10 + _ROW * (qubit + 0.5)
        axes.plot([_START - 8, end], [y, y], color=SOFT, linewidth=0.8, zorder=1)
        axes.text(8, y, "|0⟩", va="center", color=INK)
        for turn, name in enumerate(("Rx", "Ry", "Rz")):
            _box(axes, _START + turn * (_BOX + 4), y, name, COLORS[turn])
        if qubit + 1 < shown:
            x = ladder + _LINK * qubit
            axes.plot([x, x], [y, y + _ROW], "o-", color=INK, markersize=4, linewidth=1.0, zorder=3)
        if qubit < measured:
            _box(axes, end, y, "Z", INK)
    x = end + _BOX + 8
    words = "product of all" if observable == "global" else "each an output"
    axes.text(x, 10 + _ROW * (0.5 if observable == "local" else shown / 2), words, va="center", color=SOFT)
    axes.plot([_START - 4, _START - 4, layer_end, layer_end], [6, 2, 2, 6], color=FAINT, linewidth=1.2)
    axes.plot(
        [_START - 4, _START - 4, layer_end, layer_end], [y + 14, y + 18, y + 18, y + 14], color=FAINT, linewidth=1.2
    )
    axes.text(layer_end, y + 16, f" × {depth}", va="center", color=INK)
    caption = (
        f"One of {depth} layers on {qubits} qubits: a rotation is by a learned angle, to which a feature of the inputs "
        "may be added; dots that are joined flip the sign where both qubits are 1."
    )
    if shown < qubits:
        caption += f" The first {shown} qubits are shown."
    alt = f"A circuit of {qubits} qubits and {depth} layers with {observable} observables."
    return Plot(f"circuit-{number:02d}", "circuits", caption, alt, figure)


def _box(axes: Axes, left: float, y: float, words: str, color: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, y - 8), _BOX, 16, facecolor="white", edgecolor=color, linewidth=1.1, zorder=4))
    axes.text(left + _BOX / 2, y, words, ha="center", va="center_baseline", color=color, zorder=5)
