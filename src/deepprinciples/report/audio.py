"""Recordings of a report as its template plays them: WAV files in data URIs, and what is said in each."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import numpy as np
import xarray as xr

from deepprinciples.report import formatting, selections
from deepprinciples.report.figures.examples.recordings import held


def players(results: xr.Dataset) -> list[dict[str, Any]]:
    """Return the recordings among the results: data URI, label, and (truth or arm, what it says) of each."""
    found = held(results)
    said = selections.words(results, "transcript", ("gallery_of", "example"))
    if found is None:
        return []
    names = selections.labels(results, "gallery_of")
    made = []
    for k, samples in enumerate(found.samples):
        rows = [] if said is None else [(name, str(texts[k])) for name, texts in zip(names, said, strict=False)]
        label = f"Recording {k + 1}, {formatting.number(len(samples) / found.rate, 2)} seconds"
        made.append({"source": data_uri(samples, found.rate), "label": label, "said": rows})
    return made


def data_uri(samples: np.ndarray, rate: int) -> str:
    """Return samples [S] of 16 bits as a WAV file of one channel in a data URI."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(stream.getvalue()).decode()}"
