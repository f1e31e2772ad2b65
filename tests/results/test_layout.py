"""What is kept of a study: arrays with names, and a summary whose schema others may build on."""

import json

import numpy as np
import pytest
import rich

from deepprinciples.config.settings import Study
from deepprinciples.report import terminal
from deepprinciples.results.summary import pairs


def test_the_arrays_have_names(study):
    """A user's script that slices by arm, seed, step, layer would break."""
    found = study.results
    assert dict(found.sizes) == {
        "arm": 3,
        "seed": 7,
        "step": 5,
        "eval_step": 5,
        "layer": 2,
        "transform": 1,
        "search": 7,
        "trial": 3,
        "replicate": 2,
        "parameter": 1,
    }
    dims = {name: variable.dims for name, variable in found.data_vars.items()}
    base, curve, tried = ("arm", "seed"), ("arm", "seed", "eval_step"), ("arm", "search", "trial", "replicate")
    assert dims == {
        "score": base, "test_loss": base, "diverged_at": base, "diverged_by": base,
        "validation": curve, "validation_loss": curve,
        "train_loss": (*base, "step"), "gradient_norm": (*base, "step", "layer"),
        "trigger_rate": (*base, "step", "transform"), "clip_norm": (*base, "step", "transform"),
        "tuning_score": tried, "tuning_diverged_at": tried, "tuning_point": (*tried[:3], "parameter"),
        "chosen_trial": ("arm", "search"), **dict.fromkeys(("parameters", "bytes", "multiply_adds"), ("arm",)),
    }  # fmt: skip
    assert found.step.values.tolist() == [0, 4, 8, 12, 16] and found.eval_step.values.tolist() == [4, 8, 12, 16, 20]
    assert found.arm.values.tolist() == ["plain", "clipping", "tanh"]
    assert found.layer.values.tolist() == ["layer_00", "output"]
    assert found.attrs["metric"] == "accuracy" and found.attrs["direction"] == "max"


def test_what_an_arm_does_not_have_is_missing(study):
    """An arm without clipping would be reported to clip never or always."""
    rate = study.results.trigger_rate.sel(transform="clip_by_global_norm")
    clipping, tanh = rate.sel(arm="clipping").values, rate.sel(arm="tanh").values
    assert np.isfinite(clipping).all() and (clipping >= 0).all() and (clipping <= 1).all() and clipping.max() > 0
    assert np.isnan(tanh).all()
    assert np.nanmax(rate.sel(arm="plain").values, initial=0) == 0, "clipping switched off was reported to clip"


def test_the_summary_has_its_schema(study):
    """A program that reads summary.json would break: these names are a contract."""
    summary = json.loads((study.path / "summary.json").read_text())
    assert summary["schema_version"] == 1 and summary["metric"] == "accuracy" and summary["kind"] == "compare"
    assert [row["name"] for row in summary["arms"]] == ["plain", "clipping", "tanh"]
    for row in summary["arms"]:
        assert {"name", "n", "mean", "interval", "diverged", "tuned_point", "on_edge"} <= set(row)
        assert row["size"].keys() == {"parameters", "bytes", "multiply_adds"} and row["size"]["bytes"] > 0
        assert row["n"] == 7 and isinstance(row["on_edge"], bool) and isinstance(row["diverged"], int)
        low, high = row["interval"]
        assert low <= row["mean"] <= high
        assert set(row["tuned_point"]) == {"optimizer.learning_rate"}
    assert [(row["a"], row["b"]) for row in summary["comparisons"]] == [("clipping", "plain"), ("tanh", "plain")]
    for row in summary["comparisons"]:
        assert {"a", "b", "difference", "interval", "probability", "probability_interval", "p", "p_adjusted",
                "verdict"} <= set(row)  # fmt: skip
        assert row["interval"][0] <= row["difference"] <= row["interval"][1]
        assert row["probability_interval"][0] <= row["probability"] <= row["probability_interval"][1]
        assert 0 < row["p"] <= row["p_adjusted"] <= 1
        assert row["verdict"] in ("better", "worse", "equivalent", "no evidence", "cannot be judged")
    for row in summary["programs"]:
        assert {"lanes", "width", "devices", "compile_seconds", "run_seconds"} <= set(row)
        # None where an earlier run of the tests has left the program.
        assert row["compiles"] <= 1 and row["compile_seconds"] > 0 and row["run_seconds"] > 0 and row["devices"] == 2
    assert [row["arms"] for row in summary["programs"]] == [["plain", "clipping"], ["tanh"]]
    assert isinstance(summary["warnings"], list) and all(
        isinstance(line, str) and "\n" not in line for line in summary["warnings"]
    )
    assert isinstance(summary["headline"], str) and summary["headline"]


def test_the_summary_says_what_the_arrays_say(study):
    """The report's table and its plots would tell two stories."""
    found = study.results
    for row in study.summary["arms"]:
        np.testing.assert_allclose(row["mean"], found.score.sel(arm=row["name"]).mean(), rtol=1e-6)
    for row in study.summary["comparisons"]:
        gaps = found.score.sel(arm=row["a"]).values - found.score.sel(arm=row["b"]).values
        np.testing.assert_allclose(row["difference"], gaps.mean(), rtol=1e-5, atol=1e-7)


def test_the_cost_counts_every_lane(study):
    """A method would look cheaper than it is: 3 arms, 7 searches of 3 trials x 2 tuning seeds and a seed, 20 steps."""
    cost = study.summary["cost"]
    assert cost["lanes"] == 3 * 7 * (3 * 2 + 1) == sum(row["lanes"] for row in study.summary["programs"])
    assert cost["model_steps"] == cost["gradient_evaluations"] == cost["lanes"] * 20
    assert cost["seconds"] > 0 and cost["probed_steps_share"] == 0.25


def test_few_seeds_are_called_exploratory(study):
    """Seven seeds would read like a claim."""
    assert "exploratory" in study.summary["headline"]


def test_what_the_headline_says_is_said_once(study):
    """Lost: the warnings that tell something new, among those that say the headline again."""
    with rich.get_console().capture() as shown:
        terminal.verdict_table(study.summary, rich.get_console())
    assert shown.get().count("exploratory") == 1


@pytest.mark.parametrize(("study_settings", "expected"), [
    (Study(), [(1, 0), (2, 0)]),
    (Study(baseline="b"), [(0, 1), (2, 1)]),
    (Study(comparisons="all"), [(1, 0), (2, 0), (2, 1)]),
])  # fmt: skip
def test_the_comparisons_asked_for_are_made(study_settings, expected):
    """Another family of comparisons would be corrected for than was asked."""
    assert pairs(["a", "b", "c"], study_settings) == expected
