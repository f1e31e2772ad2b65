"""The expectation of an observable as what is minimized: an energy, as of a variational eigensolver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from deepprinciples.types import Array, PyTree, traits


@traits(per_example=True, direction="min", worst=None, best=None)
def expectation() -> Callable[[Any, PyTree], Array]:
    """Take the outputs themselves: the mean expectation of the observables of a circuit, whatever the targets are.

    value = mean over outputs

    Returns: function (outputs [B, ...], targets) -> [B].
    Expect: With all angles drawn from a whole turn, gradient_norm falls with every qubit as theory says.
    Costs: Nothing that is measurable.
    References: arXiv:1304.3061 (variational eigensolver), arXiv:1803.11173 (barren plateaus).
    """

    def mean(outputs: Any, targets: PyTree) -> Array:
        del targets
        return jnp.mean(outputs.reshape(outputs.shape[0], -1), axis=1)

    return mean
