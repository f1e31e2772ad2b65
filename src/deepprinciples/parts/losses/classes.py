"""Losses that choose one class of many: outputs [B, ..., C] against labels, or probabilities where the formula allows.

They stand apart from the losses of values because the last axis of their outputs means something else: one score per
class, summed over by the formula and never averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from deepprinciples.parts.losses.pairing import Loss, as_labels, as_probabilities, mismatch, per_example
from deepprinciples.types import Array, NonNegative, Positive, Range, Scalar, Share, Strength, traits


@traits(neutral={"z_loss": 0.0}, per_example=True, targets="classes")
def softmax_cross_entropy(*, z_loss: Strength = 0.0) -> Loss:
    """Score the probability that the softmax gives to the right class.

    loss = -sum_c p_c log softmax(outputs)_c + z_loss (log sum_c exp outputs_c)^2, p one-hot for integer labels

    Args:
      z_loss: weight of the square of the log of the softmax's sum, in the paper 1e-4: it keeps the level of the
        outputs, which the first term leaves free, from drifting. *Sweepable.* *Neutral: 0.0.*
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: gradient_norm fades as examples are fitted. Where all can be, weights and activation_mean_square of the
      output grow without end, and sharpness falls late in training. z_loss keeps activation_mean_square of the
      output smaller, and is claimed to keep large language models from diverging.
    Costs: Nothing that is measurable.
    References: Bridle 1990, Probabilistic interpretation of feedforward classification network outputs; Chowdhery et
      al., arXiv:2204.02311 (z_loss).
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("softmax_cross_entropy", outputs, targets)
        values = -jnp.sum(p * jax.nn.log_softmax(outputs), axis=-1)
        if not (isinstance(z_loss, float) and z_loss == 0.0):  # nothing is computed for the plain number of a config
            values = values + z_loss * jnp.square(jax.nn.logsumexp(outputs, axis=-1))
        return per_example(values, targets)

    return loss


@traits(neutral={"epsilon": 0.0}, per_example=True, targets="classes")
def poly_loss(*, epsilon: Scalar = 2.0) -> Loss:
    """Add the first term of the cross-entropy's Taylor series once more.

    loss = cross-entropy + epsilon (1 - sum_c p_c softmax(outputs)_c)

    Args:
      epsilon: weight of the extra term. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to gain a little on images. The slope of an example is that of the cross-entropy times 1 + epsilon
      q, q the probability of the right class: gradient_norm is higher for examples half learned, and hardly at the
      start.
    Costs: Nothing that is measurable.
    References: Leng et al., arXiv:2204.12511.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("poly_loss", outputs, targets)
        log_q = jax.nn.log_softmax(outputs)
        extra = 1.0 - jnp.sum(p * jnp.exp(log_q), axis=-1)
        return per_example(-jnp.sum(p * log_q, axis=-1) + epsilon * extra, targets)

    return loss


@traits(neutral={"gamma": 0.0}, per_example=True, targets="classes")
def focal(*, gamma: NonNegative = 2.0) -> Loss:
    """Turn the weight of classes already predicted well down.

    loss = -sum_c p_c (1 - q_c)^gamma log q_c, q = softmax(outputs)

    Without the paper's weights alpha of the classes.

    Args:
      gamma: focus, at least 0. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to help where easy examples outnumber hard ones, and to calibrate. Fitted examples count less, so
      gradient_norm fades sooner than with cross-entropy and outputs stay smaller. Little while all examples are hard.
    Costs: Nothing that is measurable.
    References: Lin et al., arXiv:1708.02002.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("focal", outputs, targets)
        log_q = jax.nn.log_softmax(outputs)
        # The floor keeps 0 * log(0) and the gradient of the power finite where q rounds to 1.
        weight = jnp.exp(gamma * jnp.log(jnp.maximum(-jnp.expm1(log_q), 1e-30)))
        return per_example(-jnp.sum(p * weight * log_q, axis=-1), targets)

    return loss


@traits(neutral={"q": 0.0}, per_example=True, targets="classes")
def generalized_cross_entropy(*, q: Share = 0.7) -> Loss:
    """Stand between cross-entropy and absolute error, to bear wrong labels.

    loss = sum_c p_c (1 - softmax(outputs)_c^q) / q; its limit at q = 0 is cross-entropy, at q = 1 it is 1 - softmax

    Args:
      q: in [0, 1]. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to bear wrong labels: the slope of an example is that of the cross-entropy times softmax^q, so what
      looks wrong counts less. gradient_norm starts lower, at (1 / classes)^q of it, and learning starts slower.
    Costs: Nothing that is measurable.
    References: Zhang and Sabuncu, arXiv:1805.07836.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("generalized_cross_entropy", outputs, targets)
        log_s = jax.nn.log_softmax(outputs)
        off = jnp.asarray(q) == 0.0
        safe_q = jnp.where(off, 1.0, q)
        values = jnp.where(off, -log_s, -jnp.expm1(safe_q * log_s) / safe_q)
        return per_example(jnp.sum(p * values, axis=-1), targets)

    return loss


@traits(per_example=True, targets="classes")
def kl_divergence() -> Loss:
    """Measure how far the softmax is from given probabilities.

    loss = sum_c p_c (log p_c - log softmax(outputs)_c); its gradient is that of softmax_cross_entropy

    PyTorch's KLDivLoss takes log softmax(outputs), and its "mean" divides by C too.

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Every probe as with softmax_cross_entropy, since the gradient is the same; only the reported loss is
      lower, by the entropy of the targets. Nothing at all with labels.
    Costs: Nothing that is measurable.
    References: Kullback and Leibler 1951, On information and sufficiency.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("kl_divergence", outputs, targets)
        return per_example(optax.losses.kl_divergence(jax.nn.log_softmax(outputs), p), targets)

    return loss


@traits(per_example=True, targets="classes")
def one_hot_mse() -> Loss:
    """Regress on one-hot labels, as studies of sharpness do.

    loss = mean_c (outputs_c - p_c)^2

    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to do as well as cross-entropy on many tasks. Its curvature in the outputs is constant, so sharpness
      is that of the network; activation_mean_square of the output stays bounded, and gradient_norm falls with the
      errors.
    Costs: Nothing that is measurable.
    References: Hui and Belkin, arXiv:2006.07322.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("one_hot_mse", outputs, targets)
        return per_example(jnp.mean(jnp.square(outputs - p), axis=-1), targets)

    return loss


@traits(per_example=True, targets="classes")
def multiclass_hinge(*, margin: Scalar = 1.0) -> Loss:
    """Ask that the right class leads all others by a margin.

    loss = max(0, max_{c != y} outputs_c + margin - outputs_y)

    PyTorch's MultiMarginLoss adds up all rivals and divides by C.

    Args:
      margin: the lead asked for. *Sweepable.* At 0.0 it is the perceptron loss.
    Returns: function (outputs [B, ..., C], labels [B, ...]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Examples that lead by the margin have no gradient, so gradient_norm can fall to 0, and outputs stop growing.
      Only one rival class is taught at a time, which is noisier: step_cosine should be lower than with cross-entropy.
    Costs: Nothing that is measurable.
    References: Crammer and Singer 2001, On the algorithmic implementation of multiclass kernel-based vector machines.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        right = jax.nn.one_hot(as_labels("multiclass_hinge", outputs, targets), outputs.shape[-1], dtype=outputs.dtype)
        rivals = jnp.max(outputs + margin * (1.0 - right), axis=-1)  # the right class itself gives the 0
        return per_example(rivals - jnp.sum(outputs * right, axis=-1), targets)

    return loss


@traits(neutral={"strength": 0.0}, per_example=True, targets="classes")
def confidence_penalty(*, strength: Strength = 0.1) -> Loss:
    """Reward outputs that stay undecided.

    loss = cross-entropy - strength H(q), H(q) = -sum_c q_c log q_c, q = softmax(outputs)

    Args:
      strength: weight of the entropy. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to calibrate and to regularize, much as label_smoothing does: activation_mean_square of the output
      stays smaller, and gradient_norm no longer fades as examples are fitted.
    Costs: Nothing that is measurable.
    References: Pereyra et al., arXiv:1701.06548.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("confidence_penalty", outputs, targets)
        log_q = jax.nn.log_softmax(outputs)
        return per_example(-jnp.sum((p - strength * jnp.exp(log_q)) * log_q, axis=-1), targets)

    return loss


@traits(neutral={"strength": 0.0}, per_example=True, targets="classes")
def weighted_cross_entropy(
    *, strength: Strength = 1.0, priors: Annotated[tuple[float, ...], Range("(0, inf)")] = ()
) -> Loss:
    """Give the examples of rare classes more weight.

    loss = -sum_c w_c p_c log softmax(outputs)_c, w_c = priors_c^-strength / sum_k priors_k^(1 - strength), so that the
    mean weight of an example is 1

    PyTorch's CrossEntropyLoss(weight = w), which divides by the sum of the weights in the batch in place of their
    number; at strength 1.0 w is scikit-learn's class_weight = "balanced".

    Args:
      strength: 0.0 weighs all alike, at 1.0 all classes have the same weight together. *Sweepable.* *Neutral: 0.0*
        gives softmax_cross_entropy.
      priors: how frequent each class is, above 0 and up to a common factor; empty where all are alike.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair, or priors are not positive or not C.
    Expect: Claimed to find more of rare classes. It moves the threshold while examples are not fitted; once they are,
      weights of separable classes hardly matter. Rare examples of large weight make gradient_noise higher.
    Costs: Nothing that is measurable.
    References: King and Zeng 2001, Logistic regression in rare events data; Byrd and Lipton, arXiv:1812.03372 (what is
      left of the weights in deep networks).
    """
    _check_priors("weighted_cross_entropy", priors)

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("weighted_cross_entropy", outputs, targets)
        shares = _shares("weighted_cross_entropy", priors, outputs)
        weights = shares**-strength
        p = p * (weights / jnp.sum(shares * weights))
        return per_example(-jnp.sum(p * jax.nn.log_softmax(outputs), axis=-1), targets)

    return loss


@traits(neutral={"strength": 0.0}, per_example=True, targets="classes")
def logit_adjusted_cross_entropy(
    *, strength: Strength = 1.0, priors: Annotated[tuple[float, ...], Range("(0, inf)")] = ()
) -> Loss:
    """Make up for classes that are rarer than others: the outputs learn what would be right if all were alike.

    loss = cross-entropy of outputs + strength log(priors)

    Args:
      strength: share of the adjustment; 1.0 is optimal for the mean of the accuracies of all classes. *Sweepable.*
        *Neutral: 0.0* gives softmax_cross_entropy.
      priors: how frequent each class is, above 0 and up to a common factor; empty where all are alike.
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair, or priors are not positive or not C.
    Expect: Claimed to raise the accuracy of rare classes, at a price for frequent ones: look at the mean over classes.
      Nothing where all classes are alike, or once the training examples are fitted by a wide margin.
    Costs: Nothing that is measurable.
    References: Menon et al., arXiv:2007.07314.
    """
    _check_priors("logit_adjusted_cross_entropy", priors)

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("logit_adjusted_cross_entropy", outputs, targets)
        adjusted = outputs + strength * jnp.log(_shares("logit_adjusted_cross_entropy", priors, outputs))
        return per_example(-jnp.sum(p * jax.nn.log_softmax(adjusted), axis=-1), targets)

    return loss


@traits(neutral={"share": 0.0}, per_example=True, targets="classes", teacher=True)
def distillation(*, temperature: Positive = 2.0, share: Share = 0.5) -> Loss:
    """Learn a teacher's probabilities beside the labels, softened so that those of the wrong classes count too.

    loss = (1 - share) cross-entropy + share T^2 sum_c p_c (log p_c - log softmax(outputs / T)_c),
    p = softmax(teacher / T), T the temperature

    The teacher is a finished run, `data.teacher = { path = RUN }`, whose network of the same seed answers every example
    once, before training and without augmentation. With [augment], each picture keeps the answer to the picture as it
    was before (a "fixed teacher", arXiv:2106.05237); `mixup` and `cutmix` mix answers as they mix labels, and answers
    for each pixel move with the picture. Without a teacher, rows of probabilities can be the targets, of the teacher
    and of the cross-entropy alike: softening them is the same as dividing logits by T. T^2 keeps gradients of one size.

    Args:
      temperature: above 0. *Sweepable.* At share 1.0, 1.0 gives kl_divergence.
      share: of the teacher, in [0, 1]; the labels have the rest. *Sweepable.* *Neutral: 0.0* gives
        softmax_cross_entropy.
    Returns: function (outputs [B, ..., C], {"labels": [B, ...], "teacher": logits [B, ..., C]} or probabilities
      [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to teach more than labels do, by how a teacher ranks the wrong classes; most where labels are few or
      the network is small, little where the teacher is hardly better. With strong [augment], claimed to be worse than a
      teacher that sees the same augmented picture.
    Costs: Nothing that is measurable in training; the teacher answers every example beforehand.
    References: Hinton et al., arXiv:1503.02531; Beyer et al., arXiv:2106.05237.
    """

    def loss(outputs: Array, targets: Array | Mapping[str, Array]) -> Array:
        given = targets if isinstance(targets, Mapping) else {"labels": targets}
        labels = given["labels"]
        hard = as_probabilities("distillation", outputs, labels)
        logits = given["teacher"] if "teacher" in given else jnp.log(hard)
        if logits.shape != outputs.shape:
            raise mismatch("distillation", outputs, logits, "outputs of the teacher of the same shape")
        p = jax.nn.softmax(logits / temperature)
        divergence = optax.losses.kl_divergence(jax.nn.log_softmax(outputs / temperature), p)
        cross_entropy = -jnp.sum(hard * jax.nn.log_softmax(outputs), axis=-1)
        return per_example((1.0 - share) * cross_entropy + share * jnp.square(temperature) * divergence, labels)

    return loss


def _check_priors(name: str, priors: tuple[float, ...]) -> None:
    if not all(0.0 < prior < float("inf") for prior in priors):
        raise ValueError(f"{name}: found priors {list(priors)}; expected numbers above 0")


def _shares(name: str, priors: tuple[float, ...], outputs: Array) -> Array:
    """Return the share of each class, which sum to 1, [..., C] with as many axes as the outputs [B, ..., C]."""
    classes = outputs.shape[-1]
    if len(priors) not in (0, classes):
        raise ValueError(f"{name}: found {len(priors)} priors for {classes} classes; give one for each")
    shares = jnp.asarray(priors or (1.0,) * classes, outputs.dtype)
    return (shares / jnp.sum(shares)).reshape((1,) * (outputs.ndim - 1) + (classes,))
