"""Optimizers that measure a step by matrices: one statistic per axis of a leaf, and its roots or eigenvectors.

optax has neither. Both take the decomposition anew at every step: under vmap a step that skips it would compute it all
the same. A cube of its length per axis is the price, so axes longer than `max_size` do without a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.kernels.linear_algebra import eigh
from deepprinciples.types import Array, Decay, Epsilon, LearningRate, PyTree, Rate, Scalar, Size, Strength, traits

# Entries of a rotated gradient this far below the largest are rounding errors of the rotation, and Adam's division
# would blow them up to full steps.
RESOLUTION = 1e-5


class ShampooState(NamedTuple):
    """State of `shampoo`: the averaged gradient, and for each leaf a statistic per axis, [n, n] or [n]."""

    average: PyTree
    statistics: PyTree


class SoapState(NamedTuple):
    """State of `soap`: steps so far, both averages (the squares in the rotated frame), statistics and frames, None for
    an axis without."""

    steps: Array
    average: PyTree
    squares: PyTree
    statistics: PyTree
    frames: PyTree


def _by_leaf(function: Callable[..., tuple], count: int, grads: PyTree, *trees: PyTree) -> tuple[PyTree, ...]:
    """Map a function of leaves that returns `count` things; `trees` may go deeper than `grads`."""
    results = jax.tree.map(function, grads, *trees)
    return tuple(jax.tree.map(lambda g, given, i=i: given[i], grads, results) for i in range(count))


def _gram(g: Array, axis: int) -> Array:
    rows = jnp.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)  # [n, rest]
    return rows @ rows.T


def _along(g: Array, matrix: Array, axis: int) -> Array:
    """Multiply one axis by a matrix from the left."""
    return jnp.moveaxis(jnp.tensordot(matrix, g, axes=(1, axis)), 0, axis)


def _row(v: Array, axes: int) -> Array:
    return v.reshape((1,) * (axes - 1) + v.shape)


def _power(symmetric: Array, exponent: float, least: Scalar) -> Array:
    values, vectors = eigh(symmetric)
    return (vectors * _row(jnp.maximum(values, least) ** exponent, 2)) @ vectors.T


@traits(neutral={"momentum": 0.0, "weight_decay": 0.0})
def shampoo(
    *,
    learning_rate: LearningRate = 0.1,
    momentum: Rate = 0.9,
    eps: Epsilon = 1e-4,
    weight_decay: Strength = 0.0,
    max_size: Size = 256,
) -> optax.GradientTransformation:
    """Multiply every axis of the averaged gradient by a root of the inverse of its summed second moments.

    m = momentum m + (1 - momentum) g
    for each of the k axes of a leaf: H = eps I + sum of G G^T, G [axis, rest]
    u = m times H^(-1/(2k)) along every axis
    params -= learning_rate (u + weight_decay params)

    For a matrix that is L^(-1/4) M R^(-1/4); for a vector it is Adagrad with a full matrix.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      momentum: share of the past kept in the average of gradients. *Sweepable.* *Neutral: 0.0.*
      eps: what every H starts from, and its least eigenvalue. *Sweepable.*
      weight_decay: share of the weights (biases too) taken off, times the learning rate. *Sweepable.* *Neutral: 0.0.*
      max_size: longest axis with a matrix; a longer one keeps the diagonal of H only.
    Returns: optax.GradientTransformation over params of any shape; a single number counts as a vector.
    Expect: Theory as for adagrad, with correlations within an axis: flat directions get longer steps, so that bad
      conditioning slows it less. update_ratio falls as the sums grow, at a steady gradient_norm too.
    Costs: One copy of the weights and an n x n matrix per axis up to max_size, each decomposed at every step, which
      takes some n^3: mostly more than the gradient.
    References: Gupta et al., arXiv:1802.09568.
    """

    def start(w: Array) -> tuple[Array, ...]:
        shape = w.shape or (1,)
        return tuple(eps * (jnp.eye(n) if n <= max_size else jnp.ones(n)) for n in shape)

    def init(params: PyTree) -> ShampooState:
        return ShampooState(optax.tree.zeros_like(params), jax.tree.map(start, params))

    def of_leaf(grad: Array, average: Array, statistics: tuple[Array, ...]) -> tuple:
        g = grad.reshape(grad.shape or (1,))
        average = momentum * average + (1.0 - momentum) * grad
        step, sums, exponent = average.reshape(g.shape), [], -0.5 / g.ndim
        for axis, before in enumerate(statistics):
            if before.ndim == 2:
                h = before + _gram(g, axis)
                step = _along(step, _power(h, exponent, eps), axis)
            else:
                others = tuple(i for i in range(g.ndim) if i != axis)
                h = before + jnp.sum(jnp.square(g), axis=others)
                step = jnp.moveaxis(jnp.moveaxis(step, axis, -1) * _row(h**exponent, g.ndim), -1, axis)
            sums.append(h)
        return step.reshape(grad.shape), average, tuple(sums)

    def update(grads: PyTree, state: ShampooState, params: PyTree = None):
        del params
        directions, average, statistics = _by_leaf(of_leaf, 3, grads, state.average, state.statistics)
        return directions, ShampooState(average, statistics)

    return optax.chain(
        optax.GradientTransformation(init, update),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def _rotated(g: Array, frames: tuple[Array | None, ...], back: bool = False) -> Array:
    for axis, q in enumerate(frames):
        if q is not None:
            g = _along(g, q if back else q.T, axis)
    return g


@traits(neutral={"weight_decay": 0.0})
def soap(
    *,
    learning_rate: LearningRate = 3e-3,
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    eps: Epsilon = 1e-8,
    weight_decay: Strength = 0.0,
    max_size: Size = 256,
) -> optax.GradientTransformation:
    """Run Adam in the frame of Shampoo's eigenvectors.

    for each axis: H = b2 H + (1 - b2) G G^T, G [axis, rest], Q its eigenvectors
    m = b1 m + (1 - b1) g, corrected for the start at zero; m', g': m, g along Q
    v = b2 v + (1 - b2) g'^2, corrected too; u = m' / (sqrt(v) + eps), turned back
    params -= learning_rate (u + weight_decay params)

    Q is that of the step before, so the first step measures and moves nothing. Entries whose sqrt(v) is below 1e-5 of
    the largest in their leaf are rounding errors of the rotation and stand still. Leaves with fewer than two axes have
    no frame: there it is Adam.

    Args:
      learning_rate: step size, or a function of the step count. *Sweepable.*
      b1: share of the past kept in the average of gradients. *Sweepable.*
      b2: share of the past kept in the average of squared gradients and in H. *Sweepable.*
      eps: small number that keeps divisions finite. *Sweepable.*
      weight_decay: share of the weights (biases too) taken off, times the learning rate. *Sweepable.* *Neutral: 0.0.*
      max_size: longest axis that is rotated.
    Returns: optax.GradientTransformation over params of any shape.
    Expect: Claimed to need fewer steps than adamw, and less care for its rate than shampoo. Without correlations
      between entries it is adam; update_ratio follows gradient_norm no more than there, and is 0 at the first step.
    Costs: Two copies of the weights and two n x n matrices per axis up to max_size, decomposed at every step, which
      takes some n^3: mostly more than the gradient.
    References: Vyas et al., arXiv:2409.11321, with a new decomposition at every step.
    """

    def square(w: Array, make: Callable[[int], Array]) -> tuple[Array | None, ...]:
        return tuple(make(n) if w.ndim >= 2 and n <= max_size else None for n in w.shape)

    def init(params: PyTree) -> SoapState:
        zeros = optax.tree.zeros_like(params)
        statistics = jax.tree.map(partial(square, make=lambda n: jnp.zeros((n, n))), params)
        frames = jax.tree.map(partial(square, make=jnp.eye), params)
        return SoapState(jnp.zeros((), jnp.int32), zeros, zeros, statistics, frames)

    def of_leaf(steps: Array, g: Array, average: Array, squares: Array, statistics: tuple, frames: tuple) -> tuple:
        moves = steps > 0
        rotated = _rotated(g, frames)
        average = jnp.where(moves, b1 * average + (1.0 - b1) * g, average)
        squares = jnp.where(moves, b2 * squares + (1.0 - b2) * jnp.square(rotated), squares)
        count = jnp.maximum(steps, 1)
        root = jnp.sqrt(squares / (1.0 - jnp.asarray(b2, jnp.float32) ** count))
        direction = _rotated(average / (1.0 - jnp.asarray(b1, jnp.float32) ** count), frames) / (root + eps)
        if any(q is not None for q in frames):
            direction = _rotated(jnp.where(root > RESOLUTION * jnp.max(root), direction, 0.0), frames, back=True)
        sums = tuple(
            b2 * h + (1.0 - b2) * _gram(g, axis) if h is not None else None for axis, h in enumerate(statistics)
        )
        frames = tuple(eigh(h)[1] if h is not None else None for h in sums)
        return direction, average, squares, sums, frames

    def update(grads: PyTree, state: SoapState, params: PyTree = None):
        del params
        directions, *rest = _by_leaf(partial(of_leaf, state.steps), 5, grads, *state[1:])
        return directions, SoapState(state.steps + 1, *rest)

    return optax.chain(
        optax.GradientTransformation(init, update),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
