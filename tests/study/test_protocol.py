"""What makes a verdict honest: fresh seeds, one look at the test split, pairs, and lost lanes that count as lost."""

import threading
import time

import numpy as np
import pytest

from deepprinciples import config as configs
from deepprinciples.config.settings import Study, Train
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts import metrics
from deepprinciples.results import layout
from deepprinciples.results.summary import summarize
from deepprinciples.stats import verdicts
from deepprinciples.study import protocol
from deepprinciples.study.planning import plan, prepared_group
from deepprinciples.study.planning.groups import Group

RATE = "optimizer.learning_rate"
TWO = {"plain": {}, "clipping": {"transforms.clip_by_global_norm": {"max_norm": 0.5}}}


def judged(finished, config):
    """Give the verdicts of a finished study."""
    resolved = configs.resolve(config, from_config.KINDS)
    metric = from_config.metric_name(resolved)
    found = layout.dataset(finished, metric=metric, higher_is_better=from_config.higher_is_better(resolved), title="")
    return summarize(
        finished,
        found,
        study=Study(**resolved["study"]),
        steps=20,
        bound=metrics.TABLE[metric].worst,
        kind="compare",
        changes={},
        notes=[],
    )


def data_of(config):
    return plan.resolve("compare", config).data


@pytest.mark.parametrize("first", [0, 7, 2**31, 2**32 - 1])
def test_seeds_that_report_were_never_tuned_on(first):
    """The winner would be judged on the runs that made it win."""
    study = Study(searches=50, seeds=20, tuning_seeds=4)
    report, block, search = plan.seeds_of(Train(seed=first), study, arms=2, tuned=True)
    tuning = [seed for one in search for seed in one]
    assert len(set(report)) == 1000 and len(search) == 50 and len(set(tuning)) == 200
    assert block == [k // 20 for k in range(1000)], "the seeds of a search are not one block"
    assert not set(report) & set(tuning)
    assert all(0 <= seed < 2**32 for seed in report + tuning)


def test_more_searches_leave_those_before_them_as_they_are():
    """Adding seeds would change the runs that are there."""
    few, many = (plan.seeds_of(Train(), Study(searches=n), arms=2, tuned=True) for n in (6, 9))
    assert many[0][:18] == few[0] and many[1][:18] == few[1] and many[2][:6] == few[2]


def test_without_tuning_every_seed_is_a_block():
    """An untuned study would have the seeds of searches that it does not make."""
    assert plan.seeds_of(Train(), Study(seeds=6), arms=2, tuned=False) == (
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
        [],
    )
    assert len(plan.seeds_of(Train(), Study(), arms=2, tuned=False)[0]) == 30
    assert len(plan.seeds_of(Train(), Study(), arms=2, tuned=True)[0]) == 10 * 3


def test_a_run_of_one_arm_has_the_seeds_it_asks_for():
    """`train` would run the thirty seeds of a study."""
    assert plan.seeds_of(Train(seed=5, seeds=2), Study(), arms=1, tuned=False)[0] == [5, 6]


def test_the_study_ran_on_the_seeds_it_says(study):
    """The manifest would name other seeds than those that ran."""
    found = study.results
    assert found.seed.values.tolist() == study.manifest["seeds"] == list(range(7))
    assert (
        found.tuning_seed.values.reshape(-1).tolist()
        == study.manifest["tuning_seeds"]
        == list(range(2**31, 2**31 + 14))
    )


def test_tuning_never_sees_the_test_split(small, finish, monkeypatch):
    """The reported score would have been selected for: with a poisoned test split the search must not change by a bit.

    And the test split is evaluated once for each call of reporting lanes, after training, and for no other lane.
    """
    config = small(arms=TWO, **{"train.probes": [], "study.searches": 2})
    data = data_of(config)
    asked = []
    whole = prepared_group.run

    def watched(program, blocks, **keywords):
        asked.append(([block.seed for block in blocks], bool(keywords["judges"])))
        assert all(keywords["curve"] is not one for one in keywords["judges"].values())
        return whole(program, blocks, **keywords)

    monkeypatch.setattr(prepared_group, "run", watched)
    clean = finish(config, data)
    one = data["plain"]
    flipped = one._replace(test=one.test._replace(targets=(one.test.targets + 1) % one.outputs))
    poisoned = finish(config, dict.fromkeys(data, flipped))
    for arm in TWO:
        for one, other in zip(clean.searches[arm], poisoned.searches[arm], strict=True):
            np.testing.assert_array_equal(one.scores, other.scores)
            assert one.chosen == other.chosen
        np.testing.assert_array_equal(clean.outcomes[arm].curves["accuracy"], poisoned.outcomes[arm].curves["accuracy"])
        assert np.all(clean.outcomes[arm].final["accuracy"] != poisoned.outcomes[arm].final["accuracy"])
    assert [judge for _, judge in asked] == [False, True] * 2
    for seeds, judge in asked:
        assert set(seeds) == ({0, 1} if judge else {2**31, 2**31 + 1, 2**31 + 2, 2**31 + 3})


def test_the_test_score_is_the_test_splits(small, finish):
    """The validation score would be reported as the test score: a test split of five examples scores in fifths."""
    config = small(
        arms={"a": {}, "b": {"optimizer.momentum": 0.5}}, **{"train.probes": [], "study.seeds": 2, "train.steps": 1}
    )
    config["study"]["tune"] = {}
    data = data_of(config)
    one = data["a"]
    test = one.test._replace(inputs=one.validation.inputs[:5], targets=one.validation.targets[:5])
    finished = finish(config, dict.fromkeys(data, one._replace(test=test)))
    for outcome in finished.outcomes.values():
        fifths = 5 * outcome.final["accuracy"]
        np.testing.assert_allclose(fifths, np.round(fifths), atol=1e-5)


def test_pairs_share_weights_and_batches(small, finish):
    """Differences would carry the noise of two draws: at step 0 every arm has the same loss."""
    arms = {
        "plain": {},
        "faster": {RATE: 0.5},
        "tanh": {"model.activation": "tanh"},
        "fast tanh": {RATE: 0.5, "model.activation": "tanh"},
    }
    config = small(arms=arms, **{"train.probes": [], "train.probe_every": 1, "train.steps": 3, "study.seeds": 4})
    config["study"]["tune"] = {}
    finished = finish(config)
    first = {arm: outcome.logs["train_loss"][:, 0] for arm, outcome in finished.outcomes.items()}
    np.testing.assert_array_equal(first["plain"], first["faster"])
    np.testing.assert_array_equal(first["tanh"], first["fast tanh"])
    assert len(set(first["plain"])) == 4
    later = {arm: outcome.logs["train_loss"][:, 2] for arm, outcome in finished.outcomes.items()}
    assert np.all(later["plain"] != later["faster"])


def test_identical_arms_come_out_even(small, finish):
    """The tool would find differences where there are none: paired, every difference is exactly 0."""
    config = small(arms={"one": {}, "two": {}, "three": {}}, **{"train.probes": [], "study.comparisons": "all"})
    config["study"]["trials"] = 2
    summary = judged(finish(config), config)
    assert len(summary["comparisons"]) == 3 and len(summary["programs"]) == 1
    for row in summary["comparisons"]:
        assert row["difference"] == 0 and row["interval"] == [0, 0]
        assert row["probability"] == 0.5 and row["p"] == 1 and row["verdict"] == "no evidence"


@pytest.fixture(scope="module")
def broad(small, finish):
    """Eighty seeds of four arms in one program: plain, the same again, almost the same, and one that explodes."""
    arms = {"plain": {}, "again": {}, "almost": {RATE: 0.1001}, "exploding": {RATE: 1e30}}
    config = small(arms, **{"train.probes": [], "study.seeds": 80})
    config["study"]["tune"] = {}
    return config, finish(config)


def test_identical_arms_on_other_seeds_come_out_even(broad):
    """False alarms beyond the five in a hundred allowed: identical arms, no pairs, 40 studies of 8 seeds."""
    scores = broad[1].outcomes["plain"].final["loss"]
    np.testing.assert_array_equal(scores, broad[1].outcomes["again"].final["loss"])
    assert len(set(scores)) == 80
    order = np.random.RandomState(0)
    alarms = 0
    for _ in range(40):
        drawn = order.permutation(scores)[:16].reshape(2, 8)
        row = verdicts.compare(drawn, np.zeros((2, 8), bool), ["one", "two"], pairs=[(1, 0)], higher_is_better=False)[0]
        alarms += row["verdict"] in ("better", "worse")
    assert alarms <= 6  # binomial(40, 0.05): more than 6 in one of 200


def test_a_diverged_lane_counts_as_the_worst(broad):
    """An arm that explodes half the time would be judged by the half that lived."""
    config, finished = broad
    assert np.all(finished.outcomes["exploding"].diverged_at >= 0)
    assert np.all(finished.outcomes["plain"].diverged_at == -1)
    summary = judged(finished, config)
    arms = {row["name"]: row for row in summary["arms"]}
    lost = arms["exploding"]
    assert (lost["mean"], lost["diverged"], lost["n"]) == (0.0, 80, 80) and arms["plain"]["diverged"] == 0
    row = next(row for row in summary["comparisons"] if row["a"] == "exploding")
    assert row["verdict"] == "worse" and row["diverged"] == {"a": 80, "b": 0}
    np.testing.assert_allclose(row["difference"], -arms["plain"]["mean"], rtol=1e-6)
    assert any("exploding" in warning and "diverged" in warning for warning in summary["warnings"])


def test_equivalence_is_found_where_a_margin_is_given(broad):
    """`equivalence_margin` would be ignored, and two equal methods could never be called equal."""
    config, finished = broad
    verdicts = {}
    for equivalence_margin in (0.0, 0.5):
        changed = {**config, "study": {**config["study"], "equivalence_margin": equivalence_margin}}
        verdicts[equivalence_margin] = {row["a"]: row["verdict"] for row in judged(finished, changed)["comparisons"]}
    assert verdicts[0.0]["almost"] == verdicts[0.0]["again"] == "no evidence"
    assert verdicts[0.5]["almost"] == verdicts[0.5]["again"] == "equivalent"
    assert verdicts[0.5]["exploding"] == "worse"


def test_a_diverged_trial_is_never_chosen(small, finish):
    """A setting that explodes would win by the score it had before.

    The progress must add up to what was announced too, though the search may stop before its last extension.
    """
    config = small(arms=TWO, **{"train.probes": [], "study.searches": 3, "study.trials": 8, "study.widen_rounds": 1})
    config["study"]["tune"] = {RATE: {"low": 1e-2, "high": 1e24, "scale": "log"}}
    told = {"total": 0, "done": 0}
    progress = protocol.Progress(
        begin=lambda total: told.update(total=total), advance=lambda steps: told.update(done=told["done"] + steps)
    )
    for searches in finish(config, progress=progress).searches.values():
        for search in searches:
            lost = (search.diverged_at >= 0).any(axis=1)
            assert 0 < lost.sum() < len(lost) and not lost[search.best]
    assert told["done"] == told["total"] > 0


def test_programs_compile_side_by_side_and_one_is_measured_alone(monkeypatch):
    """Cores would wait while one program after another compiles, or a shape be chosen on a busy machine.

    The first has the machine for itself, since its lanes then run the sooner.
    """
    together, begun, done, quiet = threading.Barrier(2), [], [], []

    def set_up(group, *needs):
        begun.append(group.arms[0])
        if group.arms[0] in "bc":
            together.wait(timeout=30)  # breaks where the other is not there at the same time
        time.sleep(0.05)
        assert group.arms[0] != "a" or begun == ["a"]
        done.append(group.arms[0])
        return group

    def calibrated(made, *needs, alone):
        alone()
        quiet.append((made.arms[0], sorted(done)))
        return made

    monkeypatch.setattr(protocol.os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(protocol.prepared_group, "set_up", set_up)
    monkeypatch.setattr(protocol.prepared_group, "calibrated", calibrated)
    groups = [Group((name,), {}, (), ({},)) for name in "abc"]
    yielded = [group.arms[0] for group, _ in protocol._compiled(groups, lambda group: (), protocol.Progress())]
    assert yielded == ["a", "b", "c"]
    assert quiet == [("a", ["a"]), ("b", ["a", "b", "c"]), ("c", ["a", "b", "c"])]
