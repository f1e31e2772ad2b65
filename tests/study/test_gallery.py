"""Test examples among the results and in the report, as the data set draws them."""

import numpy as np

import deepprinciples as dp
from deepprinciples.study import gallery
from deepprinciples.types import Sounds

X = np.random.RandomState(0).rand(60, 6, 6, 1).astype(np.float32)
Y = (X.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
CONFIG = {
    "model": {"name": "mlp", "depth": 1, "width": 4},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 4, "probes": []},
    "study": {"seeds": 2, "keep": 1},
    "arms": {"plain": {}, "tanh": {"model.activation": "tanh"}},
}


def compared(path, display, keep=1):
    data = {
        "name": "examples",
        "inputs": X,
        "targets": Y,
        "batch_size": 16,
        "display": display,
        "class_names": ("dark", "light"),
    }
    return dp.compare({**CONFIG, "data": data, "study": {**CONFIG["study"], "keep": keep}}, path)


def test_examples_are_drawn_with_the_truth_and_the_answers_of_every_arm(tmp_path):
    """Lost: a look at what the numbers are of, without the data and the models."""
    seen = []

    def display(axes, inputs, outputs):
        seen.append((inputs, outputs))
        axes.imshow(inputs[..., 0])

    run = compared(tmp_path / "run", display)
    assert run.results.gallery.dims == ("gallery_of", "example", "row", "column", "channel")
    assert list(run.results.gallery.gallery_of.values) == ["truth", "plain", "tanh"]
    assert run.results.gallery.dtype == np.uint8 and run.results.gallery.values.std() > 10
    for arm, drawn in (("plain", seen[5:10]), ("tanh", seen[10:])):
        model, params = run.model(arm)
        np.testing.assert_allclose([o for _, o in drawn], model.predict(params, model.data.test.inputs[:5]), rtol=1e-5)
    assert [int(o) for _, o in seen[:5]] == model.data.test.targets[:5].tolist()
    page = (run.path / "report.html").read_text()
    assert 'id="gallery"' in page and "The first test examples, not chosen" in page
    assert "gallery" not in compared(tmp_path / "none", display, keep=0).results


def test_a_display_that_fails_costs_the_pictures_alone(tmp_path):
    """Lost: a night of training, to a slip in the code that draws."""

    def display(axes, inputs, outputs):
        raise TypeError("no picture")

    run = compared(tmp_path / "run", display)
    assert "no gallery: the display of the data failed (TypeError: no picture)" in run.summary["warnings"]
    assert "gallery" not in run.results and np.isfinite(run.results.score).all()


def test_recordings_are_kept_and_played_with_what_every_arm_hears(tmp_path):
    """Lost: hearing what a network of speech was given; the samples are those of the data to within 16 bits."""
    config = {
        "data": {"name": "tones", "size": 40, "most": 2, "bands": 4, "batch_size": 8},
        "model": {"name": "gru", "width": 4, "readout": "every"},
        "loss": "ctc",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"steps": 4, "probes": []},
        "study": {"metric": "token_error_rate", "seeds": 2, "keep": 1},
        "arms": {"gru": {}, "faster": {"optimizer.learning_rate": 0.1}},
    }
    run = dp.load(dp.compare(config, tmp_path / "run").path)
    data = run.model("gru")[0].data
    kept = run.results
    assert kept.gallery_of.values.tolist() == ["truth", "gru", "faster"] and int(kept.recording_rate) == 8000
    for k, samples in enumerate(data.sounds.samples):
        found = kept.recording.values[k, : int(kept.recording_length[k])] / 2**15
        np.testing.assert_allclose(found, samples, atol=0.5 / 2**15, rtol=0)
        frames = np.isfinite(kept.spectrogram.values[k]).all(axis=1).sum()
        assert frames == data.test.targets["frames"][k]
        said = [data.class_names[label] for label in data.test.targets["labels"][k] if label > 0]
        assert str(kept.transcript.values[0, k]) == " ".join(said)
    assert "gallery" not in kept
    assert (run.path / "report.html").read_text().count('<audio controls preload="metadata"') == 5


def test_long_recordings_are_cut(monkeypatch):
    """Lost: results of hundreds of megabytes; and a picture whose features do not belong to what is heard."""
    monkeypatch.setattr(gallery, "LONGEST", 1000)
    features = np.ones((1, 20, 3), np.float32)
    features[0, 16:] = 0.0
    sounds = Sounds(8000, [np.full(4000, 2.0)], lambda said: said)
    made = gallery._recorded(sounds, features, {"truth": np.array(["a"])})
    assert made["recording"].values.tolist() == [[2**15 - 1] * 1000] and made["recording_length"].values == 1000
    assert np.isfinite(made["spectrogram"].values[0, :, 0]).sum() == 4  # of 16 frames, a quarter
