"""The metrics of a study: the one that its verdict rests on, and further ones that are recorded beside it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.config.schema import fields
from deepprinciples.config.wording import suggestion
from deepprinciples.domains.registry import TABLES
from deepprinciples.engine.divergence import PER_CLASS, RAW
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly.factories import (
    Config,
    asks,
    factory_of,
    name_of,
    named,
    own_metrics,
    part,
    trait,
)
from deepprinciples.learners.features import features_of
from deepprinciples.parts.text import tokenizer_of
from deepprinciples.types import Dataset, Metric, PyTree, Split, as_metric

# Keywords that the data fill in.
SUPPLIED = frozenset({"modes", "mode_std", "features", "outputs", "center", "byte_lengths", "class_names"})
ROWS = 1024  # examples that are measured at a time outside a program


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
    """Build the metrics of a config by name, but those that the learner gives by itself."""
    own = own_metrics(config)
    return {name: built(section, parts) for name, (_, section) in sections(config).items() if name not in own}


def built(section: Config, parts: Dataset) -> Metric:
    """Build the metric of a section; what it is measured in comes from the data."""
    supplied: dict[str, Any] = {name: getattr(parts, name) for name in ("modes", "mode_std", "outputs", "class_names")}
    asked = fields(factory_of("metric", section))
    if "features" in asked:
        supplied["features"] = features_of(parts)
    if "center" in asked:
        supplied["center"] = center_of(parts)
    if "byte_lengths" in asked:
        if not parts.token_names:
            raise ConfigError(f'metric "{name_of(section)}": the data set has no text; expected tokens with names')
        supplied["byte_lengths"] = tokenizer_of(parts.token_names).byte_lengths
    return as_metric(part("metric", section, **supplied))


def center_of(parts: Dataset) -> np.ndarray:
    """Return the mean of the training targets of a regression, 0 for other tasks."""
    targets = parts.train.targets if parts.task == "regression" else np.zeros(1)
    return np.asarray(np.mean(targets, axis=0, dtype=np.float64), np.float32)


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
    asks = SUPPLIED & set(fields(section["factory"]))
    return None if asks else getattr(part("metric", section), name, None)


def problems(config: Config, parts: Dataset, *, samples: bool) -> list[str]:
    """List metrics that do not exist, or that cannot measure these data, one line each.

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
        if name.startswith(RAW) or name.endswith(PER_CLASS):
            taken = f"{RAW}... and ...{PER_CLASS} are names of other results"
            found.append(f"{path}: {taken}; give {'it' if name in path else name} another name")
            continue
        key = section.get("name", "")
        if "factory" not in section and key not in table:
            listed = ", ".join(sorted(fitting))
            found.append(f"{path}: no metric {key!r}{suggestion(key, fitting).removesuffix(';')} (metrics: {listed})")
            continue
        factory = factory_of("metric", section)
        if "factory" not in section and getattr(factory, "of_samples", False) != samples:
            makes, reads = ("samples", "answers") if samples else ("answers", "samples")
            choices = ", ".join(sorted(fitting))
            found.append(f"{path}: {key} measures {reads}, but the learner makes {makes}; choose one of {choices}")
        elif "modes" in fields(factory) and parts.modes is None:
            found.append(f"{path}: {name} needs data whose modes are known, such as gaussian_ring")
        elif "features" in fields(factory) and parts.task != "classification":
            found.append(f"{path}: {name} needs class labels, to train a classifier whose features it measures in")
    return found


def needs_features(config: Config) -> bool:
    """Check whether a metric of a config measures in the features of a classifier of the data."""
    own = own_metrics(config)
    return any(asks("metric", one, "features") for name, (_, one) in sections(config).items() if name not in own)


def value_of(metric: Metric, outputs: PyTree, targets: PyTree) -> float:
    """Compute a metric of all outputs [N, ...] and targets [N, ...], a share of them at a time.

    Raises:
        ValueError: it computes something other than a number.
    """
    count = jax.tree.leaves(targets)[0].shape[0]
    cut = lambda tree, first: jax.tree.map(lambda a: jnp.asarray(a[first : first + ROWS]), tree)
    rows = [metric.statistics(cut(outputs, k), cut(targets, k)) for k in range(0, count, ROWS)]
    if metric.reduce == "sum":
        given = jax.tree.map(lambda *a: sum(jnp.sum(one, axis=0) for one in a), *rows), jnp.float32(count)
    else:
        given = jax.tree.map(lambda *a: jnp.concatenate(a), *rows), jnp.ones(count)
    return float(_checked(metric, *(jax.device_get(given) if metric.host else given)))


def _checked(metric: Metric, tree: PyTree, weights: Any) -> Any:
    """Compute a metric and its values for each class; return the former.

    Raises:
        ValueError: it is no number, or they are no list of numbers.
    """
    value = metric.compute(tree, weights)
    _check_axes("computes", value, 0, "one number")
    if metric.per_class is not None:
        _check_axes("per_class gives", metric.per_class(tree, weights), 1, "one value for each class")
    return value


def _check_axes(what: str, value: Any, axes: int, expected: str) -> None:
    if isinstance(value, (bool, int, float, list)) or hasattr(value, "dtype"):
        if np.ndim(value) == axes:
            return
        found = f"shape {list(np.shape(value))}"
    else:
        found = f"a {type(value).__name__}" if isinstance(value, str) else "a tree"
    raise ValueError(f"{what} {found}, expected {expected}")


def check(metric: Metric, outputs: PyTree, targets: PyTree, predict: Any) -> None:
    """Check on shapes alone that a metric gives a row for every example and one number for all.

    What a metric on the host computes is checked by `undefined`.

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
    if metric.reduce == "sum":
        rows = jax.eval_shape(lambda tree: jax.tree.map(lambda a: jnp.sum(a, axis=0), tree), rows)
    weights = jax.ShapeDtypeStruct((count,) * (metric.reduce != "sum"), jnp.float32)
    jax.eval_shape(functools.partial(_checked, metric), rows, weights)


def undefined(metric: Metric, parts: Dataset, outputs: PyTree) -> Iterator[str]:
    """Find the parts on which a metric is no finite number, whatever the outputs are: every run would seem to diverge.

    Constant outputs are tried first, then random ones, as a correlation is not defined for constant ones. A metric that
    runs the model is not tried.

    Args:
        metric: see `types.Metric`.
        parts: the data.
        outputs: shapes and types [B, ...] of what the model makes of a batch.

    Yields:
        Problems, one line each, without the name of the metric.

    Raises:
        ValueError: it computes something other than a number.
    """
    draw = np.random.default_rng(0).standard_normal

    def like(split: Split, fill: Callable[[tuple[int, ...]], np.ndarray]) -> PyTree:
        return jax.tree.map(lambda a: fill((split.size, *a.shape[1:])).astype(a.dtype), outputs)

    found: dict[str, list[str]] = {}
    for name in ("validation", "test") if not metric.on_model else ():
        split = getattr(parts, name)
        if not any(math.isfinite(value_of(metric, like(split, fill), split.targets)) for fill in (np.zeros, draw)):
            found.setdefault(_reason(parts, split), []).append(name)
    for reason, names in found.items():
        yield f"is not a number on the {' and '.join(names)} part{'s' * (len(names) - 1)}: {reason}"


def _reason(parts: Dataset, split: Split) -> str:
    """Describe what a part lacks that may leave a metric undefined, and what to do."""
    if parts.task == "classification" and np.issubdtype(np.asarray(split.targets).dtype, np.integer):
        missing = [str(c) for c in np.setdiff1d(np.arange(parts.outputs), split.targets)]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            return f"no example of class {', '.join(missing[:3])}{more} there; add some or choose another metric"
    if parts.task == "regression" and np.ptp(split.targets) == 0:
        return "all targets are equal there; choose another split or another metric"
    return "neither constant nor random outputs give a finite one"
