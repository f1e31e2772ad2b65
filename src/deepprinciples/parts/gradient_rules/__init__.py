"""Rules: how a gradient is taken, before anything is done to it.

Every factory returns `(loss_fn) -> gradient_fn`, where `loss_fn(params, model_state, batch, key) -> (loss, aux)` and
`gradient_fn(params, model_state, batch, key) -> ((loss, aux), grads)`. `loss` and `aux` (new model state and
activations among them) are always those at `params`, where the step starts, whatever else a rule looks at. The loss is
a mean over the examples of the batch, plus penalties on the weights; the batch is a `types.Batch` of arrays [B, ...],
and the key is for this step alone. What is done to a finished gradient is a transform.

The rules that look at a second point are written in `two_points`, those that take the batch apart in
`shares`. The trait `evaluations` says how many gradients one step costs, so that a comparison can be made at equal
cost: a forward and a backward pass over the whole batch count one, whether they are made at once or share by share. At
its neutral values a rule takes the gradient of `plain`, up to rounding where it adds up shares of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.parts.gradient_rules.shares import dp_sgd, gradvac, microbatches, pcgrad
from deepprinciples.parts.gradient_rules.two_points import asam, extragradient, gradient_norm_penalty, sam
from deepprinciples.types import Array, Batch, PyTree, Rule, Strength, traits


@traits(evaluations=1, per_example=True)
def plain() -> Rule:
    """Take the gradient of the loss at the current parameters.

    g = d loss / d params

    Returns: function (loss_fn) -> gradient_fn; gradient_fn(params, *args) -> ((loss, aux), grads), grads shaped as
      params.
    Expect: It is the ground that other rules are compared with: gradient_norm shows the gradient of the loss as it is.
    Costs: One gradient evaluation a step.
    """
    return lambda loss_fn: jax.value_and_grad(loss_fn, has_aux=True)


@traits(neutral={"strength": 0.0}, evaluations=2)
def input_gradient_penalty(*, strength: Strength = 0.01) -> Rule:
    """Flatten the loss around every training input, by backpropagation through backpropagation.

    g = d / d params (L + strength / 2 mean_i |d L_i / d x_i|^2)

    L_i is the loss of example i; where examples meet inside the model (batch norm), d L_i / d x_i stands for B times
    the slope of the mean. The reported loss leaves the penalty out. Counted as two gradient evaluations: one for
    the slopes of the inputs, one for the way back through it.

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
    Returns: function (loss_fn) -> gradient_fn.
    Raises: ValueError where inputs are no floats.
    Expect: Claimed to make predictions smoother and harder to attack. gradient_mean_square should fall in the layers
      near the input; gradient_norm includes the pull of the penalty, sharpness does not. Nothing where the loss is flat
      in x.
    Costs: Two gradient evaluations a step, as counted; the way back keeps the activations of both.
    References: Drucker and LeCun 1992, Improving generalization performance using double backpropagation; Ross and
      Doshi-Velez, arXiv:1711.09404.
    """

    def rule(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
        def total(params: PyTree, model_state: PyTree, batch: Batch, key: Array) -> tuple[Array, tuple]:
            for leaf in jax.tree.leaves(batch.inputs):
                if not jnp.issubdtype(leaf.dtype, jnp.floating):
                    raise ValueError(f"input_gradient_penalty: inputs are {leaf.dtype} (tokens?), expected floats")
            at = lambda x: loss_fn(params, model_state, batch._replace(inputs=x), key)
            values, slopes = jax.value_and_grad(at, has_aux=True)(batch.inputs)
            # An infinite slope times a strength of 0 is NaN: off must mean off.
            squares = [jnp.sum(jnp.square(jnp.where(strength == 0, 0.0, s))) for s in jax.tree.leaves(slopes)]
            examples = len(jax.tree.leaves(batch.inputs)[0])
            return values[0] + 0.5 * strength * examples * sum(squares, start=jnp.zeros(())), values

        def gradient_fn(*args: Any) -> tuple:
            (_, values), grads = jax.value_and_grad(total, has_aux=True)(*args)
            return values, grads

        return gradient_fn

    return rule


TABLE = {
    f.__name__: f
    for f in (
        plain,
        sam,
        asam,
        gradient_norm_penalty,
        extragradient,
        input_gradient_penalty,
        microbatches,
        dp_sgd,
        pcgrad,
        gradvac,
    )
}
