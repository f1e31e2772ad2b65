"""Regularizers: what is asked of a solution beside fitting the data.

Weight-side factories return `(params) -> scalar`, a penalty added to the loss; they act on kernels (leaves with two
axes or more), biases and scales of norms only with `biases=True`. What is a penalty on activations or on the model's
slope lives in `functions`, what looks at a whole kernel in `kernels`, what is done to a batch in `parts.augment`.
Dropout of hidden units is a keyword of the models; weight decay that does not pass through the loss is a transform.
"""

from __future__ import annotations

import jax.numpy as jnp

from deepprinciples.parts.regularizers.functions import activation_l2, jacobian, temporal_activation_l2
from deepprinciples.parts.regularizers.kernels import Penalty, group_lasso, spectral, total
from deepprinciples.types import Array, PyTree, Share, Strength, traits


@traits(neutral={"strength": 0.0})
def l1(*, strength: Strength = 1e-4, biases: bool = False) -> Penalty:
    """Pull every weight to zero with the same force.

    penalty = strength sum |w|; a subgradient never gives exact zeros

    Args:
      strength: force per weight. *Sweepable.* *Neutral: 0.0.*
      biases: also act on leaves with fewer than two axes.
    Returns: function (params) -> scalar float32.
    Expect: Many weights come near zero, none to exact zeros (see proximal_sgd); rank should fall. gradient_norm and
      sharpness are those of the loss with the penalty, the reported loss leaves it out.
    Costs: One pass over the weights, which is hardly measurable.
    References: Tibshirani 1996, Regression shrinkage and selection via the lasso.
    """
    return lambda params: strength * total(params, biases, lambda w: jnp.sum(jnp.abs(w)))


@traits(neutral={"strength": 0.0})
def l2(*, strength: Strength = 1e-4, biases: bool = False) -> Penalty:
    """Pull every weight to zero in proportion to its size.

    penalty = strength / 2 sum w^2, so that its gradient is strength w

    Args:
      strength: force per unit of weight. *Sweepable.* *Neutral: 0.0.*
      biases: also act on leaves with fewer than two axes.
    Returns: function (params) -> scalar float32.
    Expect: Weights that the loss does not hold shrink: without normalization activation_mean_square falls, with it
      update_ratio rises. It adds `strength` to every curvature along the kernels, hence to sharpness.
    Costs: One pass over the weights, which is hardly measurable.
    References: Krogh and Hertz 1991, A simple weight decay can improve generalization.
    """
    return lambda params: 0.5 * strength * total(params, biases, lambda w: jnp.sum(jnp.square(w)))


@traits(neutral={"strength": 0.0})
def elastic_net(*, strength: Strength = 1e-4, l1_share: Share = 0.5, biases: bool = False) -> Penalty:
    """Mix l1 and l2.

    penalty = strength (l1_share sum |w| + (1 - l1_share) / 2 sum w^2)

    Args:
      strength: force. *Sweepable.* *Neutral: 0.0.*
      l1_share: share of l1, in [0, 1]. *Sweepable.*
      biases: also act on leaves with fewer than two axes.
    Returns: function (params) -> scalar float32.
    Expect: Small weights go towards zero as by l1, large ones shrink as by l2, and weights that do the same work share
      it. rank and activation_mean_square should fall; gradient_norm is that of the loss with the penalty.
    Costs: One pass over the weights, which is hardly measurable.
    References: Zou and Hastie 2005, Regularization and variable selection via the elastic net.
    """

    def penalty(params: PyTree) -> Array:
        absolute = total(params, biases, lambda w: jnp.sum(jnp.abs(w)))
        squared = total(params, biases, lambda w: jnp.sum(jnp.square(w)))
        return strength * (l1_share * absolute + 0.5 * (1.0 - l1_share) * squared)

    return penalty


@traits(neutral={"strength": 0.0})
def orthogonality(*, strength: Strength = 1e-3) -> Penalty:
    """Pull the rows or columns of every kernel, whichever are fewer, to an orthonormal set.

    penalty = strength / 2 sum ||G - I||_F^2, G = W^T W or W W^T, the smaller; all axes but the last are one axis

    Args:
      strength: force. *Sweepable.* *Neutral: 0.0.*
    Returns: function (params) -> scalar float32.
    Expect: Singular values come near 1, so rank rises to the shorter side of each kernel; in a linear or tanh network
      activation_mean_square and gradient_mean_square become alike over the layers. Nothing more on kernels already
      orthonormal.
    Costs: A matrix product and its way back per kernel and step, whatever the batch: measurable with small batches.
    References: Bansal et al., arXiv:1810.09102; Brock et al., arXiv:1609.07093.
    """

    def of_leaf(kernel: Array) -> Array:
        w = kernel.reshape(-1, kernel.shape[-1])
        gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        return jnp.sum(jnp.square(gram - jnp.eye(gram.shape[0], dtype=gram.dtype)))

    return lambda params: 0.5 * strength * total(params, False, of_leaf)


TABLE = {
    f.__name__: f
    for f in (
        l1,
        l2,
        elastic_net,
        group_lasso,
        orthogonality,
        spectral,
        activation_l2,
        temporal_activation_l2,
        jacobian,
    )
}
