"""Augmentation of any inputs: examples mixed with one another, labels smoothed, noise and dropout on the inputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.types import Array, Batch, BatchTransform, Rate, Scalar, Share, Strength, traits


def _rows(targets: Array, outputs: int) -> Array:
    """Return class labels as one-hot rows, zeros for -1, and let real targets pass."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return jax.nn.one_hot(targets, outputs, dtype=jnp.float32)
    return targets


def _floats(name: str, inputs: Array) -> Array:
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"{name}: inputs are {inputs.dtype} (tokens?), expected floats; remove augment.{name}")
    return inputs


@traits(neutral={"strength": 0.0}, fill=False, targets="classes")
def label_smoothing(*, strength: Share = 0.1, outputs: int) -> BatchTransform:
    """Move some of the probability of the label to all classes alike.

    p = (1 - strength) one_hot(label) + strength / outputs, zeros where the label is -1

    Args:
      strength: share moved, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      outputs: number of classes.
    Returns: BatchTransform; apply(key, batch) -> batch with targets [B, ..., outputs].
    Raises: ValueError for real targets of another width.
    Expect: Claimed to calibrate and to regularize. The training loss has a floor above 0, so gradient_norm no longer
      fades as examples are fitted, and activation_mean_square of the output stays small.
    Costs: Nothing that is measurable.
    References: Szegedy et al., arXiv:1512.00567.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        del key
        p = _rows(batch.targets, outputs)
        if p.shape[-1] != outputs:
            raise ValueError(f"label_smoothing: targets {list(p.shape)} are no labels of {outputs} classes")
        smoothed = (1.0 - strength) * p + strength / outputs
        return batch._replace(targets=jnp.where(jnp.any(p != 0.0, axis=-1, keepdims=True), smoothed, 0.0))

    return BatchTransform(apply)


def _symmetric_beta(key: Array, strength: Scalar) -> Array:
    """Draw from Beta(a, a) without a loop; 1 at a = 0.

    b ~ Beta(a + 1, a + 1) by Ulrich's polar formula, then two powers of uniforms take the shape down from a + 1 to a.
    jax.random.beta rejects in loops, which under vmap run until the slowest lane is done, and is NaN at a = 0.
    """
    a = jnp.asarray(strength, jnp.float32)
    on = a > 0.0
    safe = jnp.where(on, a, 1.0)
    u = random.uniform(key, (4,), minval=float(jnp.finfo(jnp.float32).tiny))
    lean = jnp.sqrt(1.0 - u[0] ** (1.0 / (safe + 0.5))) * jnp.cos(2.0 * jnp.pi * u[1])
    log_odds = jnp.log1p(lean) - jnp.log1p(-lean) + (jnp.log(u[2]) - jnp.log(u[3])) / safe
    return jnp.where(on, jax.nn.sigmoid(log_odds), 1.0)


@traits(neutral={"strength": 0.0}, fill=False, targets="classes or binary")
def mixup(*, strength: Strength = 0.2, outputs: int) -> BatchTransform:
    """Train on the line between each example and its neighbor in the batch.

    x' = m x_i + (1 - m) x_{i-1}, y' alike, m ~ Beta(strength, strength), one m a batch

    The neighbor is a random partner because batches are shuffled. At strength 0 the distribution sits at 1. Where the
    data have a teacher, its answers (logits) to the two examples are mixed with the same m.

    Args:
      strength: shape of the distribution. *Sweepable.* *Neutral: 0.0.*
      outputs: number of classes, for integer labels.
    Returns: BatchTransform; apply(key, batch) -> batch; integer labels become probabilities [B, ..., outputs].
    Raises: ValueError for token inputs.
    Expect: Claimed to make the model go in straight lines between examples, and to bear wrong labels better. The
      training loss has a floor above 0 and is that of the mixed batch, as all probes are.
    Costs: Nothing that is measurable.
    References: Zhang et al., arXiv:1710.09412.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        share = _symmetric_beta(key, strength)
        mix = lambda v: share * v + (1.0 - share) * jnp.roll(v, 1, axis=0)
        return batch._replace(
            inputs=mix(_floats("mixup", batch.inputs)),
            targets=mix(_rows(batch.targets, outputs)),
            teacher=jax.tree.map(mix, batch.teacher),
        )

    return BatchTransform(apply)


@traits(neutral={"strength": 0.0}, fill=False, targets="classes or binary")
def cutmix(*, strength: Strength = 1.0, outputs: int) -> BatchTransform:
    """Paste a box of its neighbor in the batch into each image, and share the labels by area.

    x' = x_{i-1} inside the box, x_i outside
    y' = (1 - a) y_i + a y_{i-1}, a the share of pixels in the box

    The box has a random center, is cut off at the border, and before that covers 1 - m of the image, m ~ Beta(strength,
    strength), one box a batch. All axes between the first and the last are those of the image, or of time. Where the
    data have a teacher, its answers (logits) to the two examples are mixed with the same a.

    Args:
      strength: shape of the distribution. *Sweepable.* *Neutral: 0.0.*
      outputs: number of classes, for integer labels.
    Returns: BatchTransform; apply(key, batch) -> batch; integer labels of whole examples become
      probabilities [B, outputs].
    Raises: ValueError for token inputs and for vectors, which have no neighborhood.
    Expect: Claimed to make the model look at all of a picture. The training loss has a floor above 0 and is that of the
      mixed batch, as all probes are. Little where what matters lies in one small place.
    Costs: Nothing that is measurable.
    References: Yun et al., arXiv:1905.04899.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = _floats("cutmix", batch.inputs)
        lengths = x.shape[1:-1]
        if not lengths:
            raise ValueError(f"cutmix: inputs {list(x.shape)} have no box to cut; expected [B, ..., channels]")
        key_share, key_center = jax.random.split(key)
        side = (1.0 - _symmetric_beta(key_share, strength)) ** (1.0 / len(lengths))
        centers = random.uniform(key_center, (len(lengths),))
        box = jnp.ones(lengths, bool)
        for axis, n in enumerate(lengths):
            near = jnp.abs((jnp.arange(n) + 0.5) / n - centers[axis]) < 0.5 * side
            box &= jnp.expand_dims(near, [i for i in range(len(lengths)) if i != axis])
        area = jnp.mean(box.astype(jnp.float32))
        paste = lambda v: jnp.where(
            box.reshape((1, *lengths) + (1,) * (v.ndim - x.ndim + 1)), jnp.roll(v, 1, axis=0), v
        )

        def share(v: Array) -> Array:
            if v.shape[: x.ndim - 1] == x.shape[:-1]:
                return paste(v)
            v = _rows(v, outputs)
            return (1.0 - area) * v + area * jnp.roll(v, 1, axis=0)

        return batch._replace(inputs=paste(x), targets=share(batch.targets), teacher=jax.tree.map(share, batch.teacher))

    return BatchTransform(apply)


@traits(neutral={"rate": 0.0}, fill=False)
def dropout(*, rate: Rate = 0.1) -> BatchTransform:
    """Drop input features at random and scale the others up.

    x' = x k / (1 - rate), k = 1 with probability 1 - rate, else 0; hidden units are the model's `dropout`

    Args:
      rate: probability of a zero, in [0, 1). *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for token inputs.
    Expect: The model relies less on single features; in linear regression it acts like l2 weighted by the size of each
      feature. The training loss and gradient_noise rise, and activation_mean_square of the first layer with the rate.
    Costs: One random number per input and step.
    References: Srivastava et al. 2014, Dropout; Wager et al., arXiv:1307.1493.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = _floats("dropout", batch.inputs)
        kept = random.uniform(key, x.shape) >= rate
        return batch._replace(inputs=jnp.where(kept, x / (1.0 - rate), 0.0))

    return BatchTransform(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def input_noise(*, strength: Strength = 0.1) -> BatchTransform:
    """Add normal noise to the inputs.

    x' = x + strength z, z ~ N(0, 1)

    Args:
      strength: standard deviation, in units of the inputs. *Sweepable.* *Neutral: 0.0.*
    Returns: BatchTransform; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for token inputs.
    Expect: Theory for small noise: a penalty on the slope of the outputs with respect to the inputs. The training loss
      and gradient_noise rise, sharpness should fall. Nothing where the noise is far below that of the data.
    Costs: One random number per input and step.
    References: Bishop 1995, Training with noise is equivalent to Tikhonov regularization.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = _floats("input_noise", batch.inputs)
        return batch._replace(inputs=x + strength * random.normal(key, x.shape, x.dtype))

    return BatchTransform(apply)
