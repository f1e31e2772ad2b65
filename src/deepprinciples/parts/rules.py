"""Rules: how a gradient is taken, before anything is done to it.

Every factory returns `(loss_fn) -> gradient_fn`, where `loss_fn(params, *args) -> (loss, aux)` and
`gradient_fn(params, *args) -> ((loss, aux), grads)`. What is done to a finished gradient is a transform.
EVALUATIONS says how many gradients one step costs, so that a comparison can be made at equal cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

Rule = Callable[[Callable[..., Any]], Callable[..., Any]]


def plain() -> Rule:
    """Take the gradient of the loss at the current parameters.

    g = d loss / d params

    Returns: function (loss_fn) -> gradient_fn; gradient_fn(params, *args) -> ((loss, aux), grads), grads shaped as
      params.
    """
    return lambda loss_fn: jax.value_and_grad(loss_fn, has_aux=True)


TABLE = {f.__name__: f for f in (plain,)}

EVALUATIONS = {"plain": 1}
