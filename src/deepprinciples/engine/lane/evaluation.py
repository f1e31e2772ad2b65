"""The evaluation of a whole split: statistics of every example on the device, then what each metric makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.engine.divergence import PER_CLASS
from deepprinciples.engine.lane.fit import Lane
from deepprinciples.engine.streams import lane_key
from deepprinciples.kernels.keys import fold_in
from deepprinciples.types import Array, Batch, Learner, Metric, PyTree, mean_of

SEED = 2**31 + 1  # of what an evaluation draws: the same for every lane and every evaluation


def evaluate(learner: Learner, lane: Lane, batches: Batch, weights: Array) -> dict[str, PyTree]:
    """Evaluate a split.

    Args:
        learner: gives the statistics of each example, and the metrics that reduce them.
        lane: whose state is evaluated.
        batches: [K, E, ...].
        weights: [K, E], 1, or 0 for padding.

    Returns:
        metric -> scalar, or metric + PER_CLASS -> [C]. What a metric on the host reduces is given as it is: its
        statistics and weights, see `on_host`.
    """
    key = lane_key(SEED)

    def one(xs: tuple[Array, Batch, Array]) -> dict[str, PyTree]:
        number, batch, weight = xs
        rows = learner.evaluate(lane.state, batch, fold_in(key, number))
        total = lambda name: _metric(learner, name).reduce == "sum"
        return {name: _summed(tree, weight) if total(name) else tree for name, tree in rows.items()}

    numbers = jnp.arange(len(weights), dtype=jnp.uint32)
    found: dict[str, PyTree] = {}
    for name, tree in jax.lax.map(one, (numbers, batches, weights)).items():
        metric = _metric(learner, name)
        if metric.reduce == "sum":
            given = jax.tree.map(lambda a: jnp.sum(a, axis=0), tree), jnp.sum(weights)
        else:
            given = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tree), weights.reshape(-1)
        found |= {name: given} if metric.host else _reduced(name, metric, *given)
    return found | (dict(learner.snapshots(lane.state)) if learner.snapshots else {})


def on_host(metrics: Mapping[str, Metric], found: Mapping[str, PyTree]) -> dict[str, Any]:
    """Let the metrics that run on the host reduce their statistics, lane by lane.

    Args:
        metrics: those with `host`, by name.
        found: what `evaluate` gave, leading axes [blocks, points].

    Returns:
        The same with arrays [blocks, points, ...] in the place of the statistics; float32.
    """
    done = {name: value for name, value in found.items() if name not in metrics}
    for name, metric in metrics.items():
        trees = jax.device_get(found[name])
        blocks, points = jax.tree.leaves(trees)[0].shape[:2]
        lanes = [jax.tree.map(lambda a, b=b, p=p: a[b, p], trees) for b in range(blocks) for p in range(points)]
        rows = [_of_lane(name, metric, *lane) for lane in lanes]
        for key in rows[0]:
            values = np.stack([np.asarray(row[key], np.float32) for row in rows])
            done[key] = values.reshape(blocks, points, *values.shape[1:])
    return done


def names_on_host(metrics: Mapping[str, Metric], found: Mapping[str, PyTree]) -> dict[str, Any]:
    """Return the structure of what `on_host` gives, without calling a metric: what is in it is no value."""
    done = {name: value for name, value in found.items() if name not in metrics}
    for name, metric in metrics.items():
        done |= dict.fromkeys([name] if metric.per_class is None else [name, name + PER_CLASS], np.zeros(()))
    return done


def _of_lane(name: str, metric: Metric, tree: PyTree, weights: Any) -> dict[str, Any]:
    """Let a metric reduce the statistics of a lane; NaN where it takes none of a lane that diverged."""
    try:
        return _reduced(name, metric, tree, weights)
    except Exception:
        floats = [a for a in jax.tree.leaves(tree) if np.issubdtype(a.dtype, np.floating)]
        if all(np.isfinite(a).all() for a in floats):
            raise
        found = _reduced(name, metric, jax.tree.map(np.nan_to_num, tree), weights)  # for the shapes alone
        return jax.tree.map(lambda a: np.full(np.shape(a), np.nan), found)


def _metric(learner: Learner, name: str) -> Metric:
    return learner.metrics.get(name, _MEAN)


_MEAN = mean_of(lambda outputs, targets: outputs)


def _summed(tree: PyTree, weight: Array) -> PyTree:
    def total(rows: Array) -> Array:
        counts = weight.reshape(-1, *[1] * (rows.ndim - 1)) > 0
        return jnp.sum(jnp.where(counts, rows, jnp.zeros((), rows.dtype)), axis=0)

    return jax.tree.map(total, tree)


def _reduced(name: str, metric: Metric, tree: PyTree, weights: Any) -> dict[str, Any]:
    found = {name: metric.compute(tree, weights)}
    return found if metric.per_class is None else found | {name + PER_CLASS: metric.per_class(tree, weights)}
