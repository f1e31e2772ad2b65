"""Transforms: what is done to a gradient before the optimizer sees it.

Every factory returns an `optax.GradientTransformationExtraArgs`; in a chain, order matters. The engine passes
`key=` (this lane's, this step's) and `value=` (the loss) to every update. At its neutral value a transform hands every
bit on; zero gradients stay zero. Those that bound a gradient live in `clipping`. How a gradient is taken is a rule;
what turns it into a step is an optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import GradientTransformationExtraArgs as Transform

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import fold_in
from deepprinciples.parts.clipping import (
    adaptive_clip,
    auto_clip,
    clip_by_block_rms,
    clip_by_global_norm,
    clip_by_value,
    clip_by_z_score,
    clip_per_layer,
    need_params,
    norm,
    split_layers,
)
from deepprinciples.types import Array, Decay, PyTree, Scalar, Share, Strength, traits


class CountState(NamedTuple):
    """State of a transform that changes with time: steps so far."""

    steps: Array


def _stateless(change: Callable[[PyTree, PyTree], PyTree]) -> Transform:
    return optax.with_extra_args_support(optax.stateless(change))


@traits(neutral={"strength": 0.0})
def centralize(*, strength: Share = 1.0) -> Transform:
    """Take its mean out of the gradient of each output unit's kernel.

    g' = g - strength mean of g over all axes but the last, for leaves with two axes or more

    Args:
      strength: share of the mean taken out, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
    Returns: transform without state. At strength 1 the entries of each unit sum to zero.
    Expect: Claimed to smooth training and to regularize. With plain sgd the sum of each unit's weights stands still and
      update_ratio falls a little; gradient_norm is taken before it. Nothing on vectors, or where the mean is 0 anyway.
    Costs: Nothing that is measurable; no copy of the weights.
    References: Yong et al., arXiv:2004.01461. optax.centralize averages over outputs instead.
    """

    def center(g: Array) -> Array:
        if g.ndim < 2:
            return g
        return g - strength * jnp.mean(g, axis=tuple(range(g.ndim - 1)), keepdims=True)

    return _stateless(lambda grads, params: jax.tree.map(center, grads))


@traits(neutral={"strength": 0.0}, fill=False)
def noise(*, strength: Strength = 0.1, decay: Decay = 0.55) -> Transform:
    """Add normal noise that dies out over the steps, fresh for every lane.

    g' = g + s_t z, z ~ N(0, 1), s_t = strength / (1 + t)^(decay / 2), t = 0, 1, ...

    Args:
      strength: standard deviation at the first step. *Sweepable.* *Neutral: 0.0.*
      decay: power with which the variance falls. *Sweepable.* At 0.0 it stays.
    Returns: transform with a CountState; its update needs `key=`.
    Raises: ValueError where update gets no key.
    Expect: Claimed to help very deep networks out of bad starts. While it is large, update_ratio rises and step_cosine
      should fall; both come back as it decays. gradient_norm and gradient_noise are taken before it.
    Costs: One random number per weight and step; no copy of the weights.
    References: Neelakantan et al., arXiv:1511.06807. optax.add_noise gives all lanes of a vmap the same noise.
    """

    def update(grads: PyTree, state: CountState, params: PyTree = None, *, key: Array | None = None, **extra):
        del params, extra
        if key is None:
            raise ValueError("noise: update was called without a key; call update(grads, state, params, key=key)")
        leaves, structure = jax.tree.flatten(grads)
        size = strength * (1.0 + state.steps) ** (-0.5 * jnp.asarray(decay, jnp.float32))
        keys = [fold_in(key, i) for i in range(len(leaves))]
        drawn = [g + size * random.normal(k, g.shape, g.dtype) for g, k in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(structure, drawn), CountState(state.steps + 1)

    return Transform(lambda params: CountState(jnp.zeros((), jnp.int32)), update)


def sign() -> Transform:
    """Keep only the sign of each entry.

    g' = sign(g), 0 at 0

    Returns: transform without state.
    Expect: With sgd every weight that has a gradient moves by the learning rate, so update_ratio no longer follows
      gradient_norm, and the weights circle a minimum unless a schedule lowers the rate: step_cosine falls there.
    Costs: Nothing that is measurable; no copy of the weights.
    References: Bernstein et al., arXiv:1802.04434.
    """
    return optax.with_extra_args_support(optax.scale_by_sign())


def _unit(tree: PyTree) -> PyTree:
    size = norm(tree)
    return jax.tree.map(lambda g: g / jnp.where(size > 0, size, 1.0), tree)


def normalize() -> Transform:
    """Give the gradient norm 1; a zero gradient stays zero.

    g' = g / |g|, |g| over all parameters

    Returns: transform without state.
    Expect: With plain sgd every step is as long as the learning rate, so update_ratio no longer follows gradient_norm:
      flat places are left quickly, and a minimum is circled unless a schedule lowers the rate. Little under Adam.
    Costs: One pass over the gradient, which is hardly measurable; no copy of the weights.
    References: Hazan et al., arXiv:1507.02030.
    """
    return _stateless(lambda grads, params: _unit(grads))


def normalize_per_layer() -> Transform:
    """Give the gradient of each layer norm 1; a layer is a top-level entry of the parameters.

    g_l' = g_l / |g_l|

    Returns: transform without state.
    Expect: Claimed to help where gradients vanish or explode with depth. With plain sgd the step of every layer is as
      long as the learning rate, so update_ratio depends on the weights alone and no longer on gradient_norm.
    Costs: One pass over the gradient, which is hardly measurable; no copy of the weights.
    References: Yu et al., arXiv:1707.04822.
    """

    def change(grads: PyTree, params: PyTree) -> PyTree:
        del params
        layers, join = split_layers(grads)
        return join([_unit(layer) for layer in layers])

    return _stateless(change)


def trust_ratio(*, coefficient: Scalar = 1.0) -> Transform:
    """Give the gradient of each kernel or bias the norm of its weights, as LARS does.

    g' = coefficient g |w| / |g|, array by array; g' = g where either norm is 0

    Args:
      coefficient: step of an array as a share of its norm, at learning rate 1. *Sweepable.*
    Returns: transform without state.
    Raises: ValueError where update gets no params.
    Expect: Claimed to bear very large batches. With plain sgd update_ratio of an array is learning_rate coefficient,
      whatever gradient_norm is; an array of zeros, such as a bias at the start, takes the plain step. Little before
      Adam.
    Costs: One pass over weights and gradient, which is hardly measurable; no copy of the weights.
    References: You et al., arXiv:1708.03888.
    """

    def change(g: Array, w: Array) -> Array:
        size, own = norm(g), norm(w)
        there = (size > 0) & (own > 0)
        return g * jnp.where(there, coefficient * own / jnp.where(there, size, 1.0), 1.0)

    return _stateless(lambda grads, params: jax.tree.map(change, grads, need_params("trust_ratio", params)))


@traits(neutral={"strength": 0.0})
def weight_decay(*, strength: Strength = 1e-4, biases: bool = False) -> Transform:
    """Add a share of the kernels to the gradient; before Adam this is "Adam with L2", and not AdamW.

    g' = g + strength w, for leaves with two axes or more

    Args:
      strength: share. *Sweepable.* *Neutral: 0.0.*
      biases: also act on leaves with fewer than two axes.
    Returns: transform without state.
    Raises: ValueError where update gets no params.
    Expect: Weights that the loss does not hold shrink; without normalization activation_mean_square falls, with it
      update_ratio rises. With plain sgd it is l2; under Adam the share is divided by the size of the gradient.
    Costs: Nothing that is measurable; no copy of the weights.
    References: Loshchilov and Hutter, arXiv:1711.05101.
    """

    def change(grads: PyTree, params: PyTree) -> PyTree:
        add = lambda g, w: g + strength * w if biases or w.ndim >= 2 else g
        return jax.tree.map(add, grads, need_params("weight_decay", params))

    return _stateless(change)


@traits(neutral={"decay": 0.0})
def ema(*, decay: Decay = 0.9) -> Transform:
    """Replace the gradient by its running average, corrected for the start at zero.

    m_t = decay m_{t-1} + (1 - decay) g_t, g' = m_t / (1 - decay^t), t = 1, 2, ...

    Args:
      decay: share of the past kept. *Sweepable.* *Neutral: 0.0.*
    Returns: transform with an `optax.EmaState`.
    Expect: Noise of single batches averages out, so update_ratio falls where gradient_noise is high and hardly where
      gradients agree. The step comes late: too long an average overshoots, and step_cosine goes below 0.
    Costs: One copy of the weights.
    References: Kingma and Ba, arXiv:1412.6980.
    """

    return optax.with_extra_args_support(optax.ema(decay))


@traits(neutral={"factor": 1.0})
def scale(*, factor: Scalar = 1.0) -> Transform:
    """Multiply the gradient.

    g' = factor g

    Args:
      factor: any number. *Sweepable.* *Neutral: 1.0.*
    Returns: transform without state.
    Expect: With plain sgd it is a change of the learning rate, and update_ratio moves by the factor. Nothing under
      optimizers that divide by the size of the gradient, such as Adam, but for their eps.
    Costs: Nothing that is measurable; no copy of the weights.
    """
    return optax.with_extra_args_support(optax.scale(factor))


TABLE = {
    f.__name__: f
    for f in (
        clip_by_value,
        clip_by_global_norm,
        clip_per_layer,
        clip_by_block_rms,
        adaptive_clip,
        auto_clip,
        clip_by_z_score,
        centralize,
        noise,
        sign,
        normalize,
        normalize_per_layer,
        trust_ratio,
        weight_decay,
        ema,
        scale,
    )
}
