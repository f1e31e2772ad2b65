"""Activations: what a unit does with its input, one elementwise function each.

Every factory returns a pure function `x -> y` of the same shape. Anything that looks at more than one unit at a time
(softmax, maxout, normalization) is no activation and lives with the models; anything with trained parameters too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, Scalar, traits

Function = Callable[[Array], Array]


def identity() -> Function:
    """Return the input unchanged, which makes a network linear.

    y = x

    Returns: function from any shape to the same shape.
    Expect: The network is a product of matrices: whatever its depth it can do no more than a linear map, but learns it
      in another way. dead_units and saturated_units are 0; lecun_normal keeps activation_mean_square.
    Costs: Nothing that is measurable.
    References: Saxe et al., arXiv:1312.6120 (deep linear networks).
    """
    return lambda x: x


def relu() -> Function:
    """Cut negative inputs to zero.

    y = max(x, 0); the slope at 0 is 0

    Returns: function from any shape to the same shape.
    Expect: Half of the units are off at the start, so activation_mean_square halves from layer to layer unless
      he_normal makes up for it. dead_units may rise after long steps: what is off for every input gets no gradient.
    Costs: Nothing that is measurable.
    References: Glorot, Bordes and Bengio 2011, Deep sparse rectifier neural networks.
    """
    return jax.nn.relu


@traits(neutral={"slope": 1.0})
def leaky_relu(*, slope: Scalar = 0.01) -> Function:
    """Scale negative inputs down instead of cutting them.

    y = x for x >= 0, slope x below

    Args:
      slope: slope for negative inputs. *Sweepable.* *Neutral: 1.0.* At 0.0 it is relu, at 1.0 identity.
    Returns: function from any shape to the same shape.
    Expect: dead_units is 0 unless the slope is: every unit gets a gradient. Claimed to help a little, mostly in deep
      networks. he_normal with gain 1 / sqrt(1 + slope^2) keeps activation_mean_square.
    Costs: Nothing that is measurable.
    References: He et al., arXiv:1502.01852.
    """
    return lambda x: jnp.where(x >= 0, x, slope * x)


def elu(*, alpha: Scalar = 1.0) -> Function:
    """Let negative inputs saturate smoothly.

    y = x for x > 0, alpha (exp(x) - 1) below

    Args:
      alpha: the negative of the limit at -infinity. *Sweepable.*
    Returns: function from any shape to the same shape.
    Expect: Claimed to learn faster than relu, since units have means closer to 0. dead_units stays 0, but far below 0
      units are flat: saturated_units rises in their place. Nothing of that at alpha 0, where it is relu.
    Costs: Nothing that is measurable.
    References: Clevert et al., arXiv:1511.07289.
    """
    return lambda x: jax.nn.elu(x, alpha)


def selu() -> Function:
    """Apply the scaled elu that has mean 0 and variance 1 as a fixed point.

    y = 1.0507 x for x > 0, 1.0507 * 1.6733 (exp(x) - 1) below

    Returns: function from any shape to the same shape.
    Expect: Claimed to let deep perceptrons train without normalization: with lecun_normal activation_mean_square comes
      near 1 in every layer, for inputs with mean 0 and variance 1. Dropout, skips and convolutions leave the theory.
    Costs: Nothing that is measurable.
    References: Klambauer et al., arXiv:1706.02515.
    """
    return jax.nn.selu


def celu(*, alpha: Scalar = 1.0) -> Function:
    """Apply the elu whose slope is continuous for every alpha.

    y = max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)

    Args:
      alpha: the negative of the limit at -infinity. *Sweepable.*
    Returns: function from any shape to the same shape.
    Expect: As elu, without the kink at 0 that elu has for an alpha other than 1; at alpha 1 it is elu, for alpha near 0
      relu. dead_units stays 0, but far below 0 units are flat: saturated_units rises in their place.
    Costs: Nothing that is measurable.
    References: Barron, arXiv:1704.07483.
    """
    return lambda x: jax.nn.celu(x, alpha)


def gelu(*, approximate: bool = False) -> Function:
    """Weigh the input by the normal distribution function.

    y = x Phi(x), Phi by the error function

    Args:
      approximate: use y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, within 5e-4 of it. PyTorch and Keras are
        exact unless asked; jax.nn and Flax approximate.
    Returns: function from any shape to the same shape.
    Expect: Claimed to do a little better than relu and elu. It is smooth and flat only far below 0, so dead_units
      should stay near 0; with he_normal activation_mean_square falls a little from layer to layer at the start.
    Costs: Nothing that is measurable.
    References: Hendrycks and Gimpel, arXiv:1606.08415.
    """
    if approximate:
        return jax.nn.gelu
    # As PyTorch writes it: erfc, which jax.nn takes, costs twice as much, and is closer only where y is below 1e-6.
    return lambda x: x * (0.5 + 0.5 * jax.lax.erf(x * math.sqrt(0.5)))


def silu(*, beta: Scalar = 1.0) -> Function:
    """Weigh the input by its own sigmoid (also called swish).

    y = x sigmoid(beta x)

    Args:
      beta: sharpness of the gate. *Sweepable.* At 0.0 it is x / 2; for large beta it is relu.
    Returns: function from any shape to the same shape.
    Expect: Claimed to do a little better than relu in deep networks. It is smooth and flat only far below 0, so
      dead_units should stay near 0; with he_normal activation_mean_square falls from layer to layer at the start.
    Costs: Nothing that is measurable.
    References: Elfwing et al., arXiv:1702.03118; Ramachandran et al., arXiv:1710.05941.
    """
    return lambda x: x * jax.nn.sigmoid(beta * x)


def mish() -> Function:
    """Weigh the input by the tanh of its softplus.

    y = x tanh(log(1 + exp(x)))

    Returns: function from any shape to the same shape.
    Expect: Claimed to do a little better than silu. It is smooth and flat only far below 0, so dead_units should stay
      near 0; with he_normal activation_mean_square falls a little from layer to layer at the start.
    Costs: Nothing that is measurable.
    References: Misra, arXiv:1908.08681.
    """
    return jax.nn.mish


def softplus() -> Function:
    """Apply the smooth relu.

    y = log(1 + exp(x))

    Returns: function from any shape to the same shape.
    Expect: A relu without its kink: no unit dies (dead_units), but all outputs are above 0, so activation_mean_square
      is mostly that of their mean and inputs look more alike from layer to layer. For large inputs it is relu.
    Costs: Nothing that is measurable.
    References: Dugas et al. 2000, Incorporating second-order functional knowledge for better option pricing.
    """
    return jax.nn.softplus


def squared_relu() -> Function:
    """Square the positive part.

    y = max(x, 0)^2

    Returns: function from any shape to the same shape.
    Expect: Claimed to help language models. Signals square: with wide he_normal layers activation_mean_square m becomes
      6 m^2 in the next, so in plain stacks it vanishes or explodes unless they are normalized. dead_units as relu.
    Costs: Nothing that is measurable.
    References: So et al., arXiv:2109.08668.
    """
    return lambda x: jnp.square(jax.nn.relu(x))


def relu6() -> Function:
    """Cut the input to the interval from 0 to 6.

    y = min(max(x, 0), 6)

    Returns: function from any shape to the same shape.
    Expect: Nothing against relu while no input is above 6. Beyond, units are flat on both sides, so saturated_units and
      dead_units may rise, and activation_mean_square is at most 36. Meant for arithmetic of low precision.
    Costs: Nothing that is measurable.
    References: Howard et al., arXiv:1704.04861.
    """
    return jax.nn.relu6


def sigmoid() -> Function:
    """Squash the input into (0, 1).

    y = 1 / (1 + exp(-x))

    Returns: function from any shape to the same shape.
    Expect: Its slope is at most 1/4, so gradient_mean_square falls from layer to layer unless weights are large, and
      saturated_units rises where they are: deep stacks learn slowly. Outputs have a mean near 1/2, inputs look more
      alike.
    Costs: Nothing that is measurable.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return jax.nn.sigmoid


def tanh() -> Function:
    """Squash the input into (-1, 1).

    y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))

    Returns: function from any shape to the same shape.
    Expect: saturated_units rises with the size of the weights, dead_units hardly. With lecun or glorot
      activation_mean_square falls slowly with depth; critical_tanh keeps the gradient as far as theory allows.
    Costs: Nothing that is measurable.
    References: LeCun et al. 1998, Efficient backprop.
    """
    return jnp.tanh


def hard_tanh() -> Function:
    """Cut the input to the interval from -1 to 1.

    y = min(max(x, -1), 1)

    Returns: function from any shape to the same shape.
    Expect: As tanh, but exactly flat outside: dead_units may rise where saturated_units does, and a unit flat for every
      input gets no gradient. Nothing against identity while all inputs are within [-1, 1].
    Costs: Nothing that is measurable.
    References: Collobert 2004, Large scale machine learning.
    """
    return jax.nn.hard_tanh


def softsign() -> Function:
    """Squash the input into (-1, 1) with slowly falling tails.

    y = x / (1 + |x|)

    Returns: function from any shape to the same shape.
    Expect: Claimed to saturate more gently than tanh: its slope is below 0.01 only beyond 9, not 3, so saturated_units
      should be lower and gradient_mean_square fall less once weights have grown.
    Costs: Nothing that is measurable.
    References: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    """
    return jax.nn.soft_sign


def sine(*, frequency: Scalar = 1.0) -> Function:
    """Apply a sine wave.

    y = sin(frequency x)

    Args:
      frequency: radians per unit of input. *Sweepable.*
    Returns: function from any shape to the same shape.
    Expect: Claimed to fit signals and pictures as functions of their coordinates, at a high frequency in the first
      layer. It never stays saturated; a higher frequency raises sharpness, and activation_mean_square is near 1/2 where
      it turns often.
    Costs: Nothing that is measurable.
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
