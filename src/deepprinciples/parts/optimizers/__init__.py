"""Optimizers: what turns a finished gradient into a step.

Every factory returns an `optax.GradientTransformation`. `learning_rate` is a number, a tracer, or a function of the
step count (a schedule times a rate). `sgd`, `polyak_sgd` and `adam_l2` are written here because optax's have traps or
are missing, and so are those of `cautious`, `corrected`, `proximal` and `second_order`; the others are optax's own.
What is done to a gradient before, clipping or L2, is a transform.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from deepprinciples.parts.optimizers.cautious import cautious_adamw, cautious_lion, cautious_sgd
from deepprinciples.parts.optimizers.corrected import adan, rprop
from deepprinciples.parts.optimizers.descents import DESCENTS
from deepprinciples.parts.optimizers.from_optax import (
    acprop,
    adabelief,
    adadelta,
    adafactor,
    adagrad,
    adam,
    adamax,
    adamaxw,
    adamw,
    ademamix,
    adopt,
    amsgrad,
    cocob,
    dadapt_adamw,
    dog,
    dowg,
    fromage,
    lamb,
    lars,
    lion,
    madgrad,
    momo,
    momo_adam,
    muon,
    nadam,
    nadamw,
    novograd,
    optimistic_adam,
    optimistic_gradient_descent,
    prodigy,
    radam,
    rmsprop,
    sign_sgd,
    signum,
    simplified_ademamix,
    sm3,
    yogi,
)
from deepprinciples.parts.optimizers.proximal import projected_sgd, proximal_sgd
from deepprinciples.parts.optimizers.second_order import shampoo, soap
from deepprinciples.parts.transforms import CountState, norm
from deepprinciples.types import Array, Decay, Epsilon, LearningRate, PyTree, Rate, Scalar, Strength, traits


@traits(neutral={"momentum": 0.0})
def sgd(
    *, learning_rate: LearningRate = 0.1, momentum: Rate = 0.0, nesterov: bool = False, averaged: bool = False
) -> optax.GradientTransformation:
    """Step against the gradient, with heavy-ball or averaged momentum.

    m = momentum m + g (averaged: momentum m + (1 - momentum) g), params -= learning_rate m
    nesterov: params -= learning_rate (g + momentum m), with (1 - momentum) g in place of g where averaged

    PyTorch: learning_rate 0.001; its dampening = momentum is averaged, but for a first step that takes all of g.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      momentum: share of the last step kept. *Sweepable.* *Neutral: 0.0.*
      nesterov: look one step ahead.
      averaged: average the gradients instead of adding them up, so that momentum leaves the step size as it is.
    Returns: optax.GradientTransformation over params of any shape.
    Expect: update_ratio follows gradient_norm. Beyond a rate of 2 (1 + momentum) / sharpness, with nesterov over
      1 + 2 momentum, averaged over 1 - momentum, steps overshoot and step_cosine falls below 0; on full batches
      sharpness is known to hover at that edge.
    Costs: No copy of the weights without momentum, one copy with it.
    References: Polyak 1964; Sutskever et al. 2013, On the importance of initialization and momentum in deep learning.
    """
    step = optax.scale_by_learning_rate(learning_rate)
    if isinstance(momentum, float) and momentum == 0.0:  # spares a copy of the params per lane
        return step
    weight = optax.scale(1.0 - momentum) if averaged else optax.identity()
    return optax.chain(weight, optax.trace(decay=momentum, nesterov=nesterov), step)


@traits(neutral={"weight_decay": 0.0})
def adam_l2(
    *,
    learning_rate: LearningRate = 1e-3,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Epsilon = 1e-8,
    weight_decay: Strength = 1e-4,
) -> optax.GradientTransformation:
    """Take Adam's step of the gradient with a share of the weights added: L2, which adamw keeps out of the averages.

    g' = g + weight_decay params; m, v: averages of g' and g'^2 as in adam
    params -= learning_rate m / (sqrt(v) + eps)

    Where g is 0 it moves weights by about the learning rate whatever the share; adamw by learning_rate weight_decay w.
    PyTorch has it as Adam with a weight_decay, which is 0 there unless given.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      b1: share of the past kept in the average of gradients. *Sweepable.*
      b2: share of the past kept in the average of squared gradients. *Sweepable.*
      eps: small number that keeps divisions finite. *Sweepable.*
      weight_decay: share of the weights (biases too) added to the gradient. *Sweepable.* *Neutral: 0.0.*
    Returns: optax.GradientTransformation over params of any shape.
    Expect: As adam, but the decay enters the averages: weights with large gradients are decayed less than by adamw,
      which update_ratio shows and gradient_norm does not. At weight_decay 0 it is adam.
    Costs: Two copies of the weights.
    References: Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101.
    """
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(learning_rate, b1=b1, b2=b2, eps=eps))


def polyak_sgd(
    *, learning_rate: LearningRate = 1.0, lower_bound: Scalar = 0.0, eps: Epsilon = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """Choose the step from the loss: as far as a straight line would need to reach the lower bound.

    params -= min(learning_rate, (loss - lower_bound) / (|g|^2 + eps)) g

    Args:
      learning_rate: largest step size, or a function of the step count. *Sweepable.*
      lower_bound: smallest loss there can be. *Sweepable.*
      eps: small number that keeps the division finite. *Sweepable.*
    Returns: optax.GradientTransformationExtraArgs; its update needs `value=`, the loss.
    Raises: ValueError where update gets no value.
    Expect: Theory for models that can reach the bound: update_ratio falls as the loss does, without a schedule. It is
      sgd where learning_rate is the shorter step; with a bound below what can be reached it never settles.
    Costs: No copy of the weights.
    References: Loizou et al., arXiv:2002.10542. In optax.polyak_sgd doubling `scaling` halves the step.
    """

    def update(grads: PyTree, state: CountState, params: PyTree = None, *, value: Array | None = None, **extra):
        del params, extra
        if value is None:
            raise ValueError("polyak_sgd: update was called without the loss; call update(grads, state, value=loss)")
        largest = learning_rate(state.steps) if callable(learning_rate) else learning_rate
        wanted = jnp.maximum(value - lower_bound, 0.0) / (jnp.square(norm(grads)) + eps)
        step = jnp.minimum(wanted, largest)
        return jax.tree.map(lambda g: -step * g, grads), CountState(state.steps + 1)

    return optax.GradientTransformationExtraArgs(lambda params: CountState(jnp.zeros((), jnp.int32)), update)


TABLE = {
    f.__name__: f
    for f in (
        sgd,
        polyak_sgd,
        adam,
        adamw,
        amsgrad,
        nadam,
        nadamw,
        adamax,
        adamaxw,
        adabelief,
        adadelta,
        adafactor,
        adagrad,
        adan,
        ademamix,
        simplified_ademamix,
        adopt,
        acprop,
        lamb,
        lars,
        lion,
        madgrad,
        muon,
        novograd,
        radam,
        rmsprop,
        rprop,
        sign_sgd,
        signum,
        sm3,
        yogi,
        fromage,
        optimistic_gradient_descent,
        optimistic_adam,
        cocob,
        dog,
        dowg,
        prodigy,
        dadapt_adamw,
        momo,
        momo_adam,
        cautious_adamw,
        cautious_lion,
        cautious_sgd,
        proximal_sgd,
        projected_sgd,
        adam_l2,
        shampoo,
        soap,
    )
}
for _name, (_parabola, _rosenbrock) in DESCENTS.items():
    traits(descent={"parabola": _parabola, "rosenbrock": _rosenbrock})(TABLE[_name])
