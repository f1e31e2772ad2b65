"""Where a config becomes a learner: the only room that knows both the parts and the engine.

Parts are built inside the traced function, so a float of a config may be a tracer. Whatever does not fit together
(images for an LSTM, accuracy for a regression) is found here on shapes alone, before anything is compiled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from deepprinciples.config import allowed_ranges
from deepprinciples.config.schema import Kinds, fields
from deepprinciples.engine.learner import supervised
from deepprinciples.errors import ConfigError
from deepprinciples.parts import data, losses, metrics, probes, rules
from deepprinciples.parts.data.split import prepare
from deepprinciples.parts.tables import TABLES
from deepprinciples.study import games, measured
from deepprinciples.study.pieces import Config, chain, hides, metric_name, named, part, replaced
from deepprinciples.study.settings import Study, Train
from deepprinciples.study.target_checks import only_padding, unfit_for_targets
from deepprinciples.types import Augment, Batch, Dataset, Info, Learner, Model, PyTree

__all__ = ["KINDS", "Config", "chain", "metric_name", "named", "part", "replaced"]  # the pieces, for rooms above
KINDS = Kinds(
    tables=TABLES,
    functions={"train": Train, "study": Study, "game": games.Game},
    extras={"data": (prepare,)},
    provided={
        "model": {"outputs", "vocabulary", "shape"},
        "generator": {"outputs", "vocabulary", "shape"},
        "regularizers": {"outputs"},
        "metric": measured.SUPPLIED,
        "data": {"source"},
        "schedule": {"steps"},
    },
)


def dataset(section: Config) -> Dataset:
    """Load and split the data of a config's [data] section."""
    shared = set(fields(prepare)) - {"source"}
    own = {key: value for key, value in section.items() if key not in ("name", "factory") and key not in shared}
    factory = section.get("factory") or data.TABLE[section["name"]]
    return prepare(factory(**own), **{key: value for key, value in section.items() if key in shared})


def model_of(config: Config, parts: Dataset) -> Model:
    """Build the model of a config for a data set."""
    from deepprinciples.parts.models.adapters import coerce

    shape = jax.tree.map(lambda a: a.shape[1:], parts.train.inputs)
    return coerce(part("model", config["model"], outputs=parts.outputs, vocabulary=parts.vocabulary, shape=shape))


def first(parts: Dataset, count: int) -> Batch:
    """Return the first examples of the training part as a batch."""
    return jax.tree.map(lambda a: np.asarray(a[:count]), Batch(*parts.train))


def shown(config: Config, parts: Dataset) -> PyTree:
    """Return the inputs that a model is initialized with: one that fits its weights to data is shown a whole batch."""
    return first(parts, parts.batch_size if config.get("model", {}).get("lsuv") else 1).inputs


def learner(config: Config, parts: Dataset) -> Learner:
    """Build the learner of a resolved config, of a game where it has one; floats in it may be tracers."""
    if "game" in config:
        return games.learner(config, parts)
    penalties: list[Callable] = []
    augments: list[Augment] = []
    for _, section in named(config["regularizers"]):
        made = part("regularizers", section, outputs=parts.outputs)
        if isinstance(made, Augment):
            augments.append(made)
        else:
            penalties.append(made)
    rule = config["rule"]
    return supervised(
        model=model_of(config, parts),
        loss=part("loss", config["loss"]),
        optimizer=chain(config, config["train"]["steps"]),
        rule=part("rule", rule),
        example=shown(config, parts),
        penalties=penalties,
        augments=augments,
        metrics=measured.metrics_of(config, parts),
        evaluations=rules.EVALUATIONS.get(rule.get("name", ""), 1),
        hides=hides(config),
        average=part("average", config["average"]),
        steps=config["train"]["steps"],
        # What --with adds is in TABLES alone: a loss of the user's may look at the whole batch.
        splits=rule.get("name") == "plain" and config["loss"].get("name") in losses.TABLE,
    )


def stability_edge(config: Config) -> float | None:
    """Give the curvature beyond which gradient descent grows on a parabola; None where no simple formula holds.

    2 (1 + b) / rate for momentum b, 2 (1 + b) / ((1 + 2 b) rate) for Nesterov's; averaged, both over 1 - b. For a
    constant rate, no transforms, and the plain rule.

    References:
        arXiv:2103.00065.
    """
    one = config.get("optimizer", {})
    plain = one.get("name") == "sgd" and config["schedule"].get("name") == "constant"
    if not plain or config["rule"].get("name") != "plain" or config["transforms"] or not one["learning_rate"]:
        return None
    momentum = one["momentum"]
    share = 1.0 - momentum if one.get("averaged") else 1.0
    ahead = 1.0 + 2.0 * momentum if one.get("nesterov") else 1.0
    return 2.0 * (1.0 + momentum) / (ahead * share * one["learning_rate"])


def higher_is_better(config: Config) -> bool:
    """Say whether a larger value of the study's metric is better."""
    return measured.direction(config) == "max"


def allowed(config: Config) -> dict[str, str]:
    """Map every sweepable path of a config to the interval that its part accepts."""
    return allowed_ranges(config, KINDS)


def _evaluated(model: Model, key: Any, inputs: PyTree) -> Any:
    params, state = model.init(key, inputs)
    return model.apply(params, state, inputs, key=None, train=False)[0]


def constant_score(config: Config, parts: Dataset) -> float | None:
    """Compute the test score of a constant answer: class frequencies as logits, or the mean target.

    Returns:
        What a network that learned nothing of its inputs scores; None for games, for a metric that runs the model, and
        where outputs are neither class logits nor real targets.
    """
    metric = measured.metrics_of(config, parts)[metric_name(config)] if "game" not in config else None
    if metric is None or metric.on_model or parts.task == "structured":
        return None
    model, inputs = model_of(config, parts), jax.tree.map(lambda a: np.asarray(a[:1]), parts.test.inputs)
    given = jax.eval_shape(lambda key: _evaluated(model, key, inputs), jax.random.key(0))
    targets = np.asarray((parts.train if parts.stream is None else parts.validation).targets)
    if parts.task == "classification" and parts.outputs > 1 and np.issubdtype(targets.dtype, np.integer):
        labeled = targets[targets >= 0]
        shares = np.bincount(labeled, minlength=parts.outputs) / max(labeled.size, 1)
        answer = np.log(np.maximum(shares, 1e-7))
        shape = (*parts.test.targets.shape, parts.outputs)
    elif parts.task == "regression":
        answer, shape = targets.mean(axis=0), parts.test.targets.shape
    else:
        return None
    if not hasattr(given, "shape") or given.shape[1:] != shape[1:]:
        return None
    outputs = np.broadcast_to(answer.astype(np.float32), shape)
    return measured.value_of(metric, outputs, parts.test.targets)


def probe(config: Config) -> Callable[[Info], Mapping[str, Any]]:
    """Join the probes the config asks for."""
    return probes.combine({name: probes.TABLE[name]() for name in config["train"]["probes"]})


def check(config: Config, parts: Dataset, where: str = "") -> list[str]:
    """Find what does not fit together, on shapes alone: nothing is computed but metrics of constant outputs.

    Args:
        config: one arm's resolved config.
        parts: its data.
        where: prefix of the messages, such as "arms.skip: ".

    Returns:
        Problems, one line each; empty where the config can run.
    """
    if wrong := _check_metric(config, where):
        return wrong
    if "game" in config:
        return _check_game(config, parts, where)
    if wrong := measured.problems(config, parts, samples=False):
        return [f"{where}{problem}" for problem in wrong]
    source = config["data"].get("name", "data")
    key = jax.random.key(0)
    # The batch of a step: statistics of a batch and the shares of a rule depend on its size.
    batch = first(parts, parts.batch_size)
    name = "name" if "name" in config["model"] else "factory"
    problems: list[str] = []
    with _told(problems, f"{where}model.{name}: does not fit data.name {source!r}"):
        model = model_of(config, parts)
        params, state = jax.eval_shape(model.init, key, first(parts, 1).inputs)
        outputs, _, _ = jax.eval_shape(lambda p, s: model.apply(p, s, batch.inputs, key=key, train=True), params, state)
        problems.extend(f"{where}model.{name}: {problem}" for problem in _complex(params, state))
    if problems:
        return problems
    problems += unfit_for_targets(config, parts, outputs, where) + only_padding(config, parts, where)
    unfit = {problem.removeprefix(where).split(".name:")[0] for problem in problems}
    predict = lambda inputs: model.apply(params, state, inputs, key=None, train=False)[0]
    if "loss" not in unfit:
        with _told(problems, f"{where}loss: does not fit data.name {source!r}"):
            _check_per_example(part("loss", config["loss"]), outputs, batch.targets)
    for name, (path, section) in measured.sections(config).items():
        if path not in unfit:
            with _told(problems, f"{where}{path}: {name} does not fit data.name {source!r}"):
                metric = measured.built(section, parts)
                measured.check(metric, outputs, batch.targets, predict)
                if section.get("name") not in metrics.TABLE:  # those are means, and always defined
                    lacking = measured.undefined(metric, parts, outputs)
                    problems += [f"{where}{path}: {name} {problem}" for problem in lacking]
    if problems:
        return problems
    with _told(problems, f"{where}the parts do not fit together"):
        made = learner(config, parts)
        # Tracing takes most of the time here: our own models with plain outputs fit every probe and evaluate as they
        # train.
        ours = "name" in config["model"] and hasattr(outputs, "shape")
        step = functools.partial(_first_step, config, made)
        jax.eval_shape((lambda b, k: made.step(made.init(k), b, k)[0]) if ours else step, batch, key)
    return problems


def _check_metric(config: Config, where: str) -> list[str]:
    """Find out whether the metric has a direction and a name of its own."""
    name, problems = metric_name(config), list[str]()
    with _told(problems, f"{where}study.metric: {name}"):
        if (found := measured.direction(config)) not in ("max", "min"):
            problems.append(
                f'{where}study.direction: unknown for {name} (found {found!r}); set it to "max" or "min", or set '
                f"{name}.direction in Python"
            )
    return problems


def _check_game(config: Config, parts: Dataset, where: str) -> list[str]:
    found = [f"{where}{problem}" for problem in games.problems(config, parts)]
    if found:
        return found
    batch = first(parts, parts.batch_size)
    with _told(found, f"{where}the players do not fit data.name {config['data'].get('name', 'data')!r}"):
        made = learner(config, parts)
        state = jax.eval_shape(made.init, jax.random.key(0))
        for player in ("generator", "discriminator"):
            one = getattr(state, player)
            problems = _complex(one.params, one.model_state)
            found.extend(f"{where}{player}.model: {problem}" for problem in problems)
        if not found:
            jax.eval_shape(functools.partial(_first_step, config, made), batch, jax.random.key(0))
    return found


def _first_step(config: Config, made: Learner, batch: Batch, key: jax.Array) -> Any:
    """Take a step from the start, read it as the probes do, and evaluate."""
    state, info = made.step(made.init(key), batch, key)
    return state, probe(config)(info), made.evaluate(state, batch, key)


def _complex(*trees: Any) -> Iterator[str]:
    """Name the first complex array of a model, which no optimizer here turns the right way and no file keeps."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        if np.issubdtype(leaf.dtype, np.complexfloating):
            name = jax.tree_util.keystr(path[1:], simple=True, separator="/")
            yield (
                f"{name or 'params'} is {leaf.dtype}; expected real floats; keep real and imaginary parts as two arrays"
            )
            return


def transform_names(config: Config) -> list[str]:
    """List the transforms of a config as probes name them."""
    return games.transform_names(config) if "game" in config else list(config["transforms"])


@contextmanager
def _told(problems: list[str], words: str) -> Iterator[None]:
    """Turn what a part raises on shapes alone into a problem of one line."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # a user's own factory may raise anything
        name = "" if isinstance(error, (ValueError, TypeError, AssertionError)) else f"{type(error).__name__}: "
        problems.append(f"{words}: {name}{_one_line(error)}")


def _check_per_example(function: Callable, outputs: Any, targets: PyTree) -> None:
    value = jax.eval_shape(function, outputs, targets)
    count = jax.tree.leaves(targets)[0].shape[0]
    shape = getattr(value, "shape", None)
    if shape != (count,):
        what = "a tree" if shape is None else f"shape {list(shape)}"
        raise ValueError(f"gives {what} for {count} examples, expected one value per example")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def splits(parts: Dataset) -> dict[str, Batch]:
    """Give the three splits of a data set as batches of arrays."""
    return {name: Batch(*getattr(parts, name)) for name in ("train", "validation", "test")}
