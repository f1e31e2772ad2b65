"""Optimizers that optax has otherwise than their papers, written from the papers; tests show where optax departs."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.types import Array, Decay, Epsilon, LearningRate, PyTree, Scalar, Strength, traits


class AdanState(NamedTuple):
    """State of `adan`: steps so far, the last gradient, and the averages of gradients, changes and squares."""

    steps: Array
    last: PyTree
    average: PyTree
    change: PyTree
    squares: PyTree


class RpropState(NamedTuple):
    """State of `rprop`: the step size of every entry, and the sign of its last gradient, 0 where it had turned."""

    sizes: PyTree
    signs: PyTree


@traits(neutral={"weight_decay": 0.0})
def adan(
    *,
    learning_rate: LearningRate = 1e-3,
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: Epsilon = 1e-8,
    weight_decay: Strength = 0.0,
) -> optax.GradientTransformation:
    """Add the average change of gradients to Adam, Nesterov fashion.

    d = g - g_last, 0 at the first step; m, e, n: averages of g, d, (g + b2 d)^2, corrected for the start at zero
    params -= learning_rate ((m + b2 e) / (sqrt(n) + eps) + weight_decay params)

    optax.adan weighs the change by 1 - b2, which is 0.08 at the default; the paper counts its b2 the other way round,
    and means 0.92.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      b1: share of the past kept in the average of gradients. *Sweepable.*
      b2: share of the past kept in the average of changes, and their weight in the step. *Sweepable.*
      b3: share of the past kept in the average of squares. *Sweepable.*
      eps: small number that keeps divisions finite. *Sweepable.*
      weight_decay: share of the weights (biases too) taken off, times the learning rate. *Sweepable.* *Neutral: 0.0.*
    Returns: optax.GradientTransformation over params of any shape.
    Expect: Claimed to need fewer steps by foreseeing the gradient. Near adam where gradients change slowly; with noisy
      batches the change is mostly noise. update_ratio hardly follows gradient_norm.
    Costs: Four copies of the weights.
    References: Xie et al., arXiv:2208.06677, with the decay of adamw in place of a proximal one.
    """

    def init(params: PyTree) -> AdanState:
        zeros = optax.tree.zeros_like(params)
        return AdanState(jnp.zeros((), jnp.int32), zeros, zeros, zeros, zeros)

    def update(grads: PyTree, state: AdanState, params: PyTree = None):
        del params
        steps = state.steps + 1
        changes = jax.tree.map(lambda g, last: jnp.where(steps > 1, g - last, 0.0), grads, state.last)
        ahead = jax.tree.map(lambda g, d: g + b2 * d, grads, changes)
        average = optax.tree.update_moment(grads, state.average, b1, 1)
        change = optax.tree.update_moment(changes, state.change, b2, 1)
        squares = optax.tree.update_moment(ahead, state.squares, b3, 2)
        m, e, n = (
            optax.tree.bias_correction(tree, decay, steps)
            for tree, decay in ((average, b1), (change, b2), (squares, b3))
        )
        directions = jax.tree.map(lambda m, e, n: (m + b2 * e) / (jnp.sqrt(n) + eps), m, e, n)
        return directions, AdanState(steps, grads, average, change, squares)

    return optax.chain(
        optax.GradientTransformation(init, update),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


@traits(follows_schedule=False)
def rprop(
    *,
    learning_rate: LearningRate = 1e-3,
    eta_minus: Scalar = 0.5,
    eta_plus: Scalar = 1.2,
    min_step_size: Scalar = 1e-6,
    max_step_size: Scalar = 50.0,
) -> optax.GradientTransformation:
    """Grow the step of an entry while its sign stays, shrink it when it turns; a schedule sets only the first step.

    s = clip(s eta_plus, or s eta_minus where the sign of g has turned, min_step_size, max_step_size)
    params -= s sign(g), 0 where it has turned; the step after one that turned leaves s as it is

    optax.rprop moves a step late: its first step is 0, and each later one uses the sign of the gradient before.
    PyTorch: learning_rate 0.01.

    Args:
      learning_rate: first step of every entry, or a function of the step count. *Sweepable.*
      eta_minus: factor on the step of an entry whose sign turns. *Sweepable.*
      eta_plus: factor on the step of an entry whose sign stays. *Sweepable.*
      min_step_size: smallest step of an entry. *Sweepable.*
      max_step_size: largest step of an entry. *Sweepable.*
    Returns: optax.GradientTransformation over params of any shape.
    Expect: Meant for full batches; on small ones noise turns the signs and steps shrink, and update_ratio with them. It
      never follows gradient_norm.
    Costs: Two copies of the weights.
    References: Riedmiller and Braun 1993; without stepping back, as PyTorch's.
    """

    def init(params: PyTree) -> RpropState:
        first = learning_rate(jnp.zeros((), jnp.int32)) if callable(learning_rate) else learning_rate
        return RpropState(jax.tree.map(lambda w: jnp.full_like(w, first), params), optax.tree.zeros_like(params))

    def update(grads: PyTree, state: RpropState, params: PyTree = None):
        del params
        agree = jax.tree.map(lambda g, last: jnp.sign(g) * last, grads, state.signs)  # 1, -1, or 0 where either is 0

        def sized(size: Array, agree: Array) -> Array:
            factor = jnp.where(agree > 0, eta_plus, jnp.where(agree < 0, eta_minus, 1.0))
            return jnp.clip(size * factor, min_step_size, max_step_size)

        sizes = jax.tree.map(sized, state.sizes, agree)
        signs = jax.tree.map(lambda g, agree: jnp.where(agree < 0, 0.0, jnp.sign(g)), grads, agree)
        return jax.tree.map(lambda size, sign: -size * sign, sizes, signs), RpropState(sizes, signs)

    return optax.GradientTransformation(init, update)
