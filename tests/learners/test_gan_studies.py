"""Games from a config: a lane is the run it stands for, every part of a game fits, what does not fit is told."""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.engine.lane import fit
from deepprinciples.engine.lane.evaluation import evaluate
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.gan.updates import EVALUATIONS
from deepprinciples.parts import penalties
from deepprinciples.parts.losses import gan_losses
from deepprinciples.parts.metrics import sample_metrics
from deepprinciples.parts.models import GENERATORS
from deepprinciples.parts.models.mlp import mlp
from deepprinciples.study.planning import groups, prepared_group
from deepprinciples.types import Batch

STEPS, BATCH, RATE, LATENT = 100, 8, 1e-2, 3
NET = {"name": "mlp", "depth": 1, "width": 6}


def config(changes=None, arms=None):
    """Give a small game on the ring; `changes` are dotted paths."""
    base = {
        "title": "Game",
        "data": {"name": "gaussian_ring", "size": 120, "batch_size": BATCH},
        "learner": {"name": "gan", "latent": LATENT},
        "generator": {"model": dict(NET), "optimizer": {"name": "sgd", "learning_rate": RATE}},
        "discriminator": {"model": dict(NET), "optimizer": {"name": "sgd", "learning_rate": RATE}},
        "train": {"steps": STEPS, "probes": ["players", "rotation", "gradient_norm"], "seeds": 2},
        "study": {"metric": "modes_covered", "trials": 2, "tuning_seeds": 1, "seeds": 2},
    }
    return configs.changes({**base, **({"arms": arms} if arms else {})}, changes or {})


def resolved(changes=None):
    return configs.resolve(config(changes), from_config.KINDS, command="train")


def fold(key, name):
    return jax.random.fold_in(key, zlib.crc32(name))


def by_hand(seed):
    """Play one lane in a Python loop: alternating descent on the non-saturating loss, keys from the recipe."""
    data = from_config.dataset(resolved())
    maker, judge = mlp(outputs=2, depth=1, width=6), mlp(outputs=1, depth=1, width=6)
    key = jax.random.key(seed, impl="threefry2x32")
    inputs = np.asarray(data.train.inputs)
    per_epoch, order = len(inputs) // BATCH, []
    for epoch in range(-(-STEPS // per_epoch)):
        bits = np.asarray(jax.random.bits(jax.random.fold_in(fold(key, b"order"), epoch), (len(inputs),)))
        order.extend(np.argsort(bits, kind="stable")[: per_epoch * BATCH].reshape(per_epoch, BATCH))
    g, _ = maker.init(fold(key, b"init"), jnp.zeros((1, LATENT)))
    d, _ = judge.init(fold(key, b"discriminator"), inputs[:1])
    noise = lambda k: jax.random.normal(fold(k, b"latent"), (BATCH, LATENT))
    make = lambda g, k: maker.apply(g, {}, noise(k), key=None, train=True)[0]
    ask = lambda d, x: judge.apply(d, {}, x, key=None, train=True)[0][:, 0]

    @jax.jit
    def step(g, d, x, now):
        k_d, k_g = jax.random.fold_in(fold(now, b"critic"), 0), fold(now, b"generator")
        told = lambda d: jnp.mean(jnp.log1p(jnp.exp(-ask(d, x))) + jnp.log1p(jnp.exp(ask(d, make(g, k_d)))))
        d = jax.tree.map(lambda p, v: p - RATE * v, d, jax.grad(told)(d))
        fooled = lambda g: jnp.mean(jnp.log1p(jnp.exp(-ask(d, make(g, k_g)))))
        return jax.tree.map(lambda p, v: p - RATE * v, g, jax.grad(fooled)(g)), d

    for t in range(STEPS):
        g, d = step(g, d, inputs[order[t]], jax.random.fold_in(fold(key, b"step"), t))
    return g, d


@functools.cache
def made(lanes):
    one = resolved()
    tune = {"generator.optimizer.learning_rate": {"low": 0.01, "high": 1.0}}
    group = groups.group_arms([groups.arm_of("run", one, tune)])[0]
    return prepared_group.set_up(group, from_config.dataset(one), Train(**one["train"]), [lanes])


def played(seeds, rates=(RATE,)):
    rows = [(seed, [{"generator.optimizer.learning_rate": rate}]) for rate in rates for seed in seeds]
    return prepared_group.train(made(4), rows, on_test=False, progress=lambda steps: None, keep_states=True)


@pytest.mark.slow
def test_a_lane_is_the_game_it_stands_for():
    """A study of games would compare something else than the methods it names."""
    states = played([3, 4, 5, 6]).states
    g, d = by_hand(5)
    lane = jax.tree.map(lambda a: a[2, 0], (states.generator.params, states.discriminator.params))
    for ours, theirs in zip(jax.tree.leaves(lane), jax.tree.leaves((g, d)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "bad", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow), pytest.param(1e30, marks=pytest.mark.slow)]
)
def test_a_lost_game_changes_no_bit_of_the_others(bad):
    """One bad rate would spoil a whole study of games."""
    good, spoiled = played([3, 4, 5, 6]), played([3, 4, 5, 6], rates=(bad, RATE))
    assert (spoiled.diverged_at[:4] >= 0).all() and (spoiled.diverged_at[4:] == -1).all()
    for a, b in zip(jax.tree.leaves(good.states), jax.tree.leaves(spoiled.states), strict=True):
        np.testing.assert_array_equal(a, b[4:])


def test_a_study_of_games_from_config_to_report(tmp_path):
    """A researcher would get no verdict, or a report without the samples."""
    arms = {
        "plain": {},
        "noise": {"learner.instance_noise": 0.1},
        "clipped": {"discriminator.transforms": {"clip_by_global_norm": {"max_norm": 0.1}}},
    }
    changes = {"train.steps": 12, "learner.snapshots": 20, "study.also": ["high_quality", "reverse_kl"],
               "train.probes": ["players", "rotation", "trigger_rate"]}  # fmt: skip
    tune = {"study.tune": {"discriminator.optimizer.learning_rate": {"low": 1e-3, "high": 1e-1, "scale": "log"}}}
    run = dp.compare(config({**changes, **tune}, arms), tmp_path / "run")
    assert [row["arms"] for row in run.summary["programs"]] == [["plain", "noise", "clipped"]]
    found = run.results
    assert found.samples.shape[-2:] == (20, 2) and found.interpolation.shape[-2:] == (8, 2)
    assert {"test_high_quality", "validation_reverse_kl", "rotation", "diversity", "critic_gap"} <= set(found.variables)
    assert list(found.transform.values) == ["discriminator.clip_by_global_norm"]
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "What was made" in report and "The two players" in report
    again = dp.compare(run.path / "config.toml", tmp_path / "again")
    assert again.summary["arms"] == run.summary["arms"]
    assert [row["compiles"] for row in again.summary["programs"]] == [0]


def test_a_trained_game_keeps_both_players(tmp_path):
    """Nobody could make samples, or score anomalies, after the run."""
    from deepprinciples.runs.arrays import load_arrays

    run = dp.train(config({"train.steps": 3, "train.probes": []}), tmp_path / "run")
    kept = load_arrays(run.path / "parameters.safetensors")
    assert set(kept) == {"seed-0", "seed-1"} and set(kept["seed-0"]) == {"generator", "discriminator"}


def steps_of(changes, data=None):
    """Take one step of a config on shapes alone."""
    one = resolved(changes)
    data = data or from_config.dataset(one)
    assert from_config.check(one, data) == []
    return from_config.learner(one, data)


PICTURES = {
    "data": {"name": "digits", "batch_size": 8},
    "study.metric": "sliced_wasserstein",
    "discriminator.model": {"name": "cnn", "normalization": "spectral"},
}
VARIANTS = [
    *({"learner.loss": {"name": name}} for name in gan_losses.TABLE),
    *({"discriminator.penalties": {name: {}}} for name in penalties.TABLE),
    *({"learner.update": update} for update in EVALUATIONS),
    *({"generator.model": {"name": name}, **PICTURES} for name in GENERATORS),
    {"learner.pac_size": 2, "learner.conditional": True, "learner.n_critic": 2},
    {"generator.model.normalization": "batch", "discriminator.model.dropout": 0.3},
    {"discriminator.model.minibatch_deviation": True, "learner.average": 0.9},
    {"generator.regularizers": {"l2": {}}, "discriminator.transforms": {"clip_by_global_norm": {"max_norm": 1.0}}},
]  # fmt: skip


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda c: " ".join(map(str, c.values()))[:60])
def test_every_part_of_a_game_fits(changes):
    """A loss, a penalty, a model or an order of updates from the list would fail when it is used."""
    assert steps_of(changes).evaluations >= 2


def test_a_conditional_generator_says_the_class_of_each_sample():
    """The report could not set the samples into rows of their classes."""
    asked = {**PICTURES, "learner.snapshots": 23}
    learner = steps_of({**asked, "learner.conditional": True})
    found = learner.snapshots(jax.jit(learner.init)(jax.random.key(0)))
    np.testing.assert_array_equal(found["sample_class"], np.arange(23) % 10)
    free = steps_of(asked)
    assert set(jax.eval_shape(lambda key: free.snapshots(free.init(key)), jax.random.key(0))) == set(found) - {
        "sample_class"
    }


@pytest.mark.slow
def test_every_metric_of_samples_can_judge_a_game():
    """A metric from the list would fail when it is used, or judge perfect samples badly."""
    first, *others = sorted(set(sample_metrics.TABLE) - {"modes_covered", "high_quality", "reverse_kl"})
    changes = {"data": {"name": "digits", "batch_size": 8}, "study.metric": {"name": first}, "study.also": others}
    digits = from_config.dataset(resolved(changes))
    learner = steps_of(changes, digits)
    state = jax.jit(learner.init)(jax.random.key(0))
    batches = Batch(digits.test.inputs[None, :64], digits.test.targets[None, :64])
    found = jax.jit(lambda *given: evaluate(learner, *given))(
        fit.Lane(state, -1), batches, np.ones((1, 64), np.float32)
    )
    assert set(found) >= {first, *others, "loss"} and all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study.metric": "accuracy"}, r"study\.metric: accuracy measures answers, but the learner makes samples"),
        ({"learner.update": "simultaneous", "learner.n_critic": 2},
         r"learner\.n_critic: 2 needs learner\.update = alternating"),
        ({"learner.n_critic": 3}, r"data\.batch_size: 8 is no multiple of n_critic x pac_size = 3"),
        ({"learner.latent": 0}, r"learner\.latent: found 0, expected at least 1"),
        ({"learner.loss": "hinges"}, r"learner\.loss\.name: no gan loss \"hinges\"; did you mean \"hinge\"\?"),
        ({"data": {"name": "diabetes"}, "learner.conditional": True, "study.metric": "sliced_wasserstein"},
         r"learner\.conditional: needs class labels"),
        ({"data": {"name": "digits"}}, r"study\.metric: modes_covered needs data whose modes are known"),
        ({"data": {"name": "diabetes"}, "study.metric": "coverage"}, r"study\.metric: coverage needs class labels"),
        ({"study.also": ["precisions"]}, r"study\.also: no metric 'precisions'; did you mean \"precision\"\?"),
        ({"model": NET}, r"model: unknown key \(a config with learner gan takes: title, data, generator"),
        ({"generator.modle": NET}, r"generator\.modle: unknown key; did you mean \"model\"\?"),
        ({"generator.model": {"name": "resize_cnn"}}, r"resize_cnn\.shape: found \(2,\)"),
        ({"discriminator.regularizers": {"mixup": {}}},
         r"discriminator\.regularizers\.mixup: .* it is of the kind augment"),
        ({"generator.regularizers": {"jacobian": {}}}, r"generator\.regularizers\.jacobian: .*; a GAN has penalties"),
        ({"discriminator.model.lsuv": True}, r"discriminator\.model\.lsuv: needs a batch to start with"),
        ({"data": {"name": "copy_memory"}, "study.metric": "sliced_wasserstein"}, r"the inputs are token ids"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_one_line(changes, words, tmp_path):
    """A traceback from deep inside, or a game that means nothing."""
    with pytest.raises(ConfigError, match=words):
        dp.train(config(changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_floats_of_a_game_may_be_swept():
    """A knob of the game could not be tuned."""
    known = configs.allowed_ranges(resolved({"discriminator.penalties": {"r1": {}}}), from_config.KINDS)
    asked = {"learner.instance_noise", "learner.average", "learner.weight_clip", "learner.consensus",
             "learner.loss.real_smoothing", "generator.optimizer.learning_rate",
             "discriminator.penalties.r1.strength"}  # fmt: skip
    assert asked <= set(known) and "learner.latent" not in known


@pytest.mark.slow
def test_features_are_those_of_a_classifier_of_these_data():
    """Distances would be measured in random features: the classes must lie apart in them."""
    from deepprinciples.learners.features import features_of

    data = from_config.dataset(resolved({"data": {"name": "digits", "batch_size": 8}}))
    features = features_of(data)
    again = from_config.dataset(resolved({"data": {"name": "digits", "batch_size": 8}}))
    assert features_of(again) is features and again.train.inputs is not data.train.inputs
    from sklearn.neighbors import KNeighborsClassifier

    train, test = (np.asarray(features(part.inputs)) for part in (data.train, data.test))
    assert train.shape[1] == 64
    assert KNeighborsClassifier(5).fit(train, data.train.targets).score(test, data.test.targets) > 0.95


def test_features_may_be_asked_for_while_a_program_is_traced():
    """The first compiled evaluation would fail, or hold another program's tracers for ever."""
    from deepprinciples.learners import features

    data = from_config.dataset(resolved({"data": {"name": "wine", "batch_size": 8}}))
    inside = jax.jit(lambda x: features.features_of(data)(x))(data.test.inputs)
    np.testing.assert_allclose(inside, features.features_of(data)(data.test.inputs), rtol=1e-5, atol=1e-5)
