"""WAV files: one read into samples, and a folder of the user's own with transcripts beside them."""

from __future__ import annotations

import functools
import io
import warnings
from math import gcd
from pathlib import Path

import numpy as np
from scipy import signal
from scipy.io import wavfile

from deepprinciples.domains.speech.transcribed import Frames, Recording, characters, speech
from deepprinciples.errors import DataError
from deepprinciples.parts.files.array_files import shown
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Count, Size

LARGEST = 2**28  # bytes of a file: a quarter of an hour of two channels at 48 kHz and 16 bits has 0.17 of it
RATES = (4000, 192000)


def wav(
    *,
    path: str,
    rate: Size = 0,
    resample: bool = False,
    longest: Count = 20,
    window: Count = 25,
    hop: Count = 10,
    bands: Count = 40,
    together: str = "",
) -> Source:
    """Read a folder of recordings, each NAME.wav beside its transcript NAME.txt, for CTC: characters are the classes.

    WAV files of one channel with samples of 8, 16, 24 or 32 bits or floats. Transcripts are UTF-8; they become lower
    case with one space between words. Inputs are log-mel features, each band of a recording brought to mean 0 and
    standard deviation 1, and 0 behind its end. Source: yours. License: yours.

    Args:
      path: the folder.
      rate: samples a second that all recordings have; 0 takes that of the first.
      resample: bring recordings of other rates to `rate`, in place of refusing them.
      longest: seconds; longer recordings are left out, and noted, as all are padded to the longest.
      window: length of a frame, in milliseconds.
      hop: from one frame to the next, in milliseconds.
      bands: of the mel scale, the features of a frame.
      together: text in file names: recordings alike before it stay in one part, such as those of a speaker. With "_",
        these are anna_1.wav and anna_2.wav. "" for none.

    Returns:
      Source with inputs [N, T, bands] and targets {labels: [N, L], frames: [N]}; class 0 is the blank of CTC, and -1 is
      no label.

    Raises:
      DataError: for a missing or empty folder, a missing or empty transcript, a file that is no WAV file, has several
        channels or no samples, is silent, or has another rate, and frames too few for a transcript.

    References: none.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"data.path: {root} is no folder, expected one with .wav and .txt files")
    if rate and not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"data.rate: found {rate}, expected 0 or {RATES[0]} to {RATES[1]} samples a second")
    files = sorted(one for one in root.iterdir() if one.suffix.lower() == ".wav" and not one.name.startswith("."))
    if not files:
        raise DataError(f"{root}: found no .wav file")
    recordings, kept, long = [], [], []
    for file in files:
        samples, own = read_wav(file.read_bytes() if file.stat().st_size <= LARGEST else b"", str(file))
        rate = rate or own
        if own != rate and not resample:
            raise DataError(
                f"{file}: has {own} samples a second, expected {rate}; set data.resample = true, or data.rate"
            )
        if len(samples) > longest * own:
            long.append(file)
            continue
        text = _transcript(file.with_suffix(".txt"))
        recordings.append(Recording(str(file), resampled(samples, own, rate), characters(text, str(file))))
        kept.append(file.name)
    if not recordings:
        raise DataError(f"{root}: all recordings are longer than data.longest = {longest} seconds")
    notes = (f"{root}: {plural(len(long), 'recording')} left out as longer than {longest} s",) if long else ()
    groups = None
    if together:
        groups = np.unique([name.partition(together)[0] for name in kept], return_inverse=True)[1]
    return speech({"train": recordings}, rate, Frames(window, hop, bands), notes=notes, groups=groups)


def _transcript(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{file}: no such file, expected the transcript of {file.with_suffix('.wav').name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({shown(str(error))})") from None


def read_wav(content: bytes, where: str) -> tuple[np.ndarray, int]:
    """Read a WAV file of one channel.

    Args:
        content: of the file.
        where: begins the messages of errors.

    Returns:
        Samples [S] in [-1, 1], float32, and how many there are a second.

    Raises:
        DataError: it is no WAV file that can be read, has several channels or no samples, or a strange rate.
    """
    if not content:
        raise DataError(f"{where}: is empty or larger than {LARGEST // 2**20} MB, expected a WAV file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks beside the samples, such as titles
            rate, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # damaged headers end in many types of error
        raise DataError(f"{where}: is no WAV file that can be read ({shown(str(error))})") from None
    if samples.ndim != 1:
        raise DataError(f"{where}: has {samples.shape[1]} channels, expected one; mix them down to mono")
    if not len(samples):
        raise DataError(f"{where}: holds no samples")
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"{where}: has {rate} samples a second, expected {RATES[0]} to {RATES[1]}")
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128, rate
    if samples.dtype.kind == "i":  # scipy puts 24 bits into the upper bits of 32
        return (samples / float(-int(np.iinfo(samples.dtype).min))).astype(np.float32), rate
    return samples.astype(np.float32), rate


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Bring samples to another rate by a polyphase filter, which keeps what lies below half of the lower rate."""
    if rate == wanted:
        return samples
    shared = gcd(rate, wanted)
    up, down = wanted // shared, rate // shared
    return signal.resample_poly(samples, up, down, window=_low_pass(max(up, down))).astype(np.float32)


@functools.cache
def _low_pass(most: int) -> np.ndarray:
    """Design the filter that resample_poly would design anew for every recording."""
    return signal.firwin(20 * most + 1, 1.0 / most, window=("kaiser", 5.0))
