"""What of a supervised config does not fit together, found on shapes alone before anything is compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import measured, teaching
from deepprinciples.learners.assembly.factories import Config, first, model_of, part, weights_of
from deepprinciples.learners.assembly.target_checks import only_padding, unfit_for_targets
from deepprinciples.learners.writing import write, writer_of
from deepprinciples.parts import metrics
from deepprinciples.types import Dataset, Model, PyTree


def problems(config: Config, parts: Dataset) -> list[str]:
    """List what does not fit: model, data, loss and metrics, one line each.

    Args:
        config: one arm's resolved config.
        parts: its data.
    """
    source = config["data"].get("name", "data")
    key, batch = jax.random.key(0), first(parts, parts.batch_size)  # whole: batch statistics depend on its size
    name = "name" if "name" in config["model"] else "factory"
    found: list[str] = []
    with caught(found, f"model.{name}: does not fit data.name {source!r}"):
        model = model_of(config, parts)
        params, state = jax.eval_shape(model.init, key, first(parts, 1).inputs)
        outputs, _, _ = jax.eval_shape(lambda p, s: model.apply(p, s, batch.inputs, key=key, train=True), params, state)
        found.extend(f"model.{name}: {problem}" for problem in complex_arrays(params, state))
    if found:
        return found
    found += _unfit_weights(config, model, first(parts, 1).inputs)
    if found:
        return found
    found += unfit_for_targets(config, parts, outputs, "") + only_padding(config, parts, "")
    found += teaching.problems(config, parts)
    is_unfit = lambda path: any(problem.startswith(f"{path}.") for problem in found)
    filled = lambda tree: jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), tree)
    predict = lambda inputs: model.apply(filled(params), filled(state), inputs, key=None, train=False)[0]
    writer = lambda: writer_of(predict, model.unroll, filled(params), filled(state))
    written = functools.cache(lambda: jax.eval_shape(lambda x: write(writer(), x), batch.inputs))
    if not is_unfit("loss"):
        with caught(found, f"loss: does not fit data.name {source!r}"):
            targets = teaching.loss_targets_of(config, parts)(batch)
            _check_loss(part("loss", config["loss"]), outputs, targets)
    for one, (path, section) in measured.sections(config).items():
        if not is_unfit(path):
            with caught(found, f"{path}: {one} does not fit data.name {source!r}"):
                metric = measured.built(section, parts)
                given = written() if metric.written else outputs
                measured.check(metric, given, batch.targets, predict)
                if section.get("name") not in metrics.TABLE:  # those are means, and always defined
                    found += [f"{path}: {one} {problem}" for problem in measured.undefined(metric, parts, given)]
    return found


def _unfit_weights(config: Config, model: Model, inputs: PyTree) -> list[str]:
    """List the reparameterizations that do not fit the parameters of the model."""
    found: list[str] = []
    key = jax.random.key(0)
    params = jax.eval_shape(model.init, key, inputs)[0]
    for name in reversed(list(config.get("weights", {}))):
        with caught(found, f"weights.{name}"):
            one = weights_of({**config, "weights": {name: config["weights"][name]}})[name]
            params, _ = jax.eval_shape(one.init, key, params)
    return found


def _check_loss(function: Callable[..., Any], outputs: Any, targets: PyTree) -> None:
    value = jax.eval_shape(function, outputs, targets)
    count = jax.tree.leaves(targets)[0].shape[0]
    shape = getattr(value, "shape", None)
    if shape != (count,):
        what = "a tree" if shape is None else f"shape {list(shape)}"
        raise ValueError(f"gives {what} for {count} examples, expected one value per example")


@contextmanager
def caught(problems: list[str], words: str) -> Iterator[None]:
    """Turn what a part raises on shapes alone into a problem of one line."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # a user's own factory may raise anything
        name = "" if isinstance(error, (ValueError, TypeError, AssertionError)) else f"{type(error).__name__}: "
        problems.append(f"{words}: {name}{' '.join(str(error).split())[:300]}")


def complex_arrays(*trees: Any) -> Iterator[str]:
    """Name the first complex array of a state, which no optimizer here turns the right way and no file keeps."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        if np.issubdtype(leaf.dtype, np.complexfloating):
            name = jax.tree_util.keystr(path[1:], simple=True, separator="/")
            yield (
                f"{name or 'params'} is {leaf.dtype}; expected real floats; keep real and imaginary parts as two arrays"
            )
            return
