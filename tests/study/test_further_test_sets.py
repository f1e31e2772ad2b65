"""Further test sets: the same held-out examples in another form, judged beside the test split with its statistics."""

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.errors import ConfigError, DataError
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts.data.bundled import digits

CONFIG = {
    "data": {"name": "digits", "train_size": 200},
    "model": {"name": "mlp", "depth": 1, "width": 8},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "adam", "learning_rate": 1e-2},
    "train": {"steps": 20, "probes": ()},
    "study": {"metric": "accuracy", "also": ["balanced_accuracy"], "seeds": 6},
    "arms": {"plain": {}, "slow": {"optimizer.learning_rate": 1e-3}},
}


def noisy(*, noise: float = 10.0):
    source = digits()
    inputs = np.asarray(source.inputs, np.float32)
    drawn = np.random.default_rng(0).standard_normal(inputs.shape, np.float32)
    return source._replace(inputs=inputs + noise * drawn)


SETS = {
    "same": {"name": "digits"},
    "noisy": {"factory": noisy},
    "nearly": {"factory": noisy, "noise": 0.0},
    "whole": {"name": "digits", "part": "all"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dp.compare({**CONFIG, "test_sets": SETS}, tmp_path_factory.mktemp("sets") / "run")


def test_the_same_examples_are_held_out_and_scaled_alike():
    """A model would be tested on what it was trained on, or on another scale."""
    data = from_config.dataset({"data": {"name": "digits"}, "test_sets": SETS})
    for name in ("same", "nearly"):
        np.testing.assert_array_equal(data.test_sets[name].inputs, data.test.inputs)
        np.testing.assert_array_equal(data.test_sets[name].targets, data.test.targets)
    np.testing.assert_array_equal(data.test_sets["noisy"].targets, data.test.targets)
    assert data.test_sets["noisy"].inputs.std() > 2 * data.test.inputs.std()
    assert data.test_sets["whole"].size == 1797 == sum(getattr(data, p).size for p in ("train", "validation", "test"))


def test_scores_are_those_of_the_same_models(run):
    """Scores of a shifted set would be of other weights, or of other examples."""
    found = run.results
    assert found.test_set_score.dims == ("arm", "seed", "test_set")
    assert found.test_set_balanced_accuracy_per_class.dims == ("arm", "seed", "test_set", "class")
    np.testing.assert_array_equal(found.test_set_score.sel(test_set="same"), found.score)
    np.testing.assert_array_equal(found.test_set_loss.sel(test_set="same"), found.test_loss)
    np.testing.assert_array_equal(
        found.test_set_balanced_accuracy_per_class.sel(test_set="same"), found.test_balanced_accuracy_per_class
    )
    assert (found.test_set_score.sel(test_set="noisy", arm="plain") < found.score.sel(arm="plain")).all()
    right = found.test_set_score.sel(test_set="whole") * 1797
    np.testing.assert_allclose(right, np.rint(right), atol=1e-3)


def test_verdicts_on_each_set_are_those_of_its_scores(run):
    """A reader of the verdict on a shifted set would read that of the test split."""
    sets = {one["name"]: one for one in run.summary["test_sets"]}
    assert set(sets) == set(SETS)
    judged = dp.judge(run.results.test_set_score.sel(test_set="noisy"), metric="accuracy on noisy")
    assert [row["sentence"] for row in sets["noisy"]["comparisons"]] == judged.sentences
    assert "on noisy" in sets["noisy"]["headline"]
    page = (run.path / "report.html").read_text()
    assert "Further test sets" in page and ">noisy</h3>" in page


WRONG = {
    "shape": ({"name": "wine"}, "test_sets.shape"),
    "task": ({"name": "diabetes"}, "test_sets.task"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_data_are_refused(name, tmp_path):
    """A wrong set would fail in the middle of a run, or be judged as if it were the same task."""
    section, where = WRONG[name]
    with pytest.raises(DataError) as caught:
        dp.compare({**CONFIG, "test_sets": {name: section}}, tmp_path / "run")
    assert str(caught.value).startswith(where) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_arms_share_the_sets(tmp_path):
    """Arms would be compared on different data."""
    with pytest.raises(ConfigError, match=r"arms.slow.test_sets.same.part: an arm may not change it"):
        arms = {"plain": {}, "slow": {"test_sets.same.part": "all"}}
        dp.compare({**CONFIG, "test_sets": {"same": {"name": "digits"}}, "arms": arms}, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"test_sets.digit: no test set"):
        dp.compare({**CONFIG, "test_sets": {"digit": {}}}, tmp_path / "run")
