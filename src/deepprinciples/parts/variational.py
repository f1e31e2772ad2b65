"""What a variational autoencoder puts out, what it is trained on, and how its reconstructions are measured.

The model that makes a `Variational` is `models.autoencoders.vae`; losses of plain outputs live in `losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from deepprinciples.parts.losses.pairing import Loss, mismatch, per_example
from deepprinciples.types import Array, Strength, better


class Variational(NamedTuple):
    """A reconstruction [B, ...], and the Gaussian its code was drawn from: mean and log-variance, each [B, latent]."""

    reconstruction: Array
    mean: Array
    log_variance: Array


def elbo(*, strength: Strength = 1.0) -> Callable[[Variational, Array], Array]:
    """Bound what a Gaussian decoder of unit variance assigns to the data: the negative evidence lower bound.

    loss = |targets - reconstruction|^2 / 2 + strength * KL(N(m, exp(v)) || N(0, I)),
    KL = sum_j (exp(v_j) + m_j^2 - 1 - v_j) / 2; sums, not means, and without the constant D log(2 pi) / 2.

    Directions of the data with a variance below `strength` are not coded, even at the optimum (posterior collapse,
    exact for linear models: arXiv:1911.02469). Images within [0, 1] have few above 1; standardize, or go lower.

    Args:
      strength: of the KL term, beta in arXiv:1804.03599. *Sweepable.* At 1.0 it is the bound, at 0.0 a reconstruction
        from noisy codes.
    Returns: function (outputs: Variational, targets [B, ...] like the reconstruction) -> [B].
    Raises: ValueError where the outputs are not Variational, or the shapes do not pair.
    Expect: The KL term pulls codes to the normal distribution: a direction that does not pay for its KL collapses, so
      activation_mean_square of "code" falls there. A higher strength collapses more; at 0.0 none does.
    Costs: Nothing that is measurable.
    References: Kingma and Welling, arXiv:1312.6114.
    """

    def loss(outputs: Variational, targets: Array) -> Array:
        if not isinstance(outputs, Variational):
            raise ValueError(
                f"elbo: found outputs of type {type(outputs).__name__}; expected Variational, of model vae"
            )
        m, v = outputs.mean, outputs.log_variance
        kl = 0.5 * jnp.sum(jnp.exp(v) + m * m - 1.0 - v, axis=-1)  # [B]
        return 0.5 * jnp.sum(_squares("elbo", outputs.reconstruction, targets), axis=1) + strength * kl

    return loss


@better("min")
def reconstruction_error() -> Loss:
    """Square the error of a reconstruction.

    error = mean of (targets - reconstruction)^2

    Returns: function (outputs: array [B, ...] or Variational, targets [B, ...]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Gauss 1809, Theoria motus.
    """

    def error(outputs: Array | Variational, targets: Array) -> Array:
        made = outputs.reconstruction if isinstance(outputs, Variational) else outputs
        return per_example(_squares("reconstruction_error", made, targets))

    return error


def _squares(name: str, made: Array, targets: Array) -> Array:
    """Return the squared errors, flat: [B, D]."""
    if made.shape != targets.shape or made.ndim < 2:
        raise mismatch(name, made, targets, "the same shape, [B, ...]")
    return jnp.square(targets.astype(made.dtype) - made).reshape(made.shape[0], -1)


LOSSES = {f.__name__: f for f in (elbo,)}
METRICS = {f.__name__: f for f in (reconstruction_error,)}
