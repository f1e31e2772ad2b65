"""Metrics of a study: what is recorded under which name, and which metrics are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import from_config, measured
from deepprinciples.study.planning import groups
from deepprinciples.types import Metric, Scalar, better

BASE: dict[str, Any] = {
    "data": {"name": "breast_cancer", "batch_size": 32},
    "model": {"name": "mlp", "depth": 1, "width": 8},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "adam", "learning_rate": 1e-2},
    "train": {"steps": 60, "seeds": 2, "probes": []},
}


def changed(**changes: Any) -> dict[str, Any]:
    return configs.changes(BASE, changes)


def problems(**changes: Any) -> list[str]:
    resolved = configs.resolve(changed(**changes), from_config.KINDS)
    return from_config.check(resolved, from_config.dataset(resolved))


def rows(*labels: int, columns: int = 3) -> dict[str, Any]:
    """Give three fixed parts: all classes in training and validation, the labels given in the test part."""
    rng = np.random.default_rng(0)
    x = lambda count: rng.normal(size=(count, columns)).astype(np.float32)
    fixed = {"validation_inputs": x(12), "validation_targets": np.arange(12) % 3, "test_targets": np.array(labels)}
    return {"name": "arrays", "inputs": x(60), "targets": np.arange(60) % 3, "test_inputs": x(len(labels)), **fixed,
            "batch_size": 8}  # fmt: skip


# --- what is recorded ------------------------------------------------------------------------------------------------


@better("max", worst=0.0, best=1.0)
def library_auc() -> Metric:
    """Leave the area under the ROC curve to scikit-learn, on the host."""

    def compute(rows: Any, weights: Any) -> float:
        kept = weights > 0
        return float(roc_auc_score(rows["label"][kept], rows["score"][kept]))

    def per_class(rows: Any, weights: Any) -> np.ndarray:
        return np.bincount(rows["label"][weights > 0], minlength=2) / np.sum(weights)

    look = lambda outputs, targets: {"score": outputs[:, 1] - outputs[:, 0], "label": targets}
    return Metric(look, compute, per_class, reduce="gather", host=True)


def test_further_metrics_are_recorded_beside_the_studys_own(tmp_path: Path) -> None:
    """Lost: F1, calibration and the values of classes of the same run, and that host and device agree."""
    also = ["f1", "sensitivity_at_specificity", "expected_calibration_error", "balanced_accuracy"]
    more = {"strict": {"name": "sensitivity_at_specificity", "specificity": 1.0}, "library": {"factory": library_auc}}
    run = dp.train(changed(**{"study.metric": "roc_auc", "study.also": also, "metrics": more}), tmp_path / "run")
    found = run.results
    assert found.attrs["metric"] == "roc_auc" and found.attrs["direction"] == "max"
    for name in (*also, "strict", "library"):
        assert found[f"test_{name}"].dims == ("arm", "seed") and np.isfinite(found[f"test_{name}"]).all(), name
        assert found[f"validation_{name}"].dims == ("arm", "seed", "eval_step")
    assert (
        (found.score > 0.9).all()
        and (found.test_f1 > 0.85).all()
        and (found.test_expected_calibration_error < 0.3).all()
    )
    assert (found.test_strict <= found.test_sensitivity_at_specificity).all()
    np.testing.assert_allclose(found.test_library, found.score, atol=1e-6)
    np.testing.assert_allclose(found.validation_library, found.validation, atol=1e-6)
    assert list(found["class"].values) == [0, 1]
    for name in ("roc_auc", "balanced_accuracy", "library"):
        assert found[f"test_{name}_per_class"].dims == ("arm", "seed", "class")
        assert found[f"validation_{name}_per_class"].dims == ("arm", "seed", "eval_step", "class")
    np.testing.assert_allclose(
        found.test_balanced_accuracy_per_class.mean("class"), found.test_balanced_accuracy, rtol=1e-6
    )
    assert run.summary["arms"][0]["constant"] == 0.5
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_a_study_is_tuned_by_a_metric_of_the_split(tmp_path: Path) -> None:
    """Lost: a verdict on F1, or its values of the classes."""
    study = {"metric": {"name": "f1", "average": "macro"}, "also": ["mean_iou"], "searches": 2, "trials": 2, "seeds": 1,
             "tune": {"optimizer.learning_rate": {"low": 1e-3, "high": 0.1, "scale": "log"}}}  # fmt: skip
    data = {"name": "digits", "batch_size": 64}
    config = {**BASE, "data": data, "study": study, "arms": {"relu": {}, "tanh": {"model.activation": "tanh"}}}
    run = dp.compare(config, tmp_path / "run")
    found = run.results
    assert found.attrs["metric"] == "f1" and len(found["class"]) == 10
    np.testing.assert_allclose(found.test_f1_per_class.mean("class"), found.score, rtol=1e-5)
    np.testing.assert_allclose(found.validation_f1_per_class.mean("class"), found.validation, rtol=1e-5)
    assert (found.score > 0.7).all() and (found.score >= found.test_mean_iou).all()
    assert ((found.tuning_score > 0) & (found.tuning_score <= 1)).all()
    assert run.summary["headline"].startswith("On f1")


def test_two_metrics_may_tell_other_numbers_of_classes(tmp_path: Path) -> None:
    """Lost: a finished run, in the last step before it is written."""

    @better("max")
    def halves() -> Metric:
        look = lambda outputs, targets: {"top": jnp.max(outputs, axis=-1)}
        return Metric(look, lambda sums, count: sums["top"] / count, lambda sums, count: jnp.ones(5) * sums["top"])

    changes = {"study.also": ["balanced_accuracy"], "metrics": {"halves": {"factory": halves}}, "train.steps": 2}
    found = dp.train(changed(**changes), tmp_path / "run").results
    assert found.test_balanced_accuracy_per_class.dims == ("arm", "seed", "class")
    assert found.test_halves_per_class.sizes == {"arm": 1, "seed": 2, "class_5": 5}


def test_further_metrics_are_part_of_the_program(tmp_path: Path) -> None:
    """Lost: a second run in a notebook gets the program of the first, without its further metrics."""
    few = {"train.steps": 2, "train.seeds": 1}
    for also in ([], ["f1"], ["mean_iou"]):
        run = dp.train(changed(**few, **{"study.also": also}), tmp_path / f"run{also}")
        assert [name for name in run.results if name in ("test_f1", "test_mean_iou")] == [
            f"test_{name}" for name in also
        ]


def test_arms_may_have_metrics_of_their_own() -> None:
    """Lost: a traceback in place of two programs; and arms that differ in a float share one."""
    name = "sensitivity_at_specificity"
    arms = {"a": {}, "b": {"metrics.s": {"name": name}}, "c": {"metrics.s": {"name": name, "specificity": 0.5}}}
    resolved = configs.resolve({**BASE, "arms": arms}, from_config.KINDS, command="compare")
    _, every = configs.resolve_each(resolved, from_config.KINDS)
    found = groups.group_arms([groups.arm_of(name, one.config) for name, one in every.items()])
    assert [group.arms for group in found] == [("a",), ("b", "c")]
    assert found[1].names == ("metrics.s.specificity",)


def test_a_lane_that_diverged_does_not_end_the_others(tmp_path: Path) -> None:
    """Lost: a study, because scikit-learn takes no NaN."""
    arms = {"good": {}, "bad": {"optimizer.learning_rate": 1e30}}
    config = {**changed(**{"train.steps": 30, "optimizer.name": "sgd"}), "arms": arms}
    config["study"] = {"metric": {"factory": library_auc}, "seeds": 2}
    found = dp.compare(config, tmp_path / "run").results
    assert (found.diverged_at.sel(arm="bad") >= 0).all() and (found.diverged_at.sel(arm="good") < 0).all()
    assert (found.score.sel(arm="good") > 0.5).all()  # the bad ones are judged with the last weights that were finite
    assert np.isfinite(found.test_library_auc_per_class.sel(arm="good")).all()


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_metric_that_a_part_does_not_define_is_refused() -> None:
    """Lost: hours, after which every run counts as diverged."""
    data = rows(0, 1, 0, 1, 1, 0)
    assert problems(data=data, **{"study.also": ["f1"]})[0].endswith('with 3 classes; use "macro" or "micro"')
    assert problems(data=data, **{"study.metric": "roc_auc", "study.also": ["balanced_accuracy", "mean_iou"]}) == []
    data = rows(1, 1, 1, 1)
    assert problems(data=data, **{"study.metric": "roc_auc", "study.also": ["average_precision"]}) == [
        "study.metric: roc_auc is not a number on the test part: no example of class 0, 2 there; add some or choose "
        "another metric"
    ]
    binary = {**data, "targets": np.arange(60) % 2, "validation_targets": np.arange(12) % 2}
    assert problems(data=binary, **{"study.also": ["average_precision", "f1"]}) == []
    binary["test_targets"] = 0 * binary["test_targets"]
    binary["validation_targets"] = 0 * binary["validation_targets"]
    assert problems(data=binary, **{"study.also": ["f1"]}) == [
        "study.also: f1 is not a number on the validation and test parts: no example of class 1 there; add some or "
        "choose another metric"
    ]
    real = {
        **data,
        "task": "regression",
        "targets": np.arange(60) / 60,
        "validation_targets": np.arange(12) / 12,
        "test_targets": np.ones(4),
    }
    assert problems(data=real, loss="mse", **{"study.metric": "r2"}) == [
        "study.metric: r2 is not a number on the test part: all targets are equal there; choose another split or "
        "another metric"
    ]
    varied = {**real, "test_targets": np.arange(4.0)}
    assert problems(data=varied, loss="mse", **{"study.metric": "r2"}) == []


def test_r2_gets_the_mean_of_the_training_targets() -> None:
    """Lost: an R2 that is rounding where targets are years."""
    resolved = configs.resolve(
        changed(data={"name": "diabetes", "standardize": False}, loss="mse", **{"study.metric": "r2"}),
        from_config.KINDS,
    )
    parts = from_config.dataset(resolved)
    far = parts._replace(
        train=parts.train._replace(targets=parts.train.targets + 1e5),
        test=parts.test._replace(targets=parts.test.targets + 1e5),
    )
    value = measured.value_of(measured.metrics_of(resolved, far)["r2"], far.test.targets - 10, far.test.targets)
    assert value == pytest.approx(1 - 100 / np.var(parts.test.targets), abs=1e-3)
    assert from_config.constant_score(resolved, far, np.zeros((1, 1))) == pytest.approx(0, abs=0.1)


def test_metrics_that_do_not_fit_the_targets_are_refused_wherever_they_stand() -> None:
    """Lost: an F1 of real-valued targets, recorded beside the mean squared error."""
    real = {"data": {"name": "diabetes"}, "loss": "mse", "study.metric": "mse"}
    for changes in ({"study.also": ["f1"]}, {"metrics": {"one": {"name": "f1"}}}, {"study.metric": "f1"}):
        (line,) = problems(**{**real, **changes})
        assert line.startswith(next(iter(changes))) and "f1 needs class labels, but data.name 'diabetes' has" in line


def constant(value: Any) -> Any:
    return lambda rows, weights: value


def one_row(outputs: Any, targets: Any) -> Any:
    return {"a": outputs[:, 0]}


def fails(rows: Any, weights: Any) -> float:
    raise RuntimeError("no such file\nas this")


BAD = {
    "a vector": (constant(np.ones(3)), None, "computes shape [3], expected one number"),
    "a tree": (constant({"a": 1.0}), None, "computes a tree, expected one number"),
    "nothing": (constant(None), None, "computes a tree, expected one number"),
    "a text": (constant("good"), None, "computes a str, expected one number"),
    "NaN": (
        constant(float("nan")),
        None,
        "is not a number on the validation and test parts: neither constant nor",
    ),
    "an error": (fails, None, "RuntimeError: no such file as this"),
    "one value of a class": (
        constant(1.0),
        constant(1.0),
        "per_class gives shape [], expected one value for each class",
    ),
    "a table of classes": (
        constant(1.0),
        constant(np.ones((2, 2))),
        "per_class gives shape [2, 2], expected one value",
    ),
}


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("name", list(BAD))
def test_a_metric_of_ones_own_that_is_none_is_refused(
    name: str, host: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a search, and then a traceback at the first evaluation."""
    monkeypatch.chdir(tmp_path)
    compute, per_class, words = BAD[name]

    @better("max")
    def own() -> Metric:
        return Metric(one_row, compute, per_class, reduce="gather", host=host)

    for changes in ({"study.metric": {"factory": own}}, {"metrics": {"mine": {"factory": own}}}):
        with pytest.raises(ConfigError) as error:
            dp.train(changed(**changes))
        assert error.value.exit_code == 2 and words in str(error.value), str(error.value)
        assert str(error.value).startswith(next(iter(changes))) and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_mean_that_is_nan_is_refused_but_not_for_constant_outputs_alone() -> None:
    """Lost: a correlation, which constant outputs do not have."""

    def own(*, bad: Scalar = 0.0) -> Any:
        return lambda outputs, targets: outputs[:, 0] + jnp.where(bad > 0, jnp.nan, 0.0)

    def correlation() -> Metric:
        look = lambda outputs, targets: {"x": outputs[:, 0], "y": targets.astype(jnp.float32)}
        away = lambda a: a - jnp.mean(a)
        along = lambda r: jnp.sum(away(r["x"]) * away(r["y"]))
        return Metric(look, lambda r, w: along(r) / jnp.sum(away(r["x"]) ** 2), reduce="gather")

    assert problems(metrics={"own": {"factory": own}, "correlation": {"factory": correlation}}) == []
    (line,) = problems(metrics={"own": {"factory": own, "bad": 1.0}})
    assert line == (
        "metrics.own: own is not a number on the validation and test parts: neither constant nor random outputs give a "
        "finite one"
    )


def test_names_that_results_give_are_taken() -> None:
    """Lost: one variable of the results stands for two."""
    for key in ("f1_per_class", "raw_f1"):
        (line,) = problems(metrics={key: {"name": "f1"}})
        assert line == f"metrics.{key}: raw_... and ..._per_class are names of other results; give it another name"


def test_a_large_split_is_measured_in_pieces() -> None:
    """Lost: the memory of a machine, for a check."""
    seen: list[int] = []

    def look(outputs: Any, targets: Any) -> Any:
        seen.append(len(targets))
        return {"right": (jnp.argmax(outputs, -1) == targets) * 1.0}

    outputs, targets = np.eye(3)[np.arange(5000) % 3], np.arange(5000) % 2
    for reduce in ("sum", "gather"):
        total = lambda rows, weights: jnp.sum(rows["right"]) / jnp.sum(jnp.asarray(weights))
        value = measured.value_of(Metric(look, total, reduce=reduce), outputs, targets)
        assert value == pytest.approx(np.mean(np.arange(5000) % 3 == targets)) and max(seen) <= measured.ROWS < 5000


def test_ranges_of_the_new_keywords() -> None:
    """Lost: a specificity of 95 trains, and is never met."""
    assert "metrics.s.specificity" in configs.allowed_ranges(
        configs.resolve(changed(metrics={"s": {"name": "sensitivity_at_specificity"}}), from_config.KINDS),
        from_config.KINDS,
    )
    for name, value in (
        ("sensitivity_at_specificity", {"specificity": 95.0}),
        ("expected_calibration_error", {"bins": 0}),
    ):
        with pytest.raises(ConfigError, match="metrics.s.(specificity|bins): expected"):
            problems(metrics={"s": {"name": name, **value}})
    with pytest.raises(ConfigError, match="metrics.s.center: is supplied by the data"):
        problems(metrics={"s": {"name": "r2", "center": 1.0}})
