"""What a study needs of a config: its data, its learner, its probes, and what of it does not fit together.

Parts are built inside the traced function, so a float of a config may be a tracer. Whatever does not fit together
(images for an LSTM, accuracy for a regression) is found here on shapes alone, before anything is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from deepprinciples import learners
from deepprinciples.config.dictionary import at
from deepprinciples.config.schema import Registry, fields
from deepprinciples.config.sections import form_of
from deepprinciples.config.settings import Study, Train, data_extras, model_extras, start, teacher
from deepprinciples.learners import TABLES, grouping
from deepprinciples.learners.assembly import measured
from deepprinciples.learners.assembly.checks import caught, complex_arrays
from deepprinciples.learners.assembly.factories import (
    Config,
    chain,
    example_of,
    factory_of,
    first,
    metric_name,
    name_of,
    named,
    part,
    replaced,
    weights_of,
)
from deepprinciples.learners.assembly.supply import SUPPLY
from deepprinciples.parts import probes
from deepprinciples.parts.parameter_names import names_of
from deepprinciples.parts.splitting.held_out import TestSet
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.splitting.split import prepare
from deepprinciples.types import Batch, Dataset, Info, Learner, Split

__all__ = ["KINDS", "Config", "chain", "example_of", "first", "metric_name", "named", "part", "replaced", "weights_of"]
KINDS = Registry(
    tables={
        **TABLES,
        "start": {"start": start},
        "teacher": {"teacher": teacher},
        "test_sets": TABLES["data"],
        "source": TABLES["data"],
    },
    functions={"train": Train, "study": Study},
    extras={"data": (prepare, data_extras), "test_sets": (TestSet,), "model": (model_extras,)},
    provided={
        "model": {"outputs", "vocabulary", "shape"},
        "generator": {"outputs", "vocabulary", "shape"},
        "augment": {"outputs"},
        "regularizers": {"outputs"},
        "metric": measured.SUPPLIED,
        "data": {"source", "test_sets"},
        "test_sets": {"source"},
        "source": {"source"},
        "schedule": {"steps"},
        "weights": {"steps"},
    },
    asked={"learner": set(SUPPLY)},
)
_NOTHING = Split(np.zeros((1, 1), np.float32), np.zeros(1, np.int32))


def dataset(config: Config) -> Dataset:
    """Load and split the data of a config; a learner that asks for none gets one example that says nothing."""
    section = config.get("data")
    if section is None:
        return Dataset(_NOTHING, _NOTHING, _NOTHING, "structured", 0, batch_size=1)
    source, options = _loaded(section, prepare)
    loaded = {name: _loaded(one, TestSet) for name, one in config.get("test_sets", {}).items()}
    sets = {name: TestSet(one, **own) for name, (one, own) in loaded.items()}
    return prepare(source, **options, test_sets=sets)


def _loaded(section: Config, taker: Callable[..., Any]) -> tuple[Source, dict[str, Any]]:
    """Call the data factory of a section; also give those of its keywords that are `taker`'s."""
    shared = set(fields(taker)) - {"source"}
    head = ("name", "factory", "teacher")
    own = {key: value for key, value in section.items() if key not in shared and key not in head}
    factory = section.get("factory") or TABLES["data"][section["name"]]
    for key, field in fields(factory).items():
        if field.kind == "source" and isinstance(own.get(key), Mapping):  # a data set that is made of another one
            own[key] = _loaded(own[key], lambda: None)[0]  # which is not split
    return factory(**own), {key: value for key, value in section.items() if key in shared}


def learner(config: Config, parts: Dataset) -> Learner:
    """Build the learner of a resolved config; floats in it may be tracers."""
    return learners.build(config, parts)


def stability_edge(config: Config) -> float | None:
    """Return the curvature beyond which gradient descent grows on a parabola; None where no simple formula holds.

    2 (1 + b) / rate for momentum b, 2 (1 + b) / ((1 + 2 b) rate) for Nesterov's; averaged, both over 1 - b. For a
    constant rate, no transforms, and the plain rule.

    References:
        arXiv:2103.00065.
    """
    one = config.get("optimizer", {})
    if "gradient" not in config or config.get("groups"):
        return None
    plain = one.get("name") == "sgd" and config["schedule"].get("name") == "constant"
    if not plain or config["gradient"].get("name") != "plain" or config["transforms"] or not one["learning_rate"]:
        return None
    momentum = one["momentum"]
    share = 1.0 - momentum if one.get("averaged") else 1.0
    ahead = 1.0 + 2.0 * momentum if one.get("nesterov") else 1.0
    return 2.0 * (1.0 + momentum) / (ahead * share * one["learning_rate"])


def higher_is_better(config: Config) -> bool:
    """Check whether a larger value of the study's metric is better."""
    return measured.direction(config) == "max"


def constant_score(config: Config, parts: Dataset, answer: Any) -> float | None:
    """Compute the test score of a constant answer: class frequencies as logits, or the mean target.

    Args:
        config: resolved.
        parts: the data.
        answer: of the model to a batch of one, or its shape.

    Returns:
        What a network that learned nothing of its inputs scores; None without one model and its loss, for a metric that
        runs the model, and where outputs are neither class logits nor real targets.
    """
    if not {"model", "loss"} <= config.keys() or parts.task == "structured":
        return None
    metric = measured.metrics_of(config, parts)[metric_name(config)]
    if metric.on_model or metric.written:
        return None
    targets = np.asarray((parts.train if parts.stream is None else parts.validation).targets)
    if parts.task == "classification" and parts.outputs > 1 and np.issubdtype(targets.dtype, np.integer):
        labeled = targets[targets >= 0]
        shares = np.bincount(labeled, minlength=parts.outputs) / max(labeled.size, 1)
        constant = np.log(np.maximum(shares, 1e-7))
        shape = (*parts.test.targets.shape, parts.outputs)
    elif parts.task == "regression":
        constant, shape = targets.mean(axis=0), parts.test.targets.shape
    else:
        return None
    if not hasattr(answer, "shape") or answer.shape[1:] != shape[1:]:
        return None
    outputs = np.broadcast_to(constant.astype(np.float32), shape)
    return measured.value_of(metric, outputs, parts.test.targets)


def probe(config: Config) -> Callable[[Info], Mapping[str, Any]]:
    """Join the probes the config asks for; one with keywords counts where a tier has it without."""
    sections = probe_sections(config)
    order = sorted(sections, key=lambda name: len(sections[name]) > 1)
    return probes.combine({name: part("probe", sections[name]) for name in order})


def probe_sections(config: Config) -> dict[str, Config]:
    """List the probes of a config: name -> its section."""
    found = [{"name": one} if isinstance(one, str) else one for one in config["train"]["probes"]]
    return {name_of(one): one for one in found}


def measured_by(config: Config, parts: Dataset, asked: Mapping[str, Config]) -> dict[str, str]:
    """Return the probe that measures each variable, of the probes with these sections; nothing is computed."""
    made, batch, key = learner(config, parts), first(parts, parts.batch_size), jax.random.key(0)
    looks = {name: probes.combine({name: part("probe", section)}) for name, section in asked.items()}

    def step(state: Any, batch: Batch, key: jax.Array) -> Any:
        info = made.step(state, batch, key)[1]
        return {name: look(info) for name, look in looks.items()}

    found = jax.eval_shape(step, jax.eval_shape(made.init, key), batch, key)
    return {variable: name for name, values in found.items() for variable in values}


def check(config: Config, parts: Dataset, where: str = "") -> list[str]:
    """List what does not fit together, on shapes alone: nothing is computed but metrics of constant outputs.

    Args:
        config: one arm's resolved config.
        parts: its data.
        where: prefix of the messages, such as "arms.skip: ".

    Returns:
        Problems, one line each; empty where the config can run.
    """
    factory = factory_of("learner", config["learner"])
    own: Callable[..., Iterable[str]] = getattr(factory, "problems", lambda config, parts: [])
    samples = bool(getattr(factory, "makes_samples", False))
    found = _check_direction(config) or measured.problems(config, parts, samples=samples) or own(config, parts)
    return [f"{where}{problem}" for problem in found or _check_step(config, parts)]


def _check_direction(config: Config) -> list[str]:
    """Check whether the metric has a direction."""
    name, problems = metric_name(config), list[str]()
    with caught(problems, f"study.metric: {name}"):
        if (found := measured.direction(config)) not in ("max", "min"):
            problems.append(
                f'study.direction: unknown for {name} (found {found!r}); set it to "max" or "min", or set '
                f"{name}.direction in Python"
            )
    return problems


def _check_step(config: Config, parts: Dataset) -> list[str]:
    """Build the learner, take a step from the start, read it as the probes do, and evaluate."""
    batch, key, found = first(parts, parts.batch_size), jax.random.key(0), list[str]()
    with caught(found, "the parts do not fit together"):
        made = learner(config, parts)
        state = jax.eval_shape(made.init, key)
        found.extend(f"learner: {problem}" for problem in complex_arrays(state))
        if hasattr(state, "params"):
            found.extend(grouping.problems(config.get("groups", {}), names_of(state.params)))
        if found:
            return found

        def step(state: Any, batch: Batch, key: jax.Array) -> Any:
            after, info = made.step(state, batch, key)
            return after, probe(config)(info), made.evaluate(after, batch, key)

        _, _, rows = jax.eval_shape(step, state, batch, key)
        lacking = [name for name in (*measured.sections(config), "loss") if name not in rows]
        found.extend(f"learner: its evaluation gives no {name!r}; it gives {', '.join(rows)}" for name in lacking)
    searches = (
        "; a line search evaluates the loss again, which a step here does not do: optax.lbfgs takes linesearch=None"
    )
    return [one + searches * ("'value_fn'" in one) for one in found]


def transform_names(config: Config) -> list[str]:
    """List the transforms of a config as probes name them, "generator.NAME" those of a part of it."""
    chains = [path for path, kind in form_of(config, KINDS).chains.items() if kind == "transforms"]
    return [f"{path.removesuffix('transforms')}{key}" for path in chains for key in at(config, path)]


def splits(parts: Dataset) -> dict[str, Batch]:
    """Return the three splits of a data set as batches of arrays."""
    return {name: parts.batch(name) for name in ("train", "validation", "test")}
