"""Recordings in the report: they play what was recorded, stay within bounds, and no transcript can act."""

import base64
import io
import re
import wave

import numpy as np
import pytest
import xarray as xr

from deepprinciples.report import audio, page
from deepprinciples.report.figures import mpl_style
from deepprinciples.report.figures.examples import recordings

RATE = 8000


def results(lengths=(900, 1600), said=(("one", "two"), ("", "two two"))):
    """Make results with recordings of white noise that use all 16 bits, and the transcripts of truth and one arm."""
    random = np.random.default_rng(0)
    samples = np.zeros((len(lengths), max(lengths)), np.int16)
    features = np.full((len(lengths), 12, 4), np.nan, np.float32)
    for k, length in enumerate(lengths):
        samples[k, :length] = random.integers(-(2**15), 2**15, length)
        features[k, : 12 * length // max(lengths)] = random.normal(size=(12 * length // max(lengths), 4))
    variables = {
        "recording": (("example", "sample"), samples),
        "recording_length": (("example",), np.array(lengths, np.int32)),
        "recording_rate": ((), np.int32(RATE)),
        "spectrogram": (("example", "frame", "band"), features),
        "transcript": (("gallery_of", "example"), np.array(said)),
    }
    return xr.Dataset(variables, {"gallery_of": ["truth", "gru"][: len(said)]})


def decoded(uri):
    with wave.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:audio/wav;base64,")))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def test_a_page_plays_what_was_recorded():
    """Lost: a recording that is silent, cut, too fast or noise, beside a transcript that it is to be compared with."""
    given = results()
    document = page.render(given, {}, {})
    found = re.findall(r'<audio controls preload="metadata" aria-label="([^"]+)" src="([^"]+)"></audio>', document)
    assert [label for label, _ in found] == ["Recording 1, 0.11 seconds", "Recording 2, 0.2 seconds"]
    for k, (_, uri) in enumerate(found):
        samples, rate = decoded(uri)
        np.testing.assert_array_equal(samples, given.recording.values[k, : given.recording_length.values[k]])
        assert rate == RATE
    assert "media-src data:" in document and 'id="recordings"' in document
    assert re.findall(r"<dt><bdi>([^<]*)</bdi></dt><dd>([^<]*)</dd>", document) == [
        ("truth", "one"), ("gru", "(nothing)"), ("truth", "two"), ("gru", "two two"),
    ]  # fmt: skip
    assert document.count('alt="Waveform and features of recording ') == 2


def test_a_transcript_is_text_and_nothing_else():
    """Lost: opening a colleague's report could run what a transcript, or the name of an arm, says."""
    hostile = "</dd></audio><script>alert(1)</script>\x1b[31m"
    given = results(said=((hostile, "two"), ('"><img src=x onerror=alert(1)>', "two")))
    document = page.render(given.assign_coords(gallery_of=["truth", hostile]), {}, {})
    assert "<script" not in document and "<img src=x" not in document and "\x1b" not in document
    assert document.count("&lt;script&gt;") == 3  # a transcript, and the arm beside both recordings


def test_recordings_are_bounded(monkeypatch):
    """Lost: a report of a hundred megabytes from a folder of long recordings."""
    monkeypatch.setattr(recordings, "MOST", 2)
    monkeypatch.setattr(recordings, "LONGEST", 500)
    found = audio.players(results((900, 1600, 300), (("a", "b", "c"),)))
    assert [len(decoded(one["source"])[0]) for one in found] == [500, 500]
    assert audio.players(results((300, 200), (("a", "b"),)))[0]["said"] == [("truth", "a")]


@pytest.mark.parametrize(
    "change",
    [
        lambda given: given.drop_vars("recording_length"),
        lambda given: given.assign(recording_rate=np.nan),
        lambda given: given.assign(recording_rate=-1),
        lambda given: given.assign(recording=given.recording.rename(sample="other")),
    ],
)
def test_results_that_are_damaged_have_no_recordings(change):
    """Lost: the whole report, to a file that somebody else wrote."""
    given = change(results())
    assert audio.players(given) == [] and recordings.drawings(given) == []


def test_a_waveform_reaches_as_far_as_the_loudest_sample():
    """Lost: a picture that hides a click, or loses the time of a recording."""
    given = results((4000,), (("a",),))
    given.recording.values[:] = 0
    given.recording.values[0, 1234] = -8192
    with mpl_style.style():
        (plot,) = recordings.drawings(given)
    wave_axes, bands = plot.figure.axes
    assert wave_axes.get_ylim() == (-0.25, 0.25) and wave_axes.get_xlim() == bands.get_xlim() == (0.0, 0.5)
    low = wave_axes.collections[0].get_paths()[0].vertices
    assert low[:, 1].min() == -0.25
    np.testing.assert_allclose(low[low[:, 1] == -0.25, 0].mean(), 1234 / RATE, atol=0.5 / 300)
