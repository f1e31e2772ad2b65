"""Why a lane diverged, decided on the host once it has; and words that modules without JAX read too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

CAUSES = ("", "init", "data", "update")
INIT, DATA, UPDATE = 1, 2, 3
PER_CLASS = "_per_class"  # ends the name of a metric's values for each class
RAW = "raw_"  # what metrics of the last weights are called where an average of them is evaluated


def causes(
    diverged_at: np.ndarray, initial_loss: Callable[[], np.ndarray], nonfinite: Callable[[int, int], bool]
) -> np.ndarray:
    """Classify lanes by what made the step bad at which they diverged.

    data: its minibatch holds a number that is not finite. init: it is step 0, and the loss of the initial weights is
    not finite on held-out data. update: all else; the steps before led the weights there, or this one did. A loss that
    is not finite at step t since step t - 1 made the weights so is an update's, and t is the step that is reported.

    Args:
        diverged_at: the step at which each lane diverged, -1 where it did not [blocks, points]; see `fit.segment`.
        initial_loss: gives the held-out loss of the initial weights [blocks, points]; asked only if a lane failed at 0.
        nonfinite: (block, step) -> whether the minibatch of that step holds a number that is not finite.

    Returns:
        Indices of CAUSES, int8 [blocks, points].
    """
    found = np.where(diverged_at < 0, 0, UPDATE).astype(np.int8)
    first = diverged_at == 0
    if first.any():
        found[first & ~np.isfinite(initial_loss())] = INIT
    for block, step in {(int(b), int(diverged_at[b, p])) for b, p in np.argwhere(diverged_at >= 0)}:
        if nonfinite(block, step):
            found[block, diverged_at[block] == step] = DATA
    return found
