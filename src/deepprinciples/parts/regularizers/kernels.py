"""Penalties that see a kernel as a whole, by its units or its singular values, where l1 and l2 see single weights.

Users find them in `regularizers.TABLE`. What counts as a kernel and not a bias is defined here for both modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, PyTree, Strength, traits

Penalty = Callable[[PyTree], Array]


def total(params: PyTree, biases: bool, of_leaf: Callable[[Array], Array]) -> Array:
    """Add up a number for every kernel.

    Args:
      params: arrays of any shape.
      biases: count leaves with fewer than two axes too.
      of_leaf: (leaf) -> scalar.
    Returns: scalar float32.
    """
    leaves = [w for w in jax.tree.leaves(params) if biases or w.ndim >= 2]
    return sum((of_leaf(w).astype(jnp.float32) for w in leaves), start=jnp.zeros((), jnp.float32))


@traits(neutral={"strength": 0.0})
def group_lasso(*, strength: Strength = 1e-4, groups: Literal["outputs", "inputs"] = "outputs") -> Penalty:
    """Pull the weights of a unit to zero together, so that whole units fall silent.

    penalty = strength sum over units of sqrt(n) |w_u|, n weights in w_u; its gradient is 0 where w_u is 0

    Args:
      strength: force on a unit, per root of its weights. *Sweepable.* *Neutral: 0.0.*
      groups: what one output unit reads ("outputs", a slice along the last axis), or what reads one input unit or
        channel ("inputs", a slice along the last axis but one).
    Returns: function (params) -> scalar float32.
    Expect: Whole units fall silent instead of single weights, which come near zero and not to it; rank should fall, and
      dead_units may rise. gradient_norm is that of the loss with the penalty, the reported loss leaves it out.
    Costs: One pass over the weights, which is hardly measurable.
    References: Yuan and Lin 2006, Model selection and estimation in regression with grouped variables; Wen et al.,
      arXiv:1608.03665.
    """

    def of_leaf(w: Array) -> Array:
        axis = w.ndim - (1 if groups == "outputs" else 2)
        others = tuple(i for i in range(w.ndim) if i != axis)
        squares = jnp.sum(jnp.square(w), axis=others)
        there = squares > 0.0  # the slope of the root at 0 is infinite
        sizes = jnp.where(there, jnp.sqrt(jnp.where(there, squares, 1.0)), 0.0)
        return (w.size / w.shape[axis]) ** 0.5 * jnp.sum(sizes)

    return lambda params: strength * total(params, False, of_leaf)


@traits(neutral={"strength": 0.0}, fill=False)
def spectral(*, strength: Strength = 1e-3) -> Penalty:
    """Pull the largest singular value of every kernel to zero, and with it what a layer can do to a perturbation.

    penalty = strength / 2 sum s_1(W)^2, all axes but the last are one axis

    The singular value is exact, by the eigenvalues of W^T W or W W^T, the smaller; the paper estimates it.

    Args:
      strength: force. *Sweepable.* *Neutral: 0.0.*
    Returns: function (params) -> scalar float32.
    Expect: Claimed to make the outputs bear small changes of the inputs, with less of a price than l2: only the largest
      singular value is pulled down, so the stable rank (rank) should rise, and activation_mean_square fall.
    Costs: Eigenvalues of a matrix of the shorter side of each kernel at every step: with small batches more than the
      gradient.
    References: Yoshida and Miyato, arXiv:1705.10941.
    """

    def of_leaf(kernel: Array) -> Array:
        w = kernel.reshape(-1, kernel.shape[-1])
        gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        return jnp.linalg.eigvalsh(gram)[-1]

    return lambda params: 0.5 * strength * total(params, False, of_leaf)
