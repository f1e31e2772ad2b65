"""Split metrics: what is computed of sums over all examples and is no mean over them, such as F1 and R2.

Every factory returns a `Metric`. Outputs are class scores [B, ..., C] with labels [B, ...] or probabilities
[B, ..., C], or log-odds [B, ...] or [B, ..., 1] of class 1 with targets 0 or 1; a label of -1 is no label and is left
out. An output that holds NaN counts as wrong. What the split does not define, such as the recall of a class without an
example, is NaN among the values of the classes and left out of their mean. A metric of ranks, such as the AUC, is in
ranking_metrics; a mean over examples is in metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from deepprinciples.parts import losses
from deepprinciples.parts.metrics import is_classes, labels_of
from deepprinciples.types import Array, Count, Metric, better, traits

Sums = Mapping[str, Array]


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def f1(*, average: Literal["binary", "macro", "micro"] = "binary") -> Metric:
    """Measure the harmonic mean of precision and recall.

    F1 = 2 TP / (2 TP + FP + FN), from the numbers of true positives and of false positives and negatives

    Args:
      average: binary is the F1 of class 1 of two, undefined without an example of it; macro is the mean over the
        classes that have an example or an answer; micro is the F1 of all classes counted as one, which is the accuracy
        of single positions.
    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1; with macro also the F1 of each class.
    Raises: ValueError where the shapes do not pair, or average is binary and there are more than two classes.
    References: van Rijsbergen 1979, Information Retrieval, chapter 7.
    """

    def statistics(outputs: Array, targets: Array) -> Sums:
        found = _counts("f1", outputs, targets)
        classes = found["right"].shape[1]
        if average == "binary" and classes != 2:
            raise ValueError(f'f1: average = "binary" with {classes} classes; use "macro" or "micro"')
        return found

    def per_class(sums: Sums, count: Array) -> Array:
        del count
        return _ratio(2.0 * sums["right"], sums["answers"] + sums["examples"])

    def compute(sums: Sums, count: Array) -> Array:
        if average == "micro":
            return _ratio(jnp.sum(sums["right"]), jnp.sum(sums["examples"]))
        if average == "macro":
            return jnp.nanmean(per_class(sums, count))
        return jnp.where(sums["examples"][1] > 0, per_class(sums, count)[1], jnp.nan)

    return Metric(statistics, compute, per_class if average == "macro" else None)


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def balanced_accuracy() -> Metric:
    """Measure the mean over classes of the accuracy within each, so that frequent classes count no more than rare ones.

    mean over classes that have an example of TP / (TP + FN)

    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1 (1 / C for a constant answer); also the
      recall of each class.
    Raises: ValueError where the shapes do not pair.
    References: Brodersen et al. 2010, The balanced accuracy and its posterior distribution.
    """
    return _of_counts("balanced_accuracy", lambda sums: _ratio(sums["right"], sums["examples"]))


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def mean_iou() -> Metric:
    """Measure the mean over classes of the intersection of answers and labels over their union, for segmentation.

    mean over classes that have an example or an answer of TP / (TP + FP + FN), positions of all examples together

    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1; also the value of each class.
    Raises: ValueError where the shapes do not pair.
    References: Everingham et al. 2015, The Pascal Visual Object Classes challenge: a retrospective.
    """
    union = lambda sums: sums["answers"] + sums["examples"] - sums["right"]
    return _of_counts("mean_iou", lambda sums: _ratio(sums["right"], union(sums)))


@better("max", worst=0.0, best=1.0)
@traits(targets="classes or binary")
def dice_score(*, include_background: bool = True) -> Metric:
    """Measure the mean over classes of the Dice coefficient of answers and labels, for segmentation.

    mean over classes that have an example or an answer of 2 TP / (2 TP + FP + FN), positions of all examples together:
    F1 of single positions

    Args:
      include_background: whether class 0 is one of the classes of the mean.
    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1; also the value of each class.
    Raises: ValueError where the shapes do not pair.
    References: Dice 1945, Measures of the amount of ecologic association between species.
    """
    first = 0 if include_background else 1
    ratio = lambda sums: _ratio(2.0 * sums["right"], sums["answers"] + sums["examples"])
    return _of_counts("dice_score", ratio, first)


@better("min", worst=1.0, best=0.0)
@traits(targets="classes or binary")
def expected_calibration_error(*, bins: Count = 15) -> Metric:
    """Measure how far the confidence of answers is from the share of them that are right.

    sum over bins of |right answers - sum of their confidence| / N, where the confidence of an answer is the largest
    softmax probability and bin k of K holds those in ((k - 1) / K, k / K]

    Args:
      bins: number of bins of equal width, K.
    Returns: Metric of outputs [B, ..., C] or log-odds [B, ...], from 0 to 1; biased upward where a bin has few answers.
    Raises: ValueError where the shapes do not pair.
    References: Guo, Pleiss, Sun, Weinberger, arXiv:1706.04599.
    """

    def statistics(outputs: Array, targets: Array) -> Sums:
        scores, labels = class_scores("expected_calibration_error", outputs, targets)
        sure = jnp.max(jax.nn.softmax(scores), axis=-1)  # [B, M]
        sure = jnp.where(jnp.isnan(sure), 1.0, sure)
        gap = jnp.where(labels >= 0, (answers_of(scores, labels) == labels) - sure, 0.0)
        place = jnp.clip(jnp.ceil(sure * bins).astype(jnp.int32) - 1, 0, bins - 1)
        # Where and sum fuse; one-hot rows of every position would fill the memory.
        inside = place[..., None] == jnp.arange(bins)[None, None, :]
        return {"gaps": jnp.sum(jnp.where(inside, gap[..., None], 0.0), axis=1), "examples": _labeled(labels)}

    return Metric(statistics, lambda sums, count: _ratio(jnp.sum(jnp.abs(sums["gaps"])), sums["examples"]))


@better("min", best=1.0)
@traits(targets="classes")
def perplexity() -> Metric:
    """Measure among how many equally likely classes a model seems to choose: a language model's usual score.

    exp(mean over labeled positions of -sum_c p_c log softmax(outputs)_c); the mean is over the positions of all
    examples together, so that longer ones count more

    Returns: Metric of outputs [B, ..., C], at least 1; C for a model that gives all classes the same probability.
    Raises: ValueError where the shapes do not pair.
    References: Jelinek et al. 1977, Perplexity, a measure of the difficulty of speech recognition tasks.
    """

    def statistics(outputs: Array, targets: Array) -> Sums:
        nats, labels = _nats("perplexity", outputs, targets)
        return {"nats": jnp.sum(nats, axis=1), "examples": _labeled(labels)}

    return Metric(statistics, lambda sums, count: jnp.exp(_ratio(sums["nats"], sums["examples"])))


@better("min", best=0.0)
@traits(targets="classes")
def bits_per_byte(*, byte_lengths: Array) -> Metric:
    """Measure how many bits a model would need for a byte of text, whatever its tokens are.

    sum over labeled positions of -log2 softmax(outputs)_t / sum of the bytes that the tokens t stand for

    Args:
      byte_lengths: [C], bytes of text that each token stands for. Supplied by the data.
    Returns: Metric of outputs [B, T, C], at least 0; log2 C for one-byte tokens that all have the same probability.
    Raises: ValueError where the shapes do not pair.
    References: Gao et al., arXiv:2101.00027.
    """
    sizes = jnp.asarray(byte_lengths, jnp.float32)

    def statistics(outputs: Array, targets: Array) -> Sums:
        nats, labels = _nats("bits_per_byte", outputs, targets)
        size = jnp.where(labels >= 0, sizes[jnp.maximum(labels, 0)], 0.0)
        return {"bits": jnp.sum(nats, axis=1) / jnp.log(2.0), "bytes": jnp.sum(size, axis=1)}

    return Metric(statistics, lambda sums, count: _ratio(sums["bits"], sums["bytes"]))


def _nats(name: str, outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Return the cross-entropy of every position, 0 where there is no label, and the labels, both [B, M]."""
    p = losses.as_probabilities(name, outputs, targets)
    labels = labels_of(name, outputs, targets)
    # A class that is masked out has a score of -inf: 0 times it is NaN.
    nats = -jnp.sum(jnp.where(p > 0, p * jax.nn.log_softmax(outputs), 0.0), axis=-1)
    return jnp.where(labels >= 0, nats, 0.0).reshape(len(labels), -1), labels.reshape(len(labels), -1)


@better("max", best=1.0)
def r2(*, center: Array) -> Metric:
    """Measure the share of the variance of the targets that the outputs explain.

    1 - sum (t - y)^2 / sum (t - mean t)^2, the mean over the values of a target that vary in the split; the second sum
    is taken as sum d^2 - (sum d)^2 / N with d = t - center

    Args:
      center: [...], a value close to the mean target, without which the second sum would be rounding only where
        targets lie far from 0. Supplied by the data.
    Returns: Metric of outputs [B, ...] or [B, 1] with targets of the same shape or [B], at most 1; 0 for the mean
      target as a constant answer. NaN where an output is NaN.
    Raises: ValueError where the shapes do not pair.
    References: Wright 1921, Correlation and causation.
    """

    def statistics(outputs: Array, targets: Array) -> Sums:
        y, t = (a.reshape(len(a), -1) for a in losses.as_values("r2", outputs, targets))  # [B, D]
        away = t - jnp.reshape(jnp.asarray(center, t.dtype), (1, -1))
        return {"away": away, "squares": jnp.square(away), "residuals": jnp.square(t - y)}

    def compute(sums: Sums, count: Array) -> Array:
        total = sums["squares"] - jnp.square(sums["away"]) / count
        # Less is rounding of the sums, whatever the targets are.
        varies = total > 1e-4 * sums["squares"]
        return jnp.mean(1.0 - sums["residuals"] / jnp.where(varies, total, 1.0), where=varies)

    return Metric(statistics, compute)


def class_scores(name: str, outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Bring outputs to class scores [B, M, C] and targets to labels [B, M], -1 where there is none.

    Log-odds x become the scores 0 and x.

    Args:
      name: the metric that asks.
      outputs: class scores [B, ..., C], or log-odds [B, ...] or [B, ..., 1].
      targets: labels or probabilities of classes, or 0 and 1.
    Returns: scores and labels, M positions of each example.
    Raises: ValueError where the shapes do not pair.
    """
    if is_classes(outputs, targets):
        scores, labels = outputs, labels_of(name, outputs, targets)
    else:
        x, t = losses.as_values(name, outputs, targets)
        scores, labels = jnp.stack([jnp.zeros_like(x), x], axis=-1), jnp.where(t < 0, -1, t > 0.5)
    return scores.reshape(len(labels), -1, scores.shape[-1]), labels.reshape(len(labels), -1).astype(jnp.int32)


def answers_of(scores: Array, labels: Array) -> Array:
    """Return the class of each answer [B, M]; one that holds NaN is made to miss: it is the class after the label."""
    missed = jnp.any(jnp.isnan(scores), axis=-1)
    return jnp.where(missed, (labels + 1) % scores.shape[-1], jnp.argmax(scores, axis=-1))


def _labeled(labels: Array) -> Array:
    return jnp.sum(labels >= 0, axis=1, dtype=jnp.float32)


def _counts(name: str, outputs: Array, targets: Array) -> Sums:
    """Count the labeled positions of each example by class [B, C]: those of it, answered with it, and rightly so."""
    scores, labels = class_scores(name, outputs, targets)
    answers = jnp.where(labels >= 0, answers_of(scores, labels), -1)
    of = lambda classes: jnp.sum(jax.nn.one_hot(classes, scores.shape[-1]), axis=1)
    return {"examples": of(labels), "answers": of(answers), "right": of(jnp.where(answers == labels, labels, -1))}


def _of_counts(name: str, ratio: Callable[[Sums], Array], first: int = 0) -> Metric:
    """Make a metric of ratio(counts) -> [C]: the mean over the classes from the first on of which it is defined."""
    per_class = lambda sums, count: ratio(sums)
    return Metric(
        lambda outputs, targets: _counts(name, outputs, targets),
        lambda sums, count: jnp.nanmean(ratio(sums)[first:]),
        per_class,
    )


def _ratio(share: Array, whole: Array) -> Array:
    return jnp.where(whole > 0, share / jnp.maximum(whole, 1.0), jnp.nan)


TABLE = {
    f.__name__: f
    for f in (
        f1,
        balanced_accuracy,
        mean_iou,
        dice_score,
        expected_calibration_error,
        perplexity,
        bits_per_byte,
        r2,
    )
}
