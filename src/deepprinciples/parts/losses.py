"""Losses: how wrong one example is, as a number whose gradient is followed.

Every factory returns `(outputs, targets) -> [B]`: one value per example, further axes (steps, regression targets)
are averaged. Outputs are raw: no softmax or sigmoid before the loss. Class losses take integer labels or, where the
formula allows, probabilities; the static dtype decides. What is only looked at, never followed, is a metric; what
depends on the weights alone is a regularizer; losses of two players belong to the game learner.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from deepprinciples.types import Array, Scalar

Loss = Callable[[Array, Array], Array]


def per_example(values: Array) -> Array:
    """Average all axes but the first.

    v_i = mean_j values_ij

    Args:
      values: [B, ...].
    Returns: [B].
    """
    return jnp.mean(values.reshape(values.shape[0], -1), axis=1) if values.ndim > 1 else values


def mismatch(name: str, outputs: Array, targets: Array, expected: str) -> ValueError:
    """Make the one-line error for outputs and targets that do not pair.

    Args:
      name: the part that complains.
      outputs: [B, ...].
      targets: [B, ...].
      expected: what would pair.
    Returns: the error, to be raised.
    """
    return ValueError(
        f"{name}: outputs {outputs.dtype}{list(outputs.shape)} and targets {targets.dtype}{list(targets.shape)} do not "
        f"pair; expected {expected}"
    )


def as_labels(name: str, outputs: Array, targets: Array) -> Array:
    """Check integer labels against outputs.

    Args:
      name: the part that asks.
      outputs: [B, ..., C].
      targets: integers [B, ...] in [0, C).
    Returns: targets as they are.
    Raises: ValueError naming both shapes.
    """
    if not jnp.issubdtype(targets.dtype, jnp.integer) or outputs.ndim < 2 or targets.shape != outputs.shape[:-1]:
        raise mismatch(name, outputs, targets, "outputs [B, ..., C] with integer labels [B, ...]")
    return targets


def as_probabilities(name: str, outputs: Array, targets: Array) -> Array:
    """Turn integer labels into one-hot rows; let rows of probabilities pass.

    A product with one-hot rows is faster under vmap than a gather, and makes smoothed and plain labels one formula.

    Args:
      name: the part that asks.
      outputs: [B, ..., C].
      targets: integers [B, ...] in [0, C) or probabilities [B, ..., C].
    Returns: probabilities [B, ..., C].
    Raises: ValueError naming both shapes.
    """
    if outputs.ndim >= 2 and jnp.issubdtype(targets.dtype, jnp.integer) and targets.shape == outputs.shape[:-1]:
        return jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    if outputs.ndim >= 2 and jnp.issubdtype(targets.dtype, jnp.floating) and targets.shape == outputs.shape:
        return targets
    expected = "outputs [B, ..., C] with integer labels [B, ...] or probabilities [B, ..., C]"
    raise mismatch(name, outputs, targets, expected)


def as_values(name: str, outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Bring outputs and real or binary targets to one shape; one trailing axis of length 1 may be missing.

    Args:
      name: the part that asks.
      outputs: [B, ...] or [B, ..., 1].
      targets: [B, ...] or [B, ..., 1].
    Returns: outputs and targets of the same shape and dtype.
    Raises: ValueError naming both shapes.
    """
    if outputs.shape == (*targets.shape, 1):
        outputs = outputs[..., 0]
    elif targets.shape == (*outputs.shape, 1):
        targets = targets[..., 0]
    if outputs.shape != targets.shape or outputs.ndim == 0:
        raise mismatch(name, outputs, targets, "the same shape, [B, ...]")
    return outputs, targets.astype(outputs.dtype)


def _elementwise(name: str, formula: Callable[[Array, Array], Array]) -> Loss:
    return lambda outputs, targets: per_example(formula(*as_values(name, outputs, targets)))


def softmax_cross_entropy() -> Loss:
    """Score the probability that the softmax gives to the right class.

    loss = -sum_c p_c log softmax(outputs)_c, p one-hot for integer labels

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Bridle 1990, Probabilistic interpretation of feedforward classification network outputs.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("softmax_cross_entropy", outputs, targets)
        return per_example(-jnp.sum(p * jax.nn.log_softmax(outputs), axis=-1))

    return loss


def poly_loss(*, epsilon: Scalar = 2.0) -> Loss:
    """Add the first term of the cross-entropy's Taylor series once more.

    loss = cross-entropy + epsilon (1 - sum_c p_c softmax(outputs)_c)

    Args:
      epsilon: weight of the extra term. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Leng et al., arXiv:2204.12511.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("poly_loss", outputs, targets)
        log_q = jax.nn.log_softmax(outputs)
        extra = 1.0 - jnp.sum(p * jnp.exp(log_q), axis=-1)
        return per_example(-jnp.sum(p * log_q, axis=-1) + epsilon * extra)

    return loss


def focal(*, gamma: Scalar = 2.0) -> Loss:
    """Turn the weight of classes already predicted well down.

    loss = -sum_c p_c (1 - q_c)^gamma log q_c, q = softmax(outputs)

    Args:
      gamma: focus, at least 0. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Lin et al., arXiv:1708.02002.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("focal", outputs, targets)
        log_q = jax.nn.log_softmax(outputs)
        # The floor keeps 0 * log(0) and the gradient of the power finite where q rounds to 1.
        weight = jnp.exp(gamma * jnp.log(jnp.maximum(-jnp.expm1(log_q), 1e-30)))
        return per_example(-jnp.sum(p * weight * log_q, axis=-1))

    return loss


def generalized_cross_entropy(*, q: Scalar = 0.7) -> Loss:
    """Stand between cross-entropy and absolute error, to bear wrong labels.

    loss = sum_c p_c (1 - softmax(outputs)_c^q) / q; its limit at q = 0 is cross-entropy, at q = 1 it is 1 - softmax

    Args:
      q: in [0, 1]. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Zhang and Sabuncu, arXiv:1805.07836.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("generalized_cross_entropy", outputs, targets)
        log_s = jax.nn.log_softmax(outputs)
        off = jnp.asarray(q) == 0.0
        safe_q = jnp.where(off, 1.0, q)
        values = jnp.where(off, -log_s, -jnp.expm1(safe_q * log_s) / safe_q)
        return per_example(jnp.sum(p * values, axis=-1))

    return loss


def kl_divergence() -> Loss:
    """Measure how far the softmax is from given probabilities.

    loss = sum_c p_c (log p_c - log softmax(outputs)_c); its gradient is that of softmax_cross_entropy

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Kullback and Leibler 1951, On information and sufficiency.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("kl_divergence", outputs, targets)
        return per_example(optax.losses.kl_divergence(jax.nn.log_softmax(outputs), p))

    return loss


def one_hot_mse() -> Loss:
    """Regress on one-hot labels, as studies of sharpness do.

    loss = mean_c (outputs_c - p_c)^2

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Hui and Belkin, arXiv:2006.07322.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        return per_example(jnp.square(outputs - as_probabilities("one_hot_mse", outputs, targets)))

    return loss


def multiclass_hinge(*, margin: Scalar = 1.0) -> Loss:
    """Ask that the right class leads all others by a margin.

    loss = max(0, max_{c != y} outputs_c + margin - outputs_y)

    Args:
      margin: the lead asked for. *Sweepable.* At 0.0 it is the perceptron loss.
    Returns: function (outputs [B, ..., C], labels [B, ...]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Crammer and Singer 2001, On the algorithmic implementation of multiclass kernel-based vector machines.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        right = jax.nn.one_hot(as_labels("multiclass_hinge", outputs, targets), outputs.shape[-1], dtype=outputs.dtype)
        rivals = jnp.max(outputs + margin * (1.0 - right), axis=-1)  # the right class itself gives the 0
        return per_example(rivals - jnp.sum(outputs * right, axis=-1))

    return loss


def sigmoid_binary_cross_entropy() -> Loss:
    """Score each output as the log-odds of a yes.

    loss = mean of -t log sigmoid(outputs) - (1 - t) log sigmoid(-outputs)

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B], in [0, 1]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Cox 1958, The regression analysis of binary sequences.
    """
    return _elementwise("sigmoid_binary_cross_entropy", optax.losses.sigmoid_binary_cross_entropy)


def sigmoid_focal(*, gamma: Scalar = 2.0) -> Loss:
    """Turn the weight of yes-no answers already predicted well down.

    loss = mean of -t s(-x)^gamma log s(x) - (1 - t) s(x)^gamma log s(-x), s the sigmoid

    Args:
      gamma: focus, at least 0. *Sweepable.* *Neutral: 0.0* gives sigmoid_binary_cross_entropy.
    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B], in [0, 1]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Lin et al., arXiv:1708.02002.
    """

    def formula(x: Array, t: Array) -> Array:
        yes, no = jax.nn.log_sigmoid(x), jax.nn.log_sigmoid(-x)
        return -t * jnp.exp(gamma * no) * yes - (1.0 - t) * jnp.exp(gamma * yes) * no

    return _elementwise("sigmoid_focal", formula)


def hinge(*, margin: Scalar = 1.0) -> Loss:
    """Ask that the sign is right by a margin.

    loss = mean of max(0, margin - (2 t - 1) outputs), t in {0, 1}

    Args:
      margin: the margin asked for. *Sweepable.* At 0.0 it is the perceptron loss.
    Returns: function (outputs [B, ...] or [B, 1], targets 0 or 1 of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Cortes and Vapnik 1995, Support-vector networks.
    """
    return _elementwise("hinge", lambda x, t: jnp.maximum(margin - (2.0 * t - 1.0) * x, 0.0))


def squared_hinge(*, margin: Scalar = 1.0) -> Loss:
    """Square the hinge, which makes it smooth.

    loss = mean of max(0, margin - (2 t - 1) outputs)^2, t in {0, 1}

    Args:
      margin: the margin asked for. *Sweepable.*
    Returns: function (outputs [B, ...] or [B, 1], targets 0 or 1 of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Tang, arXiv:1306.0239.
    """
    return _elementwise("squared_hinge", lambda x, t: jnp.square(jnp.maximum(margin - (2.0 * t - 1.0) * x, 0.0)))


def mse() -> Loss:
    """Square the error.

    loss = mean of (outputs - targets)^2

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Gauss 1809, Theoria motus.
    """
    return _elementwise("mse", lambda x, t: jnp.square(x - t))


def mae() -> Loss:
    """Take the absolute error; the slope at 0 is 0.

    loss = mean of |outputs - targets|

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Laplace 1774.
    """
    return _elementwise("mae", lambda x, t: jnp.abs(x - t))


def huber(*, delta: Scalar = 1.0) -> Loss:
    """Square small errors and take large ones linearly.

    loss = mean of e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond; e = outputs - targets

    Args:
      delta: where the square ends, above 0. *Sweepable.*
    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Huber 1964, Robust estimation of a location parameter.
    """

    def formula(x: Array, t: Array) -> Array:
        small = jnp.clip(x - t, -delta, delta)
        return small * (x - t) - 0.5 * jnp.square(small)

    return _elementwise("huber", formula)


def log_cosh() -> Loss:
    """Take a smooth absolute error.

    loss = mean of log cosh(outputs - targets)

    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Chen et al., arXiv:1811.08564.
    """
    return _elementwise("log_cosh", optax.losses.log_cosh)


def quantile(*, level: Scalar = 0.5) -> Loss:
    """Ask for a quantile of the target instead of its mean (pinball loss).

    loss = mean of max(level e, (level - 1) e), e = targets - outputs

    Args:
      level: which quantile, in (0, 1). *Sweepable.* At 0.5 it is half of mae.
    Returns: function (outputs [B, ...] or [B, 1], targets of the same shape or [B]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Koenker and Bassett 1978, Regression quantiles.
    """
    return _elementwise("quantile", lambda x, t: jnp.maximum(level * (t - x), (level - 1.0) * (t - x)))


def cosine_distance(*, eps: Scalar = 1e-8) -> Loss:
    """Compare directions only, over the last axis.

    loss = 1 - <outputs, targets> / (max(|outputs|, eps) max(|targets|, eps))

    Args:
      eps: smallest norm divided by. *Sweepable.*
    Returns: function (outputs [B, ..., D], targets [B, ..., D]) -> [B].
    Raises: ValueError where the shapes do not pair.
    References: Salton and McGill 1983, Introduction to modern information retrieval.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        if outputs.shape != targets.shape or outputs.ndim < 2:
            raise mismatch("cosine_distance", outputs, targets, "the same shape, [B, ..., D]")

        def unit(v: Array) -> Array:  # the square root is kept away from 0, where its slope is infinite
            return v * jax.lax.rsqrt(jnp.maximum(jnp.sum(v * v, axis=-1, keepdims=True), eps * eps))

        return per_example(1.0 - jnp.sum(unit(outputs) * unit(targets.astype(outputs.dtype)), axis=-1))

    return loss


TABLE = {
    f.__name__: f
    for f in (
        softmax_cross_entropy,
        poly_loss,
        focal,
        generalized_cross_entropy,
        kl_divergence,
        one_hot_mse,
        multiclass_hinge,
        sigmoid_binary_cross_entropy,
        sigmoid_focal,
        hinge,
        squared_hinge,
        mse,
        mae,
        huber,
        log_cosh,
        quantile,
        cosine_distance,
    )
}

# At these values a loss is softmax_cross_entropy or, for sigmoid_focal, sigmoid_binary_cross_entropy.
NEUTRAL = {
    "poly_loss": {"epsilon": 0.0},
    "focal": {"gamma": 0.0},
    "generalized_cross_entropy": {"q": 0.0},
    "sigmoid_focal": {"gamma": 0.0},
}
