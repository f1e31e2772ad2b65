"""What is random inside a model in training: units, branches and weights that are dropped.

Rates may be tracers. A rate that is the literal 0.0 costs nothing and needs no key; in evaluation nothing is dropped.
Each trick draws from a stream of its own, so that switching one on leaves the masks of the others as they are.
"""

from __future__ import annotations

import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.kernels.keys import fold_in, stream
from deepprinciples.parts.layers.design import Step
from deepprinciples.types import Array, Scalar


def is_off(value: Scalar, neutral: float = 0.0) -> bool:
    """Tell the plain neutral number of a config, which nobody sweeps, from a value that may be any."""
    return isinstance(value, float) and value == neutral


def draws_nothing(step: Step) -> bool:
    """Tell whether all that a model drops at random is off for good."""
    return all(map(is_off, (step.rate, step.drop_connect, step.stochastic_depth)))


def key_of(step: Step, rate: Scalar, trick: str) -> Array | None:
    """Give the key of a trick in training, and None where nothing is drawn; raises ValueError where it is missing."""
    if not step.train or is_off(rate):
        return None
    if step.key is None:
        raise ValueError(f"{trick}: key is None in training; expected a key; pass key= or train=False")
    return step.key


def thinned(x: Array, rate: Scalar, key: Array, shape: tuple[int, ...] | None = None) -> Array:
    """Drop entries at random and scale the others up: y = x * mask / (1 - rate).

    Args:
        x: any shape.
        rate: probability of a zero. *Sweepable.* *Neutral: 0.0.*
        key: of the mask.
        shape: of the mask, with 1 along the axes that share a draw; that of x where None.

    Returns:
        An array like x.
    """
    keep = 1.0 - jnp.asarray(rate)
    mask = random.bernoulli(key, keep, x.shape if shape is None else shape)
    # Division by a guarded value: at rate 1 both 0/0 and its gradient would be NaN.
    return jnp.where(mask, x / jnp.where(keep > 0, keep, 1.0), 0.0)


def dropout(x: Array, step: Step, number: int) -> Array:
    """Drop entries at random: y = x * mask / (1 - rate) in training, y = x otherwise.

    Args:
        x: any shape.
        step: brings the key, the rate (may be a tracer, *Neutral: 0.0.*) and whether this is training.
        number: of the layer, so that layers draw different masks.

    Returns:
        An array like x.
    """
    key = key_of(step, step.rate, "dropout")
    return x if key is None else thinned(x, step.rate, fold_in(key, number))


def drop_branch(branch: Array, step: Step, number: int) -> Array:
    """Leave a branch out at random, for each example by itself, and the more often the deeper it is.

    y = branch * b / (1 - r), b = 0 with probability r = stochastic_depth number / last

    Args:
        branch: [B, ...].
        step: brings the key, the rate of the last layer, its number, and whether this is training.
        number: of the layer.

    Returns:
        An array like branch.

    References:
        arXiv:1603.09382. It draws once for a batch and multiplies by 1 - r in evaluation instead.
    """
    key = key_of(step, step.stochastic_depth, "stochastic_depth")
    if key is None:
        return branch
    key = fold_in(stream(key, "stochastic_depth"), number)
    rate = step.stochastic_depth * (number / step.last)
    return thinned(branch, rate, key, (len(branch),) + (1,) * (branch.ndim - 1))


def drop_weights(kernel: Array, step: Step, place: tuple[str, ...]) -> Array:
    """Drop single weights at random, the same ones for all examples of the batch.

    Args:
        kernel: any shape.
        step: brings the key, the rate and whether this is training.
        place: path of the kernel in the model, so that kernels draw different masks.

    Returns:
        An array like kernel.

    References:
        Wan et al. 2013, Regularization of neural networks using DropConnect, which draws for each example;
        arXiv:1708.02182 (of recurrent kernels).
    """
    key = key_of(step, step.drop_connect, "drop_connect")
    return kernel if key is None else thinned(kernel, step.drop_connect, stream(key, "/".join(("weights", *place))))
