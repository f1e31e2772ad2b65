"""Sequences of tones: generated recordings that stand in for speech, solved by a small network in seconds."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from deepprinciples.domains.speech.transcribed import BLANK_NAME, Frames, Recording, speech
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Count, Range, Seed

RATE = 8000
LOWEST, HIGHEST = 300.0, 3000.0  # Hz, of the first and the last tone; those between are at equal ratios
LENGTHS = (0.06, 0.14)  # seconds of a tone
GAPS = (0.05, 0.12)  # seconds of silence around tones: more than a window, so that equal ones come apart


def tones(
    *,
    tones: Annotated[int, Range("[2, 12]")] = 6,
    size: Count = 1000,
    most: Annotated[int, Range("[1, 20]")] = 6,
    noise: Annotated[float, Range("[0, inf)")] = 0.05,
    window: Count = 32,
    hop: Count = 16,
    bands: Count = 20,
    data_seed: Seed = 0,
) -> Source:
    """Generate recordings of 1 to `most` tones one after another; their order is the transcript, for CTC.

    Each tone is 60 to 140 ms long, with silence of 50 to 120 ms around it and a loudness of its own; frequencies lie
    between 300 and 3000 Hz at 8000 samples a second. A tone may come twice in a row, which a path has to keep apart by
    a blank. Source: generated. License: none needed.

    Args:
      tones: how many different ones there are: the classes beside the blank.
      size: recordings.
      most: tones of a recording at most.
      noise: standard deviation of white noise; the tones have an amplitude of 0.1 to 0.5.
      window: length of a frame, in milliseconds.
      hop: from one frame to the next, in milliseconds.
      bands: of the mel scale, the features of a frame.
      data_seed: seed of the recordings, in [0, 2**32).

    Returns:
      Source with inputs [size, T, bands] and targets {labels: [size, most], frames: [size]}; class 0 is the blank of
      CTC, and -1 is no label.

    References: none.
    """
    random = np.random.RandomState(data_seed)
    names = tuple(f"tone {number}" for number in range(1, tones + 1))
    hertz = LOWEST * (HIGHEST / LOWEST) ** (np.arange(tones) / (tones - 1))
    recordings = []
    for number in range(size):
        said = random.randint(tones, size=random.randint(1, most + 1))
        pieces = [_silence(random)]
        for one in said:
            pieces += [_tone(random, hertz[one]), _silence(random)]
        samples = np.concatenate(pieces)
        samples += noise * random.randn(len(samples))
        recordings.append(Recording(f"recording {number}", samples.astype(np.float32), [names[one] for one in said]))
    return speech({"train": recordings}, RATE, Frames(window, hop, bands), names=(BLANK_NAME, *names))


def _silence(random: np.random.RandomState) -> np.ndarray:
    return np.zeros(round(random.uniform(*GAPS) * RATE))


def _tone(random: np.random.RandomState, hertz: float) -> np.ndarray:
    count = round(random.uniform(*LENGTHS) * RATE)
    rise = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / 80)  # 10 ms, against clicks
    phase = random.uniform(0, 2 * np.pi)
    return random.uniform(0.1, 0.5) * rise * np.sin(2 * np.pi * hertz * np.arange(count) / RATE + phase)
