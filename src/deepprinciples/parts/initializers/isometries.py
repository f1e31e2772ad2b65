"""Initializers that are maps and no distribution of single weights: orthogonal matrices and the identity.

They keep lengths whatever the fan, where the draws in `initializers` keep variances on average. Users find both in
`initializers.TABLE`; how a kernel's shape is read stands here, because both sides ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import jax
import jax.numpy as jnp

from deepprinciples.kernels.linear_algebra import one_at_a_time
from deepprinciples.types import Array, Count, NonNegative

Draw = Callable[..., Array]


def fans(name: str, shape: Sequence[int]) -> tuple[int, int]:
    """Count what flows into and out of one unit of a kernel.

    Args:
      name: the initializer that asks.
      shape: (in, out) or (height, width, in, out).
    Returns: fan-in and fan-out.
    Raises: ValueError for shapes with fewer than 2 axes.
    """
    if len(shape) < 2:
        raise ValueError(
            f"{name}: a kernel needs at least 2 axes, found shape {tuple(shape)}; "
            "for biases use zeros, constant, normal or uniform"
        )
    receptive_field = prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


def orthogonal(*, gain: NonNegative = 1.0) -> Draw:
    """Draw a random matrix with orthonormal rows or columns, whichever are fewer.

    W = gain Q, Q uniform over matrices with Q^T Q = I or Q Q^T = I; all axes but the last are one axis

    Args:
      gain: every singular value. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: In a linear network of one width every singular value is kept: activation_mean_square is the same in all
      layers, rank is full, and theory has learning times that do not grow with depth. With relu it halves a layer at
      gain 1.
    Costs: A decomposition of every kernel, once at the start.
    References: Saxe et al., arXiv:1312.6120.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        fans("orthogonal", shape)
        drawn = one_at_a_time(lambda key: jax.nn.initializers.orthogonal()(key, tuple(shape), dtype))(key)
        return drawn * jnp.asarray(gain, dtype)

    return draw


def delta_orthogonal(*, gain: NonNegative = 1.0) -> Draw:
    """Put an orthogonal matrix at the center of a convolution kernel and zeros elsewhere.

    W[center] = gain Q with Q^T Q = I, W = 0 off the center; a dense kernel is orthogonal

    Args:
      gain: every singular value of the center. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: Claimed to let plain tanh convolutions of thousands of layers train. In a linear network with channels of
      one number activation_mean_square and gradient_mean_square are the same in all layers; nothing mixes neighbors at
      first.
    Costs: A decomposition of one channel map per kernel, once at the start.
    References: Xiao et al., arXiv:1806.05393.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        fans("delta_orthogonal", shape)
        center = orthogonal(gain=gain)(key, tuple(shape[-2:]), dtype)
        return jnp.zeros(tuple(shape), dtype).at[tuple(n // 2 for n in shape[:-2])].set(center)

    return draw


def identity(*, gain: NonNegative = 1.0) -> Draw:
    """Start at the identity map, at the center of a convolution kernel (IRNN).

    W = gain I, cut or padded with zeros where inputs and outputs differ in number

    Args:
      gain: the diagonal. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: As the recurrent kernel of a relu rnn, a state is kept until an input changes it: claimed to learn long
      lags. In deep plain networks activation_mean_square stays; all differences between units come from the inputs.
    Costs: Nothing that is measurable: it is made once.
    References: Le et al., arXiv:1504.00941.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        del key
        fans("identity", shape)
        center = jnp.eye(shape[-2], shape[-1], dtype=dtype) * jnp.asarray(gain, dtype)
        return jnp.zeros(tuple(shape), dtype).at[tuple(n // 2 for n in shape[:-2])].set(center)

    return draw


def looks_linear(*, width: Count = 128, gain: NonNegative = 1.0) -> Draw:
    """Mirror orthogonal kernels so that a relu network starts as a linear map that keeps lengths.

    W = [[Q, -Q], [-Q, Q]], Q orthogonal; [Q, -Q] or its like for one axis

    Mirrored are the channel axes that are `width` long. A layer then gives relu(u) and relu(-u), and the next kernel
    takes their difference, u. The inputs and the outputs of the network have to be of another length than `width`, and
    biases have to start at zero.

    Args:
      width: of the hidden layers, even: which axes are mirrored.
      gain: every singular value of Q. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for an odd width, and for shapes with fewer than 2 axes.
    Expect: Claimed to let very deep relu networks train without skips: gradients of different inputs stay alike, so
      gradient_agreement (gradient_noise) should be higher with depth; activation_mean_square stays. Nothing without
      mirrored axes.
    Costs: A decomposition of a quarter of every kernel, once at the start.
    References: Balduzzi et al., arXiv:1702.08591.
    """
    if width % 2:
        raise ValueError(f"looks_linear: found width {width}; a mirrored layer needs an even width")

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        fans("looks_linear", shape)
        halves = [n // 2 if n == width else n for n in shape[-2:]]
        w = orthogonal(gain=gain)(key, (*shape[:-2], *halves), dtype)
        for axis in (-2, -1):
            if shape[axis] == width:
                w = jnp.concatenate([w, -w], axis=axis)
        return w

    return draw
