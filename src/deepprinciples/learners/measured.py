"""The metrics of a study: the one that its verdict rests on, and further ones that are recorded beside it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.config.schema import fields
from deepprinciples.config.wording import suggestion
from deepprinciples.learners.factories import Config, asks, factory_of, name_of, named, own_metrics, part, trait
from deepprinciples.learners.features import features_of
from deepprinciples.parts.tables import TABLES
from deepprinciples.types import Dataset, Metric, PyTree, as_metric


def sections(config: Config) -> dict[str, tuple[str, Config]]:
    """List the metrics of a config: name -> (its path in the config, its section); the study's own comes first."""
    own = config["study"]["metric"]
    found = {name_of(own): ("study.metric", own)}
    for name in config["study"]["also"]:
        found.setdefault(name, ("study.also", {"name": name}))
    for key, section in named(config.get("metrics", {})):
        found.setdefault(key, (f"metrics.{key}", section))
    return found


def metrics_of(config: Config, parts: Dataset) -> dict[str, Metric]:
    """Build the metrics of a config by name; what one is measured in comes from the data."""
    own = own_metrics(config)
    return {name: _built(section, parts) for name, (_, section) in sections(config).items() if name not in own}


def _built(section: Config, parts: Dataset) -> Metric:
    supplied: dict[str, Any] = {"modes": parts.modes, "mode_std": parts.mode_std, "outputs": parts.outputs}
    if "features" in fields(factory_of("metric", section)):
        supplied["features"] = features_of(parts)
    return as_metric(part("metric", section, **supplied))


def direction(config: Config) -> str | None:
    """Return "max" or "min" from the config, the factory of the study's metric or what it makes; None if none says."""
    given = config["study"]["direction"]
    return given if given != "auto" else _trait(config, "direction")


def worst(config: Config) -> float | None:
    """Return the worst value that the study's metric can take, None where there is none."""
    return _trait(config, "worst")


def best(config: Config) -> float | None:
    """Return the best value that the study's metric can take, None where there is none."""
    return _trait(config, "best")


def _trait(config: Config, name: str) -> Any:
    section, own = config["study"]["metric"], own_metrics(config)
    if section.get("name") in own:
        return own[section["name"]] if name == "direction" else None
    found = trait("metric", section, name)
    if found is not None or "factory" not in section:
        return found
    asks = set(fields(section["factory"])) & {"modes", "mode_std", "features", "outputs"}
    return None if asks else getattr(part("metric", section), name, None)


def problems(config: Config, parts: Dataset, *, samples: bool) -> list[str]:
    """Find metrics that there are not, or that cannot measure these data, one line each.

    Args:
        config: one arm's resolved config.
        parts: its data.
        samples: whether the learner makes samples, in place of answers.
    """
    table, found = TABLES["metric"], []
    fitting = [name for name, factory in table.items() if getattr(factory, "of_samples", False) == samples]
    for name, (path, section) in sections(config).items():
        if name in own_metrics(config):
            continue
        if name == "loss":
            found.append(f"{path}: loss is the name of what is minimized; give the factory another name")
            continue
        key = section.get("name", "")
        if "factory" not in section and key not in table:
            listed = ", ".join(sorted(fitting))
            found.append(f"{path}: no metric {key!r}{suggestion(key, fitting).removesuffix(';')} (metrics: {listed})")
            continue
        factory = factory_of("metric", section)
        if "factory" not in section and getattr(factory, "of_samples", False) != samples:
            makes, judges = ("samples", "answers") if samples else ("answers", "samples")
            choices = ", ".join(sorted(fitting))
            found.append(f"{path}: {key} judges {judges}, but the learner makes {makes}; choose one of {choices}")
        elif "modes" in fields(factory) and parts.modes is None:
            found.append(f"{path}: {name} needs data whose modes are known, such as gaussian_ring")
        elif "features" in fields(factory) and parts.task != "classification":
            found.append(f"{path}: {name} needs class labels, to train a classifier whose features it measures in")
    return found


def needs_features(config: Config) -> bool:
    """Say whether a metric of a config measures in the features of a classifier of the data."""
    own = own_metrics(config)
    return any(asks("metric", one, "features") for name, (_, one) in sections(config).items() if name not in own)


def value_of(metric: Metric, outputs: PyTree, targets: PyTree) -> float:
    """Compute a metric of all outputs [N, ...] and targets [N, ...]."""
    rows = metric.statistics(outputs, targets)
    count = jax.tree.leaves(targets)[0].shape[0]
    if metric.reduce == "sum":
        return float(metric.compute(jax.tree.map(lambda a: jnp.sum(a, axis=0), rows), float(count)))
    kind = np.asarray if metric.host else jnp.asarray
    return float(metric.compute(jax.tree.map(kind, rows), np.ones(count, np.float32)))


def check(metric: Metric, outputs: PyTree, targets: PyTree, predict: Any) -> None:
    """Check on shapes alone that a metric gives a row for every example and one number for all.

    Raises:
        ValueError: it gives something else.
    """
    count = jax.tree.leaves(targets)[0].shape[0]
    if metric.on_model:
        rows = jax.eval_shape(lambda t: metric.statistics(predict, t), targets)
    else:
        rows = jax.eval_shape(metric.statistics, outputs, targets)
    for path, leaf in jax.tree_util.tree_leaves_with_path(rows):
        if leaf.shape[:1] != (count,):
            where = jax.tree_util.keystr(path, simple=True, separator=".")
            what = f"gives {where} of shape" if where else "gives shape"
            raise ValueError(f"{what} {list(leaf.shape)} for {count} examples, expected one value per example")
    if metric.host:
        return
    kept = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[metric.reduce == "sum" :], a.dtype), rows)
    weights = jax.ShapeDtypeStruct((count,) * (metric.reduce != "sum"), jnp.float32)
    value = jax.eval_shape(metric.compute, kept, weights)
    shape = getattr(value, "shape", None)
    if shape != ():
        raise ValueError(f"computes {'a tree' if shape is None else f'shape {list(shape)}'}, expected one number")
