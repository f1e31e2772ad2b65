"""Test examples among the results and in the report, as the data set draws them."""

import numpy as np

import deepprinciples as dp

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
