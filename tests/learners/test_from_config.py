"""Where a config becomes a learner, and where what does not fit together is found before anything runs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.errors import ConfigError
from deepprinciples.learners import TABLES
from deepprinciples.learners.assembly import from_config

RANDOM = np.random.RandomState(0)
DATA = {
    "images": {"inputs": RANDOM.randn(30, 4, 4, 1).astype(np.float32), "targets": np.arange(30) % 3},
    "table": {"inputs": RANDOM.randn(30, 4).astype(np.float32), "targets": np.arange(30) % 3},
    "regression": {"inputs": RANDOM.randn(30, 4).astype(np.float32), "targets": RANDOM.randn(30), "task": "regression"},
}


def resolved(data, **changes):
    config = {
        "data": {"name": "arrays", "batch_size": 8, **DATA[data]},
        "model": {"name": "mlp", "depth": 1, "width": 4},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"steps": 10},
    }
    return configs.resolve(configs.changes(config, changes), from_config.KINDS)


def problems(data, **changes):
    config = resolved(data, **changes)
    return from_config.check(config, from_config.dataset(config))


def test_what_fits_has_no_problems():
    """A good config would be refused."""
    assert problems("table") == []
    assert problems("images", model={"name": "cnn", "depth": 1, "width": 2}) == []
    assert problems("regression", loss="mse", **{"study.metric": "mae"}) == []


def test_a_map_need_not_be_halved():
    """What the card of cnn offers would be refused; a resnet without a stage has no block."""
    bare = {"depth": 1, "width": 2, "stages": 0}
    assert problems("images", model={"name": "cnn", **bare}) == []
    with pytest.raises(ConfigError, match=r"resnet.stages: found 0; expected at least 1, which never halves the map"):
        problems("images", model={"name": "resnet", "blocks": 1, "width": 2, "stages": 0})


@pytest.mark.parametrize(
    ("data", "changes", "path"),
    [
        ("images", {"model": {"name": "lstm", "depth": 1, "width": 4}}, "model"),
        ("table", {"model": {"name": "cnn", "depth": 1, "width": 2}}, "model"),
        ("table", {"model": {"name": "resnet", "blocks": 1, "width": 2}}, "model"),
    ],
)
def test_a_model_that_cannot_take_the_data_is_one_line(data, changes, path):
    """A user would get a page of traceback from inside a layer."""
    (line,) = problems(data, **changes)
    assert line.startswith(path) and "\n" not in line and len(line) < 400


def test_a_loss_and_a_metric_that_cannot_take_the_targets_are_told_together():
    """A user would mend one error only to meet the next."""
    found = problems("regression", **{"study.metric": "accuracy"})
    assert len(found) == 2 and all("\n" not in line for line in found)
    assert found[0].startswith("loss") and found[1].startswith("study.metric")


CLASSES = "needs class labels, but data.name 'arrays' has "
BINARY, ONE_HOT = (np.arange(30) % 2).astype(float), np.eye(3)[DATA["table"]["targets"]]


CHECKED = {n for kind in ("loss", "metric", "augment") for n, f in TABLES[kind].items() if hasattr(f, "targets")}


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_what_needs_classes_is_refused_for_real_targets(name):
    """A loss that is 0 everywhere trains nothing, and a smoothed real target is only shifted, without a word."""
    kind = next(kind for kind in ("loss", "metric", "augment") if name in TABLES[kind])
    changes = {
        "loss": {"loss": name, "study.metric": "mse"},
        "metric": {"loss": "mse", "study.metric": name},
        "augment": {"loss": "mse", "study.metric": "mse", f"augment.{name}": {}},
    }[kind]
    (line,) = problems("regression", **changes)
    assert f"{name} {CLASSES}real-valued targets" in line
    assert line.startswith({"metric": "study.metric.name: "}.get(kind, kind))


@pytest.mark.parametrize(("name", "targets", "fits"), [
    ("softmax_cross_entropy", BINARY, False), ("brier", BINARY, False), ("label_smoothing", BINARY, False),
    ("sigmoid_binary_cross_entropy", BINARY, True), ("accuracy", BINARY, True), ("mixup", BINARY, True),
    ("softmax_cross_entropy", np.stack([BINARY, 1 - BINARY], 1), True), ("label_smoothing", ONE_HOT, True),
    ("softmax_cross_entropy", np.ones((30, 2)), False), ("sigmoid_binary_cross_entropy", np.ones((30, 2)), True),
])  # fmt: skip
def test_probabilities_and_yes_or_no_are_no_real_targets(name, targets, fits):
    """Soft labels, and answers of 0 and 1, would be refused; or one answer be scored by a softmax, always 1."""
    loss = "sigmoid_binary_cross_entropy" if targets is BINARY else "mse"
    edits = {"loss": loss, "study.metric": "mse", "data.targets": targets, "data.standardize": False}
    kind = next(kind for kind in ("loss", "metric", "augment") if name in TABLES[kind])
    edits |= {"loss": {"loss": name}, "metric": {"study.metric": name}, "augment": {f"augment.{name}": {}}}[kind]
    found = problems("regression", **edits)
    assert found == [] if fits else f"{CLASSES}targets from 0 to 1 that are no probabilities" in found[0]


def test_answers_of_0_and_1_say_what_to_do():
    """A user would not find out how to train a yes-or-no answer with a sigmoid."""
    (line,) = problems("table", loss="sigmoid_binary_cross_entropy")
    assert "answers yes or no, but data.name 'arrays' has 3 classes, and the model 3 outputs; use softmax" in line
    changes = {"loss": "sigmoid_binary_cross_entropy", "study.metric": "mse", "data.targets": BINARY}
    (line,) = problems("regression", **changes)
    assert "two target values that were standardized; set data.standardize = false" in line


def test_sequences_of_padding_only_are_refused():
    """The mean over no step is NaN, and the loss with it."""
    tokens = RANDOM.randint(1, 5, (30, 6))
    tokens[4:7] = 0
    model = {"name": "lstm", "depth": 1, "width": 4, "padding": 0}
    edits = {"data.inputs": tokens, "data.tokens": 5, "model": model}
    found = problems("table", **edits)
    assert found and all("sequences of the" in line and "nothing but padding (id 0)" in line for line in found)
    assert problems("table", **{**edits, "data.inputs": np.maximum(tokens, 1)}) == []


def test_a_start_that_fits_the_data_has_a_program_of_its_own():
    """The second run would start from weights fitted to the first one's data."""
    for lsuv, count in ((True, 8), (False, 1)):
        config = resolved("images", **{"model.lsuv": lsuv})
        parts = from_config.dataset(config)
        np.testing.assert_array_equal(from_config.example_of(config, parts).inputs, parts.train.inputs[:count])


def test_all_arms_are_checked_at_once(tmp_path):
    """The second broken arm would be found after the first one is mended; and nothing may have been written."""
    table = {"data.inputs": DATA["table"]["inputs"], "model": {"name": "cnn"}}
    config = {
        "data": {"name": "arrays", "batch_size": 8, **DATA["images"]},
        "model": {"name": "mlp", "depth": 1},
        "loss": {"name": "softmax_cross_entropy"},
        "optimizer": {"name": "sgd"},
        "train": {"steps": 5},
        "arms": {"fine": {}, "sequence": {"model": {"name": "lstm"}}, "table": table},
    }
    with pytest.raises(ConfigError) as caught:
        dp.compare(config, tmp_path / "run")
    lines = caught.value.problems
    assert len(lines) == 2
    assert lines[0].startswith("arms.sequence: ") and lines[1].startswith("arms.table: ")
    assert not (tmp_path / "run").exists()


def test_replaced_changes_the_leaf_and_not_the_original():
    """A lane's setting would leak into the config of others."""
    config = {"a": {"b": {"c": 1.0, "d": 2.0}}, "e": {"f": 3.0}}
    changed = from_config.replaced(config, {"a.b.c": 9.0, "e.f": 8.0})
    assert changed == {"a": {"b": {"c": 9.0, "d": 2.0}}, "e": {"f": 8.0}}
    assert config == {"a": {"b": {"c": 1.0, "d": 2.0}}, "e": {"f": 3.0}}


def test_the_chain_runs_in_the_order_of_the_config():
    """Scaling before clipping is another method than after it: by hand on a gradient of norm 5."""
    grads, params = {"w": jnp.array([3.0, 4.0])}, {"w": jnp.zeros(2)}
    clip, scale = {"clip_by_global_norm": {"max_norm": 1.0}}, {"scale": {"factor": 10.0}}
    for links, expected in ((clip | scale, [-0.6, -0.8]), (scale | clip, [-0.06, -0.08])):
        config = resolved("table", transforms=links)
        made = from_config.chain(config, 10)
        updates, _ = made.update(grads, made.init(params), params, key=jax.random.key(0), value=jnp.zeros(()))
        np.testing.assert_allclose(updates["w"], expected, rtol=1e-6)


def test_the_schedule_shapes_the_learning_rate_over_the_whole_run():
    """A schedule would end early or never: cosine from the full rate to (almost) nothing over `train.steps`."""
    config = resolved("table", schedule={"name": "cosine"}, **{"optimizer.learning_rate": 0.5})
    made, params = from_config.chain(config, 10), {"w": jnp.zeros(1)}
    state, rates = made.init(params), []
    for _ in range(10):
        updates, state = made.update({"w": jnp.ones(1)}, state, params, key=jax.random.key(0), value=jnp.zeros(()))
        rates.append(-float(updates["w"][0]))
    np.testing.assert_allclose(rates, 0.25 * (1 + np.cos(np.pi * np.arange(10) / 10)), rtol=1e-5, atol=1e-7)


def test_penalties_join_the_objective_and_not_the_reported_loss():
    """A penalized arm would look worse than it fits, or not be penalized at all."""
    data = from_config.dataset(resolved("table"))
    batch = from_config.splits(data)["train"]
    seen = {}
    for strength in (0.0, 0.7):
        learner = from_config.learner(resolved("table", **{"regularizers.l2": {"strength": strength}}), data)
        state = learner.init(jax.random.key(0))
        _, seen[strength] = jax.jit(lambda s, learner=learner: _plain(learner.step(s, batch, jax.random.key(1))))(state)
    plain, penalized = seen[0.0], seen[0.7]
    assert plain.loss == penalized.loss
    extra = jax.tree.map(lambda a, b: a - b, penalized.grads, plain.grads)
    kernels = [(e, p) for e, p in zip(jax.tree.leaves(extra), jax.tree.leaves(plain.params), strict=True) if p.ndim > 1]
    ratio = [np.median(np.asarray(e / p)) for e, p in kernels]
    assert kernels and ratio[0] > 0.3 and np.allclose(ratio, ratio[0], rtol=1e-3), (
        "the gradient of l2 is along the weights"
    )


def test_penalties_on_activations_and_slopes_join_the_objective():
    """An arm with one of them would train as without; or the slope be that of another mask than the loss."""
    data = from_config.dataset(resolved("table"))
    batch = from_config.splits(data)["train"]
    model = {"name": "mlp", "depth": 1, "width": 4, "activation": "tanh", "dropout": 0.3}
    seen = {}
    for name in ("none", "activation_l2", "jacobian"):
        chosen = {} if name == "none" else {f"regularizers.{name}": {"strength": 0.7}}
        learner = from_config.learner(resolved("table", model=model, **chosen), data)
        state = learner.init(jax.random.key(0))
        _, seen[name] = jax.jit(lambda s, learner=learner: _plain(learner.step(s, batch, jax.random.key(1))))(state)
    plain = seen.pop("none")
    for name, info in seen.items():
        assert info.loss == plain.loss
        extra = jax.tree.map(lambda a, b: a - b, info.grads, plain.grads)
        below, above = extra["layer_00"]["linear"]["kernel"], extra["output"]["kernel"]
        assert np.abs(below).max() > 1e-3
        assert (np.abs(above).max() > 1e-3) == (name == "jacobian"), "hidden activations do not know the outputs"
        bias = np.asarray(extra["output"]["bias"])
        np.testing.assert_allclose(bias, np.zeros(3), atol=1e-6)


def _plain(result):
    state, info = result
    return state, info._replace(activation_grads=None, measures=None, gradient=None, objective=None, forward=None)


def test_a_metric_of_your_own_needs_a_direction_only_if_lower_is_not_better(small):
    """A study would crown the worst arm."""
    base = configs.resolve(small(), from_config.KINDS)
    assert from_config.higher_is_better(base)
    for direction, higher in (("min", False), ("max", True)):
        assert (
            from_config.higher_is_better(configs.resolve(small(**{"study.direction": direction}), from_config.KINDS))
            is higher
        )
    assert not from_config.higher_is_better(configs.resolve(small(**{"study.metric": "error_rate"}), from_config.KINDS))


def test_only_plain_gradient_descent_has_an_edge_of_stability():
    """Lost: the line in the figure of sharpness; SAM turns back far below 2 / rate, and no line would be right."""
    assert from_config.stability_edge(resolved("table")) == pytest.approx(2.0 / 0.1)
    momentum = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    assert from_config.stability_edge(resolved("table", optimizer=momentum)) == pytest.approx(2.0 * 1.9 / 0.1)
    ahead = momentum | {"nesterov": True}
    assert from_config.stability_edge(resolved("table", optimizer=ahead)) == pytest.approx(2.0 * 1.9 / (2.8 * 0.1))
    for changes in ({"gradient": "sam"}, {"optimizer": {"name": "adam"}}, {"schedule": "cosine"}):
        assert from_config.stability_edge(resolved("table", **changes)) is None
    assert from_config.stability_edge(resolved("table", transforms={"clip_by_global_norm": {}})) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"data.batch_size": 1, "model.normalization": "batch"},
        {"data.batch_size": 2, "model.normalization": "batch"},
        {"gradient": {"name": "microbatches", "count": 8}, "model.normalization": "batch"},
        {"gradient": {"name": "pcgrad", "tasks": 8}, "model.normalization": "batch"},
        {"model.normalization": "ghost", "model.ghost_size": 1},
    ],
)
def test_statistics_of_one_example_are_refused(changes):
    """Lost: batch normalization over one example: all before it gets a gradient of 0, without a word."""
    found = problems("table", **changes)
    assert len(found) == 1 and "normalization over" in found[0] and "raise data.batch_size" in found[0], found


def test_probes_of_single_examples_leave_batch_normalization_alone():
    """Lost: all probes at once for a network with batch normalization, or numbers of examples that it has not seen."""
    changes = {"model.normalization": "batch", "train.probes": ["full"]}
    assert problems("table", **changes) == []
    config = resolved("table", **changes)
    data = from_config.dataset(config)
    made, batch = from_config.learner(config, data), from_config.splits(data)["train"]
    start = lambda: made.step(made.init(jax.random.key(0)), batch, jax.random.key(1))[1]
    found = jax.eval_shape(lambda: from_config.probe(config)(start()))
    assert "hessian_trace" in found and "step_cosine" in found
    assert not {"noise_scale", "takeuchi"} & set(found)


class Switched(nn.Module):
    """Two layers with dropout between them, whose switch a test hides or names."""

    rate: float
    outputs: int
    frozen: bool = True

    @nn.compact
    def __call__(self, x, quiet: bool = True):
        x = nn.BatchNorm(use_running_average=quiet)(x) if self.frozen else x
        return nn.Dense(self.outputs)(nn.Dropout(self.rate, deterministic=quiet)(nn.relu(nn.Dense(8)(x))))


def test_a_module_that_never_switches_is_refused_before_training():
    """Lost: dropout of 0.9 that changes no bit, and no word of it."""

    def net(*, rate: float = 0.0, outputs: int):
        return Switched(rate, outputs, rate == 0.0)

    factory = {"factory": net}
    assert problems("table", model={**factory, "rate": 0.9}) == [
        "model.factory: does not fit data.name 'arrays': Dropout Dropout_0 stays off in training; expected a module "
        "whose __call__ takes one of train, training, is_training, deterministic, use_running_average, inference and "
        "hands it on"
    ]
    assert "BatchNorm BatchNorm_0 stays off in training" in problems("table", model=factory)[0]


def test_complex_parameters_are_refused():
    """Lost: a run trained to its end, which no file can keep."""

    def net(*, outputs: int):
        init = lambda key, x: {"deep": {"w": jnp.zeros((x.shape[1], outputs), jnp.complex64)}}
        return init, lambda p, x: jnp.abs(x @ p["deep"]["w"])

    assert problems("table", model={"factory": net}) == [
        "model.factory: deep/w is complex64; expected real floats; keep real and imaginary parts as two arrays"
    ]


def heads(*, outputs: int):
    """Build a model with two outputs, one of them an index."""

    def init(key, x):
        return {"w": 0.1 * jax.random.normal(key, (x.shape[1], outputs))}

    return init, lambda p, x: {"logits": x @ p["w"], "best": jnp.argmax(x @ p["w"], -1)}


def own_loss():
    return lambda o, t: -jnp.take_along_axis(jax.nn.log_softmax(o["logits"]), t[:, None], axis=1)[:, 0]


def own_hit():
    return lambda o, t: (o["best"] == t).astype(jnp.float32)


HEADS = {"model": {"factory": heads}, "loss": {"factory": own_loss}, "study.metric": {"factory": own_hit}}


def test_a_table_of_outputs_is_measured_array_by_array():
    """Lost: models with several outputs, or the probes of a run with one."""
    changes = {**HEADS, "study.direction": "max", "train.probes": ["full"]}
    assert problems("table", **changes) == []
    config = resolved("table", **changes)
    data = from_config.dataset(config)
    made, batch = from_config.learner(config, data), from_config.splits(data)["train"]

    @jax.jit
    def look():
        return from_config.probe(config)(made.step(made.init(jax.random.key(0)), batch, jax.random.key(1))[1])

    found = look()
    assert set(found["activation_mean_square"]) == set(found["gradient_mean_square"]) == {"output.logits"}
    assert found["gradient_mean_square"]["output.logits"] > 0 and "jacobian_largest" not in found


def test_a_game_is_checked_with_whole_batches():
    """Lost: batch normalization of a discriminator that is shown one pack at a time."""
    sgd = {"name": "sgd", "learning_rate": 0.1}
    config = configs.resolve(
        {
            "data": {"name": "gaussian_ring", "batch_size": 4},
            "learner": {"name": "gan", "latent": 2, "pac_size": 2},
            "generator": {"model": {"name": "mlp", "width": 4, "depth": 1}, "optimizer": sgd},
            "discriminator": {
                "model": {"name": "mlp", "width": 4, "depth": 1, "normalization": "batch"},
                "optimizer": sgd,
            },
            "study": {"metric": "modes_covered"},
            "train": {"steps": 4},
        },
        from_config.KINDS,
    )
    found = from_config.check(config, from_config.dataset(config))
    assert len(found) == 1 and "batch normalization over 2 examples" in found[0], found


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_probe_with_a_keyword_counts_where_a_tier_has_it_too(monkeypatch, order):
    """Lost: a keyword of a probe, silently, beside the tier that measures the same with its default."""

    def one(*, count: int = 1):
        return lambda info: {"found": count}

    monkeypatch.setitem(TABLES["probe"], "one", one)
    monkeypatch.setitem(TABLES["probe"], "tier", lambda: lambda info: {"found": 1, "more": 0})
    both = [{"name": "one", "count": 3}, "tier"]
    config = resolved("table", **{"train.probes": [both[k] for k in order]})
    assert from_config.probe(config)(None) == {"found": 3, "more": 0}
    assert from_config.probe(resolved("table", **{"train.probes": ["one"]}))(None) == {"found": 1}
