"""Augmentation that changes the values of pictures and moves nothing: brightness, contrast, blur, cutout.

Values are taken as they come, mostly standardized: 1.0 is the standard deviation of the training set's pixels.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from deepprinciples.kernels import random
from deepprinciples.parts.augment.geometric import pictures_of
from deepprinciples.types import Array, Batch, BatchTransform, Scalar, Share, Strength, traits


def brighter(x: Array, amount: Array) -> Array:
    """Add amounts [B] to pictures [B, H, W, C]."""
    return x + amount[:, None, None, None]


def contrasted(x: Array, factor: Array) -> Array:
    """Scale what pictures [B, H, W, C] differ from their own mean, by factors [B]; 1.0 changes no bit."""
    mean = jnp.mean(x, axis=(1, 2), keepdims=True)
    factor = factor[:, None, None, None]
    return jnp.where(factor == 1.0, x, mean + factor * (x - mean))


def blurred(x: Array, deviation: Array) -> Array:
    """Blur pictures [B, H, W, C] with Gaussians of deviations [B] in pixels; what is outside does not count."""

    def weights(length: int) -> Array:
        gap = (jnp.arange(length)[:, None] - jnp.arange(length)[None])[None]
        bell = jnp.exp(-0.5 * jnp.square(gap / jnp.maximum(deviation, 1e-3)[:, None, None]))
        return bell / jnp.sum(bell, axis=2, keepdims=True)  # [B, length, length]

    down = jnp.einsum("bij,bjwc->biwc", weights(x.shape[1]), x, precision=lax.Precision.HIGHEST)
    return jnp.einsum("bij,bhjc->bhic", weights(x.shape[2]), down, precision=lax.Precision.HIGHEST)


def cut_out(x: Array, size: Scalar, centers: Array) -> Array:
    """Set a box in each picture to zero: `size`, as a share of each side, around centers [2, B] in [0, 1]."""
    near = lambda n, c: jnp.abs((jnp.arange(n)[None] + 0.5) / n - c[:, None]) < 0.5 * size  # [B, n]
    box = near(x.shape[1], centers[0])[:, :, None] & near(x.shape[2], centers[1])[:, None, :]
    return jnp.where(box[..., None], 0.0, x)


@traits(neutral={"strength": 0.0})
def brightness(*, strength: Strength = 0.3) -> BatchTransform:
    """Make each picture brighter or darker.

    x' = x + b, b ~ U(-strength, strength), one a picture, for all channels alike

    Args:
      strength: largest change, in units of the inputs (standard deviations, where they are standardized).
        *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: The model asks less for absolute values. Nothing where an early normalization takes the mean away anyway.
    Costs: Nothing that is measurable.
    References: Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = pictures_of("brightness", batch)
        return batch._replace(inputs=brighter(x, strength * random.uniform(key, (len(x),), minval=-1.0)))

    return BatchTransform(apply)


@traits(neutral={"strength": 0.0})
def contrast(*, strength: Strength = 0.5) -> BatchTransform:
    """Raise or lower the contrast of each picture.

    x' = m + f (x - m), m the mean of each channel of the picture, log f ~ U(-1, 1) log(1 + strength)

    Args:
      strength: the largest factor is 1 + strength, the smallest 1 / (1 + strength). *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: The model asks less for the size of differences. Nothing where an early normalization of single examples
      takes it away anyway.
    Costs: Nothing that is measurable.
    References: Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = pictures_of("contrast", batch)
        exponent = random.uniform(key, (len(x),), minval=-1.0)
        return batch._replace(inputs=contrasted(x, jnp.exp(jnp.log1p(strength) * exponent)))

    return BatchTransform(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def blur(*, strength: Strength = 1.0) -> BatchTransform:
    """Blur each picture with a Gaussian of random width.

    x' = G_s * x, s ~ U(0, strength) pixels; weights are normalized over the pixels that are inside

    Args:
      strength: largest standard deviation of the Gaussian, in pixels. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: The model asks less for fine texture; helps on blurred and on noisy pictures, may hurt on sharp ones.
    Costs: 0.4 CPU ms for 64 pictures of 28 x 28, 5 % of a step of the default `cnn`; it grows with
      the third power of the side.
    References: Chen et al., arXiv:2002.05709.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = pictures_of("blur", batch)
        return batch._replace(inputs=blurred(x, strength * random.uniform(key, (len(x),))))

    return BatchTransform(apply)


@traits(neutral={"size": 0.0})
def cutout(*, size: Share = 0.5) -> BatchTransform:
    """Cover a box of each picture with zeros.

    x' = 0 inside a box with a uniform center, `size` of each side long, cut off at the border

    Zero is the mean where inputs are standardized. Targets stay, masks and boxes too.

    Args:
      size: side of the box, as a share of the picture's. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Claimed to make the model look at all of a picture. Hurts where what matters lies in one small place.
    Costs: Nothing that is measurable.
    References: DeVries and Taylor, arXiv:1708.04552; Zhong et al., arXiv:1708.04896.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = pictures_of("cutout", batch)
        return batch._replace(inputs=cut_out(x, size, random.uniform(key, (2, len(x)))))

    return BatchTransform(apply)
