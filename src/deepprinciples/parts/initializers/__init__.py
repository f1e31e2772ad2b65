"""Initializers: the distribution the first weights come from.

Every factory returns `(key, shape, dtype) -> Array`, the protocol of jax.nn.initializers. Kernels are laid out
(in, out) or (height, width, in, out): the last axis counts outputs, all others together are the fan-in. They are
written here and not taken from jax.nn because there scales must be Python floats in places, and because `he_normal`,
`glorot_normal` and `lecun_normal` are truncated there; here they are the plain normals of the papers.
Orthogonal maps and the identity live in `isometries`, what mean-field theory asks for in `mean_field`. What needs data
(LSUV) or knows the model (Fixup, ReZero) is no initializer but a keyword of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.parts.initializers.isometries import (
    Draw,
    delta_orthogonal,
    fans,
    identity,
    looks_linear,
    orthogonal,
)
from deepprinciples.parts.initializers.mean_field import critical_tanh
from deepprinciples.types import Array, NonNegative, Scalar


def _gaussian(name: str, variance: Callable[[int, int], float], gain: Scalar) -> Draw:
    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        stddev = variance(*fans(name, shape)) ** 0.5
        return random.normal(key, shape, dtype) * jnp.asarray(gain * stddev, dtype)

    return draw


def _flat(name: str, variance: Callable[[int, int], float], gain: Scalar) -> Draw:
    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        bound = (3.0 * variance(*fans(name, shape))) ** 0.5
        return random.uniform(key, shape, dtype, -1.0, 1.0) * jnp.asarray(gain * bound, dtype)

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
    Expect: The usual start of biases. Kernels of zeros let nothing through a relu or tanh network:
      activation_mean_square and the gradient_norm of all layers but the last are 0, and units that start alike stay
      alike.
    Costs: Nothing that is measurable: it is drawn once.
    """
    return constant(value=0.0)


def ones() -> Draw:
    """Start at one.

    w = 1

    Returns: function (key, shape, dtype) -> Array of that shape.
    Expect: A start for scales. As a kernel it makes all units of a layer alike, and they stay so: rank is 1, and
      activation_mean_square may grow with the square of the fan-in.
    Costs: Nothing that is measurable: it is drawn once.
    """
    return constant(value=1.0)


def constant(*, value: Scalar = 0.0) -> Draw:
    """Start every weight at the same number.

    w = value

    Args:
      value: the number. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Expect: A start for biases. As a kernel it makes all units of a layer alike, and they stay so: rank is 1.
    Costs: Nothing that is measurable: it is drawn once.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        del key
        return jnp.broadcast_to(jnp.asarray(value, dtype), tuple(shape))

    return draw


def normal(*, stddev: NonNegative = 0.01) -> Draw:
    """Draw from a normal distribution of a given width, whatever the fan.

    w ~ N(0, stddev^2)

    Args:
      stddev: standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Expect: At a relu layer activation_mean_square changes by the factor fan_in stddev^2 / 2, so with depth it vanishes
      or explodes, and gradient_mean_square with it on the way back. Nothing of that below a normalization.
    Costs: Nothing that is measurable: it is drawn once.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        return random.normal(key, shape, dtype) * jnp.asarray(stddev, dtype)

    return draw


def truncated_normal(*, stddev: NonNegative = 0.01) -> Draw:
    """Draw from a normal distribution cut at two standard deviations, then widened to the asked one.

    w = stddev z / 0.87963, z ~ N(0, 1) given |z| < 2

    PyTorch's trunc_normal_ cuts at -2 and 2 whatever the stddev; jax.nn leaves out the widening.

    Args:
      stddev: standard deviation of what comes out. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Expect: As normal of the same stddev: activation_mean_square changes by the factor fan_in stddev^2 / 2 at a relu
      layer. No weight starts beyond 2.27 stddev, which matters little after the first steps.
    Costs: Nothing that is measurable: it is drawn once.
    """
    width_of_cut = 0.87962566103423978  # standard deviation of N(0, 1) given |z| < 2

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        z = jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)
        return z * jnp.asarray(stddev / width_of_cut, dtype)

    return draw


def uniform(*, bound: NonNegative = 0.05) -> Draw:
    """Draw from a symmetric interval, whatever the fan.

    w ~ U(-bound, bound); its standard deviation is bound / sqrt(3)

    Args:
      bound: half the width of the interval. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Expect: As normal with stddev bound / sqrt(3): activation_mean_square changes by the factor fan_in bound^2 / 6 at a
      relu layer, so with depth it vanishes or explodes. Nothing of that below a normalization.
    Costs: Nothing that is measurable: it is drawn once.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        return random.uniform(key, shape, dtype, -1.0, 1.0) * jnp.asarray(bound, dtype)

    return draw


def glorot_normal(*, gain: NonNegative = 1.0) -> Draw:
    """Balance the variance of activations and of gradients in a linear or tanh network, normal draw.

    w ~ N(0, gain^2 2 / (fan_in + fan_out))

    The normal is not cut, as in PyTorch; Keras, Flax and jax.nn cut it at two standard deviations.

    Args:
      gain: factor on the standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: With layers of one width and a linear activation, activation_mean_square and gradient_mean_square are the
      same in all of them at the start, and fall slowly with tanh; with relu both halve from layer to layer.
    Costs: Nothing that is measurable: it is drawn once.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return _gaussian("glorot_normal", _glorot, gain)


def glorot_uniform(*, gain: NonNegative = 1.0) -> Draw:
    """Balance the variance of activations and of gradients in a linear or tanh network, uniform draw.

    w ~ U(-b, b), b = gain sqrt(6 / (fan_in + fan_out))

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: With layers of one width and a linear activation, activation_mean_square and gradient_mean_square are the
      same in all of them at the start, and fall slowly with tanh; with relu both halve from layer to layer.
    Costs: Nothing that is measurable: it is drawn once.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return _flat("glorot_uniform", _glorot, gain)


def he_normal(*, gain: NonNegative = 1.0) -> Draw:
    """Keep the second moment of a relu network the same in every layer, normal draw.

    w ~ N(0, gain^2 2 / fan_in)

    The normal is not cut, as in PyTorch; Keras, Flax and jax.nn cut it at two standard deviations.

    Args:
      gain: factor on the standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: With relu activation_mean_square is about the same in every layer at the start, and with layers of one width
      gradient_mean_square too, where glorot and lecun halve it. Little where layers are normalized.
    Costs: Nothing that is measurable: it is drawn once.
    References: He et al., arXiv:1502.01852.
    """
    return _gaussian("he_normal", _he, gain)


def he_uniform(*, gain: NonNegative = 1.0) -> Draw:
    """Keep the second moment of a relu network the same in every layer, uniform draw.

    w ~ U(-b, b), b = gain sqrt(6 / fan_in)

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: With relu activation_mean_square is about the same in every layer at the start, and with layers of one width
      gradient_mean_square too. Against he_normal nothing should move but for narrow layers.
    Costs: Nothing that is measurable: it is drawn once.
    References: He et al., arXiv:1502.01852.
    """
    return _flat("he_uniform", _he, gain)


def lecun_normal(*, gain: NonNegative = 1.0) -> Draw:
    """Keep the variance of a linear or selu network the same in every layer, normal draw.

    w ~ N(0, gain^2 / fan_in); the gain is the sigma_w of mean-field theory

    The normal is not cut, as in PyTorch; Keras, Flax and jax.nn cut it at two standard deviations.

    Args:
      gain: factor on the standard deviation. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: With selu or a linear activation activation_mean_square is about the same in every layer at the start; with
      relu it halves, with tanh it falls slowly. Little where layers are normalized.
    Costs: Nothing that is measurable: it is drawn once.
    References: LeCun et al. 1998, Efficient backprop; Schoenholz et al., arXiv:1611.01232.
    """
    return _gaussian("lecun_normal", _lecun, gain)


def lecun_uniform(*, gain: NonNegative = 1.0) -> Draw:
    """Keep the variance of a linear or selu network the same in every layer, uniform draw.

    w ~ U(-b, b), b = gain sqrt(3 / fan_in)

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: With selu or a linear activation activation_mean_square is about the same in every layer at the start; with
      relu it halves. Against lecun_normal nothing should move but for narrow layers.
    Costs: Nothing that is measurable: it is drawn once.
    References: LeCun et al. 1998, Efficient backprop.
    """
    return _flat("lecun_uniform", _lecun, gain)


def pytorch_default(*, gain: NonNegative = 1.0) -> Draw:
    """Draw kernels the way PyTorch's Linear and Conv layers do.

    w ~ U(-b, b), b = gain / sqrt(fan_in); at relu layers the second moment shrinks to 1/6 a layer

    Args:
      gain: factor on the bound. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes: a bias does not show its fan-in.
    Expect: With relu activation_mean_square and gradient_mean_square fall to a sixth from layer to layer at the start:
      little in two layers, a dead signal in many. Biases that start at random hide part of it. Little where layers are
      normalized.
    Costs: Nothing that is measurable: it is drawn once.
    References: PyTorch, torch.nn.Linear.
    """
    return _flat("pytorch_default", lambda fan_in, fan_out: 1.0 / (3.0 * fan_in), gain)


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
        looks_linear,
        critical_tanh,
    )
}
