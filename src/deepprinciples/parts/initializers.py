"""Initializers: the distribution the first weights come from.

Every factory returns `(key, shape, dtype) -> Array`, the protocol of jax.nn.initializers. Kernels are laid out
(in, out) or (height, width, in, out): the last axis counts outputs, all others together are the fan-in. They are
written here and not taken from jax.nn because there scales must be Python floats in places, and because `he_normal`,
`glorot_normal` and `lecun_normal` are truncated there; here they are the plain normals of the papers.
What needs data or a forward pass (LSUV) or knows the model (Fixup, ReZero) is no initializer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, Scalar

Draw = Callable[..., Array]


def _fans(name: str, shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(
            f"{name}: a kernel needs at least 2 axes, found shape {tuple(shape)}; "
            "for biases use zeros, constant, normal or uniform"
        )
    receptive_field = prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


def _gaussian(name: str, variance: Callable[[int, int], float], gain: Scalar) -> Draw:
    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        stddev = variance(*_fans(name, shape)) ** 0.5
        return jax.random.normal(key, shape, dtype) * jnp.asarray(gain * stddev, dtype)

    return draw


def _flat(name: str, variance: Callable[[int, int], float], gain: Scalar) -> Draw:
    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        bound = (3.0 * variance(*_fans(name, shape))) ** 0.5
        return jax.random.uniform(key, shape, dtype, -1.0, 1.0) * jnp.asarray(gain * bound, dtype)

    return draw


def _glorot(fan_in: int, fan_out: int) -> float:
    return 2.0 / (fan_in + fan_out)


def _he(fan_in: int, fan_out: int) -> float:
    del fan_out
    return 2.0 / fan_in


def _lecun(fan_in: int, fan_out: int) -> float:
    del fan_out
    return 1.0 / fan_in


def zeros() -> Draw:
    """Start at zero.

    w = 0

    Returns: function (key, shape, dtype) -> Array of that shape.
    """
    return constant(value=0.0)


def ones() -> Draw:
    """Start at one.

    w = 1

    Returns: function (key, shape, dtype) -> Array of that shape.
    """
    return constant(value=1.0)


def constant(*, value: Scalar = 0.0) -> Draw:
    """Start every weight at the same number.

    w = value

    Args:
      value: the number. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        del key
        return jnp.broadcast_to(jnp.asarray(value, dtype), tuple(shape))

    return draw


def normal(*, stddev: Scalar = 0.01) -> Draw:
    """Draw from a normal distribution of a given width, whatever the fan.

    w ~ N(0, stddev^2)

    Args:
      stddev: standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        return jax.random.normal(key, shape, dtype) * jnp.asarray(stddev, dtype)

    return draw


def truncated_normal(*, stddev: Scalar = 0.01) -> Draw:
    """Draw from a normal distribution cut at two standard deviations, then widened to the asked one.

    w = stddev z / 0.87963, z ~ N(0, 1) given |z| < 2

    Args:
      stddev: standard deviation of what comes out. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    """
    width_of_cut = 0.87962566103423978  # standard deviation of N(0, 1) given |z| < 2

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        z = jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)
        return z * jnp.asarray(stddev / width_of_cut, dtype)

    return draw


def uniform(*, bound: Scalar = 0.05) -> Draw:
    """Draw from a symmetric interval, whatever the fan.

    w ~ U(-bound, bound); its standard deviation is bound / sqrt(3)

    Args:
      bound: half the width of the interval. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -1.0, 1.0) * jnp.asarray(bound, dtype)

    return draw


def glorot_normal(*, gain: Scalar = 1.0) -> Draw:
    """Balance the variance of activations and of gradients in a linear or tanh network, normal draw.

    w ~ N(0, gain^2 2 / (fan_in + fan_out))

    Args:
      gain: factor on the standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return _gaussian("glorot_normal", _glorot, gain)


def glorot_uniform(*, gain: Scalar = 1.0) -> Draw:
    """Balance the variance of activations and of gradients in a linear or tanh network, uniform draw.

    w ~ U(-b, b), b = gain sqrt(6 / (fan_in + fan_out))

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return _flat("glorot_uniform", _glorot, gain)


def he_normal(*, gain: Scalar = 1.0) -> Draw:
    """Keep the second moment of a relu network the same in every layer, normal draw.

    w ~ N(0, gain^2 2 / fan_in)

    Args:
      gain: factor on the standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: He et al., arXiv:1502.01852.
    """
    return _gaussian("he_normal", _he, gain)


def he_uniform(*, gain: Scalar = 1.0) -> Draw:
    """Keep the second moment of a relu network the same in every layer, uniform draw.

    w ~ U(-b, b), b = gain sqrt(6 / fan_in)

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: He et al., arXiv:1502.01852.
    """
    return _flat("he_uniform", _he, gain)


def lecun_normal(*, gain: Scalar = 1.0) -> Draw:
    """Keep the variance of a linear or selu network the same in every layer, normal draw.

    w ~ N(0, gain^2 / fan_in); the gain is the sigma_w of mean-field theory

    Args:
      gain: factor on the standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: LeCun et al. 1998, Efficient backprop; Schoenholz et al., arXiv:1611.01232.
    """
    return _gaussian("lecun_normal", _lecun, gain)


def lecun_uniform(*, gain: Scalar = 1.0) -> Draw:
    """Keep the variance of a linear or selu network the same in every layer, uniform draw.

    w ~ U(-b, b), b = gain sqrt(3 / fan_in)

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: LeCun et al. 1998, Efficient backprop.
    """
    return _flat("lecun_uniform", _lecun, gain)


def pytorch_default(*, gain: Scalar = 1.0) -> Draw:
    """Draw kernels the way PyTorch's Linear and Conv layers do.

    w ~ U(-b, b), b = gain / sqrt(fan_in); at relu layers the second moment shrinks to 1/6 a layer

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes: a bias does not show its fan-in.
    References: PyTorch, torch.nn.Linear.
    """
    return _flat("pytorch_default", lambda fan_in, fan_out: 1.0 / (3.0 * fan_in), gain)


def orthogonal(*, gain: Scalar = 1.0) -> Draw:
    """Draw a random matrix with orthonormal rows or columns, whichever are fewer.

    W = gain Q, Q uniform over matrices with Q^T Q = I or Q Q^T = I; all axes but the last are one axis

    Args:
      gain: every singular value. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: Saxe et al., arXiv:1312.6120.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        _fans("orthogonal", shape)
        return jax.nn.initializers.orthogonal()(key, tuple(shape), dtype) * jnp.asarray(gain, dtype)

    return draw


def delta_orthogonal(*, gain: Scalar = 1.0) -> Draw:
    """Put an orthogonal matrix at the center of a convolution kernel and zeros elsewhere.

    W[center] = gain Q with Q^T Q = I, W = 0 off the center; a dense kernel is orthogonal

    Args:
      gain: every singular value of the center. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: Xiao et al., arXiv:1806.05393.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        _fans("delta_orthogonal", shape)
        center = orthogonal(gain=gain)(key, tuple(shape[-2:]), dtype)
        return jnp.zeros(tuple(shape), dtype).at[tuple(n // 2 for n in shape[:-2])].set(center)

    return draw


def identity(*, gain: Scalar = 1.0) -> Draw:
    """Start at the identity map, at the center of a convolution kernel (IRNN).

    W = gain I, cut or padded with zeros where inputs and outputs differ in number

    Args:
      gain: the diagonal. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    References: Le et al., arXiv:1504.00941.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        del key
        _fans("identity", shape)
        center = jnp.eye(shape[-2], shape[-1], dtype=dtype) * jnp.asarray(gain, dtype)
        return jnp.zeros(tuple(shape), dtype).at[tuple(n // 2 for n in shape[:-2])].set(center)

    return draw


TABLE = {
    f.__name__: f
    for f in (
        zeros,
        ones,
        constant,
        normal,
        truncated_normal,
        uniform,
        glorot_normal,
        glorot_uniform,
        he_normal,
        he_uniform,
        lecun_normal,
        lecun_uniform,
        pytorch_default,
        orthogonal,
        delta_orthogonal,
        identity,
    )
}
