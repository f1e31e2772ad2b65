"""What a user calls, from a dictionary to a run directory."""

import chex
import jax
import numpy as np
import optax
import pytest
import xarray as xr

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.engine import autotune
from deepprinciples.errors import ConfigError, DataError
from deepprinciples.learners.assembly import from_config
from deepprinciples.runs import arrays, files
from deepprinciples.study.planning import groups, prepared_group

FILES = {"config.toml", "manifest.json", "results.nc", "summary.json", "metrics.jsonl", "report.html"}


def test_a_run_directory_holds_what_it_promises(study):
    """A user would miss a file that the documentation names."""
    assert {path.name for path in study.path.iterdir()} >= FILES
    assert (study.path / "report.html").stat().st_size > 1000


def test_a_run_opens_again_as_it_was(study):
    """The numbers would be lost when Python ends."""
    again = dp.load(study.path)
    assert again.summary == study.summary and again.config == study.config
    xr.testing.assert_identical(again.results, study.results)


def test_the_log_has_a_row_for_every_evaluation(study):
    """A user who follows metrics.jsonl would see other numbers than the results hold."""
    rows = list(files.read_jsonl(study.path / "metrics.jsonl"))
    found = study.results
    assert len(rows) == found.validation.size and [row["sequence"] for row in rows] == list(range(len(rows)))
    for row in rows[:: len(rows) // 7]:
        place = {"arm": row["arm"], "seed": row["seed"], "eval_step": row["step"]}
        assert row["validation_accuracy"] == pytest.approx(float(found.validation.sel(place)))
        assert row["validation_loss"] == pytest.approx(float(found.validation_loss.sel(place)))


def test_config_toml_runs_again_and_gives_the_same_numbers(study, tmp_path):
    """The stored config would not be the config that ran."""
    again = dp.compare(study.path / "config.toml", tmp_path / "again")
    xr.testing.assert_identical(again.results, study.results)
    assert again.config == study.config
    for key in ("headline", "arms", "comparisons", "warnings"):
        assert again.summary[key] == study.summary[key]


def test_one_trace_serves_every_lane(small, finish):
    """A study would compile again for every seed or trial: it may not trace its loss once more than the smallest."""
    calls = []

    def counted():
        def value(outputs, targets):
            calls.append(1)
            return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)

        return value

    arms = {"a": {}, "b": {"optimizer.momentum": 0.5}}
    tiny = {"train.steps": 5, "train.probes": [], "study.searches": 1, "study.trials": 1, "study.tuning_seeds": 1}
    finish(small(arms, loss={"factory": counted}, **tiny))
    guarded = chex.assert_max_traces(counted(), n=len(calls))

    def limited():
        return guarded

    wide = {"train.probes": [], "train.max_parallel": 4, "study.searches": 3, "study.seeds": 3, "study.trials": 5}
    (program,) = finish(small(arms, loss={"factory": limited}, **wide)).programs
    assert program["lanes"] == 2 * 3 * (5 * 2 + 3) > 4 * program["width"] and program["compiles"] == 1


def test_train_writes_the_parameters_of_every_seed(small, tmp_path):
    """A trained network could not be used."""
    config = small(**{"train.seeds": 3, "train.probes": [], "train.steps": 30})
    run = dp.train(config, tmp_path / "run")
    assert run.summary["kind"] == "train" and run.results.score.shape == (1, 3) and run.summary["comparisons"] == []
    kept = arrays.load_arrays(run.path / "parameters.safetensors")
    assert list(kept) == ["seed-0", "seed-1", "seed-2"]
    first, last = kept["seed-0"]["layer_00"], kept["seed-0"]["output"]
    kernel, readout = (next(a for a in _leaves(table) if a.ndim == 2) for table in (first, last))
    assert kernel.shape == (13, 6) and readout.shape == (6, 3)
    assert not np.allclose(kernel, next(a for a in _leaves(kept["seed-1"]["layer_00"]) if a.ndim == 2))

    resolved = configs.resolve(configs.load(run.path / "config.toml"), from_config.KINDS)
    data = from_config.dataset(resolved)
    for k, seed in enumerate(run.results.seed.values):  # the network that was saved is the network that was judged
        hidden = data.test.inputs
        for layer in ("layer_00", "output"):
            leaves = _leaves(kept[f"seed-{seed}"][layer])
            hidden = hidden @ next(a for a in leaves if a.ndim == 2) + next(a for a in leaves if a.ndim == 1)[None, :]
            hidden = np.maximum(hidden, 0) if layer != "output" else hidden
        accuracy = np.mean(hidden.argmax(axis=1) == data.test.targets)
        np.testing.assert_allclose(run.results.score.values[0, k], accuracy, rtol=1e-6)


def _leaves(table):
    return [leaf for value in table.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


BROKEN = {
    "an unknown key": ({"optimizer.lerning_rate": 0.1}, ConfigError, "lerning_rate"),
    "an arm that cannot run": ({"arms": {"a": {}, "b": {"model.name": "lstm"}}}, ConfigError, "arms.b"),
    "a baseline that is not there": ({"study.baseline": "nobody"}, ConfigError, "study.baseline"),
    "a batch larger than the data": ({"data.batch_size": 5000}, DataError, "batch_size"),
    "no steps": ({"train.steps": 0}, ConfigError, "train.steps"),
    "no seeds": ({"study.seeds": -1}, ConfigError, "study.seeds"),
    "no trials": ({"study.trials": 0}, ConfigError, "study.trials"),
    "no tuning seeds": ({"study.tuning_seeds": 0}, ConfigError, "study.tuning_seeds"),
    "a negative count": ({"study.widen_rounds": -1}, ConfigError, "study.widen_rounds"),
    "a negative limit": ({"train.max_parallel": -4}, ConfigError, "train.max_parallel"),
    "a negative interval": ({"train.probe_every": -4}, ConfigError, "train.probe_every"),
    "an impossible confidence": ({"study.confidence": 1.5}, ConfigError, "confidence"),
    "a negative margin": ({"study.equivalence_margin": -1.0}, ConfigError, "equivalence_margin"),
    "an unknown probe": ({"train.probes": ["gradient_nrom"]}, ConfigError, "probes"),
    "a seed out of range": ({"train.seed": -1}, ConfigError, "train.seed"),
    "a seed too large": ({"train.seed": 2**40}, ConfigError, "train.seed"),
    "another direction": ({"study.direction": "up"}, ConfigError, "study.direction"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_nothing_is_written_for_a_config_that_cannot_run(small, tmp_path, what):
    """A user would find half a run, or wait for minutes before hearing of a typing error."""
    changes, error, word = BROKEN[what]
    arms = changes.get("arms")
    config = small(arms, **{path: value for path, value in changes.items() if path != "arms"})
    with pytest.raises(error, match=word):
        dp.compare(config, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_never_overwritten(small, study):
    """A second run would destroy the first."""
    before = {path: path.stat().st_mtime_ns for path in study.path.iterdir()}
    with pytest.raises(ConfigError, match="holds files"):
        dp.compare(small(), study.path)
    assert {path: path.stat().st_mtime_ns for path in study.path.iterdir()} == before


def test_a_baseline_and_all_comparisons(small, tmp_path):
    """`study.baseline` would be ignored, or the family of comparisons be another than asked for."""
    arms = {"a": {}, "b": {"optimizer.momentum": 0.5}, "c": {"optimizer.momentum": 0.9}}
    short = {"train.steps": 2, "train.probes": [], "study.seeds": 2, "study.baseline": "b"}
    config = small(arms, **short)
    config["study"]["tune"] = {}
    run = dp.compare(config, tmp_path / "run")
    assert [(row["a"], row["b"]) for row in run.summary["comparisons"]] == [("a", "b"), ("c", "b")]
    assert {row["verdict"] for row in run.summary["comparisons"]} == {"cannot be judged"}
    assert all(row["p"] is None for row in run.summary["comparisons"])


def test_streamed_batches_train_as_a_study(small, tmp_path):
    """Data larger than memory could not be compared on; or a failing loader would not name its batch."""
    random = np.random.RandomState(0)
    x, y = random.randn(60, 4).astype(np.float32), np.arange(60) % 3
    batches = [(x[k : k + 12], y[k : k + 12]) for k in range(0, 60, 12)]
    config = small({"a": {}, "b": {"optimizer.learning_rate": 0.5}}, **{"train.probes": [], "study.seeds": 2})
    config["study"]["tune"] = {}
    config["data"] = {
        "name": "stream",
        "batches": batches,
        "validation_inputs": x,
        "validation_targets": y,
        "test_inputs": x,
        "test_targets": y,
        "task": "classification",
        "classes": 3,
    }
    run = dp.compare(config, tmp_path / "run")
    assert np.isfinite(run.results.test_loss.values).all()

    def broken():
        yield from batches[:3]
        raise OSError("disk gone")

    config["data"]["batches"] = broken
    with pytest.raises(DataError, match=r"batch 3.*disk gone"):
        dp.compare(config, tmp_path / "broken")


@pytest.mark.slow
def test_a_long_run_measures_its_shape_and_a_repeat_does_not(small, tmp_path, monkeypatch):
    """A repeat would run in another shape, and so give other last bits."""
    monkeypatch.setenv("DEEPPRINCIPLES_CACHE", str(tmp_path / "cache"))  # no other test's answer, "not worth it"
    monkeypatch.setattr(autotune, "WORTH", 0)
    first = dp.compare(small(), tmp_path / "measured")
    rows = first.summary["programs"]
    for row in rows:
        assert len(row["measured"]) >= 2 and {one["mode"] for one in row["measured"]} == {"map", "vmap"}
        assert all(one["ms_per_model_step"] > 0 for one in row["measured"])
    recorded = configs.load(first.path / "config.toml")["train"]["layouts"]
    assert recorded == {row["arms"][0]: row["shape"] for row in rows}
    again = dp.compare(first.path / "config.toml", tmp_path / "again")
    assert [row["shape"] for row in again.summary["programs"]] == [row["shape"] for row in rows]
    assert not any(row["measured"] for row in again.summary["programs"])
    xr.testing.assert_identical(again.results, first.results)


def test_a_recorded_shape_that_makes_no_sense_is_refused(small):
    """A traceback would come out of the engine."""
    for wrong in ({"mode": "pmap", "blocks": 1, "chunks": 1}, {"mode": "map", "blocks": 0, "chunks": 1}, 7):
        with pytest.raises(ConfigError, match=r"train\.layouts\.plain: found"):
            dp.compare(small(**{"train.layouts": {"plain": wrong}}))


def test_the_same_study_again_compiles_nothing(small, tmp_path, monkeypatch):
    """Whoever works in a notebook would wait for the compiler at every call."""
    monkeypatch.setenv("DEEPPRINCIPLES_CACHE", "off")  # nor is anything loaded
    config = small(**{"train.steps": 18})
    first = dp.compare(config, tmp_path / "first")
    durations = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: durations.append(event))
    again = dp.compare(small(**{"train.steps": 18, "train.seed": 5}), tmp_path / "again")
    assert not [event for event in durations if "backend_compile" in event], "something was compiled again"
    other = dp.compare(small(**{"train.steps": 17}), tmp_path / "other")
    assert [event for event in durations if "backend_compile" in event], "the listener hears nothing"
    for run, count in ((first, 1), (again, 0), (other, 1)):
        assert [row["compiles"] for row in run.summary["programs"]] == [count, count]
    assert again.summary["cost"]["compile_seconds"] == 0


@pytest.mark.slow
def test_a_program_is_kept_for_its_config_alone(small, tmp_path):
    """Another loss, metric or float that is compiled in would run the program of the one before."""
    base = {"train.steps": 5, "study.searches": 2, "study.trials": 1, "study.tuning_seeds": 1}
    arms = {"plain": {}, "clipping": {"transforms.clip_by_global_norm": {"max_norm": 0.5}}}
    base["train.probes"] = []
    changes = [{}, {"loss": {"name": "multiclass_hinge"}}, {"optimizer.momentum": 0.5},
               {"study.metric": "cross_entropy"}]  # fmt: skip
    for number, change in enumerate(changes):
        try:
            run = dp.compare(small(arms=arms, **base, **change), tmp_path / str(number))
        except ConfigError as error:
            raise AssertionError(f"{change}: {error}") from error
        assert [row["compiles"] for row in run.summary["programs"]] == [1], change


def test_matmul_precision_reaches_the_program(small):
    """The option would be words: the program must ask the device for bfloat16 products with float32 sums."""
    found = {}
    for matmul in ("default", "bfloat16"):
        resolved = configs.resolve(small(**{"train.matmul": matmul}), from_config.KINDS, command="train")
        group = groups.group_arms([groups.arm_of("run", resolved)])[0]
        made = prepared_group.set_up(group, from_config.dataset(resolved), Train(**resolved["train"]), [2])
        found[matmul] = made.program.segment.as_text()
    assert "dot_bf16_bf16_f32" in found["bfloat16"] and "dot_bf16_bf16_f32" not in found["default"]


@pytest.mark.parametrize(
    ("lanes", "parallel", "width", "taken"), [(1, "map", 8, False), (2, "vmap", 8, True), (1, "map", 512, True)]
)
def test_products_of_rows_are_those_of_eigen(small, lanes, parallel, width, taken):
    """Lost: a twentieth of a study of MLPs. YNNPACK, which XLA chooses, is faster for batches and for wide layers."""
    changes = {"train.parallel": parallel, "model.width": width, "model.depth": 2}
    resolved = configs.resolve(small(**changes), from_config.KINDS, command="train")
    group = groups.group_arms([groups.arm_of("run", resolved)])[0]
    made = prepared_group.set_up(group, from_config.dataset(resolved), Train(**resolved["train"]), [lanes])
    assert ("__ynn_fusion" in made.program.segment.as_text()) == taken
