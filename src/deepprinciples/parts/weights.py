"""Reparameterizations: what a model uses in place of the weights that are stored and updated.

Factories return `Reparameterization(init, apply, after)`. In training and evaluation the model uses apply(stored,
state); the optimizer, transforms, regularizers, averages and probes of parameters see what is stored. In a table the
first one acts on what is stored, each other one on what the one before it gives. Noise on weights is a model's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import fold_in
from deepprinciples.kernels.smallest import smallest
from deepprinciples.kernels.storage import Stored
from deepprinciples.parts.parameter_names import matches, name_of, unmatched
from deepprinciples.types import (
    Array,
    Count,
    NonNegative,
    PyTree,
    Range,
    Reparameterization,
    Scalar,
    Share,
    Size,
    traits,
)

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


def _shuffled(key: Array, params: PyTree) -> PyTree:
    """Return every array with its entries in a random order."""
    leaves, tree = jax.tree.flatten(params)
    mixed = [jax.random.permutation(fold_in(key, k), a.ravel()).reshape(a.shape) for k, a in enumerate(leaves)]
    return jax.tree.unflatten(tree, mixed)


@traits(neutral={"sparsity": 0.0}, fill=False)
def prune(
    *,
    sparsity: Share = 0.5,
    match: Match = "*kernel*",
    scope: Literal["global", "layer"] = "global",
    score: Literal["magnitude", "random"] = "magnitude",
    begin: Share = 0.0,
    end: Share = 0.5,
    rounds: Size = 0,
    rewind: bool = False,
    rewind_to: Share = 0.0,
    redraw: bool = False,
    steps: Count,
) -> Reparameterization:
    """Set the smallest weights to zero, more of them as training goes on.

    w = mask v; s(t) = sparsity (1 - (1 - (t - begin) / (end - begin))^3), or in round r of R 1 - (1 - sparsity)^(r / R)

    After each step from `begin` to `end` the mask is taken anew: of n weights, the round(s n) with the smallest |v| are
    removed. Then it stays. A removed weight has no gradient; its stored value v is kept, and can come back before
    `end`. With begin = end all are removed at once, with both 0 before the first step. In rounds, the mask changes R
    times only, at equal distances after `begin`, the last at `end`, and what is removed stays so.

    Args:
      sparsity: share of the weights that is removed in the end, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      match: pattern, or list of patterns, of names of parameters, see `group`.
      scope: "global" compares the weights of all layers, "layer" removes the same share of each.
      score: "magnitude" removes the smallest |v|, "random" any, chosen before the first step.
      begin: when pruning begins, as a share of the run, in [0, 1]. *Sweepable.*
      end: when it ends, as a share of the run, in [0, 1], not before `begin`. *Sweepable.*
      rounds: 0 prunes gradually, 1 all at once at `end`; each of several removes the same share of what is left.
      rewind: at `end`, and after each round, put all stored parameters back to what they were at `rewind_to`, unless
        sparsity is 0. Schedule and optimizer go on.
      rewind_to: share of the run, in [0, 1]; 0.0 is the initialization, a value after `end` means that too.
        *Sweepable.*
      redraw: where weights are put back, put them back in a random order within each array: the winning ticket without
        its initial weights. An initializer whose entries depend on each other, such as orthogonal, loses that.
      steps: of the run.
    Returns: `types.Reparameterization`.
    Raises: ValueError where nothing matches, or `end` is before `begin`.
    Expect: Claimed: up to a large sparsity accuracy hardly falls, beyond it quickly; a rewound ticket trains as well as
      the dense network, redrawn or random ones do not. With begin = end it drops there and recovers. Probes see the
      stored weights; gradient_norm is that of the weights left.
    Costs: About 50 passes over the weights per step, in rounds 50 for each round; one byte a weight, and a copy of the
      parameters with `rewind`. Nothing is saved while training: zeros are multiplied too. The size of the model counts
      the weights left and one bit for each, left or not.
    References: Zhu and Gupta, arXiv:1710.01878; Frankle and Carbin, arXiv:1803.03635; Frankle et al., arXiv:1912.05671.
    """
    if isinstance(begin, float) and isinstance(end, float) and end < begin:
        raise ValueError(f"end: {end} is before begin, {begin}; expected an end of at least {begin}")
    first, last, recorded = (jnp.round(jnp.asarray(share) * steps) for share in (begin, end, rewind_to))
    times = first + jnp.round((last - first) * jnp.arange(1, rounds + 1) / max(rounds, 1))  # of the rounds

    def removed(step: Array) -> Array:
        """Return the share of the weights that is removed after a step."""
        if rounds:
            left = 1.0 - jnp.sum(step >= times) / rounds
            return jnp.where(left == 0.0, sparsity, 1.0 - (1.0 - jnp.asarray(sparsity)) ** (1.0 - left))
        done = jnp.where(step >= last, 1.0, jnp.clip((step - first) / jnp.maximum(last - first, 1.0), 0.0, 1.0))
        return sparsity * (1.0 - (1.0 - done) ** 3)

    def scores(stored: PyTree, state: PyTree) -> dict[str, Array]:
        """Return what decides for each weight, the smallest being removed first."""
        leaves = _matched(stored, match)
        if score == "random":
            key = jax.random.wrap_key_data(state["key"])
            # Not 0, so that a weight that was removed before comes first.
            draw = lambda k, leaf: random.uniform(fold_in(key, k), leaf.shape, jnp.float32, 0.5, 1.0)
            leaves = {name: draw(k, leaf) for k, (name, leaf) in enumerate(leaves.items())}
        if rounds and "masks" in state:
            leaves = {name: jnp.where(state["masks"][name], leaf, 0.0) for name, leaf in leaves.items()}
        return leaves

    def masks(stored: PyTree, state: PyTree, step: Array) -> dict[str, Array]:
        share, leaves = removed(step), scores(stored, state)
        kept = lambda x: ~smallest(x, jnp.round(share * x.size).astype(jnp.int32))
        if scope == "layer":
            return {name: kept(leaf) for name, leaf in leaves.items()}
        every = kept(jnp.concatenate([leaf.ravel() for leaf in leaves.values()]))
        cuts = jnp.split(every, [sum(a.size for a in list(leaves.values())[:n]) for n in range(1, len(leaves))])
        return {name: cut.reshape(leaf.shape) for cut, (name, leaf) in zip(cuts, leaves.items(), strict=True)}

    def again(stored: PyTree, state: PyTree) -> PyTree:
        """Return what weights are put back to, where these are the recorded ones."""
        return _shuffled(jax.random.wrap_key_data(state["key"]), stored) if redraw else stored

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        state: dict[str, Any] = {"step": jnp.zeros((), jnp.int32)}
        if score == "random" or (rewind and redraw):
            state["key"] = jax.random.key_data(key)
        state["masks"] = masks(params, state, state["step"])
        return params, state | ({"start": again(params, state)} if rewind else {})

    def apply(stored: PyTree, state: PyTree) -> PyTree:
        leaves = _matched(stored, match)
        return _with(stored, {name: jnp.where(state["masks"][name], leaf, 0.0) for name, leaf in leaves.items()})

    def after(stored: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        step = state["step"] + 1
        due = jnp.any(step == times) if rounds else step <= last
        new = jax.lax.cond(due, lambda: masks(stored, state, step), lambda: state["masks"])
        state = {**state, "step": step, "masks": new}
        if not rewind:
            return stored, state
        choose = lambda condition, a, b: jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
        if redraw:
            start = jax.lax.cond(step == recorded, lambda: again(stored, state), lambda: state["start"])
        else:
            start = choose(step == recorded, stored, state["start"])
        back = (due if rounds else step == last) & (sparsity > 0.0)
        return choose(back, start, stored), {**state, "start": start}

    def sizes(arrays: Mapping[str, Stored]) -> Mapping[str, Stored]:
        if not float(sparsity):
            return arrays
        found, seen, gone = dict(arrays), 0, 0
        whole = lambda count: int(np.round(np.float32(float(sparsity)) * np.float32(count)))
        for name, one in arrays.items():
            if matches(match, name):
                cut = whole(one.values)
                if scope == "global":  # which arrays lose more is not known; only the sum is right
                    seen += one.values
                    cut = whole(seen) - gone
                    gone += cut
                found[name] = one._replace(values=one.values - cut, beside=one.beside + -(-one.values // 8))
        return found

    return Reparameterization(init, apply, after, sizes)


@traits(neutral={"bits": math.inf})
def quantize(
    *,
    bits: Annotated[Scalar, Range("[2, inf]", "inf switches it off")] = 8.0,
    begin: Share = 0.0,
    match: Match = "*kernel*",
    steps: Count,
) -> Reparameterization:
    """Round weights to a few evenly spaced values, and let the gradient pass as if they were not rounded.

    w = d round(v / d), d = max |v| / L over all axes but the last, L = round(2^(bits - 1)) - 1; dw / dv = 1

    Symmetric, with zero among the values, and a scale of its own for every output channel. No value is cut off.

    Args:
      bits: of one weight, in [2, inf]; between whole numbers there are as many values as the formula says.
        *Sweepable.* *Neutral: inf.*
      begin: from when on weights are rounded, as a share of the run, in [0, 1]: 0.0 is quantization-aware training,
        1.0 quantization after training, which only the last evaluation sees. *Sweepable.*
      match: pattern, or list of patterns, of names of parameters, see `group`.
      steps: of the run.
    Returns: `types.Reparameterization`.
    Raises: ValueError where nothing matches.
    Expect: Nothing at 8 bits; claimed: accuracy falls below 4, and less where training knows of the rounding. The loss
      no longer changes with every small update, so training stalls where update_ratio is far below the width of a
      step. Probes see the stored weights.
    Costs: A few passes over the weights per step. Nothing is saved while training: the rounded weights are floats. The
      size of the model counts whole bits for each weight, and four bytes for each scale.
    References: Bengio et al., arXiv:1308.3432; Jacob et al., arXiv:1712.05877.
    """
    levels = jnp.round(2.0 ** (jnp.asarray(bits, jnp.float32) - 1.0)) - 1.0
    first = jnp.round(jnp.asarray(begin) * steps)

    def rounded(v: Array, step: Array) -> Array:
        scale = jnp.max(jnp.abs(v), axis=tuple(range(v.ndim - 1)), keepdims=True) / levels
        near = jnp.round(v / jnp.where(scale > 0.0, scale, 1.0)) * scale
        fixed = jax.lax.stop_gradient(jnp.where(jnp.isinf(levels) | (step < first), v, near))
        return fixed + (v - jax.lax.stop_gradient(v))  # exactly the rounded value, with the gradient of v

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        del key
        _matched(params, match)
        return params, {"step": jnp.zeros((), jnp.int32)}

    def apply(stored: PyTree, state: PyTree) -> PyTree:
        return _with(stored, {name: rounded(leaf, state["step"]) for name, leaf in _matched(stored, match).items()})

    def after(stored: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        return stored, {"step": state["step"] + 1}

    def sizes(arrays: Mapping[str, Stored]) -> Mapping[str, Stored]:
        if math.isinf(float(bits)):
            return arrays
        most = 2 * round(2.0 ** (float(bits) - 1.0)) - 1  # values between the largest and its negative
        narrow = lambda one: one._replace(bits=(most - 1).bit_length(), beside=one.beside + 4 * one.shape[-1])
        return {name: narrow(one) if matches(match, name) else one for name, one in arrays.items()}

    return Reparameterization(init, apply, after, sizes)


def low_rank(
    *,
    rank: Count = 1,
    alpha: NonNegative = 1.0,
    base: Literal["initial", "none"] = "initial",
    match: Match = "*kernel*",
) -> Reparameterization:
    """Hold weights fixed and train a change of low rank, or let the weights themselves be of low rank.

    W = W0 + alpha / rank A B; A of [inputs, rank] is normal with variance 1 / inputs, B of [rank, outputs] is zero;
    without a base W = A B, begun at A = U sqrt(S), B = sqrt(S) V^T with the `rank` largest of W0 = U S V^T

    All axes but the last are one axis. W0 is what the model begins with. It is no parameter any more: A and B stand in
    its place, as "kernel.a" and "kernel.b", for the optimizer, weight decay and regularizers.

    Args:
      rank: of the change, at most the shorter side of each matrix.
      alpha: factor of the change, in [0, inf); with another rank about the same learning rate still fits. Without a
        base it is not read. *Sweepable.*
      base: "initial" keeps W0, to adapt a trained network; "none" leaves it out, to have a small one.
      match: pattern, or list of patterns, of names of parameters, see `group`.
    Returns: `types.Reparameterization`.
    Raises: ValueError where nothing matches, a match is no matrix, or `rank` is above the shorter side.
    Expect: Claimed: enough to adapt weights trained before. From random ones the fit is worse the smaller the rank. The
      rank probe sees A and B.
    Costs: A thin matrix product and its way back per kernel and step; optimizer states are those of A and B. The size
      of the model counts A and B, and W0 where it is kept; its multiply-adds are those of W.
    References: Hu et al., arXiv:2106.09685; Khodak et al., arXiv:2105.01029 (the start without a base).
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
            if base == "none":
                u, s, v = jnp.linalg.svd(leaf.reshape(inputs, outputs), full_matrices=False)
                root = jnp.sqrt(s[:rank])
                a = (u[:, :rank] * root[None, :]).reshape(*leaf.shape[:-1], rank)
                factors[name] = {"a": a, "b": root[:, None] * v[:rank]}
                continue
            a = random.normal(fold_in(key, number), (inputs, rank), leaf.dtype) / math.sqrt(inputs)
            factors[name] = {"a": a, "b": jnp.zeros((rank, outputs), leaf.dtype)}
        return _with(params, factors), leaves if base == "initial" else {}

    def whole(path: tuple[Any, ...], node: Any) -> bool:
        return isinstance(node, Mapping) and node.keys() == {"a", "b"} and matches(match, name_of(path))

    def apply(stored: PyTree, state: PyTree) -> PyTree:
        def joined(path: tuple[Any, ...], node: PyTree) -> PyTree:
            if not whole(path, node):
                return node
            if base == "none":
                return node["a"] @ node["b"]
            fixed = jax.lax.stop_gradient(state[name_of(path)])
            return fixed + (alpha / rank * (node["a"] @ node["b"])).reshape(fixed.shape)

        return jax.tree_util.tree_map_with_path(joined, stored, is_leaf=whole, is_leaf_takes_path=True)

    def sizes(arrays: Mapping[str, Stored]) -> Mapping[str, Stored]:
        found = {}
        for path, one in arrays.items():
            name, _, last = path.rpartition("/")
            if not (last in ("a", "b") and {f"{name}/a", f"{name}/b"} <= arrays.keys() and matches(match, name)):
                found[path] = one
            elif last == "a":
                other = arrays[f"{name}/b"]
                shape = (math.prod(one.shape[:-1]), other.shape[-1])
                beside = one.beside + other.beside + 4 * math.prod(shape) * (base == "initial")
                found[name] = Stored(shape, one.values + other.values, max(one.bits, other.bits), beside)
        return found

    return Reparameterization(init, apply, _unchanged, sizes)


TABLE = {f.__name__: f for f in (prune, quantize, low_rank)}
