"""Short documents side by side in rows, so that few positions are padding."""

from __future__ import annotations

import numpy as np

from deepprinciples.types import Split


def packed(windows: Split) -> Split:
    """Put windows that are not full into rows together: the longest first, each where it leaves the least space.

    Args:
      windows: inputs [N, T] and targets [N, T], which are -1 from the end of a window on.

    Returns:
      Inputs {"tokens": [M, T], "segments": [M, T]}, targets [M, T]. Segments count the windows of a row from 1 on, and
      are 0 behind the last; the tokens there are 0 and the targets -1.
    """
    counts = np.sum(windows.targets >= 0, axis=1)
    length = windows.targets.shape[1]
    rows: list[list[int]] = []
    open_rows: list[list[int]] = [[] for _ in range(length + 1)]  # by the positions that are left in them
    for number in np.argsort(-counts, kind="stable").tolist():
        count = int(counts[number])
        left = next((space for space in range(count, length + 1) if open_rows[space]), 0)
        if left:
            row = open_rows[left].pop()
        else:
            row, left = len(rows), length
            rows.append([])
        rows[row].append(number)
        open_rows[left - count].append(row)
    tokens, segments = np.zeros((2, len(rows), length), np.int32)
    targets = np.full((len(rows), length), -1, np.int32)
    for row, held in enumerate(rows):
        place = 0
        for segment, number in enumerate(held, 1):
            here = slice(place, place + counts[number])
            tokens[row, here] = windows.inputs[number, : counts[number]]
            targets[row, here] = windows.targets[number, : counts[number]]
            segments[row, here] = segment
            place = here.stop
    return Split({"tokens": tokens, "segments": segments}, targets)
