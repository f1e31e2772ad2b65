"""Reparameterizations: what a model uses in place of the weights that are stored and updated.

Factories return `Reparameterization(init, apply, after)`. In training and evaluation the model uses apply(stored,
state); the optimizer, transforms, regularizers, averages and probes of parameters see what is stored. In a table the
first one acts on what is stored, each other one on what the one before it gives. Noise on weights is a model's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import fold_in
from deepprinciples.kernels.smallest import smallest
from deepprinciples.parts.parameter_names import matches, name_of, unmatched
from deepprinciples.types import Array, Count, NonNegative, PyTree, Range, Reparameterization, Scalar, Share, traits

Match = str | tuple[str, ...]


def _matched(params: PyTree, match: Match) -> dict[str, Array]:
    """Return the leaves whose names fit, such as "layer_00/linear/kernel"."""
    every = {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    if problems := unmatched(match, list(every)):
        raise ValueError(f"match: {problems[0]}")
    return {name: leaf for name, leaf in every.items() if matches(match, name)}


def _with(params: PyTree, changed: Mapping[str, PyTree]) -> PyTree:
    """Return the parameters with some of the leaves changed."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: changed.get(name_of(path), leaf), params)


def _unchanged(stored: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
    return stored, state


@traits(neutral={"sparsity": 0.0}, fill=False)
def prune(
    *,
    sparsity: Share = 0.5,
    match: Match = "*kernel*",
    scope: Literal["global", "layer"] = "global",
    begin: Share = 0.0,
    end: Share = 0.5,
    rewind: bool = False,
    rewind_to: Share = 0.0,
    steps: Count,
) -> Reparameterization:
    """Set the smallest weights to zero, more of them as training goes on.

    w = mask v; s(t) = sparsity (1 - (1 - (t - begin) / (end - begin))^3)

    After each step from `begin` to `end` the mask is taken anew: of n weights, the round(s n) with the smallest |v| are
    removed. Then it stays. A removed weight has no gradient; its stored value v is kept, and can come back before
    `end`. With begin = end all are removed at once, with both 0 before the first step.

    Args:
      sparsity: share of the weights that is removed in the end, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      match: pattern, or list of patterns, of names of parameters, see `group`.
      scope: "global" compares the weights of all layers, "layer" removes the same share of each.
      begin: when pruning begins, as a share of the run, in [0, 1]. *Sweepable.*
      end: when it ends, as a share of the run, in [0, 1], not before `begin`. *Sweepable.*
      rewind: at `end`, put all stored parameters back to what they were at `rewind_to`, unless sparsity is 0. Schedule
        and optimizer go on.
      rewind_to: share of the run, in [0, 1]; 0.0 is the initialization, a value after `end` means that too.
        *Sweepable.*
      steps: of the run.
    Returns: `types.Reparameterization`.
    Raises: ValueError where nothing matches, or `end` is before `begin`.
    Expect: Claimed: up to a large sparsity accuracy hardly falls, beyond it quickly. With begin = end it drops there
      and recovers. Probes see the stored weights; gradient_norm is that of the weights left.
    Costs: About 50 passes over the weights per step, measurable with small batches; one byte a weight, and a copy of
      the parameters with `rewind`. Nothing is saved: zeros are multiplied too.
    References: Zhu and Gupta, arXiv:1710.01878; Frankle and Carbin, arXiv:1803.03635; Frankle et al., arXiv:1912.05671.
    """
    if isinstance(begin, float) and isinstance(end, float) and end < begin:
        raise ValueError(f"end: {end} is before begin, {begin}; expected an end of at least {begin}")
    first, last, recorded = (jnp.round(jnp.asarray(share) * steps) for share in (begin, end, rewind_to))

    def masks(stored: PyTree, step: Array) -> dict[str, Array]:
        done = jnp.where(step >= last, 1.0, jnp.clip((step - first) / jnp.maximum(last - first, 1.0), 0.0, 1.0))
        share = sparsity * (1.0 - (1.0 - done) ** 3)
        leaves = _matched(stored, match)
        kept = lambda x: ~smallest(x, jnp.round(share * x.size).astype(jnp.int32))
        if scope == "layer":
            return {name: kept(leaf) for name, leaf in leaves.items()}
        every = kept(jnp.concatenate([leaf.ravel() for leaf in leaves.values()]))
        cuts = jnp.split(every, [sum(a.size for a in list(leaves.values())[:n]) for n in range(1, len(leaves))])
        return {name: cut.reshape(leaf.shape) for cut, (name, leaf) in zip(cuts, leaves.items(), strict=True)}

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        del key
        step = jnp.zeros((), jnp.int32)
        start = {"start": params} if rewind else {}
        return params, {"step": step, "masks": masks(params, step), **start}

    def apply(stored: PyTree, state: PyTree) -> PyTree:
        leaves = _matched(stored, match)
        return _with(stored, {name: jnp.where(state["masks"][name], leaf, 0.0) for name, leaf in leaves.items()})

    def after(stored: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        step = state["step"] + 1
        new = jax.lax.cond(step <= last, lambda: masks(stored, step), lambda: state["masks"])
        if not rewind:
            return stored, {"step": step, "masks": new}
        choose = lambda condition, a, b: jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
        start = choose(step == recorded, stored, state["start"])
        return choose((step == last) & (sparsity > 0.0), start, stored), {"step": step, "masks": new, "start": start}

    return Reparameterization(init, apply, after)


@traits(neutral={"bits": math.inf})
def quantize(
    *, bits: Annotated[Scalar, Range("[2, inf]", "inf switches it off")] = 8.0, match: Match = "*kernel*"
) -> Reparameterization:
    """Round weights to a few evenly spaced values, and let the gradient pass as if they were not rounded.

    w = d round(v / d), d = max |v| / L over all axes but the last, L = round(2^(bits - 1)) - 1; dw / dv = 1

    Symmetric, with zero among the values, and a scale of its own for every output channel. No value is cut off.

    Args:
      bits: of one weight, in [2, inf]; between whole numbers there are as many values as the formula says.
        *Sweepable.* *Neutral: inf.*
      match: pattern, or list of patterns, of names of parameters, see `group`.
    Returns: `types.Reparameterization`.
    Raises: ValueError where nothing matches.
    Expect: Nothing at 8 bits; claimed: accuracy falls below 4. The loss no longer changes with every small update, so
      training stalls where update_ratio is far below the width of a step. Probes see the stored weights.
    Costs: A few passes over the weights per step. Nothing is saved: the rounded weights are floats.
    References: Bengio et al., arXiv:1308.3432; Jacob et al., arXiv:1712.05877.
    """
    levels = jnp.round(2.0 ** (jnp.asarray(bits, jnp.float32) - 1.0)) - 1.0

    def rounded(v: Array) -> Array:
        scale = jnp.max(jnp.abs(v), axis=tuple(range(v.ndim - 1)), keepdims=True) / levels
        near = jnp.round(v / jnp.where(scale > 0.0, scale, 1.0)) * scale
        fixed = jax.lax.stop_gradient(jnp.where(jnp.isinf(levels), v, near))
        return fixed + (v - jax.lax.stop_gradient(v))  # exactly the rounded value, with the gradient of v

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        del key
        _matched(params, match)
        return params, {}

    def apply(stored: PyTree, state: PyTree) -> PyTree:
        del state
        return _with(stored, {name: rounded(leaf) for name, leaf in _matched(stored, match).items()})

    return Reparameterization(init, apply, _unchanged)


def low_rank(*, rank: Count = 1, alpha: NonNegative = 1.0, match: Match = "*kernel*") -> Reparameterization:
    """Hold weights fixed and train a change of low rank.

    W = W0 + alpha / rank A B; A of [inputs, rank] is normal with variance 1 / inputs, B of [rank, outputs] is zero

    All axes but the last are one axis. W0 is what the model begins with. It is no parameter any more: A and B stand in
    its place, as "kernel.a" and "kernel.b", for the optimizer, weight decay and regularizers.

    Args:
      rank: of the change, at most the shorter side of each matrix.
      alpha: factor of the change, in [0, inf); with another rank about the same learning rate still fits.
        *Sweepable.*
      match: pattern, or list of patterns, of names of parameters, see `group`.
    Returns: `types.Reparameterization`.
    Raises: ValueError where nothing matches, a match is no matrix, or `rank` is above the shorter side.
    Expect: Claimed: enough to adapt weights trained before. From random ones the fit is worse the smaller the rank. The
      rank probe sees A and B.
    Costs: A thin matrix product and its way back per kernel and step; optimizer states are those of A and B.
    References: Hu et al., arXiv:2106.09685.
    """

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        leaves = _matched(params, match)
        factors = {}
        for number, (name, leaf) in enumerate(leaves.items()):
            if leaf.ndim < 2:
                raise ValueError(f"match: {match!r} matches {name} {list(leaf.shape)}, which is no matrix; match less")
            inputs, outputs = leaf.size // leaf.shape[-1], leaf.shape[-1]
            if rank > min(inputs, outputs):
                most = min(inputs, outputs)
                raise ValueError(f"rank: {rank} is above {most}, the most of {name} {list(leaf.shape)}; lower it")
            a = random.normal(fold_in(key, number), (inputs, rank), leaf.dtype) / math.sqrt(inputs)
            factors[name] = {"a": a, "b": jnp.zeros((rank, outputs), leaf.dtype)}
        return _with(params, factors), leaves

    def apply(stored: PyTree, state: PyTree) -> PyTree:
        def joined(path: tuple, node: PyTree) -> PyTree:
            fixed = state.get(name_of(path))
            if fixed is None:
                return node
            return jax.lax.stop_gradient(fixed) + (alpha / rank * (node["a"] @ node["b"])).reshape(fixed.shape)

        whole = lambda path, node: name_of(path) in state
        return jax.tree_util.tree_map_with_path(joined, stored, is_leaf=whole, is_leaf_takes_path=True)

    return Reparameterization(init, apply, _unchanged)


TABLE = {f.__name__: f for f in (prune, quantize, low_rank)}
