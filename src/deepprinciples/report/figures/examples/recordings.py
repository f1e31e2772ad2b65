"""Recordings of test examples: the waveform, and below it the features that the networks read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from deepprinciples.report import selections
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.mpl_style import COLORS, WIDTH, Plot

MOST, LONGEST = 8, 2**18  # recordings of a page, and samples of each
_LEFT, _MARGIN, _HEAD, _WAVE, _GAP, _BANDS = 40.0, 10.0, 28.0, 48.0, 6.0, 104.0
_COLUMNS = 300  # that a waveform is drawn in


class Recordings(NamedTuple):
    """Recordings among the results: samples of 16 bits [S] of each, and how many there are a second."""

    samples: list[np.ndarray]
    rate: int


def held(results: xr.Dataset) -> Recordings | None:
    """Return the recordings of results, at most eight and of each the start; None where there are none."""
    samples = selections.take(results, "recording", ("example", "sample"))
    lengths = selections.take(results, "recording_length", ("example",))
    rate = selections.take(results, "recording_rate", ())
    if samples is None or lengths is None or rate is None or not 1 <= float(rate) < 2**20:
        return None
    ends = np.clip(np.nan_to_num(lengths), 1, min(LONGEST, samples.shape[1])).astype(int)
    whole = np.clip(np.nan_to_num(samples[:MOST, :LONGEST]), -(2**15), 2**15 - 1).astype(np.int16)
    return Recordings([one[:end] for one, end in zip(whole, ends, strict=False)], int(rate))


def drawings(results: xr.Dataset) -> list[Plot]:
    """Draw each recording: how loud it is, and the bands of its features, over seconds."""
    found = held(results)
    features = selections.take(results, "spectrogram", ("example", "frame", "band"))
    if found is None or features is None:
        return []
    pairs = zip(found.samples, features, strict=False)
    return [_drawing(k, samples, bands, found.rate) for k, (samples, bands) in enumerate(pairs, 1)]


def _drawing(number: int, samples: np.ndarray, features: np.ndarray, rate: int) -> Plot:
    seconds = len(samples) / rate
    figure = mpl_style.sheet(_HEAD + _WAVE + _GAP + _BANDS + 36, f"Recording {number}")
    wide = WIDTH - _LEFT - _MARGIN
    axes = mpl_style.panel(figure, _LEFT, _HEAD, wide, _WAVE, grid="")
    edges = np.unique(np.linspace(0, len(samples), min(_COLUMNS, len(samples)) + 1).astype(int))[:-1]
    low, high = (reduce.reduceat(samples, edges) / 2**15 for reduce in (np.minimum, np.maximum))
    axes.fill_between(edges / rate, low, high, step="post", color=COLORS[0], linewidth=0.6)
    most = max(float(np.abs(low).max()), float(np.abs(high).max()), 1e-3)
    axes.set(xlim=(0, seconds), ylim=(-most, most), xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes = mpl_style.panel(figure, _LEFT, _HEAD + _WAVE + _GAP, wide, _BANDS, grid="")
    shown = features[np.isfinite(features).all(axis=1)].T  # [band, frame]
    if shown.size:
        span = (0.0, seconds, 0.5, len(shown) + 0.5)
        axes.imshow(shown, cmap="cividis", aspect="auto", origin="lower", interpolation="none", extent=span)
    mpl_style.axis(axes, "x", (0.0, seconds))
    mpl_style.axis(axes, "y", most=4)
    total = figure.get_figheight() * 72
    mpl_style.write(figure, _LEFT + wide / 2, total - 7, "seconds", ha="center")
    mpl_style.write(figure, 11, _HEAD + _WAVE + _GAP + _BANDS / 2, "band", rotation=90, va="center", ha="center")
    alt = f"Waveform and features of recording {number}, {seconds:.1f} seconds."
    caption = (
        "How loud a recording of the test part is, and the features that the networks read, from low to high bands."
    )
    return Plot(f"recording_{number}", "recordings", caption, alt, figure)
