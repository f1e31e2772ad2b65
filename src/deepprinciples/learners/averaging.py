"""Weights that are averaged along a run, as a learner carries them, and the batch normalization that goes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, Average, Batch, PyTree

_FAR = 2.0**20  # against which what a batch adds is small, so that m is read without cancellation
_STATISTICS = ("mean", "var")  # what batch normalization keeps running, by Linen's names


class Averaged(NamedTuple):
    """An average under way, and the weights of it that are evaluated: those of the last segment's end."""

    state: PyTree
    step: Array  # int32: steps so far
    params: PyTree
    model_state: PyTree


def begin(average: Average, params: PyTree, model_state: PyTree) -> Averaged:
    """Start an average; the first weights are evaluated until there are others."""
    return Averaged(average.init(params), jnp.zeros((), jnp.int32), params, model_state)


def follow(average: Average, held: Averaged, params: PyTree, steps: int) -> tuple[Averaged, PyTree]:
    """Take the weights of one more step into the average; also return those that training goes on from."""
    step = held.step + 1
    state, params = average.update(held.state, params, step / steps)
    return held._replace(state=state, step=step), params


Passed = Callable[[PyTree, PyTree, Batch], PyTree]  # (params, model state, batch) -> the model state after a pass


def statistics(passed: Passed, params: PyTree, kept: PyTree, batches: Batch) -> PyTree:
    """Measure the state of batch normalization that belongs to some weights, over training batches.

    Args:
        passed: a pass in training, which gives the statistics.
        params: the weights.
        kept: a state of the model; one without statistics is returned as it is.
        batches: training batches [K, B, ...].

    Returns:
        The state: statistics are the mean over the K batches; what else the model keeps (the vector of a spectral
        norm) is as a pass over the last of them leaves it.

    References:
        arXiv:1803.05407 (section 3.2).
    """
    if not (isinstance(kept, Mapping) and jax.tree.leaves(kept)):
        return kept

    def after(start: float, batch: Batch) -> PyTree:
        """Return the state that one batch leaves where every statistic starts at `start`."""
        return passed(params, _on_statistics(lambda a: jnp.full_like(a, start), kept), batch)

    # A running mean is m old + (1 - m) new: from 0 it is (1 - m) new, and from FAR that plus m FAR.
    from_zero = jax.lax.map(lambda batch: after(0.0, batch), batches)
    last = jax.tree.map(lambda a: a[-1], from_zero)
    from_far = after(_FAR, jax.tree.map(lambda a: a[-1], batches))

    def mean(own: Array, every: Array, far: Array) -> Array:
        share = 1.0 - (far - own) / _FAR
        return jnp.mean(every, axis=0) / jnp.where(share > 0, share, 1.0)

    return _on_statistics(mean, last, from_zero, from_far)


def _on_statistics(change: Any, tree: PyTree, *others: PyTree) -> PyTree:
    """Change the running statistics in a state, and nothing else of it."""

    def one(path: tuple[Any, ...], leaf: Array, *rest: Array) -> Array:
        name = str(getattr(path[-1], "key", "")) if path else ""
        return change(leaf, *rest) if name in _STATISTICS else leaf

    return jax.tree_util.tree_map_with_path(one, tree, *others)
