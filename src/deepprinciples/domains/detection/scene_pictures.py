"""Pictures with their boxes on matplotlib's axes, and a sheet of test scenes that trained detectors answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from deepprinciples.domains.detection.boxes import decode

COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")  # Okabe and Ito
TRUE = "white"
SURE = 0.3  # score from which a detection is drawn


def draw(axes: Any, inputs: Any, outputs: Any = None, *, names: tuple[str, ...] = ()) -> None:
    """Draw a picture [H, W, channels] with boxes.

    Args:
        axes: of matplotlib.
        inputs: the picture, drawn over its own range.
        outputs: targets {boxes: [M, 4], classes: [M]}, or outputs of a detector {classes: [h, w, C], boxes: [h, w, 4]},
            of which the detections with a score of at least 0.3 are drawn.
        names: of the classes; their numbers where there are none.
    """
    shown = np.asarray(inputs, np.float32)
    low, high = float(shown.min()), float(shown.max())
    shown = (shown - low) / (high - low) if high > low else np.zeros_like(shown)
    axes.imshow(shown if shown.shape[-1] == 3 else shown[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    if outputs is None:
        return
    boxes, classes = (np.asarray(outputs[name]) for name in ("boxes", "classes"))
    words = lambda kind: names[kind] if names else str(kind)
    if classes.ndim == 1:
        for box, kind in zip(boxes, classes, strict=True):
            if kind >= 0:
                _frame(axes, box, TRUE, words(kind), dashed=True)
        return
    found = decode(jax.tree.map(lambda leaf: np.asarray(leaf)[None], dict(outputs)))
    for box, kind, score in zip(*(np.asarray(leaf[0]) for leaf in found), strict=True):
        if kind >= 0 and score >= SURE:
            _frame(axes, box, COLORS[kind % len(COLORS)], f"{words(kind)} {score:.2f}".replace("0.", "."))


def _frame(axes: Any, box: Any, color: str, words: str, *, dashed: bool = False) -> None:
    y0, x0, y1, x1 = (float(value) - 0.5 for value in box)  # imshow counts from the centers of pixels
    style = (0, (2, 2)) if dashed else "solid"
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=color, linewidth=1.2, linestyle=style)
    if not dashed:
        axes.text(x0, y0 - 0.4, words, color=color, fontsize=7, va="bottom", clip_on=True)


def save_scenes(run: Any, path: str | Path = "", *, arms: tuple[str, ...] = (), count: int = 6) -> Path:
    """Draw the first test scenes, a row for every arm: true boxes dashed, detections with class and score.

    Args:
        run: a `dp.Run` of a comparison with `study.keep`; the first seed of an arm is drawn.
        path: of the PNG file; "" is object_detection.png in the folder `figures` of the run.
        arms: names; all where empty.
        count: scenes.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    names = arms or tuple(row["name"] for row in run.summary["arms"])
    figure = Figure(figsize=(1.5 * count, 1.65 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), count, squeeze=False)
    for line, arm in zip(grid, names, strict=True):
        model, params = run.model(arm, seed=int(run.results.seed[0]))
        test = jax.tree.map(lambda leaf: leaf[:count], model.data.test)
        outputs = jax.tree.map(np.asarray, model.predict(params, test.inputs))
        for number, axes in enumerate(line):
            draw(axes, test.inputs[number], {name: leaf[number] for name, leaf in test.targets.items()})
            found = {name: leaf[number] for name, leaf in outputs.items()}
            draw(axes, test.inputs[number], found, names=model.data.class_names)
        line[0].set_title(arm, loc="left", fontsize=9)
    where = Path(path) if path else run.path / "figures" / "object_detection.png"
    where.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(where, dpi=120)
    return where
