"""Features against librosa, and the speech synthesizer itself; `make long` installs both (extra `long`)."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from test_speech import noise

from deepprinciples.domains.speech import synthesizer
from deepprinciples.domains.speech.mel_features import log_mel


@pytest.mark.parametrize("rate", [8000, 16000])
def test_log_mel_is_that_of_librosa(rate: int) -> None:
    """Lost: features that another program computes alike; librosa pads a window on both sides, so it is given zeros."""
    samples = noise(rate)
    length, step = round(0.025 * rate), round(0.01 * rate)
    size = 1 << (length - 1).bit_length()
    left = (size - length) // 2
    found = librosa.feature.melspectrogram(
        y=np.pad(samples, (left, size - length - left)), sr=rate, n_fft=size, win_length=length, hop_length=step,
        center=False, power=2.0, n_mels=40, fmin=20.0, fmax=rate / 2, htk=True, norm=None,
    )  # fmt: skip
    np.testing.assert_allclose(log_mel(samples, rate), np.log(1e-6 + found).T, atol=2e-5)


def test_the_synthesizer_says_the_same_twice() -> None:
    """Lost: two arms, or two runs, that see other recordings of one seed."""
    found = []
    for _ in range(2):
        with synthesizer.synthesizer() as (say, rate):
            found.append({one: say(one, "two", 150, 50) for one in synthesizer.speakers()})
    assert rate == 22050 and len(found[0]) == 93
    assert [one for one, said in found[0].items() if not np.array_equal(said, found[1][one])] == []
    for one in ("f1", "m3"):
        assert 0.1 < np.abs(found[0][one]).max() <= 1 and len(found[0][one]) > 0.2 * rate
