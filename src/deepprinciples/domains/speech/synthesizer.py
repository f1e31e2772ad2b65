"""eSpeak NG, a speech synthesizer, called in the shared library that the Python package espeakng-loader ships.

The package is optional (extra `speech`, GPL-3.0) and not imported. The library is loaded from a fresh copy each time,
since it keeps the state of its oscillators between calls: the same calls then give the same samples.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np

from deepprinciples.errors import DataError

PACKAGE, VERSION = "espeakng-loader", "0.2.4"
LIBRARIES = ("libespeak-ng.so", "libespeak-ng.dylib", "espeak-ng.dll")  # Linux, macOS, Windows
SPEAKERS = "espeak-ng-data/voices/!v"
BREATHY = {  # noise that differs
    "Alicia", "Demonic", "Reed", "caleb", "f2", "f3", "f5", "sandro", "victor", "whisper", "whisperf",
}  # fmt: skip
SYNCHRONOUS, UTF8, WORDS_A_MINUTE, PITCH = 2, 1, 1, 3  # of speak_lib.h

Say = Callable[[str, str, int, int], np.ndarray]


def speakers() -> list[str]:
    """List the speakers of which every run gets the same samples, in alphabetic order.

    Raises:
        DataError: the package is not installed.
    """
    return sorted(one.name for one in (_folder() / SPEAKERS).iterdir() if one.name not in BREATHY)


@contextmanager
def synthesizer() -> Iterator[tuple[Say, int]]:
    """Load the synthesizer.

    Yields:
        say(speaker, text, words a minute, pitch from 0 to 100) -> samples [S] in [-1, 1], and how many there are a
        second. The samples depend on what was said before.

    Raises:
        DataError: the package is not installed, or its library does not work here.
    """
    folder = _folder()
    with tempfile.TemporaryDirectory(prefix="deepprinciples-", ignore_cleanup_errors=True) as temporary:
        library = _loaded(folder, Path(temporary))
        rate = library.espeak_Initialize(SYNCHRONOUS, 0, str(folder).encode(), 0)
        if rate <= 0:
            raise DataError(f"data.spoken_digits: eSpeak NG does not start here (code {rate})")
        pieces: list[np.ndarray] = []

        def keep(samples: ctypes._Pointer, count: int, events: object) -> int:
            del events
            if samples and count > 0:
                pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        callback = kind(keep)  # has to live as long as the library may call it
        library.espeak_SetSynthCallback(callback)

        def say(speaker: str, text: str, speed: int, pitch: int) -> np.ndarray:
            pieces.clear()
            content = text.encode() + b"\0"
            failed = library.espeak_SetVoiceByName(f"en+{speaker}".encode())
            library.espeak_SetParameter(WORDS_A_MINUTE, speed, 0)
            library.espeak_SetParameter(PITCH, pitch, 0)
            failed = failed or library.espeak_Synth(content, len(content), 0, 1, 0, UTF8, None, None)
            if failed or not pieces:
                raise DataError(f"data.spoken_digits: eSpeak NG does not say anything as {speaker} (code {failed})")
            return np.concatenate(pieces).astype(np.float32) / 32768

        try:
            yield say, rate
        finally:
            library.espeak_Terminate()


def _folder() -> Path:
    try:
        found = Path(str(metadata.distribution(PACKAGE).locate_file("espeakng_loader")))
    except metadata.PackageNotFoundError:
        found = Path()
    if not (found / SPEAKERS).is_dir():
        raise DataError(
            f"data.spoken_digits: needs the speech synthesizer eSpeak NG (GPL-3.0); install deepprinciples[speech], or "
            f"{PACKAGE}=={VERSION}"
        )
    return found


def _loaded(folder: Path, temporary: Path) -> ctypes.CDLL:
    for name in LIBRARIES:
        if (folder / name).is_file():
            try:
                library = ctypes.CDLL(str(shutil.copy(folder / name, temporary / name)))
            except OSError as error:
                raise DataError(f"data.spoken_digits: eSpeak NG does not load here ({str(error)[:100]})") from None
            library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
            library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
            library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
            whole, unsigned, pointer = ctypes.c_size_t, ctypes.c_uint, ctypes.c_void_p
            library.espeak_Synth.argtypes = [
                ctypes.c_char_p, whole, unsigned, ctypes.c_int, unsigned, unsigned, pointer, pointer
            ]  # fmt: skip
            return library
    raise DataError(f"data.spoken_digits: {folder} has none of {', '.join(LIBRARIES)}; install {PACKAGE}=={VERSION}")
