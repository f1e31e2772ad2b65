"""Log-mel features: how much energy a recording has in bands of the mel scale, frame by frame; NumPy on the host."""

from __future__ import annotations

import functools

import numpy as np
from scipy import fft, signal

from deepprinciples.errors import DataError

FLOOR = 1e-6  # added to the energy of a band; samples of 16 bits have a noise of about 1e-8 in it
CHUNK = 4096  # frames that are transformed at a time


def log_mel(
    samples: np.ndarray, rate: int, *, window: int = 25, hop: int = 10, bands: int = 40, low: float = 20.0
) -> np.ndarray:
    """Compute the log-mel features of a recording.

    x_tb = log(1e-6 + sum_k m_bk |DFT(h y_t)_k|^2), y_t = samples[t H : t H + W], with a periodic Hann window h of
    W = window rate / 1000 samples, a hop of H = hop rate / 1000 samples, and a DFT of N samples, the power of two from
    W on, filled up with zeros

    m_b are triangles of height 1 over the frequencies k rate / N. Their corners are at equal distances on the mel scale
    of HTK, mel = 2595 log10(1 + f / 700), from `low` to rate / 2. There are 1 + floor((samples - W) / H) frames; none
    reaches beyond the ends. It is torchaudio's MelSpectrogram, and librosa's melspectrogram with htk = True and
    norm = None, both with center = False where N = W. They put the W samples in the middle of the N.

    Args:
        samples: [S] in [-1, 1].
        rate: samples a second.
        window: length of a frame, in milliseconds.
        hop: from one frame to the next, in milliseconds.
        bands: of the mel scale.
        low: lowest frequency, in Hz.

    Returns:
        [frames, bands], float32; natural logarithms.

    Raises:
        DataError: the recording is shorter than a frame, or a band is so narrow that no frequency lies in it.

    References: Davis and Mermelstein 1980, Comparison of parametric representations for monosyllabic word recognition.
    """
    length, step = round(window * rate / 1000), round(hop * rate / 1000)
    if length < 2 or step < 1:
        raise DataError(f"data.window: found {window} ms and a hop of {hop} ms at {rate} Hz, expected whole samples")
    if len(samples) < length:
        raise DataError(f"found {len(samples)} samples at {rate} Hz, expected at least one window of {length}")
    size = 1 << (length - 1).bit_length()
    bank = mel_bank(rate, size, bands, low)  # [bands, N / 2 + 1]
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float32), length)[::step]
    hann = signal.get_window("hann", length).astype(np.float32)
    parts = []
    for first in range(0, len(frames), CHUNK):
        spectrum = np.square(np.abs(fft.rfft(frames[first : first + CHUNK] * hann, size, axis=1)))
        parts.append(np.log(FLOOR + spectrum @ bank.T))
    return np.concatenate(parts).astype(np.float32)


def frame_count(samples: int, rate: int, *, window: int = 25, hop: int = 10) -> int:
    """Return how many frames `log_mel` makes of a number of samples."""
    return 1 + (samples - round(window * rate / 1000)) // round(hop * rate / 1000)


@functools.cache
def mel_bank(rate: int, size: int, bands: int, low: float) -> np.ndarray:
    """Return the triangles [bands, size / 2 + 1] of the mel scale, see `log_mel`.

    Raises:
        DataError: a band holds no frequency of the transform.
    """
    to_mel = lambda hertz: 2595.0 * np.log10(1.0 + hertz / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(to_mel(low), to_mel(rate / 2), bands + 2) / 2595.0) - 1.0)
    hertz = np.arange(size // 2 + 1) * rate / size
    left, middle, right = (corners[first : first + bands, None] for first in range(3))
    rising, falling = (hertz[None] - left) / (middle - left), (right - hertz[None]) / (right - middle)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if not (bank.max(axis=1) > 0).all():
        empty = int((bank.max(axis=1) == 0).sum())
        raise DataError(
            f"data.bands: found {bands}, of which {empty} hold no frequency at {rate} Hz; choose fewer, or a longer "
            "data.window"
        )
    return bank.astype(np.float32)
