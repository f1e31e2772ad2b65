"""Arms that are judged by their best state, with or without patience, beside one that is judged by its last."""

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples.errors import ConfigError
from deepprinciples.report import search_text
from deepprinciples.runs import arrays
from deepprinciples.study import range_test
from deepprinciples.study.planning import plan

ARMS = {"last": {}, "best": {"train.keep": "best"}, "patient": {"train": {"keep": "best", "patience": 2}}}
BASE = {
    "data": {"name": "digits", "train_size": 40, "batch_size": 10},
    "model": {"name": "mlp", "depth": 1, "width": 16},
    "loss": "softmax_cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.5},
    "train": {"steps": 60, "probes": [], "probe_every": 4, "evaluate_every": 4},
    "study": {"metric": "cross_entropy", "seeds": 8, "keep": 2},
    "arms": ARMS,
}
RATE = "optimizer.learning_rate"
TUNED = {"tune": {RATE: {"low": 1e-2, "high": 2.0}}, "searches": 2, "trials": 4, "seeds": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dp.compare(BASE, tmp_path_factory.mktemp("best") / "run")


def picks(curve, patience=0):
    """Keep the lowest value in a plain loop; return its place."""
    best = 0
    for number, value in enumerate(curve):
        if patience and number - best > patience:
            break
        best = number if value < curve[best] else best
    return best


def test_the_arms_differ_in_what_is_judged_alone(run) -> None:
    """Lost: the pairs of a verdict are runs of their own, or the arms take other steps."""
    (program,) = run.summary["programs"]
    assert program["arms"] == list(ARMS) and run.summary["cost"]["lanes"] == 3 * 8
    curves = run.results.validation.values
    np.testing.assert_array_equal(curves[0], curves[1])
    np.testing.assert_array_equal(curves[0], curves[2])
    np.testing.assert_array_equal(run.results.train_loss[0], run.results.train_loss[2])
    assert [row["n"] for row in run.summary["comparisons"]] == [8, 8]
    assert all(row["correlation"] is not None for row in run.summary["comparisons"])


def test_the_kept_steps_are_those_of_a_plain_loop(run) -> None:
    """Lost: the step that the results name is not that of the best validation value."""
    found, steps = run.results, run.results.eval_step.values
    for seed in range(8):
        curve = found.validation.sel(arm="best").values[seed]
        expected = [steps[-1], steps[picks(curve)], steps[picks(curve, patience=2)]]
        assert found.kept_step.values[:, seed].tolist() == expected
    assert (found.kept_step[1] < steps[-1]).any() and (found.kept_step[2] < found.kept_step[1]).any(), "no such case"
    assert [row["kept_step"] for row in run.summary["arms"]] == [int(np.median(one)) for one in found.kept_step]


@pytest.mark.parametrize("arm", list(ARMS))
def test_the_test_score_is_that_of_the_weights_that_are_kept(run, arm) -> None:
    """Lost: the weights of a paper are not those of its table."""
    for seed in (0, 1):
        model, params = run.model(arm, seed=seed)
        logits = np.asarray(model.predict(params, model.data.test.inputs), np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), model.data.test.targets]
        assert float(run.results.score.sel(arm=arm)[seed]) == pytest.approx(loss.mean(), rel=1e-4)
    kept = arrays.load_arrays(run.path / "parameters.safetensors")
    assert str(kept).count("kernel") == 2 * 2 * len(ARMS)


def test_a_reader_sees_which_step_was_kept(run) -> None:
    """Lost: nobody knows that the weights of an early step were judged."""
    words = search_text.kept(run.summary)
    median = [row["kept_step"] for row in run.summary["arms"]]
    assert words == (
        f"Judged after so many of 60 steps, the median of the runs: last 60, best {median[1]}, patient {median[2]}."
    )
    assert words in (run.path / "report.html").read_text()
    plain = dp.compare({**BASE, "arms": {"a": {}, "b": {RATE: 0.1}}}, run.path.parent / "plain")
    assert "kept_step" not in plain.results and search_text.kept(plain.summary) == ""


def test_the_direction_of_the_metric_counts(run, tmp_path) -> None:
    """Lost: of an accuracy the worst state is kept."""
    config = {**BASE, "study": {"metric": "accuracy"}, "train": {**BASE["train"], "keep": "best"}}
    found = dp.train(config, tmp_path / "run")
    curve = found.results.validation.values[0, 0]
    assert int(found.results.kept_step[0, 0]) == found.results.eval_step.values[curve.argmax()]
    assert curve.max() > curve[-1]


@pytest.mark.parametrize("more", [{}, {"pruning": {"name": "successive_halving", "factor": 2, "rungs": 2}}])
def test_trials_are_chosen_by_the_states_that_they_keep(more, tmp_path) -> None:
    """Lost: an arm is tuned for its last state and judged by its best."""
    tuned = dp.compare({**BASE, "study": {**BASE["study"], **TUNED, **more}}, tmp_path / "run")
    tried = tuned.trials().set_index(["search", "trial", "arm"])
    last, best, patient = (tried.score.unstack("arm")[arm] for arm in ARMS)
    if more:  # arms may go on with other trials: those with as many steps are compared
        alike = tried.share.unstack("arm").nunique(axis=1) == 1
        last, best, patient = last[alike], best[alike], patient[alike]
    assert (best <= last).all() and (best < last).any() and (best <= patient).all()
    for row, arm in zip(tuned.summary["arms"], tuned.results.arm.values, strict=True):
        one = tuned.results.sel(arm=arm)
        fresh = [
            one.validation.values[seed, list(one.eval_step.values).index(step)]
            for seed, step in enumerate(one.kept_step.values)
        ]
        assert row["promise"]["fresh"] == pytest.approx(np.mean(fresh), rel=1e-5)


def test_lost_runs_stay_lost_but_after_a_stop(tmp_path) -> None:
    """Lost: an arm whose runs diverge is judged by what they were before, and looks as safe as one whose runs stand."""
    broken = {**BASE, "optimizer": {"name": "sgd", "learning_rate": 1e30}, "study": {"seeds": 3}}
    found = dp.compare(broken, tmp_path / "run")
    assert (found.results.diverged_at.values >= 0).all() and (found.results.kept_step.values == -1).all()
    assert [row["kept_step"] for row in found.summary["arms"]] == [None] * 3


REFUSED = {
    "patience alone": ({"train": {"patience": 3}}, r'train.patience: waits for .* expected train.keep = "best"'),
    "a state that there is not": ({"train": {"keep": "first"}}, r'train.keep: expected one of "last", "best"'),
    "patience below none": ({"train": {"patience": -1}}, r"train.patience: expected a whole number"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_means_nothing_is_refused(what) -> None:
    """Lost: a run that never stops though its user asked for it, without a word."""
    change, line = REFUSED[what]
    with pytest.raises(ConfigError, match=rf"^{line}"):
        plan.resolve("train", {**BASE, **change})
    with pytest.raises(ConfigError, match=rf"^arms\.b\.{line}"):
        plan.resolve("compare", {**BASE, "arms": {"a": {}, "b": change}})


def test_an_arm_changes_nothing_else_of_train() -> None:
    """Lost: an arm with more steps than the others wins."""
    with pytest.raises(ConfigError, match=r"arms\.b\.train\.steps: an arm may not change it"):
        plan.resolve("compare", {**BASE, "arms": {"a": {}, "b": {"train": {"steps": 90, "keep": "best"}}}})


def test_learners_without_held_out_data_are_refused() -> None:
    """Lost: an agent, or a generator, is judged by the very draws that it was chosen by, and luck passes for skill."""
    agent = {"learner": {"name": "policy_gradient", "environment": "cartpole"}, "model": {"name": "mlp"}}
    agent |= {"optimizer": "adam", "train": {"steps": 20, "keep": "best"}}
    with pytest.raises(ConfigError, match=r'train\.keep: found "best", expected "last" with learner policy_gradient'):
        plan.resolve("train", agent)
    net = {"model": {"name": "mlp", "depth": 1, "width": 4}, "optimizer": "adam"}
    game = {"data": "gaussian_ring", "learner": "gan", "generator": net, "discriminator": net}
    game |= {"study": {"metric": "modes_covered"}, "train": {"steps": 20, "keep": "best"}}
    with pytest.raises(ConfigError, match=r'train\.keep: found "best", expected "last" with learner gan') as error:
        plan.resolve("compare", {**game, "arms": {"a": {}, "b": {"learner.latent": 3}}})
    assert str(error.value).count("train.keep") == 1, "one line for each arm"


def test_a_range_test_follows_its_runs_to_the_end() -> None:
    """Lost: lr-find refuses the config of a comparison with early stopping."""
    patient = {**BASE, "train": {**BASE["train"], "keep": "best", "patience": 3}}
    tested = range_test.rising(patient, low=1e-4, high=1.0, steps=30, seeds=2)
    assert (tested["train"]["keep"], tested["train"]["patience"]) == ("last", 0)
    assert tested["arms"] == {"last": {}, "best": {}, "patient": {}}
