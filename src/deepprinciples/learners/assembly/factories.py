"""From sections of a config to parts: factories called, nested parts first, chains in the order of the config.

What a learner asks for by keyword is built from these, see `supply`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from deepprinciples.config.schema import fields
from deepprinciples.domains.registry import TABLES
from deepprinciples.engine.streams import with_own_stream
from deepprinciples.learners.grouping import by_group, chain_without_frozen, factors
from deepprinciples.parts.parameter_groups import Group
from deepprinciples.parts.parameter_names import names_with_state
from deepprinciples.types import Array, Batch, Dataset, Model, Reparameterization

Config = Mapping[str, Any]


def part(kind: str, section: Config, **provided: Any) -> Any:
    """Call the factory a section names, its nested parts first.

    Args:
        kind: which TABLE to look in.
        section: {"name": ..., hyper-parameters} or {"factory": function, hyper-parameters}.
        provided: what the build supplies to factories whose signature asks for it.
    """
    factory = factory_of(kind, section)
    known = fields(factory)
    keywords: dict[str, Any] = {key: value for key, value in provided.items() if key in known}
    for key, value in section.items():
        if key in ("name", "factory") or (kind == "model" and key == "start" and key not in known):
            continue
        nested = known[key].kind if key in known else None
        keywords[key] = part(nested, value) if nested and isinstance(value, Mapping) else value
    return factory(**keywords)


def factory_of(kind: str, section: Config) -> Callable[..., Any]:
    """Look up the factory that a section names, or holds."""
    if "factory" in section:
        return section["factory"]
    if kind == "learner":  # above this module: it joins the parts with the engine
        from deepprinciples.learners import LEARNERS

        return LEARNERS[section["name"]]
    return TABLES[kind][section["name"]]


def trait(kind: str, section: Config, name: str) -> Any:
    """Read a trait of the part that a section names, see `types.Traits`; None where it has none of that name."""
    return getattr(factory_of(kind, section), name, None)


def own_metrics(config: Config) -> Mapping[str, str]:
    """Return the metrics that the learner of a config gives by itself, name -> "max" or "min"."""
    return trait("learner", config["learner"], "metrics") or {}


def asks(kind: str, section: Config, keyword: str) -> bool:
    """Check whether the factory of a section has a keyword, such as one that the build supplies."""
    return keyword in fields(factory_of(kind, section))


def model_of(config: Config, parts: Dataset) -> Model:
    """Build the model of a config for a data set."""
    from deepprinciples.parts.models.adapters import coerce

    shape = jax.tree.map(lambda a: a.shape[1:], parts.train.inputs)
    made = coerce(part("model", config["model"], outputs=parts.outputs, vocabulary=parts.vocabulary, shape=shape))
    start = None if asks("model", config["model"], "start") else config["model"].get("start")
    return made if start is None or "path" in start else begun_from(made, start)


def begun_from(model: Model, start: Mapping[str, Array]) -> Model:
    """Let a model begin from given weights and their state, name -> array; what has none begins as before."""

    def init(key: Array, inputs: Any) -> tuple[Any, Any]:
        made = model.init(key, inputs)
        leaves, structure = jax.tree.flatten(made)
        given = [start.get(name, leaf) for name, leaf in zip(names_with_state(*made), leaves, strict=True)]
        return jax.tree.unflatten(structure, given)

    return model._replace(init=init)


def weights_of(config: Config) -> dict[str, Reparameterization]:
    """Build the reparameterizations of a config, name -> one; none where its learner takes none."""
    table = named(config.get("weights", {}))
    return {key: part("weights", section, steps=config["train"]["steps"]) for key, section in table}


def first(parts: Dataset, count: int) -> Batch:
    """Return the first examples of the training part as a batch."""
    return jax.tree.map(lambda a: np.asarray(a[:count]), parts.batch("train"))


def example_of(config: Config, parts: Dataset) -> Batch:
    """Return the batch that a model is initialized with: one that fits its weights to data is shown a whole one."""
    return first(parts, parts.batch_size if config.get("model", {}).get("lsuv") else 1)


def replaced(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with the leaves at dotted paths replaced; tracers are welcome."""
    out = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    for path, value in values.items():
        *parents, leaf = path.split(".")
        table = out
        for key in parents:
            table[key] = dict(table[key])
            table = table[key]
        table[leaf] = value
    return out


def chain(config: Config, steps: int) -> optax.GradientTransformation:
    """Build transforms and optimizer as one chain, in the order of the config, states keyed by name.

    Args:
        config: tables `schedule`, `optimizer`, `transforms` and, where there are some, `groups`; a whole config or a
            player's.
        steps: of the whole run.

    Every link draws from a stream of its own, named after it.
    """
    groups = groups_of(config, steps)
    optimizer = with_own_stream("optimizer", _optimizer(config["optimizer"], config["schedule"], steps))
    links = [(key, with_own_stream(key, part("transforms", one))) for key, one in named(config["transforms"])]
    links.append(("optimizer", by_group(optimizer, groups)))
    if groups:
        links.append(("groups", factors(groups, steps)))
    if wide := _of_width(config.get("model")):
        links.append(("width", factors(wide, steps)))
    return chain_without_frozen(optax.named_chain(*links), groups)


def _of_width(section: Config | None) -> dict[str, Group]:
    """Return the factors that a model asks for by its trait `update_factors`, as groups."""
    factory = section and (section.get("factory") or {**TABLES["generator"], **TABLES["model"]}.get(section["name"]))
    found = getattr(factory, "update_factors", None)
    made = found(section) if found else {}
    return {pattern: Group((pattern,), factor, 0.0, None, False) for pattern, factor in made.items()}


def groups_of(config: Config, steps: int) -> dict[str, Group]:
    """Build the groups of parameters that a config has, by name; their optimizers follow its schedule."""
    groups = {}
    for key, section in config.get("groups", {}).items():
        own = section.get("optimizer")
        made = None if own is None else _optimizer(own, config["schedule"], steps)
        given = {name: value for name, value in section.items() if name != "optimizer"}
        groups[key] = part("groups", given, optimizer=made and with_own_stream(f"optimizer/{key}", made))
    return groups


def _optimizer(given: Config, schedule: Config, steps: int) -> optax.GradientTransformation:
    """Build an optimizer whose learning rate follows a schedule."""
    factor = _factor_of(schedule, steps)
    section = dict(given)
    rate = section.pop("learning_rate", None)
    if rate is not None:
        constant = schedule.get("name") == "constant"
        section["learning_rate"] = rate if constant else (lambda count: rate * factor(count))
    return part("optimizer", section)


def _factor_of(section: Config, steps: int) -> Callable[[Array], Array]:
    """Build a schedule as a function of the step; one marked `of_progress` is a function of step / steps."""
    made = part("schedule", section, steps=steps)
    return (lambda count: made(count / steps)) if trait("schedule", section, "of_progress") else made


def named(table: Config) -> list[tuple[str, Config]]:
    """List the parts of an ordered table; a section without a name of its own is named by its key."""
    return [(key, one if "name" in one or "factory" in one else {"name": key, **one}) for key, one in table.items()]


def metric_name(config: Config) -> str:
    """Return the name of a study's metric."""
    return name_of(config["study"]["metric"])


def name_of(section: Config) -> str:
    """Name the part of a section; a user's is called as its function, or as its type where it is none."""
    factory = section.get("factory")
    return section["name"] if factory is None else str(getattr(factory, "__name__", type(factory).__name__))
