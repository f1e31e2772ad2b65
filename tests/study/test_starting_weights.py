"""Weights to begin from: a wrong or a half-read file would be compared as if it had been pretrained."""

import copy

import jax
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from torch import nn

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.analysis import probing
from deepprinciples.errors import ConfigError, DeepprinciplesError
from deepprinciples.interop import parameters
from deepprinciples.learners.assembly import from_config
from deepprinciples.runs import arrays, directory
from deepprinciples.study import execute
from deepprinciples.study.planning import program_cache, starting_weights
from deepprinciples.study.planning.plan import resolve

BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 6},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 4, "seed": 0},
    "study": {"metric": "accuracy", "searches": 1},
}
SHAPES = {"layer_00/linear/kernel": (13, 6), "layer_00/linear/bias": (6,), "output/kernel": (6, 3), "output/bias": (3,)}
STILL = {"all": {"match": "*", "learning_rate": 0.0}}  # so that a run ends with the weights that it began from


def own(path, seed=0, **changes):
    """Write a file in our naming and give its path and weights."""
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in {**SHAPES, **changes}.items()}
    save_file(weights, path)
    return str(path), weights


def config(start, **changes):
    return configs.changes(copy.deepcopy(BASE), {"model.start": start, **changes})


def ends(run, arm="", seed=0):
    """Give the weights that a run kept, by name."""
    return arrays.flat(parameters.kept(run.path, run.summary, arm=arm, seed=seed).params)


def same(found, expected):
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_file_of_ours_is_where_training_begins(tmp_path):
    """Lost: a run from given weights that begins from random ones."""
    path, weights = own(tmp_path / "a.safetensors")
    run = dp.train(config({"path": path}, groups=STILL), tmp_path / "run")
    assert same(ends(run), weights)


def test_a_file_of_pytorch_names_is_understood(tmp_path):
    """Lost: weights of the commonest kind, or transposed ones."""
    module = nn.ModuleDict({"layer_00": nn.Linear(13, 6), "output": nn.Linear(6, 3)})
    save_torch(module.state_dict(), tmp_path / "torch.safetensors")
    run = dp.train(config({"path": tmp_path / "torch.safetensors"}, groups=STILL), tmp_path / "run")
    found = ends(run)
    assert np.array_equal(found["layer_00/linear/kernel"], module["layer_00"].weight.detach().numpy().T)
    assert np.array_equal(found["output/bias"], module["output"].bias.detach().numpy())
    assert torch.equal(torch.tensor(found["output/kernel"]).T, module["output"].weight.detach())


def test_a_pattern_takes_the_backbone_and_leaves_a_head_of_another_shape(tmp_path):
    """Lost: fine-tuning, for every task that has other classes."""
    path, weights = own(tmp_path / "a.safetensors", **{"output/kernel": (6, 10), "output/bias": (10,)})
    frozen = {"backbone": {"match": "layer_*", "frozen": True}}
    run = dp.train(config({"path": path, "match": "layer_*"}, groups=frozen), tmp_path / "run")
    scratch = dp.train({**BASE, "groups": frozen}, tmp_path / "scratch")
    found, other = ends(run), ends(scratch)
    assert np.array_equal(found["layer_00/linear/kernel"], weights["layer_00/linear/kernel"])
    assert not np.array_equal(other["layer_00/linear/kernel"], weights["layer_00/linear/kernel"])
    assert found["output/kernel"].shape == (6, 3)


def test_seeds_begin_from_their_own_where_a_run_keeps_them(tmp_path):
    """Lost: pairs, when the second stage of a method continues the first."""
    first = dp.train(configs.changes(BASE, {"train.seeds": 2}), tmp_path / "first")
    second = dp.train(config({"path": first.path}, groups=STILL, **{"train.seeds": 3}), tmp_path / "second")
    for seed, begun in ((0, 0), (1, 1), (2, 0)):
        assert same(ends(second, seed=seed), ends(first, seed=begun))
    notes = [note for note in second.summary["warnings"] if "model.start" in note]
    assert len(notes) == 1 and "keeps no seed 2; such seeds begin from its seed 0" in notes[0]


def test_arms_begin_from_a_run_of_arms_and_from_scratch(tmp_path):
    """Lost: the comparison that pretraining is about."""
    arms = {"a": {}, "b": {"optimizer.learning_rate": 0.5}}
    first = dp.compare(configs.changes(BASE, {"study.keep": 1, "study.seeds": 2}) | {"arms": arms}, tmp_path / "first")
    second = {
        "pretrained": {"model.start": {"path": str(first.path), "arm": "b"}},
        "scratch": {},
    }
    still = configs.changes(BASE, {"study.keep": 1, "study.seeds": 2, "groups": STILL})
    run = dp.compare(still | {"arms": second}, tmp_path / "run")
    assert same(ends(run, "pretrained"), ends(first, "b")) and not same(ends(run, "scratch"), ends(first, "b"))


def test_two_files_are_one_program(tmp_path, monkeypatch):
    """Lost: a compilation for each file, and weights inside of programs."""
    made = []
    before = program_cache.compile_program
    monkeypatch.setattr(program_cache, "compile_program", lambda *a, **k: made.append(before(*a, **k)) or made[-1])
    runs = []
    for seed in (1, 2):
        monkeypatch.setattr(program_cache, "_kept", type(program_cache._kept)())
        path, weights = own(tmp_path / f"{seed}.safetensors", seed=seed)
        runs.append(dp.train(config({"path": path}, groups=STILL), tmp_path / f"run{seed}"))
        assert same(ends(runs[-1]), weights)
    assert len(made) == 2 and made[0].identity == made[1].identity
    kept = dp.train(config({"path": tmp_path / "1.safetensors"}, groups=STILL), tmp_path / "kept")
    assert len(made) == 2 and same(ends(kept), ends(runs[0]))


def test_a_resumed_run_begins_from_the_same_file_or_not_at_all(tmp_path):
    """Lost: a run whose halves began from different weights."""
    path, _ = own(tmp_path / "a.safetensors")
    before = execute.facts(resolve("train", config({"path": path})))
    assert before == execute.facts(resolve("train", config({"path": path})))
    own(tmp_path / "a.safetensors", seed=9)
    assert execute.facts(resolve("train", config({"path": path})))["start"] != before["start"]
    assert "start" not in execute.facts(resolve("train", BASE))


def test_more_seeds_of_a_comparison_begin_from_the_file_too(tmp_path):
    """Lost: bits of the seeds that were there, and the start of those that are new."""
    path, weights = own(tmp_path / "a.safetensors")
    arms = {"a": {}, "b": {"optimizer.learning_rate": 0.5}}
    given = config({"path": path}, **{"study.keep": 4, "study.seeds": 2, "groups": STILL}) | {"arms": arms}
    run = dp.compare(given, tmp_path / "run")
    scores = run.results.score.values
    more = dp.add_seeds(run.path, seeds=4)
    assert np.array_equal(more.results.score.values[:, :2], scores) and same(ends(more, "b", seed=3), weights)


BAD = {
    "no such file": ({"path": "none.safetensors"}, ["none.safetensors: cannot be read"]),
    "no path": ({"match": "*"}, ["model.start: found neither path and pretrained"]),
    "a wrong key": ({"path": "x", "mach": "*"}, ["model.start.mach: unknown key"]),
    "a wrong type": ({"path": 3}, ["model.start.path: expected a text, found 3"]),
    "a pattern for nothing": ({"path": "good", "match": "layr*"}, ['model.start.match: no parameter matches "layr*"']),
    "all mismatches": (
        {"path": "bad"},
        ['"output/kernel" has shape [6, 10], expected', '"output/bias" has shape [10]', '"extra" is no parameter'],
    ),
    "all names": ({"path": "empty"}, [f'"{name}" is missing' for name in SHAPES]),
    "no run": ({"path": "folder"}, ["folder"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_told_at_once_and_nothing_is_written(case, tmp_path):
    """Lost: an afternoon of one mismatch after the other, or a model that is half pretrained."""
    start, words = BAD[case]
    own(tmp_path / "good")
    own(tmp_path / "bad", **{"output/kernel": (6, 10), "output/bias": (10,), "extra": (2,)})
    save_file({"other": np.zeros(2, np.float32)}, tmp_path / "empty")
    (tmp_path / "folder").mkdir()
    if isinstance(start.get("path"), str):
        start = start | {"path": str(tmp_path / start["path"])}
    with pytest.raises(DeepprinciplesError) as caught:
        dp.train(config(start), tmp_path / "run")
    assert caught.value.exit_code in (2, 3) and not (tmp_path / "run").exists()
    assert all(any(word in line for line in str(caught.value).splitlines()) for word in words), str(caught.value)


def test_a_player_of_a_gan_cannot_begin_from_a_file(tmp_path):
    """Lost: a keyword that is read and then forgotten."""
    path, _ = own(tmp_path / "a.safetensors")
    player = {"name": "mlp", "depth": 1, "width": 4}
    given = {
        "data": {"name": "gaussian_ring"},
        "learner": {"name": "gan"},
        "generator": {"model": player, "optimizer": {"name": "adam"}},
        "discriminator": {"model": {**player, "start": {"path": path}}, "optimizer": {"name": "adam"}},
        "study": {"metric": "modes_covered"},
        "train": {"steps": 4},
    }
    with pytest.raises(ConfigError, match="discriminator.model.start: only"):
        dp.train(given, tmp_path / "run")


def test_a_probe_of_the_way_from_the_start_begins_at_the_given_weights(tmp_path):
    """Lost: distances of a pretrained run, measured from random weights that it never had."""
    path, _ = own(tmp_path / "a.safetensors")
    still = config({"path": path}, groups=STILL, **{"train.probes": ["travel"]})
    run = dp.train(still, tmp_path / "run")
    assert not np.any(run.results["distance"])
    prepared = resolve("train", configs.load(run.path / directory.CONFIG))
    kept = arrays.load_arrays(run.path / directory.PARAMETERS)
    subject = probing._subject(prepared.arms["run"].config, prepared.data["run"], kept, 16)
    params = jax.tree.map(lambda a: a[0], subject.params)
    begun = probing._seen(subject, params, np.uint32(0)).start()
    jax.tree.map(np.testing.assert_array_equal, begun, params)


BATCH = {"model.normalization": "batch"}
MEAN = "state/batch_stats/layer_00/norm/mean"
STATISTICS = {"layer_00/norm/scale": (6,), "layer_00/norm/bias": (6,), MEAN: (6,), MEAN.replace("mean", "var"): (6,)}


def state_of(run, arm="", seed=0):
    """Give the state that a run kept beside its weights, by name."""
    return arrays.flat(parameters.kept(run.path, run.summary, arm=arm, seed=seed).state)


@pytest.mark.parametrize("naming", ["own", "torch"])
def test_running_statistics_begin_where_the_file_has_them(naming, tmp_path):
    """Lost: a trained network that is judged, at first, with mean 0 and variance 1; 0.9^4 of a start is left."""
    path, weights = own(tmp_path / "a.safetensors", **STATISTICS)
    means = {}
    for number in (0.0, 5.0):
        if naming == "own":
            save_file({**weights, MEAN: np.full(6, number, np.float32)}, path)
        else:
            torch.manual_seed(0)
            module = nn.ModuleDict(
                {"layer_00": nn.Linear(13, 6), "norm_00": nn.BatchNorm1d(6), "output": nn.Linear(6, 3)}
            )
            module["norm_00"].running_mean.fill_(number)
            save_torch(module.state_dict(), path)
        run = dp.train(config({"path": path}, groups=STILL, **BATCH), tmp_path / f"{naming}-{number}")
        means[number] = state_of(run)[MEAN.removeprefix("state/")]
    np.testing.assert_allclose(means[5.0] - means[0.0], 5.0 * 0.9**4, rtol=1e-5)


def test_seeds_begin_from_the_statistics_of_their_own(tmp_path):
    """Lost: pairs, where a network goes on with the statistics of another seed's, or with none."""
    given = configs.changes(BASE, {"train.seeds": 2, **BATCH})
    first = dp.train(given, tmp_path / "first")
    begun = starting_weights.start_of(*_resolved(config({"path": str(first.path)}, **BATCH)))
    for seed, other in ((0, 0), (1, 1), (2, 0)):
        expected = {f"state/{name}": array for name, array in state_of(first, seed=other).items()}
        found = {name: array for name, array in begun.given(seed)["model.start"].items() if name.startswith("state/")}
        assert same(found, expected) and np.abs(found[MEAN]).max() > 0.01
    assert not same(state_of(first, seed=0), state_of(first, seed=1))


def test_a_pruned_run_gives_its_statistics_and_keeps_its_masks(tmp_path):
    """Lost: the start from a run whose state holds more than the model's, or an export with masks in it."""
    pruned = configs.changes(BASE, {"weights": {"prune": {"sparsity": 0.5}}, **BATCH})
    first = dp.train(pruned, tmp_path / "first")
    begun = starting_weights.start_of(*_resolved(config({"path": str(first.path)}, **BATCH)))
    file = dp.export_parameters(first.path, tmp_path / "out", naming="own")
    exported = arrays.load_flat(file.read_bytes(), file)
    assert sorted(begun.given(0)["model.start"]) == sorted(exported) == sorted({**SHAPES, **STATISTICS})
    np.testing.assert_array_equal(exported[MEAN], state_of(first)[MEAN.replace("state/", "model/")])


def _resolved(given):
    prepared = resolve("train", given)
    return prepared.arms["run"].config, prepared.data["run"]


def test_a_pattern_takes_the_statistics_of_the_layers_it_takes(tmp_path):
    """Lost: a backbone that is fine-tuned with fresh statistics, or one that cannot be taken without them."""
    path, weights = own(tmp_path / "a.safetensors", **STATISTICS)
    matched = lambda *patterns: starting_weights.start_of(
        *_resolved(config({"path": path, "match": list(patterns)}, **BATCH))
    ).given(0)["model.start"]  # fmt: skip
    assert same(matched("layer_00/*"), {name: leaf for name, leaf in weights.items() if "layer_00" in name})
    assert same(matched("*/mean", "*/var"), {name: leaf for name, leaf in weights.items() if name.startswith("state/")})
    assert "state/" not in str(matched("layer_00/linear/*", "*/scale"))


def test_weights_without_their_statistics_are_refused_at_once(tmp_path):
    """Lost: a network that was trained, and that begins with statistics of no data."""
    path, _ = own(tmp_path / "a.safetensors", **{name: (6,) for name in STATISTICS if "state" not in name})
    with pytest.raises(DeepprinciplesError) as caught:
        dp.train(config({"path": path}, **BATCH), tmp_path / "run")
    lines = str(caught.value).splitlines()
    assert [line.split('"')[1] for line in lines] == [MEAN, MEAN.replace("mean", "var")]
    assert all("is missing; expected float32 [6]" in line for line in lines) and not (tmp_path / "run").exists()


ACTING = {
    "learner": {
        "name": "policy_gradient", "environment": {"name": "grid_world", "size": 2}, "environments": 2, "rollout": 4,
        "minibatches": 1, "episodes": 1, "policy_scale": 0.01,
    },
    "model": BASE["model"],
    "optimizer": BASE["optimizer"],
    "groups": STILL,
    "train": {"steps": 1, "seeds": 2},
}  # fmt: skip
FOUR = np.eye(4, dtype=np.float32)


def test_an_actor_begins_from_what_a_network_learned_by_itself(tmp_path):
    """Lost: a clone that is improved by what it earns, one for each seed; its critic begins anew."""
    data = {"name": "examples", "inputs": np.tile(FOUR, (6, 1)), "targets": np.arange(24) % 4, "batch_size": 4}
    cloned = dp.train({**BASE, "data": data, "train": {"steps": 1, "seeds": 2}}, tmp_path / "cloned")
    started = configs.changes(ACTING, {"model.start": {"path": str(cloned.path), "to": "actor"}})
    run, fresh = dp.train(started, tmp_path / "run"), dp.train(ACTING, tmp_path / "fresh")
    again = dp.train(configs.changes(ACTING, {"model.start": {"path": str(run.path)}}), tmp_path / "again")
    for seed in (0, 1):
        found = ends(run, seed=seed)
        assert same(_below(found, "actor/"), ends(cloned, seed=seed))  # policy_scale is of what is drawn
        assert same(_below(found, "critic/"), _below(ends(fresh, seed=seed), "critic/"))
        assert same(ends(again, seed=seed), found)
    assert not same(ends(run, seed=0), ends(run, seed=1))


def test_an_actor_begins_with_its_statistics_too(tmp_path):
    """Lost: a clone that acts with mean 0 and variance 1; its critic begins anew."""
    data = {"name": "examples", "inputs": np.tile(FOUR, (6, 1)), "targets": np.arange(24) % 4, "batch_size": 4}
    cloned = dp.train(configs.changes(BASE, {**BATCH, "data": data, "train.steps": 1}), tmp_path / "cloned")
    acting = configs.changes(ACTING, BATCH)
    given = {"path": str(cloned.path), "to": "actor"}
    begun = starting_weights.start_of(*_resolved(configs.changes(acting, {"model.start": given})))
    found = begun.given(0)["model.start"]
    expected = {f"state/actor/{name}": array for name, array in state_of(cloned).items()}
    assert same({name: array for name, array in found.items() if name.startswith("state/")}, expected)
    learner = from_config.learner(
        from_config.replaced(resolve("train", acting).arms["run"].config, {"model.start": found}),
        cloned.model()[0].data,
    )
    kept = learner.init(jax.random.key(0)).model_state
    np.testing.assert_array_equal(kept["actor"]["batch_stats"]["layer_00"]["norm"]["mean"], found[ACTOR])
    assert not np.any(kept["critic"]["batch_stats"]["layer_00"]["norm"]["mean"])


ACTOR = MEAN.replace("state/", "state/actor/")


def _below(found, head):
    return {name.removeprefix(head): leaf for name, leaf in found.items() if name.startswith(head)}


def test_a_network_of_action_values_begins_from_a_file(tmp_path):
    """Lost: a start that is named, held against the network, and then forgotten."""
    shapes = {"layer_00/linear/kernel": (4, 6), "output/kernel": (6, 4), "output/bias": (4,)}
    path, weights = own(tmp_path / "a.safetensors", **shapes)
    learner = {**ACTING["learner"], "name": "q_learning", "capacity": 8, "minibatch": 2, "warmup": 1}
    learner = {key: value for key, value in learner.items() if key not in ("minibatches", "policy_scale")}
    run = dp.train(
        {**ACTING, "learner": learner, "model": {**BASE["model"], "start": {"path": path}}}, tmp_path / "run"
    )
    assert same(ends(run), weights)


@pytest.mark.parametrize(
    ("given", "to", "words"),
    [
        (ACTING, "acter", 'found "acter"; expected one of actor, critic.*did you mean "actor"'),
        (BASE, "actor", 'found "actor"; expected nothing: its learner has one network'),
        (ACTING, "actor", '"output/kernel" has shape'),
    ],
)
def test_a_network_that_there_is_not_is_refused(given, to, words, tmp_path):
    """Lost: weights that nothing begins from."""
    path, _ = own(tmp_path / "a.safetensors")
    with pytest.raises(DeepprinciplesError, match=words):
        dp.train(configs.changes(given, {"model.start": {"path": path, "to": to}}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
