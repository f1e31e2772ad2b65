"""Clips: transforms that bound a gradient, and the norm they measure it by.

They share a way to shorten and a `ClipState`, which tells a probe how often they act and the norm before they do.
Users find them in `transforms.TABLE`; what changes a gradient whatever its size is written there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from optax import GradientTransformationExtraArgs as Transform

from deepprinciples.types import Array, ClipState, Count, Decay, Epsilon, Limit, PyTree, Range, Scalar, traits


class HistoryState(NamedTuple):
    """State of `auto_clip`: how often it acted, and the norms it has seen, the oldest overwritten first."""

    clip: ClipState
    norms: Array  # [history], infinite where nothing was seen yet


class ScoreState(NamedTuple):
    """State of `clip_by_z_score`: how often it acted, and the running mean and standard deviation of the norms."""

    clip: ClipState
    weight: Array  # sum of the weights of the steps so far
    mean: Array
    deviation: Array


def norm(tree: PyTree) -> Array:
    """Measure the Euclidean norm of a whole tree without overflow.

    |g| = s sqrt(sum (g / s)^2), s = sum |g|; squares of 1e20 would not fit into float32

    Args:
      tree: arrays of any shape.
    Returns: scalar.
    """
    leaves = [g for g in jax.tree.leaves(tree) if g.size]
    if not leaves:
        return jnp.zeros(())
    # The sum serves as well as the largest value, and XLA's CPU backend vectorizes a sum but no maximum.
    total = jnp.sum(jnp.stack([jnp.sum(jnp.abs(g)) for g in leaves]))
    scale = jnp.where((total > 0) & (total < jnp.inf), total, 1.0)
    return scale * jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(jnp.square(g / scale)) for g in leaves])))


def split_layers(tree: PyTree) -> tuple[list[PyTree], Callable[[list[PyTree]], PyTree]]:
    """Split a tree into its top-level entries, one a layer.

    Args:
      tree: parameters, or anything of their structure.
    Returns: the layers, and the function that puts as many together again.
    """
    layers, structure = jax.tree.flatten(tree, is_leaf=lambda node: node is not tree)
    return layers, lambda parts: jax.tree.unflatten(structure, parts)


def need_params(name: str, params: PyTree) -> PyTree:
    """Ask for the parameters, which optax lets a caller leave out.

    Args:
      name: the transform that asks.
      params: the parameters, or None.
    Returns: params as they are.
    Raises: ValueError where they are None.
    """
    if params is None:
        raise ValueError(f"{name}: update was called without params; call update(grads, state, params)")
    return params


def _shrink(size: Array, bound: Scalar) -> tuple[Array, Array]:
    """Return the factor that brings a size down to its bound, and whether it is needed."""
    over = size > bound
    return jnp.where(over, bound / jnp.where(over, size, 1.0), 1.0), over.astype(jnp.float32)


def _start(params: PyTree) -> ClipState:
    del params
    return ClipState(jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros(()))


def _count(state: ClipState, triggered: Array, size: Array) -> ClipState:
    return ClipState(state.triggered + triggered, state.steps + 1, size.astype(jnp.float32))


@traits(neutral={"max_value": math.inf})
def clip_by_value(*, max_value: Limit = 1.0) -> Transform:
    """Cut every entry of the gradient to an interval.

    g' = min(max(g, -max_value), max_value); the direction changes

    Args:
      max_value: largest entry let through. *Sweepable.* *Neutral: inf.*
    Returns: transform with a ClipState: `triggered` counts the share of entries cut, `norm` is the largest entry.
    Expect: Claimed to hold off exploding gradients, of recurrent nets above all; the direction of the step bends. Peaks
      of update_ratio go; gradient_norm is taken before it. Nothing where trigger_rate is 0.
    Costs: Nothing that is measurable; no copy of the weights.
    References: Mikolov 2012, Statistical language models based on neural networks.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del params, extra
        leaves = jax.tree.leaves(grads)
        entries = sum(g.size for g in leaves)
        cut = sum(jnp.sum(jnp.abs(g) > max_value) for g in leaves) / max(entries, 1)
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(g)) for g in leaves if g.size])) if entries else jnp.zeros(())
        clipped = jax.tree.map(lambda g: jnp.clip(g, -max_value, max_value), grads)
        return clipped, _count(state, jnp.asarray(cut, jnp.float32), largest)

    return Transform(_start, update)


@traits(neutral={"max_norm": math.inf})
def clip_by_global_norm(*, max_norm: Limit = 1.0) -> Transform:
    """Shorten the gradient to a largest norm and keep its direction.

    g' = g min(1, max_norm / |g|), |g| over all parameters

    Args:
      max_norm: largest norm let through. *Sweepable.* *Neutral: inf.*
    Returns: transform with a ClipState: `triggered` counts the steps clipped, `norm` is |g|.
    Expect: Keeps one steep batch from throwing the weights far away, in recurrent nets above all. Peaks of update_ratio
      go; gradient_norm is taken before it. Nothing where trigger_rate is 0, and little under Adam where it is 1.
    Costs: One pass over the gradient, which is hardly measurable; no copy of the weights.
    References: Pascanu et al., arXiv:1211.5063.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del params, extra
        size = norm(grads)
        factor, over = _shrink(size, max_norm)
        return jax.tree.map(lambda g: g * factor, grads), _count(state, over, size)

    return Transform(_start, update)


@traits(neutral={"max_norm": math.inf})
def clip_per_layer(*, max_norm: Limit = 1.0) -> Transform:
    """Shorten the gradient of each layer on its own; a layer is a top-level entry of the parameters.

    g_l' = g_l min(1, max_norm / |g_l|)

    Args:
      max_norm: largest norm of a layer let through. *Sweepable.* *Neutral: inf.*
    Returns: transform with a ClipState: `triggered` counts the share of layers clipped, `norm` is the largest |g_l|.
    Expect: A steep layer no longer shortens the steps of all others, so update_ratio should differ less from layer to
      layer; gradient_norm is taken before it. Nothing where trigger_rate is 0.
    Costs: One pass over the gradient, which is hardly measurable; no copy of the weights.
    References: Pascanu et al., arXiv:1211.5063; You et al., arXiv:1708.03888.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del params, extra
        layers, join = split_layers(grads)
        sizes = jnp.stack([norm(layer) for layer in layers])  # [layers]
        factors, over = _shrink(sizes, max_norm)
        clipped = [jax.tree.map(lambda g, f=factors[i]: g * f, layer) for i, layer in enumerate(layers)]
        return join(clipped), _count(state, jnp.mean(over), jnp.max(sizes))

    return Transform(_start, update)


@traits(neutral={"max_rms": math.inf})
def clip_by_block_rms(*, max_rms: Limit = 1.0) -> Transform:
    """Scale each kernel or bias of the gradient down to a largest root mean square.

    g_b' = g_b min(1, max_rms / rms(g_b)), rms(g) = |g| / sqrt(entries), a block is one array of the parameters

    Args:
      max_rms: largest root mean square of a block let through. *Sweepable.* *Neutral: inf.*
    Returns: transform with a ClipState: `triggered` counts the share of blocks clipped, `norm` is the largest rms.
    Expect: One steep array no longer shortens the steps of all others, and a large one may be longer than a small one:
      update_ratio should differ less from layer to layer; gradient_norm is taken before it. Nothing where trigger_rate
      is 0.
    Costs: One pass over the gradient, which is hardly measurable; no copy of the weights.
    References: Shazeer and Stern, arXiv:1804.04235. optax.clip_by_block_rms turns a block whose squares overflow to 0.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del params, extra
        leaves, structure = jax.tree.flatten(grads)
        sizes = jnp.stack([norm(g) / max(g.size, 1) ** 0.5 for g in leaves])  # [blocks]
        factors, over = _shrink(sizes, max_rms)
        clipped = [g * factors[i] for i, g in enumerate(leaves)]
        return jax.tree.unflatten(structure, clipped), _count(state, jnp.mean(over), jnp.max(sizes))

    return Transform(_start, update)


def _unit_norm(w: Array) -> Array:
    """Measure each output unit: all axes but the last for kernels, everything for vectors."""
    axes = tuple(range(w.ndim - 1)) if w.ndim >= 2 else None
    largest = jnp.max(jnp.abs(w), axis=axes, keepdims=True)
    scale = jnp.where((largest > 0) & (largest < jnp.inf), largest, 1.0)
    return scale * jnp.sqrt(jnp.sum(jnp.square(w / scale), axis=axes, keepdims=True))


@traits(neutral={"max_ratio": math.inf})
def adaptive_clip(*, max_ratio: Limit = 0.01, eps: Epsilon = 1e-3) -> Transform:
    """Shorten the gradient of each output unit to a share of the norm of its weights (AGC).

    g_u' = g_u min(1, max_ratio max(|w_u|, eps) / |g_u|); a unit is a slice along the last axis, a bias is one unit

    Args:
      max_ratio: largest |g_u| / |w_u| let through. *Sweepable.* *Neutral: inf.*
      eps: smallest |w_u| counted, so that weights that start at zero can move. *Sweepable.*
    Returns: transform with a ClipState: `triggered` counts the share of units clipped, `norm` is the largest ratio.
    Raises: ValueError where update gets no params.
    Expect: Claimed to let networks without normalization train at large batches and rates. With plain sgd update_ratio
      is at most learning_rate max_ratio wherever every |w_u| is above eps. Nothing where trigger_rate is 0.
    Costs: Norms of all weights and gradients, unit by unit, which is hardly measurable; no copy of the weights.
    References: Brock et al., arXiv:2102.06171.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del extra
        leaves, structure = jax.tree.flatten(grads)
        clipped, overs, ratios = [], [], []
        for g, w in zip(leaves, jax.tree.leaves(need_params("adaptive_clip", params)), strict=True):
            ratio = _unit_norm(g) / jnp.maximum(_unit_norm(w), eps)
            factor, over = _shrink(ratio, max_ratio)
            clipped.append(g * factor)
            overs.append(over.ravel())
            ratios.append(ratio.ravel())
        share, largest = jnp.mean(jnp.concatenate(overs)), jnp.max(jnp.concatenate(ratios))
        return jax.tree.unflatten(structure, clipped), _count(state, share, largest)

    return Transform(_start, update)


@traits(neutral={"percentile": 100.0})
def auto_clip(*, percentile: Annotated[Scalar, Range("[0, 100]")] = 10.0, history: Count = 256) -> Transform:
    """Shorten the gradient to a percentile of the norms seen so far.

    g' = g min(1, P / |g|), P the percentile (by linear interpolation) of the last `history` norms, this one included

    Args:
      percentile: in [0, 100]. *Sweepable.* *Neutral: 100.0.*
      history: how many norms are kept.
    Returns: transform with a HistoryState.
    Expect: Claimed to spare the search for a norm. trigger_rate should come near 1 - percentile / 100 where the norm is
      steady, and stay below where it falls; peaks of update_ratio go. gradient_norm is taken before it.
    Costs: A sort of `history` numbers a step, which is hardly measurable; no copy of the weights.
    References: Seetharaman et al., arXiv:2007.14469.
    """

    def init(params: PyTree) -> HistoryState:
        return HistoryState(_start(params), jnp.full((history,), jnp.inf))

    def update(grads: PyTree, state: HistoryState, params: PyTree = None, **extra):
        del params, extra
        size = norm(grads)
        norms = state.norms.at[state.clip.steps % history].set(size.astype(jnp.float32))
        seen = jnp.minimum(state.clip.steps + 1, history)
        place = jnp.asarray(percentile, jnp.float32) / 100.0 * (seen - 1)
        low = jnp.floor(place).astype(jnp.int32)
        ordered = jnp.sort(norms)
        below, above = ordered[low], ordered[jnp.minimum(low + 1, seen - 1)]
        part = place - low
        # Written so that part = 0 gives `below` exactly: the neutral value must not clip by a rounding error.
        bound = jnp.where(part > 0, below + part * (above - below), below)
        factor, over = _shrink(size, bound)
        clipped = jax.tree.map(lambda g: g * factor, grads)
        return clipped, HistoryState(_count(state.clip, over, size), norms)

    return Transform(init, update)


@traits(neutral={"max_score": math.inf})
def clip_by_z_score(
    *, max_score: Limit = 2.5, decay: Decay = 0.97, delay: Annotated[int, Range("[2, inf)")] = 25
) -> Transform:
    """Shorten a gradient whose norm stands out from the norms before it.

    g' = g min(1, (m + max_score s) / |g|)

    m and s are the mean and the standard deviation of the norms before this step, each step weighing `decay` times the
    next; |g'| enters them, so that one spike does not open the door for another.

    Args:
      max_score: largest distance from the mean let through, in standard deviations. *Sweepable.* *Neutral: inf.*
      decay: weight of a step against that of the next. *Sweepable.*
      delay: steps that are only measured and never clipped, at least 2.
    Returns: transform with a ScoreState.
    Expect: Claimed to prevent spikes of the loss and to leave the rest alone: trigger_rate stays near 0 in a calm run,
      and is 0 for the first `delay` steps. gradient_norm shows a spike, update_ratio should not.
    Costs: One pass over the gradient, which is hardly measurable; no copy of the weights.
    References: Kumar et al., arXiv:2504.02507, which shortens a larger outlier further, below this bound.
    """

    def init(params: PyTree) -> ScoreState:
        return ScoreState(_start(params), jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

    def update(grads: PyTree, state: ScoreState, params: PyTree = None, **extra):
        del params, extra
        size = norm(grads)
        ready = state.clip.steps >= max(delay, 2)
        # inf times a deviation of 0 is NaN, and nothing is above NaN: the neutral value never clips.
        factor, over = _shrink(size, jnp.where(ready, state.mean + max_score * state.deviation, jnp.inf))
        seen = size * factor
        weight = decay * state.weight + 1.0
        away = seen - state.mean
        mean = state.mean + away / weight
        # The root of (1 - 1/weight) (s^2 + away^2 / weight), without squares that overflow.
        deviation = jnp.sqrt(1.0 - 1.0 / weight) * jnp.hypot(state.deviation, away / jnp.sqrt(weight))
        clipped = jax.tree.map(lambda g: g * factor, grads)
        return clipped, ScoreState(_count(state.clip, over, size), weight, mean, deviation)

    return Transform(init, update)
