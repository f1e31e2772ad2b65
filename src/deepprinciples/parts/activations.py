"""Activations: what a unit does with its input, one elementwise function each.

Every factory returns a pure function `x -> y` of the same shape. Anything that looks at more than one unit at a time
(softmax, maxout, normalization) is no activation and lives with the models; anything with trained parameters too.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, Scalar

Function = Callable[[Array], Array]


def identity() -> Function:
    """Return the input unchanged, which makes a network linear.

    y = x

    Returns: function from any shape to the same shape.
    References: Saxe et al., arXiv:1312.6120 (deep linear networks).
    """
    return lambda x: x


def relu() -> Function:
    """Cut negative inputs to zero.

    y = max(x, 0); the slope at 0 is 0

    Returns: function from any shape to the same shape.
    References: Glorot, Bordes and Bengio 2011, Deep sparse rectifier neural networks.
    """
    return jax.nn.relu


def leaky_relu(*, slope: Scalar = 0.01) -> Function:
    """Scale negative inputs down instead of cutting them.

    y = x for x >= 0, slope x below

    Args:
      slope: slope for negative inputs. *Sweepable.* At 0.0 it is relu, at 1.0 identity.
    Returns: function from any shape to the same shape.
    References: He et al., arXiv:1502.01852.
    """
    return lambda x: jnp.where(x >= 0, x, slope * x)


def elu(*, alpha: Scalar = 1.0) -> Function:
    """Let negative inputs saturate smoothly.

    y = x for x > 0, alpha (exp(x) - 1) below

    Args:
      alpha: the negative of the limit at -infinity. *Sweepable.*
    Returns: function from any shape to the same shape.
    References: Clevert et al., arXiv:1511.07289.
    """
    return lambda x: jax.nn.elu(x, alpha)


def selu() -> Function:
    """Apply the scaled elu that has mean 0 and variance 1 as a fixed point.

    y = 1.0507 x for x > 0, 1.0507 * 1.6733 (exp(x) - 1) below

    Returns: function from any shape to the same shape.
    References: Klambauer et al., arXiv:1706.02515.
    """
    return jax.nn.selu


def celu(*, alpha: Scalar = 1.0) -> Function:
    """Apply the elu whose slope is continuous for every alpha.

    y = max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)

    Args:
      alpha: the negative of the limit at -infinity. *Sweepable.*
    Returns: function from any shape to the same shape.
    References: Barron, arXiv:1704.07483.
    """
    return lambda x: jax.nn.celu(x, alpha)


def gelu(*, approximate: bool = True) -> Function:
    """Weigh the input by the normal distribution function.

    y = x Phi(x)

    Args:
      approximate: use the tanh formula instead of the error function.
    Returns: function from any shape to the same shape.
    References: Hendrycks and Gimpel, arXiv:1606.08415.
    """
    return lambda x: jax.nn.gelu(x, approximate=approximate)


def silu(*, beta: Scalar = 1.0) -> Function:
    """Weigh the input by its own sigmoid (also called swish).

    y = x sigmoid(beta x)

    Args:
      beta: sharpness of the gate. *Sweepable.* At 0.0 it is x / 2; for large beta it is relu.
    Returns: function from any shape to the same shape.
    References: Elfwing et al., arXiv:1702.03118; Ramachandran et al., arXiv:1710.05941.
    """
    return lambda x: x * jax.nn.sigmoid(beta * x)


def mish() -> Function:
    """Weigh the input by the tanh of its softplus.

    y = x tanh(log(1 + exp(x)))

    Returns: function from any shape to the same shape.
    References: Misra, arXiv:1908.08681.
    """
    return jax.nn.mish


def softplus() -> Function:
    """Apply the smooth relu.

    y = log(1 + exp(x))

    Returns: function from any shape to the same shape.
    References: Dugas et al. 2000, Incorporating second-order functional knowledge for better option pricing.
    """
    return jax.nn.softplus


def squared_relu() -> Function:
    """Square the positive part.

    y = max(x, 0)^2

    Returns: function from any shape to the same shape.
    References: So et al., arXiv:2109.08668.
    """
    return lambda x: jnp.square(jax.nn.relu(x))


def relu6() -> Function:
    """Cut the input to the interval from 0 to 6.

    y = min(max(x, 0), 6)

    Returns: function from any shape to the same shape.
    References: Howard et al., arXiv:1704.04861.
    """
    return jax.nn.relu6


def sigmoid() -> Function:
    """Squash the input into (0, 1).

    y = 1 / (1 + exp(-x))

    Returns: function from any shape to the same shape.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return jax.nn.sigmoid


def tanh() -> Function:
    """Squash the input into (-1, 1).

    y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))

    Returns: function from any shape to the same shape.
    References: LeCun et al. 1998, Efficient backprop.
    """
    return jnp.tanh


def hard_tanh() -> Function:
    """Cut the input to the interval from -1 to 1.

    y = min(max(x, -1), 1)

    Returns: function from any shape to the same shape.
    References: Collobert 2004, Large scale machine learning.
    """
    return jax.nn.hard_tanh


def softsign() -> Function:
    """Squash the input into (-1, 1) with slowly falling tails.

    y = x / (1 + |x|)

    Returns: function from any shape to the same shape.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return jax.nn.soft_sign


def sine(*, frequency: Scalar = 1.0) -> Function:
    """Apply a sine wave.

    y = sin(frequency x)

    Args:
      frequency: radians per unit of input. *Sweepable.*
    Returns: function from any shape to the same shape.
    References: Sitzmann et al., arXiv:2006.09661.
    """
    return lambda x: jnp.sin(frequency * x)


TABLE = {
    f.__name__: f
    for f in (
        identity,
        relu,
        leaky_relu,
        elu,
        selu,
        celu,
        gelu,
        silu,
        mish,
        softplus,
        squared_relu,
        relu6,
        sigmoid,
        tanh,
        hard_tanh,
        softsign,
        sine,
    )
}

NEUTRAL = {"leaky_relu": {"slope": 1.0}}
