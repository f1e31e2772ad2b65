"""Augmentation that chooses among others: RandAugment and TrivialAugment.

What is chosen for a picture is carried out in a fixed order, with one warp for all that moves it, so the choice of each
picture costs no branch. Operations on 8-bit values (posterize, solarize, equalize) are left out.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.parts.augment.geometric import moved, pictures_of, warp_of
from deepprinciples.parts.augment.photometric import blurred, brighter, contrasted
from deepprinciples.types import Array, Batch, BatchTransform, Count, Share, traits

# Nothing, both shears (columns a row), both shifts (share of the side), rotation (radians), brightness (units of the
# inputs), contrast (log of the factor), blur (pixels): the largest of each. The first six are the papers'.
LARGEST = (0.0, 0.3, 0.3, 0.45, 0.45, math.radians(30.0), 0.9, math.log(1.9), 1.0)


def _carried_out(name: str, batch: Batch, amounts: Array) -> Batch:
    """Change each picture by its signed amounts [operations, B], as shares of the largest."""
    x = pictures_of(name, batch)
    _, slant, down, rows, columns, turn, light, sharpness, softness = amounts * jnp.array(LARGEST)[:, None]
    sides = jnp.array(x.shape[1:3], jnp.float32)[None]
    shift = jnp.round(jnp.stack([rows, columns], axis=1) * sides)
    one = jnp.ones_like(turn)
    batch = moved(name, batch, warp_of(turn, one, slant, jnp.ones((len(x), 2)), shift, down))
    x = blurred(brighter(contrasted(batch.inputs, jnp.exp(sharpness)), light), jnp.abs(softness))
    return batch._replace(inputs=x)


def _chosen(key: Array, count: int, size: int) -> Array:
    """Draw `count` operations for each of `size` pictures, each with a random sign, and add up: [operations, B]."""
    u = random.uniform(key, (2, count, size))
    which = jnp.floor(u[0] * len(LARGEST))
    sign = jnp.where(u[1] < 0.5, -1.0, 1.0)
    return jnp.sum(jnp.where(which[None] == jnp.arange(len(LARGEST))[:, None, None], sign[None], 0.0), axis=1)


@traits(neutral={"strength": 0.0}, fill=False)
def rand_augment(*, strength: Share = 0.5, count: Count = 2) -> BatchTransform:
    """Change each picture by a few operations drawn from nine, all of the same strength.

    x' = o_count(... o_1(x)), o_i uniform among: nothing, shear (2), shift (2), rotation, brightness, contrast, blur

    Signs are random. At strength 1 the operations have their largest values: shears of 0.3, shifts of 0.45 of the side,
    30 degrees, 0.9 units of brightness, a factor of 1.9 of contrast, a blur of 1 pixel. What is drawn twice adds up (or
    cancels). Masks and boxes move with the picture, see `affine`.

    Args:
      strength: share of the largest values, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      count: operations a picture.
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Claimed to replace a search of augmentations by two numbers. The training loss rises with both.
    Costs: 1.0 CPU ms for 64 pictures of 28 x 28, 12 % of a step of the default `cnn`.
    References: Cubuk et al., arXiv:1909.13719.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        size = pictures_of("rand_augment", batch).shape[0]
        return _carried_out("rand_augment", batch, strength * _chosen(key, count, size))

    return BatchTransform(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def trivial_augment(*, strength: Share = 1.0) -> BatchTransform:
    """Change each picture by one operation of a random strength.

    x' = o(x) with m ~ U(0, strength), o uniform among: nothing, shear (2), shift (2), rotation, brightness, contrast,
    blur; at m = 1 they are those of `rand_augment`

    Args:
      strength: the largest share of the largest values, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for inputs that are no pictures.
    Expect: Claimed to do as well as RandAugment with nothing to tune. The training loss rises with the strength.
    Costs: 1.0 CPU ms for 64 pictures of 28 x 28, 12 % of a step of the default `cnn`.
    References: Müller and Hutter, arXiv:2103.10158.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        size = pictures_of("trivial_augment", batch).shape[0]
        share = strength * random.uniform(jax.random.fold_in(key, 1), (size,))
        return _carried_out("trivial_augment", batch, share[None] * _chosen(jax.random.fold_in(key, 0), 1, size))

    return BatchTransform(apply)
