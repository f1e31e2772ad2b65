"""Recorded telephone prompts with their transcripts, read out of two Debian packages that are fetched by name."""

from __future__ import annotations

import gzip
import io
import re
import tarfile

from deepprinciples.domains.speech.transcribed import Frames, Recording, characters, speech
from deepprinciples.domains.speech.wav_files import read_wav
from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.types import Count

SOUNDS, TRANSCRIPTS = "asterisk-core-sounds-en-wav_1.6.1-1_all.deb", "asterisk-core-sounds-en_1.6.1-1_all.deb"
SPEAKER = "/en_US_f_Allison/"  # the folder of the sounds
RATE = 8000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def prompts(
    *,
    longest: Count = 5,
    window: Count = 25,
    hop: Count = 10,
    bands: Count = 40,
    path: str = "",
    download: bool = True,
) -> Source:
    """Load 503 recorded telephone prompts with their transcripts, for CTC: letters, apostrophe and space are classes.

    Words, numbers, letters and sentences by one speaker, one recording each, 8000 samples a second. 14 minutes are
    little: expect character error rates around 0.4, good for comparing methods only. Prompts of noises and those
    with numbers in figures of several digits are left out. Inputs are log-mel features, each band of a recording
    brought to mean 0 and standard deviation 1, and 0 behind its end. Source: Allison Smith for Digium, as the Debian
    package asterisk-core-sounds-en-wav ships them. License: CC-BY-SA-3.0.

    Args:
      longest: seconds; longer recordings are left out, as all are padded to the longest.
      window: length of a frame, in milliseconds.
      hop: from one frame to the next, in milliseconds.
      bands: of the mel scale, the features of a frame.
      path: folder with the two packages, `.deb` files; "" looks in the usual places.
      download: fetch the set (18 MB, into the cache directory, by apt-get) where no folder has it.

    Returns:
      Source with inputs [503, T, bands] and targets {labels: [503, L], frames: [503]}; class 0 is the blank of CTC, and
      -1 is no label.

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: none.
    """
    folder = fetching.get("prompts", path, download)
    table = (folder / TRANSCRIPTS).read_bytes()
    (listed,) = members(table, ".txt.gz").values()
    spoken = transcripts(gzip.decompress(listed).decode("utf-8"))
    recordings, long = [], 0
    for name, content in sorted(members((folder / SOUNDS).read_bytes(), ".wav").items()):
        key = name.partition(SPEAKER)[2].removesuffix(".wav")
        if key not in spoken:
            continue
        samples, rate = read_wav(content, name)
        if rate != RATE:
            raise DataError(f"{name}: has {rate} samples a second, expected {RATE}")
        if len(samples) > longest * rate:
            long += 1
            continue
        recordings.append(Recording(key, samples, characters(spoken[key], key)))
    if not recordings:
        raise DataError(f"data.longest: found {longest}, and no prompt is as short")
    note = (f"{plural(long, 'prompt')} left out as longer than {longest} s",) if long else ()
    return speech({"train": recordings}, RATE, Frames(window, hop, bands), notes=note)


def transcripts(text: str) -> dict[str, str]:
    """Read lines such as "digits/1: one", to letters, apostrophes and spaces; what is no speech is left out."""
    found = {}
    for line in text.splitlines():
        name, colon, said = line.partition(":")
        said = re.sub(r"\[[^\]]*\]|\([^)]*\)", " ", said).lower()
        if not colon or name.startswith(";") or re.search(r"\d\d", said):
            continue
        said = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", said)
        said = " ".join(re.sub(r"[^a-z']", " ", said).split())
        if said:
            found[name.strip()] = said
    return found


def members(package: bytes, ending: str) -> dict[str, bytes]:
    """Return the files of a Debian package whose names end so; nothing is unpacked to disk.

    Raises:
        DataError: it is no Debian package with a data.tar.xz.
    """
    data = _part_of(package, b"data.tar.xz")
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:xz") as tar:
            for one in tar:
                stream = tar.extractfile(one) if one.isfile() and one.name.endswith(ending) else None
                if stream is not None:
                    found[one.name] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"data.prompts: the package cannot be read ({str(error)[:60]})") from None
    return found


def _part_of(package: bytes, name: bytes) -> bytes:
    """Return a part of an ar archive: a header of 60 bytes before each, with its name first and its size from 48."""
    place = 8
    while package[:8] == b"!<arch>\n" and place + 60 <= len(package):
        header = package[place : place + 60]
        size = int(header[48:58])
        if header[:16].rstrip(b" /") == name:
            return package[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
    raise DataError(f"data.prompts: found no Debian package with a {name.decode()}")
