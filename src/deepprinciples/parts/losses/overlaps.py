"""Losses of how far the answers at all positions of an example overlap with its labels, for segmentation.

They see the positions of an example together, so a class that fills few of them weighs as much as one that fills most.
Those in `classes` score each position on its own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deepprinciples.parts.losses.pairing import Loss, as_probabilities, labeled, per_example
from deepprinciples.types import Array, NonNegative, Positive, Share, traits


@traits(neutral={"share": 0.0}, per_example=True, targets="classes")
def dice(*, share: Share = 1.0, smooth: Positive = 0.5) -> Loss:
    """Mix the cross-entropy with one minus the soft Dice coefficient of each example.

    loss = (1 - share) cross-entropy + share (1 - mean_c 2 (TP_c + s) / (2 (TP_c + s) + FP_c + FN_c)), s = smooth,
    TP_c = sum p_c q_c, FP_c = sum (1 - p_c) q_c, FN_c = sum p_c (1 - q_c) over the positions of an example that have a
    label, q = softmax(outputs)

    Args:
      share: of the Dice term. *Sweepable.* *Neutral: 0.0* gives softmax_cross_entropy.
      smooth: positions of each class that count as right beforehand; 0.5 is the usual 1 added above and below the
        fraction. The mean is over all classes: one that an example lacks costs q_c summed / (2 s + that sum).
        *Sweepable.*
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to find small structures that cross-entropy leaves to the frequent class, and to be overconfident:
      the slope of a position fades as q nears 0 or 1, right or wrong. mean_iou and dice_score up, cross_entropy and
      calibration worse.
    Costs: Nothing that is measurable.
    References: Milletari et al., arXiv:1606.04797; Drozdzal et al., arXiv:1608.04117; Taghanaki et al.,
      arXiv:1805.02798 (the mix with cross-entropy).
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("dice", outputs, targets)
        log_q = jax.nn.log_softmax(outputs)
        entropy = per_example(-jnp.sum(p * log_q, axis=-1), targets)
        return (1.0 - share) * entropy + share * _missed(p, jnp.exp(log_q), targets, 0.5, 0.5, smooth)

    return loss


@traits(per_example=True, targets="classes")
def tversky(*, alpha: NonNegative = 0.3, beta: NonNegative = 0.7, smooth: Positive = 0.5) -> Loss:
    """Weigh false positives against false negatives in the overlap of each example.

    loss = 1 - mean_c (TP_c + s) / (TP_c + s + alpha FP_c + beta FN_c), s = smooth; TP, FP and FN as in `dice`

    Args:
      alpha: weight of false positives. *Sweepable.* With alpha = beta = 0.5 it is dice of share 1.0.
      beta: weight of false negatives. *Sweepable.*
      smooth: positions of each class that count as right beforehand. *Sweepable.*
    Returns: function (outputs [B, ..., C], labels [B, ...] or probabilities [B, ..., C]) -> [B].
    Raises: ValueError where the shapes do not pair.
    Expect: Claimed to find more of small classes with beta above alpha, at the price of their precision. Both weights
      act on every class, and with C classes a position missed by one is a false positive of another.
    Costs: Nothing that is measurable.
    References: Salehi, Erdogmus, Gholipour, arXiv:1706.05721.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        p = as_probabilities("tversky", outputs, targets)
        return _missed(p, jax.nn.softmax(outputs), targets, alpha, beta, smooth)

    return loss


def _missed(p: Array, q: Array, targets: Array, alpha: NonNegative, beta: NonNegative, smooth: Positive) -> Array:
    """Compute 1 - mean_c (TP + s) / (TP + s + alpha FP + beta FN) of each example [B], of p and q [B, ..., C]."""
    has_label = labeled(targets, p.shape[:-1])
    if has_label is not None:
        p, q = (jnp.where(has_label[..., None], a, 0.0) for a in (p, q))
    p, q = (a.reshape(a.shape[0], -1, a.shape[-1]) for a in (p, q))  # [B, M, C]
    right = jnp.sum(p * q, axis=1)  # [B, C]
    false, lost = jnp.sum(q, axis=1) - right, jnp.sum(p, axis=1) - right
    hit = right + smooth
    return 1.0 - jnp.mean(hit / (hit + alpha * false + beta * lost), axis=-1)
