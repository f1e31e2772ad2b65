"""Losses that answer each output on its own: yes or no as log-odds, or a number to be met.

Outputs and targets have one shape here, a trailing axis of length 1 aside, and all axes but the first are averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from deepprinciples.parts.losses.pairing import Loss, as_values, mismatch, per_example
from deepprinciples.types import Array, Epsilon, NonNegative, Positive, Range, Scalar, traits


def _elementwise(name: str, formula: Callable[[Array, Array], Array]) -> Loss:
    return lambda outputs, targets: per_example(formula(*as_values(name, outputs, targets)))


@traits(per_example=True, targets="binary")
def sigmoid_binary_cross_entropy() -> Loss:
    """Score each output as the log-odds of a yes.

    loss = mean of -t log sigmoid(outputs) - (1 - t) log sigmoid(-outputs)

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B], in [0, 1]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: gradient_norm fades as examples are fitted. Where all can be, weights and activation_mean_square of the
      output grow without end, and sharpness falls late in training.
    Costs: Nothing that is measurable.
    References: Cox 1958, The regression analysis of binary sequences.
    """
    return _elementwise("sigmoid_binary_cross_entropy", optax.losses.sigmoid_binary_cross_entropy)


@traits(neutral={"gamma": 0.0}, per_example=True, targets="binary")
def sigmoid_focal(*, gamma: NonNegative = 2.0) -> Loss:
    """Turn the weight of yes-no answers already predicted well down.

    loss = mean of -t s(-x)^gamma log s(x) - (1 - t) s(x)^gamma log s(-x), s the sigmoid

    Without the paper's weight alpha of a yes, which is 0.25 in torchvision.

    Args:
      gamma: focus, at least 0. *Sweepable.* *Neutral: 0.0* gives sigmoid_binary_cross_entropy.
    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B], in [0, 1]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to help where easy negatives outnumber all else. Fitted answers count less, so gradient_norm fades
      sooner than with cross-entropy and outputs stay smaller. Little while all answers are hard.
    Costs: Nothing that is measurable.
    References: Lin et al., arXiv:1708.02002.
    """

    def formula(x: Array, t: Array) -> Array:
        yes, no = jax.nn.log_sigmoid(x), jax.nn.log_sigmoid(-x)
        return -t * jnp.exp(gamma * no) * yes - (1.0 - t) * jnp.exp(gamma * yes) * no

    return _elementwise("sigmoid_focal", formula)


@traits(per_example=True, targets="binary")
def hinge(*, margin: Scalar = 1.0) -> Loss:
    """Ask that the sign is right by a margin.

    loss = mean of max(0, margin - (2 t - 1) outputs), t in {0, 1}

    Args:
      margin: the margin asked for. *Sweepable.* At 0.0 it is the perceptron loss.
    Returns: function (outputs [B, ...] or [B, 1], targets 0 or 1 of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Answers right by the margin have no gradient, so gradient_norm can fall to 0 and outputs stop growing; what
      is wrong pulls with the same force however wrong it is, where squared_hinge pulls harder.
    Costs: Nothing that is measurable.
    References: Cortes and Vapnik 1995, Support-vector networks.
    """
    return _elementwise("hinge", lambda x, t: jnp.maximum(margin - (2.0 * t - 1.0) * x, 0.0))


@traits(per_example=True, targets="binary")
def squared_hinge(*, margin: Scalar = 1.0) -> Loss:
    """Square the hinge, which makes it smooth.

    loss = mean of max(0, margin - (2 t - 1) outputs)^2, t in {0, 1}

    Args:
      margin: the margin asked for. *Sweepable.*
    Returns: function (outputs [B, ...] or [B, 1], targets 0 or 1 of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Answers right by the margin have no gradient, so gradient_norm can fall to 0, and smoothly, unlike with
      hinge: step_cosine should be higher near the margin. What is very wrong dominates the gradient.
    Costs: Nothing that is measurable.
    References: Tang, arXiv:1306.0239.
    """
    return _elementwise("squared_hinge", lambda x, t: jnp.square(jnp.maximum(margin - (2.0 * t - 1.0) * x, 0.0)))


@traits(per_example=True)
def mse() -> Loss:
    """Square the error.

    loss = mean of (outputs - targets)^2

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: It asks for the mean of the target, and large errors dominate: gradient_norm falls with the errors, and
      jumps at outliers. Its curvature in the outputs is constant, so sharpness is that of the network.
    Costs: Nothing that is measurable.
    References: Gauss 1809, Theoria motus.
    """
    return _elementwise("mse", lambda x, t: jnp.square(x - t))


@traits(per_example=True)
def mae() -> Loss:
    """Take the absolute error; the slope at 0 is 0.

    loss = mean of |outputs - targets|

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: It asks for the median, so outliers count no more than others. Every error pulls with the same force:
      gradient_norm hardly falls near the minimum, which is circled (step_cosine falls) unless a schedule lowers the
      rate.
    Costs: Nothing that is measurable.
    References: Laplace 1774.
    """
    return _elementwise("mae", lambda x, t: jnp.abs(x - t))


@traits(per_example=True)
def huber(*, delta: Positive = 1.0) -> Loss:
    """Square small errors and take large ones linearly.

    loss = mean of e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond; e = outputs - targets

    Args:
      delta: where the square ends, above 0. *Sweepable.*
    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: No error pulls with more than delta, so outliers make no peaks of gradient_norm; near the minimum it is
      smooth. Where all errors are below delta it is half of mse; for a tiny delta it is delta times mae.
    Costs: Nothing that is measurable.
    References: Huber 1964, Robust estimation of a location parameter.
    """

    def formula(x: Array, t: Array) -> Array:
        small = jnp.clip(x - t, -delta, delta)
        return small * (x - t) - 0.5 * jnp.square(small)

    return _elementwise("huber", formula)


@traits(per_example=True)
def log_cosh() -> Loss:
    """Take a smooth absolute error.

    loss = mean of log cosh(outputs - targets)

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Small errors count as in half of mse, large ones as in mae, so outliers make no peaks of gradient_norm, and
      near the minimum it is smooth. Nothing against half of mse where errors are far below 1.
    Costs: Nothing that is measurable.
    References: Chen et al., arXiv:1811.08564.
    """
    return _elementwise("log_cosh", optax.losses.log_cosh)


@traits(per_example=True)
def quantile(*, level: Annotated[Scalar, Range("(0, 1)")] = 0.5) -> Loss:
    """Ask for a quantile of the target instead of its mean (pinball loss).

    loss = mean of max(level e, (level - 1) e), e = targets - outputs

    Args:
      level: which quantile, in (0, 1). *Sweepable.* At 0.5 it is half of mae.
    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: It asks for the quantile, so a share `level` of the targets should lie below the outputs. As with mae,
      gradient_norm hardly falls near the minimum, which is circled unless a schedule lowers the rate.
    Costs: Nothing that is measurable.
    References: Koenker and Bassett 1978, Regression quantiles.
    """
    return _elementwise("quantile", lambda x, t: jnp.maximum(level * (t - x), (level - 1.0) * (t - x)))


@traits(per_example=True)
def cosine_distance(*, eps: Epsilon = 1e-8) -> Loss:
    """Compare directions only, over the last axis.

    loss = 1 - <outputs, targets> / (max(|outputs|, eps) max(|targets|, eps))

    Args:
      eps: smallest norm divided by. *Sweepable.*
    Returns: function (outputs [B, ..., D], targets [B, ..., D]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: The length of outputs has no say, and the gradient stands at right angles to them: steps lengthen them
      (activation_mean_square of the output rises), which makes gradient_norm fall.
    Costs: Nothing that is measurable.
    References: Salton and McGill 1983, Introduction to modern information retrieval.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        if outputs.shape != targets.shape or outputs.ndim < 2:
            raise mismatch("cosine_distance", outputs, targets, "the same shape, [B, ..., D]")

        def unit(v: Array) -> Array:  # the square root is kept away from 0, where its slope is infinite
            return v * jax.lax.rsqrt(jnp.maximum(jnp.sum(v * v, axis=-1, keepdims=True), eps * eps))

        return per_example(1.0 - jnp.sum(unit(outputs) * unit(targets.astype(outputs.dtype)), axis=-1))

    return loss
