"""How an example of a set is drawn: functions display(axes, inputs, outputs or targets) on matplotlib's axes."""

from __future__ import annotations

from typing import Any

import numpy as np

COLORS = ((0.0, 0.0, 0.0, 0.0), (0.90, 0.62, 0.0, 0.45), (0.84, 0.37, 0.0, 0.9), (0.0, 0.45, 0.70, 0.6))


def picture(axes: Any, inputs: Any, outputs: Any = None) -> None:
    """Draw a picture [H, W, 1] or [H, W, 3] over its own range; the outputs are not drawn."""
    del outputs
    shown = np.asarray(inputs, np.float32)
    low, high = float(shown.min()), float(shown.max())
    shown = (shown - low) / (high - low) if high > low else np.zeros_like(shown)
    axes.imshow(shown[:, :, 0] if shown.shape[-1] == 1 else shown, cmap="gray", interpolation="nearest")
    axes.set_axis_off()


def labels_over_picture(axes: Any, inputs: Any, outputs: Any = None) -> None:
    """Draw a picture and over it the classes of its pixels: labels [H, W], or outputs [H, W, C], whose largest counts.

    Class 0 and pixels without a label (-1) stay clear.
    """
    picture(axes, inputs)
    if outputs is None:
        return
    labels = np.asarray(outputs)
    labels = labels.argmax(axis=-1) if labels.ndim == 3 else labels
    colors = np.array(COLORS)[1 + (labels - 1) % (len(COLORS) - 1)]  # [H, W, 4]
    colors[labels <= 0] = 0
    axes.imshow(colors, interpolation="nearest")
