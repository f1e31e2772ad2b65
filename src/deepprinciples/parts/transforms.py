"""Transforms: what is done to a gradient before the optimizer sees it.

Every factory returns an `optax.GradientTransformationExtraArgs`; in a chain, order matters. The engine passes
`key=` (this lane's, this step's) and `value=` (the loss) to every update. Clips keep a `ClipState`, so that a probe
can read how often they act and the norm before they do. At its neutral value a transform hands every bit on; zero
gradients stay zero. How a gradient is taken is a rule; what turns it into a step is an optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import GradientTransformationExtraArgs as Transform

from deepprinciples.types import Array, ClipState, PyTree, Scalar


class CountState(NamedTuple):
    """State of a transform that changes with time: steps so far."""

    steps: Array


class AverageState(NamedTuple):
    """State of `ema`: steps so far and the running average, shaped as the gradient."""

    steps: Array
    average: PyTree


class HistoryState(NamedTuple):
    """State of `auto_clip`: how often it acted, and the norms it has seen, the oldest overwritten first."""

    clip: ClipState
    norms: Array  # [history], infinite where nothing was seen yet


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


def _layers(tree: PyTree) -> tuple[list[PyTree], Callable[[list[PyTree]], PyTree]]:
    """Split a tree into its top-level entries, one a layer, and the function that puts them together again."""
    layers, structure = jax.tree.flatten(tree, is_leaf=lambda node: node is not tree)
    return layers, lambda parts: jax.tree.unflatten(structure, parts)


def _shrink(size: Array, bound: Scalar) -> tuple[Array, Array]:
    """Return the factor that brings a size down to its bound, and whether it is needed."""
    over = size > bound
    return jnp.where(over, bound / jnp.where(over, size, 1.0), 1.0), over.astype(jnp.float32)


def _start(params: PyTree) -> ClipState:
    del params
    return ClipState(jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros(()))


def _count(state: ClipState, triggered: Array, size: Array) -> ClipState:
    return ClipState(state.triggered + triggered, state.steps + 1, size.astype(jnp.float32))


def _stateless(change: Callable[[PyTree, PyTree], PyTree]) -> Transform:
    def update(grads: PyTree, state: optax.EmptyState, params: PyTree = None, **extra):
        del extra
        return change(grads, params), state

    return Transform(lambda params: optax.EmptyState(), update)


def _need(name: str, params: PyTree) -> PyTree:
    if params is None:
        raise ValueError(f"{name}: update was called without params; call update(grads, state, params)")
    return params


def clip_by_value(*, max_value: Scalar = 1.0) -> Transform:
    """Cut every entry of the gradient to an interval.

    g' = min(max(g, -max_value), max_value); the direction changes

    Args:
      max_value: largest entry let through. *Sweepable.* *Neutral: inf.*
    Returns: transform with a ClipState: `triggered` counts the share of entries cut, `norm` is the largest entry.
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


def clip_by_global_norm(*, max_norm: Scalar = 1.0) -> Transform:
    """Shorten the gradient to a largest norm and keep its direction.

    g' = g min(1, max_norm / |g|), |g| over all parameters

    Args:
      max_norm: largest norm let through. *Sweepable.* *Neutral: inf.*
    Returns: transform with a ClipState: `triggered` counts the steps clipped, `norm` is |g|.
    References: Pascanu et al., arXiv:1211.5063.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del params, extra
        size = norm(grads)
        factor, over = _shrink(size, max_norm)
        return jax.tree.map(lambda g: g * factor, grads), _count(state, over, size)

    return Transform(_start, update)


def clip_per_layer(*, max_norm: Scalar = 1.0) -> Transform:
    """Shorten the gradient of each layer on its own; a layer is a top-level entry of the parameters.

    g_l' = g_l min(1, max_norm / |g_l|)

    Args:
      max_norm: largest norm of a layer let through. *Sweepable.* *Neutral: inf.*
    Returns: transform with a ClipState: `triggered` counts the share of layers clipped, `norm` is the largest |g_l|.
    References: Pascanu et al., arXiv:1211.5063; You et al., arXiv:1708.03888.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del params, extra
        layers, join = _layers(grads)
        sizes = jnp.stack([norm(layer) for layer in layers])  # [layers]
        factors, over = _shrink(sizes, max_norm)
        clipped = [jax.tree.map(lambda g, f=factors[i]: g * f, layer) for i, layer in enumerate(layers)]
        return join(clipped), _count(state, jnp.mean(over), jnp.max(sizes))

    return Transform(_start, update)


def _unit_norm(w: Array) -> Array:
    """Measure each output unit: all axes but the last for kernels, everything for vectors."""
    axes = tuple(range(w.ndim - 1)) if w.ndim >= 2 else None
    largest = jnp.max(jnp.abs(w), axis=axes, keepdims=True)
    scale = jnp.where((largest > 0) & (largest < jnp.inf), largest, 1.0)
    return scale * jnp.sqrt(jnp.sum(jnp.square(w / scale), axis=axes, keepdims=True))


def adaptive_clip(*, max_ratio: Scalar = 0.01, eps: Scalar = 1e-3) -> Transform:
    """Shorten the gradient of each output unit to a share of the norm of its weights (AGC).

    g_u' = g_u min(1, max_ratio max(|w_u|, eps) / |g_u|); a unit is a slice along the last axis, a bias is one unit

    Args:
      max_ratio: largest |g_u| / |w_u| let through. *Sweepable.* *Neutral: inf.*
      eps: smallest |w_u| counted, so that weights that start at zero can move. *Sweepable.*
    Returns: transform with a ClipState: `triggered` counts the share of units clipped, `norm` is the largest ratio.
    Raises: ValueError where update gets no params.
    References: Brock et al., arXiv:2102.06171.
    """

    def update(grads: PyTree, state: ClipState, params: PyTree = None, **extra):
        del extra
        leaves, structure = jax.tree.flatten(grads)
        clipped, overs, ratios = [], [], []
        for g, w in zip(leaves, jax.tree.leaves(_need("adaptive_clip", params)), strict=True):
            ratio = _unit_norm(g) / jnp.maximum(_unit_norm(w), eps)
            factor, over = _shrink(ratio, max_ratio)
            clipped.append(g * factor)
            overs.append(over.ravel())
            ratios.append(ratio.ravel())
        share, largest = jnp.mean(jnp.concatenate(overs)), jnp.max(jnp.concatenate(ratios))
        return jax.tree.unflatten(structure, clipped), _count(state, share, largest)

    return Transform(_start, update)


def auto_clip(*, percentile: Scalar = 10.0, history: int = 256) -> Transform:
    """Shorten the gradient to a percentile of the norms seen so far.

    g' = g min(1, P / |g|), P the percentile (by linear interpolation) of the last `history` norms, this one included

    Args:
      percentile: in [0, 100]. *Sweepable.* *Neutral: 100.0.*
      history: how many norms are kept.
    Returns: transform with a HistoryState.
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


def centralize(*, strength: Scalar = 1.0) -> Transform:
    """Take its mean out of the gradient of each output unit's kernel.

    g' = g - strength mean of g over all axes but the last, for leaves with two axes or more

    Args:
      strength: share of the mean taken out, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
    Returns: transform without state. At strength 1 the entries of each unit sum to zero.
    References: Yong et al., arXiv:2004.01461. optax.centralize averages over outputs instead.
    """

    def center(g: Array) -> Array:
        if g.ndim < 2:
            return g
        return g - strength * jnp.mean(g, axis=tuple(range(g.ndim - 1)), keepdims=True)

    return _stateless(lambda grads, params: jax.tree.map(center, grads))


def noise(*, strength: Scalar = 0.1, decay: Scalar = 0.55) -> Transform:
    """Add normal noise that dies out over the steps, fresh for every lane.

    g' = g + s_t z, z ~ N(0, 1), s_t = strength / (1 + t)^(decay / 2), t = 0, 1, ...

    Args:
      strength: standard deviation at the first step. *Sweepable.* *Neutral: 0.0.*
      decay: power with which the variance falls. *Sweepable.* At 0.0 it stays.
    Returns: transform with a CountState; its update needs `key=`.
    Raises: ValueError where update gets no key.
    References: Neelakantan et al., arXiv:1511.06807. optax.add_noise gives all lanes of a vmap the same noise.
    """

    def update(grads: PyTree, state: CountState, params: PyTree = None, *, key: Array | None = None, **extra):
        del params, extra
        if key is None:
            raise ValueError("noise: update was called without a key; call update(grads, state, params, key=key)")
        leaves, structure = jax.tree.flatten(grads)
        size = strength * (1.0 + state.steps) ** (-0.5 * jnp.asarray(decay, jnp.float32))
        keys = [jax.random.fold_in(key, i) for i in range(len(leaves))]
        drawn = [g + size * jax.random.normal(k, g.shape, g.dtype) for g, k in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(structure, drawn), CountState(state.steps + 1)

    return Transform(lambda params: CountState(jnp.zeros((), jnp.int32)), update)


def sign() -> Transform:
    """Keep only the sign of each entry.

    g' = sign(g), 0 at 0

    Returns: transform without state.
    References: Bernstein et al., arXiv:1802.04434.
    """
    return _stateless(lambda grads, params: jax.tree.map(jnp.sign, grads))


def _unit(tree: PyTree) -> PyTree:
    size = norm(tree)
    return jax.tree.map(lambda g: g / jnp.where(size > 0, size, 1.0), tree)


def normalize() -> Transform:
    """Give the gradient norm 1; a zero gradient stays zero.

    g' = g / |g|, |g| over all parameters

    Returns: transform without state.
    References: Hazan et al., arXiv:1507.02030.
    """
    return _stateless(lambda grads, params: _unit(grads))


def normalize_per_layer() -> Transform:
    """Give the gradient of each layer norm 1; a layer is a top-level entry of the parameters.

    g_l' = g_l / |g_l|

    Returns: transform without state.
    References: Yu et al., arXiv:1707.04822.
    """

    def change(grads: PyTree, params: PyTree) -> PyTree:
        del params
        layers, join = _layers(grads)
        return join([_unit(layer) for layer in layers])

    return _stateless(change)


def weight_decay(*, strength: Scalar = 1e-4, biases: bool = False) -> Transform:
    """Add a share of the kernels to the gradient; before Adam this is "Adam with L2", and not AdamW.

    g' = g + strength w, for leaves with two axes or more

    Args:
      strength: share. *Sweepable.* *Neutral: 0.0.*
      biases: also act on leaves with fewer than two axes.
    Returns: transform without state.
    Raises: ValueError where update gets no params.
    References: Loshchilov and Hutter, arXiv:1711.05101.
    """

    def change(grads: PyTree, params: PyTree) -> PyTree:
        add = lambda g, w: g + strength * w if biases or w.ndim >= 2 else g  # noqa: E731
        return jax.tree.map(add, grads, _need("weight_decay", params))

    return _stateless(change)


def ema(*, decay: Scalar = 0.9) -> Transform:
    """Replace the gradient by its running average, corrected for the start at zero.

    m_t = decay m_{t-1} + (1 - decay) g_t, g' = m_t / (1 - decay^t), t = 1, 2, ...

    Args:
      decay: share of the past kept. *Sweepable.* *Neutral: 0.0.*
    Returns: transform with an AverageState.
    References: Kingma and Ba, arXiv:1412.6980.
    """

    def update(grads: PyTree, state: AverageState, params: PyTree = None, **extra):
        del params, extra
        steps = state.steps + 1
        average = jax.tree.map(lambda m, g: decay * m + (1.0 - decay) * g, state.average, grads)
        share = 1.0 - jnp.asarray(decay, jnp.float32) ** steps
        return jax.tree.map(lambda m: m / share, average), AverageState(steps, average)

    return Transform(lambda params: AverageState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params)), update)


def scale(*, factor: Scalar = 1.0) -> Transform:
    """Multiply the gradient.

    g' = factor g

    Args:
      factor: any number. *Sweepable.* *Neutral: 1.0.*
    Returns: transform without state.
    """
    return _stateless(lambda grads, params: jax.tree.map(lambda g: g * factor, grads))


TABLE = {
    f.__name__: f
    for f in (
        clip_by_value,
        clip_by_global_norm,
        clip_per_layer,
        adaptive_clip,
        auto_clip,
        centralize,
        noise,
        sign,
        normalize,
        normalize_per_layer,
        weight_decay,
        ema,
        scale,
    )
}

NEUTRAL = {
    "clip_by_value": {"max_value": float("inf")},
    "clip_by_global_norm": {"max_norm": float("inf")},
    "clip_per_layer": {"max_norm": float("inf")},
    "adaptive_clip": {"max_ratio": float("inf")},
    "auto_clip": {"percentile": 100.0},
    "centralize": {"strength": 0.0},
    "noise": {"strength": 0.0},
    "weight_decay": {"strength": 0.0},
    "ema": {"decay": 0.0},
    "scale": {"factor": 1.0},
}
