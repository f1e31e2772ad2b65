"""Optimizers that end a step by a map of the weights themselves: a soft threshold, or a projection.

They act after the learning rate, where no transform comes, and where a penalty in the loss cannot do the same: its
subgradient never gives exact zeros, and no finite force keeps a bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from deepprinciples.parts.transforms import CountState, need_params
from deepprinciples.types import Array, LearningRate, Limit, PyTree, Rate, Scalar, Strength, traits


@traits(neutral={"strength": 0.0})
def proximal_sgd(
    *, learning_rate: LearningRate = 0.1, strength: Strength = 1e-4, biases: bool = False
) -> optax.GradientTransformation:
    """Step against the gradient, then pull every weight to zero and leave it there if it arrives: proximal l1.

    w = params - learning_rate g; params = sign(w) max(|w| - learning_rate strength, 0)

    It goes to the minimum of loss + strength sum |params|, with exact zeros. Take no l1 beside it.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      strength: force per weight. *Sweepable.* *Neutral: 0.0* gives sgd.
      biases: also act on leaves with fewer than two axes.
    Returns: optax.GradientTransformation over params of any shape; its update needs params.
    Raises: ValueError where update gets no params.
    Expect: Exact zeros among the weights, more with more strength: a weight at zero stays while its gradient is below
      the strength. rank should fall, update_ratio too as weights come to rest. At strength 0 it is sgd.
    Costs: No copy of the weights.
    References: Daubechies et al., arXiv:math/0307152; Beck and Teboulle 2009, A fast iterative
      shrinkage-thresholding algorithm.
    """

    def update(grads: PyTree, state: CountState, params: PyTree = None):
        rate = _now(learning_rate, state)

        def step(g: Array, w: Array) -> Array:
            if not biases and w.ndim < 2:
                return -rate * g
            after = w - rate * g
            pull = rate * strength
            # -w, and not what rounds to it: w + step has to be 0 exactly.
            return jnp.where(jnp.abs(after) <= pull, -w, -rate * g - pull * jnp.sign(after))

        updates = jax.tree.map(step, grads, need_params("proximal_sgd", params))
        return updates, CountState(state.steps + 1)

    return optax.GradientTransformation(_start, update)


@traits(neutral={"max_norm": math.inf, "momentum": 0.0})
def projected_sgd(
    *, learning_rate: LearningRate = 0.1, momentum: Rate = 0.0, max_norm: Limit = 3.0
) -> optax.GradientTransformation:
    """Step as sgd does, then shorten the kernel of every unit that is longer than a bound: max-norm.

    m = momentum m + g, w = params - learning_rate m
    params_u = w_u min(1, max_norm / |w_u|)

    A unit is a slice of a kernel along its last axis; leaves with fewer than two axes are free.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      momentum: share of the last step kept. *Sweepable.* *Neutral: 0.0.*
      max_norm: largest norm of a unit's weights. *Sweepable.* *Neutral: inf* gives sgd.
    Returns: optax.GradientTransformation over params of any shape; its update needs params.
    Raises: ValueError where update gets no params.
    Expect: No unit's weights grow beyond the bound, which is claimed to allow large rates, beside dropout above all;
      activation_mean_square stops growing with them. Nothing but sgd while all units are shorter.
    Costs: One copy of the weights, at momentum 0 too.
    References: Srebro and Shraibman 2005, Rank, trace-norm and max-norm; Hinton et al., arXiv:1207.0580.
    """

    def project(grads: PyTree, state: optax.EmptyState, params: PyTree = None):
        def bounded(step: Array, w: Array) -> Array:
            if w.ndim < 2:
                return step
            after = w + step
            size = jnp.sqrt(jnp.sum(jnp.square(after), axis=tuple(range(w.ndim - 1)), keepdims=True))
            over = size > max_norm
            factor = jnp.where(over, max_norm / jnp.where(over, size, 1.0), 1.0)
            return jnp.where(over, after * factor - w, step)

        return jax.tree.map(bounded, grads, need_params("projected_sgd", params)), state

    return optax.chain(
        optax.trace(decay=momentum),
        optax.scale_by_learning_rate(learning_rate),
        optax.GradientTransformation(lambda params: optax.EmptyState(), project),
    )


def _start(params: PyTree) -> CountState:
    del params
    return CountState(jnp.zeros((), jnp.int32))


def _now(learning_rate: Scalar | Callable[[Array], Array], state: CountState) -> Scalar:
    return learning_rate(state.steps) if callable(learning_rate) else learning_rate
