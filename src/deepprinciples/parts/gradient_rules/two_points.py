"""Rules that look at a second point: the gradient there says what the one here cannot.

Both gradients are taken on the same batch with the same key, so that dropout masks agree; batch norm uses the
statistics of the batch at each point, and those of the first point enter the running averages. Users find these rules
in `rules.TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.parts.clipping import norm
from deepprinciples.types import Epsilon, Positive, PyTree, Rule, Scalar, Strength, traits


def _moved(params: PyTree, direction: PyTree, amount: Scalar) -> PyTree:
    """Return params + amount * direction; exactly params where amount is 0, even if the direction is infinite."""
    return jax.tree.map(lambda w, d: jnp.where(amount == 0, w, w + amount * d).astype(w.dtype), params, direction)


def _unit(tree: PyTree) -> PyTree:
    size = norm(tree)
    return jax.tree.map(lambda g: g / jnp.where(size > 0, size, 1.0), tree)  # zeros stay zeros


def _at(second: Callable[[PyTree, PyTree], PyTree]) -> Rule:
    """Make the rule that takes the gradient at a point found from (params, grads)."""

    def rule(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
        take = jax.value_and_grad(loss_fn, has_aux=True)

        def gradient_fn(params: PyTree, *args: Any) -> tuple:
            values, grads = take(params, *args)
            return values, take(second(params, grads), *args)[1]

        return gradient_fn

    return rule


@traits(neutral={"rho": 0.0}, evaluations=2)
def sam(*, rho: Strength = 0.05) -> Rule:
    """Take the gradient where the loss is about highest within a ball: minimize the sharpness with the loss (SAM).

    g = grad L(w + rho grad L(w) / |grad L(w)|), the norm over all parameters

    Args:
      rho: radius of the ball. *Sweepable.* *Neutral: 0.0.*
    Returns: function (loss_fn) -> gradient_fn; two gradient evaluations a step.
    Expect: Claimed to end in flatter places that generalize better: sharpness and hessian_trace should fall.
      gradient_norm is that of the second point, mostly the larger one. Little where rho is short against the width of
      the valley.
    Costs: Two gradient evaluations a step, and a copy of the weights for the moment.
    References: Foret et al., arXiv:2010.01412.
    """
    return _at(lambda params, grads: _moved(params, _unit(grads), rho))


@traits(neutral={"rho": 0.0}, evaluations=2)
def asam(*, rho: Strength = 0.5, eps: Epsilon = 0.01) -> Rule:
    """Do as SAM in a ball that is wide where weights are large, so that rescaling layers changes nothing (ASAM).

    g = grad L(w + rho T^2 d / |T d|), d = grad L(w), T = |w| + eps entry by entry, biases too

    Args:
      rho: radius of the ball, in units of the weights. *Sweepable.* *Neutral: 0.0.*
      eps: added to |w|, so that a weight of zero moves. *Sweepable.*
    Returns: function (loss_fn) -> gradient_fn; two gradient evaluations a step.
    Expect: Claimed as for sam, without its dependence on how layers are scaled. sharpness and hessian_trace should
      fall, though they do depend on that scale; gradient_norm is that of the second point. Little where rho is small.
    Costs: Two gradient evaluations a step, and a copy of the weights for the moment.
    References: Kwon et al., arXiv:2102.11600.
    """

    def second(params: PyTree, grads: PyTree) -> PyTree:
        scaled = jax.tree.map(lambda w, d: (jnp.abs(w) + eps) * d, params, grads)
        return _moved(params, jax.tree.map(lambda w, d: (jnp.abs(w) + eps) * d, params, _unit(scaled)), rho)

    return _at(second)


@traits(neutral={"step_size": 0.0}, evaluations=2)
def extragradient(*, step_size: Strength = 0.1) -> Rule:
    """Take the gradient one plain step ahead, but step from here: it damps rotation where descent alone would circle.

    g = grad L(w - step_size grad L(w))

    The step ahead is plain descent, whatever the optimizer. With `sgd` at the same rate this is Korpelevich's method.

    Args:
      step_size: length of the step ahead per unit of gradient. *Sweepable.* *Neutral: 0.0.*
    Returns: function (loss_fn) -> gradient_fn; two gradient evaluations a step.
    Expect: Where the curvature is h, the gradient is (1 - step_size h) times the plain one: gradient_norm falls along
      sharp directions, and step_cosine should rise. Little while step_size times sharpness is far below 1.
    Costs: Two gradient evaluations a step, and a copy of the weights for the moment.
    References: Korpelevich 1976, The extragradient method for finding saddle points; Gidel et al., arXiv:1802.10551.
    """
    return _at(lambda params, grads: _moved(params, grads, -step_size))


@traits(neutral={"strength": 0.0}, evaluations=2)
def gradient_norm_penalty(*, strength: Strength = 0.01, radius: Positive = 0.05) -> Rule:
    """Add the norm of the gradient to the loss, which leads to flat places.

    objective L + strength |grad L|; its gradient g + strength H g / |g| by a difference of gradients:
    g + strength / radius (grad L(w + radius g / |g|) - g)

    The difference is exact on a quadratic and, unlike a second derivative, works for every kernel. strength = radius is
    SAM with rho = radius. The reported loss leaves the penalty out.

    Args:
      strength: weight of the norm. *Sweepable.* *Neutral: 0.0.*
      radius: length of the difference. *Sweepable.*
    Returns: function (loss_fn) -> gradient_fn; two gradient evaluations a step.
    Expect: Claimed to end in flatter places that generalize better: sharpness and hessian_trace should fall.
      gradient_norm is that of the whole objective. Little where the gradient hardly changes within the radius.
    Costs: Two gradient evaluations a step, and a copy of the weights for the moment.
    References: Zhao et al., arXiv:2202.03599.
    """

    def rule(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
        take = jax.value_and_grad(loss_fn, has_aux=True)

        def gradient_fn(params: PyTree, *args: Any) -> tuple:
            values, grads = take(params, *args)
            ahead = take(_moved(params, _unit(grads), radius), *args)[1]
            rise = jax.tree.map(jnp.subtract, ahead, grads)
            return values, _moved(grads, rise, strength / radius)

        return gradient_fn

    return rule
