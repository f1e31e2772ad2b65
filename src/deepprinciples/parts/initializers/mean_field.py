"""Mean-field theory of wide random tanh networks: how far a signal comes, and the initializer that sends it furthest.

Weights are normal with variance sigma_w^2 / fan_in, biases with sigma_b^2; sums over many inputs are then normal too,
with a variance q that settles over the layers. Averages over a normal are sums on a fixed grid, so that all of it may
be swept. Users find the initializer in `initializers.TABLE`; what is measured on a real network is a probe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from deepprinciples.kernels import random
from deepprinciples.parts.initializers.isometries import Draw, fans
from deepprinciples.types import Array, Scalar

# The trapezoid rule, which is exact to float32 for functions as smooth as these.
_GRID = np.linspace(-8.0, 8.0, 401)
_WEIGHTS = np.exp(-0.5 * _GRID**2) / np.sum(np.exp(-0.5 * _GRID**2))


def _average(function: Callable[[Array], Array], q: Scalar) -> Array:
    z = jnp.sqrt(jnp.asarray(q, jnp.float32)) * jnp.asarray(_GRID, jnp.float32)
    return jnp.sum(function(z) * jnp.asarray(_WEIGHTS, jnp.float32))


def _square(z: Array) -> Array:
    return jnp.square(jnp.tanh(z))


def _squared_slope(z: Array) -> Array:
    return jnp.square(1.0 - jnp.square(jnp.tanh(z)))


def settled_variance(weight_variance: Scalar, bias_variance: Scalar) -> Array:
    """Find the variance of a tanh layer's sums that the next layer keeps.

    q = weight_variance E[tanh(sqrt(q) z)^2] + bias_variance, z ~ N(0, 1), by 300 iterations from 1

    Args:
      weight_variance: sigma_w^2, scalar.
      bias_variance: sigma_b^2, scalar.
    Returns: q, scalar float32.
    References: Poole et al., arXiv:1606.05340.
    """
    onward = lambda _, q: weight_variance * _average(_square, q) + bias_variance
    return jax.lax.fori_loop(0, 300, onward, jnp.ones((), jnp.float32))


def susceptibility(weight_variance: Scalar, bias_variance: Scalar) -> Array:
    """Measure what a tanh layer does to a small difference between inputs, and to the gradient on its way back.

    chi1 = weight_variance E[tanh'(sqrt(q) z)^2]; below 1 both vanish, above 1 both explode, by this factor a layer

    Args:
      weight_variance: sigma_w^2, scalar.
      bias_variance: sigma_b^2, scalar.
    Returns: chi1, scalar float32.
    References: Schoenholz et al., arXiv:1611.01232.
    """
    return weight_variance * _average(_squared_slope, settled_variance(weight_variance, bias_variance))


def critical_variance(bias_variance: Scalar) -> Array:
    """Find the variance of the weights at which a tanh network neither forgets nor explodes.

    sigma_w^2 = 1 / E[tanh'(sqrt(q) z)^2], where q = sigma_w^2 E[tanh(sqrt(q) z)^2] + bias_variance: then chi1 = 1

    Args:
      bias_variance: sigma_b^2, scalar, at least 0.
    Returns: sigma_w^2, scalar float32; 1 at 0.
    References: Schoenholz et al., arXiv:1611.01232.
    """

    def halve(_, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        q = 0.5 * (low + high)
        enough = q - _average(_square, q) / _average(_squared_slope, q) > bias_variance
        return jnp.where(enough, low, q), jnp.where(enough, q, high)

    start = jnp.asarray(bias_variance, jnp.float32)
    # At the upper end the line gives far more than was asked for: q - E[tanh^2] / E[tanh'^2] >= q - 2 sqrt(q).
    low, high = jax.lax.fori_loop(0, 40, halve, (0.0 * start, 2.0 * start + 8.0))
    return 1.0 / _average(_squared_slope, 0.5 * (low + high))


def critical_tanh(*, bias_variance: Scalar = 0.05) -> Draw:
    """Draw kernels so that a deep tanh network is at the edge of chaos, for biases of a given variance.

    w ~ N(0, sigma_w^2 / fan_in), sigma_w^2 such that chi1 = 1

    sigma_w^2 is 1.76095 at bias_variance 0.05, 1.42421 at 0.01, and 1 at 0. Draw the biases by "normal" with
    stddev = sqrt(bias_variance), 0.2236 at the default. Off the line, lecun_normal with gain sigma_w is the same draw.

    Args:
      bias_variance: sigma_b^2, of the biases that the model is given. *Sweepable.*
    Returns: function (key, shape, dtype) -> Array of that shape.
    Raises: ValueError for shapes with fewer than 2 axes.
    Expect: Theory: gradient_mean_square is the same in every layer of a wide tanh network at the start, and inputs are
      distinguished through many; activation_mean_square settles. Off the line gradients vanish or explode with depth.
    Costs: Nothing that is measurable: it is drawn once, after some loops over 401 numbers.
    References: Schoenholz et al., arXiv:1611.01232; Poole et al., arXiv:1606.05340.
    """

    def draw(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        fan_in, _ = fans("critical_tanh", shape)
        stddev = jnp.sqrt(critical_variance(bias_variance) / fan_in)
        return random.normal(key, shape, dtype) * stddev.astype(dtype)

    return draw
