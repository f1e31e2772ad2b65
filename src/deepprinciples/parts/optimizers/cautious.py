"""Cautious optimizers: entries of a step that point against the gradient of the moment stay where they are.

The mask acts on what the optimizer made of the gradient, before weight decay and the learning rate, so it can be no
transform: those come before the optimizer. Hence each is an optimizer of its own, of optax's pieces.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from deepprinciples.types import Array, Decay, Epsilon, LearningRate, PyTree, Rate, Scalar, Share, Strength, traits


def masked(inner: optax.GradientTransformation, strength: Scalar) -> optax.GradientTransformation:
    """Let only those entries of a direction through that agree in sign with the gradient, and scale them up.

    u' = u (1 + strength (k d / max(sum k, 1) - 1)), k = 1 where u and g have the same sign, else 0; d entries a leaf

    Args:
      inner: makes the direction u of the gradient g, uphill.
      strength: share of the mask; at 0.0 every bit of u passes.
    Returns: transformation with the state of `inner`.
    """

    def mask(u: Array, g: Array) -> Array:
        agrees = (jnp.sign(u) * jnp.sign(g) > 0).astype(u.dtype)  # u g itself may underflow to 0
        return u * (1.0 + strength * (agrees * (u.size / jnp.maximum(jnp.sum(agrees), 1.0)) - 1.0))

    def update(grads: PyTree, state: PyTree, params: PyTree = None):
        directions, state = inner.update(grads, state, params)
        return jax.tree.map(mask, directions, grads), state

    return optax.GradientTransformation(inner.init, update)


@traits(neutral={"strength": 0.0, "weight_decay": 0.0})
def cautious_adamw(
    *,
    learning_rate: LearningRate = 1e-3,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Epsilon = 1e-8,
    weight_decay: Strength = 1e-4,
    strength: Share = 1.0,
) -> optax.GradientTransformation:
    """Take AdamW's step only where it agrees in sign with the gradient.

    u = m / (sqrt(v) + eps) as in adamw
    k = 1 where u and g have the same sign, else 0; d entries in the leaf
    params -= learning_rate (k u d / max(sum k, 1) + weight_decay params)

    The paper divides by sum k + 1, which would halve the step of a leaf of one entry; d / max(sum k, 1) does not.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      b1: share of the past kept in the average of gradients. *Sweepable.*
      b2: share of the past kept in the average of squared gradients. *Sweepable.*
      eps: small number that keeps divisions finite. *Sweepable.*
      weight_decay: share of the weights (biases too) taken off, times the learning rate. *Sweepable.* *Neutral: 0.0.*
      strength: share of the mask, in [0, 1]. *Sweepable.* *Neutral: 0.0* gives adamw.
    Returns: optax.GradientTransformation over params of any shape.
    Expect: Claimed to lower the loss at least as fast, since no entry of the step, decay aside, points against the
      gradient; step_cosine should be no lower. Nothing where momentum and gradient agree in every sign.
    Costs: Two copies of the weights, as adamw; the mask is nothing that is measurable.
    References: Liang et al., arXiv:2411.16085.
    """
    return optax.chain(
        masked(optax.scale_by_adam(b1=b1, b2=b2, eps=eps), strength),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


@traits(neutral={"strength": 0.0, "weight_decay": 0.0})
def cautious_lion(
    *,
    learning_rate: LearningRate = 1e-4,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    weight_decay: Strength = 1e-3,
    strength: Share = 1.0,
) -> optax.GradientTransformation:
    """Take Lion's step only where it agrees in sign with the gradient.

    u = sign(b1 m + (1 - b1) g) as in lion
    k = 1 where u and g have the same sign, else 0; d entries in the leaf
    params -= learning_rate (k u d / max(sum k, 1) + weight_decay params)

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      b1: share of the past kept in the direction. *Sweepable.*
      b2: share of the past kept in the average of gradients. *Sweepable.*
      weight_decay: share of the weights (biases too) taken off, times the learning rate. *Sweepable.* *Neutral: 0.0.*
      strength: share of the mask, in [0, 1]. *Sweepable.* *Neutral: 0.0* gives lion.
    Returns: optax.GradientTransformation over params of any shape.
    Expect: Claimed as for cautious_adamw: no entry of the step, decay aside, points against the gradient; step_cosine
      should be no lower. Nothing where average and gradient agree in every sign.
    Costs: One copy of the weights, as lion; the mask is nothing that is measurable.
    References: Liang et al., arXiv:2411.16085.
    """
    return optax.chain(
        masked(optax.scale_by_lion(b1=b1, b2=b2), strength),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


@traits(neutral={"strength": 0.0})
def cautious_sgd(
    *, learning_rate: LearningRate = 0.1, momentum: Rate = 0.9, strength: Share = 1.0
) -> optax.GradientTransformation:
    """Take the heavy ball's step only where it agrees in sign with the gradient.

    m = momentum m + g
    k = 1 where m and g have the same sign, else 0; d entries in the leaf
    params -= learning_rate k m d / max(sum k, 1)

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      momentum: share of the last step kept. *Sweepable.*
      strength: share of the mask, in [0, 1]. *Sweepable.* *Neutral: 0.0* gives sgd.
    Returns: optax.GradientTransformation over params of any shape.
    Expect: Claimed as for cautious_adamw: no entry of the step points against the gradient; step_cosine should be no
      lower, momentum overshoots less. Nothing at momentum 0, where every entry agrees, or without oscillation.
    Costs: One copy of the weights, as sgd with momentum; the mask is nothing that is measurable.
    References: Liang et al., arXiv:2411.16085.
    """
    return optax.chain(masked(optax.trace(decay=momentum), strength), optax.scale_by_learning_rate(learning_rate))
