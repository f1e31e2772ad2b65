"""Regularizers: what is asked of a solution beside fitting the data.

Weight-side factories return `(params) -> scalar`, a penalty added to the loss; they act on kernels (leaves with two
axes or more), biases and scales of norms only with `biases=True`. What is a penalty on activations or on the model's
slope lives in `functions`, what looks at a whole kernel in `kernels`. Data-side factories return
`Augment(apply(key, batch) -> batch)`, which changes a training batch and nothing at evaluation. Dropout of hidden units
is a keyword of the models; weight decay that does not pass through the loss is a transform.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.parts.regularizers.functions import activation_l2, jacobian, temporal_activation_l2
from deepprinciples.parts.regularizers.kernels import Penalty, group_lasso, spectral, total
from deepprinciples.types import Array, Augment, Batch, PyTree, Rate, Scalar, Share, Strength, traits


@traits(neutral={"strength": 0.0})
def l1(*, strength: Strength = 1e-4, biases: bool = False) -> Penalty:
    """Pull every weight to zero with the same force.

    penalty = strength sum |w|; a subgradient never gives exact zeros

    Args:
      strength: force per weight. *Sweepable.* *Neutral: 0.0.*
      biases: also act on leaves with fewer than two axes.
    Returns: function (params) -> scalar float32.
    Expect: Many weights come near zero, none to exact zeros (see proximal_sgd); rank should fall. gradient_norm and
      sharpness are those of the loss with the penalty, the loss that is told leaves it out.
    Costs: One pass over the weights, which is hardly measurable.
    References: Tibshirani 1996, Regression shrinkage and selection via the lasso.
    """
    return lambda params: strength * total(params, biases, lambda w: jnp.sum(jnp.abs(w)))


@traits(neutral={"strength": 0.0})
def l2(*, strength: Strength = 1e-4, biases: bool = False) -> Penalty:
    """Pull every weight to zero in proportion to its size.

    penalty = strength / 2 sum w^2, so that its gradient is strength w

    Args:
      strength: force per unit of weight. *Sweepable.* *Neutral: 0.0.*
      biases: also act on leaves with fewer than two axes.
    Returns: function (params) -> scalar float32.
    Expect: Weights that the loss does not hold shrink: without normalization activation_mean_square falls, with it
      update_ratio rises. It adds `strength` to every curvature along the kernels, hence to sharpness.
    Costs: One pass over the weights, which is hardly measurable.
    References: Krogh and Hertz 1991, A simple weight decay can improve generalization.
    """
    return lambda params: 0.5 * strength * total(params, biases, lambda w: jnp.sum(jnp.square(w)))


@traits(neutral={"strength": 0.0})
def elastic_net(*, strength: Strength = 1e-4, l1_share: Share = 0.5, biases: bool = False) -> Penalty:
    """Mix l1 and l2.

    penalty = strength (l1_share sum |w| + (1 - l1_share) / 2 sum w^2)

    Args:
      strength: force. *Sweepable.* *Neutral: 0.0.*
      l1_share: share of l1, in [0, 1]. *Sweepable.*
      biases: also act on leaves with fewer than two axes.
    Returns: function (params) -> scalar float32.
    Expect: Small weights go towards zero as by l1, large ones shrink as by l2, and weights that do the same work share
      it. rank and activation_mean_square should fall; gradient_norm is that of the loss with the penalty.
    Costs: One pass over the weights, which is hardly measurable.
    References: Zou and Hastie 2005, Regularization and variable selection via the elastic net.
    """

    def penalty(params: PyTree) -> Array:
        absolute = total(params, biases, lambda w: jnp.sum(jnp.abs(w)))
        squared = total(params, biases, lambda w: jnp.sum(jnp.square(w)))
        return strength * (l1_share * absolute + 0.5 * (1.0 - l1_share) * squared)

    return penalty


@traits(neutral={"strength": 0.0})
def orthogonality(*, strength: Strength = 1e-3) -> Penalty:
    """Pull the rows or columns of every kernel, whichever are fewer, to an orthonormal set.

    penalty = strength / 2 sum ||G - I||_F^2, G = W^T W or W W^T, the smaller; all axes but the last are one axis

    Args:
      strength: force. *Sweepable.* *Neutral: 0.0.*
    Returns: function (params) -> scalar float32.
    Expect: Singular values come near 1, so rank rises to the shorter side of each kernel; in a linear or tanh network
      activation_mean_square and gradient_mean_square become alike over the layers. Nothing more on kernels already
      orthonormal.
    Costs: A matrix product and its way back per kernel and step, whatever the batch: measurable with small batches.
    References: Bansal et al., arXiv:1810.09102; Brock et al., arXiv:1609.07093.
    """

    def of_leaf(kernel: Array) -> Array:
        w = kernel.reshape(-1, kernel.shape[-1])
        gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        return jnp.sum(jnp.square(gram - jnp.eye(gram.shape[0], dtype=gram.dtype)))

    return lambda params: 0.5 * strength * total(params, False, of_leaf)


def _rows(targets: Array, outputs: int) -> Array:
    """Give class labels as one-hot rows and let real targets pass."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return jax.nn.one_hot(targets, outputs, dtype=jnp.float32)
    return targets


def _floats(name: str, inputs: Array) -> Array:
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"{name}: inputs are {inputs.dtype} (tokens?), expected floats; remove regularizers.{name}")
    return inputs


@traits(neutral={"strength": 0.0}, fill=False, targets="classes")
def label_smoothing(*, strength: Share = 0.1, outputs: int) -> Augment:
    """Move some of the probability of the label to all classes alike.

    p = (1 - strength) one_hot(label) + strength / outputs

    Args:
      strength: share moved, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      outputs: number of classes.
    Returns: Augment; apply(key, batch) -> batch with targets [B, ..., outputs].
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
        return batch._replace(targets=(1.0 - strength) * p + strength / outputs)

    return Augment(apply)


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
def mixup(*, strength: Strength = 0.2, outputs: int) -> Augment:
    """Train on the line between each example and its neighbor in the batch.

    x' = m x_i + (1 - m) x_{i-1}, y' alike, m ~ Beta(strength, strength), one m a batch

    The neighbor is a random partner because batches are shuffled. At strength 0 the distribution sits at 1.

    Args:
      strength: shape of the distribution. *Sweepable.* *Neutral: 0.0.*
      outputs: number of classes, for integer labels.
    Returns: Augment; apply(key, batch) -> batch; integer labels become probabilities [B, ..., outputs].
    Raises: ValueError for token inputs.
    Expect: Claimed to make the model go in straight lines between examples, and to bear wrong labels better. The
      training loss has a floor above 0 and is that of the mixed batch, as all probes are.
    Costs: Nothing that is measurable.
    References: Zhang et al., arXiv:1710.09412.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        share = _symmetric_beta(key, strength)
        mix = lambda v: share * v + (1.0 - share) * jnp.roll(v, 1, axis=0)
        return Batch(mix(_floats("mixup", batch.inputs)), mix(_rows(batch.targets, outputs)))

    return Augment(apply)


@traits(neutral={"strength": 0.0}, fill=False, targets="classes or binary")
def cutmix(*, strength: Strength = 1.0, outputs: int) -> Augment:
    """Paste a box of its neighbor in the batch into each image, and share the labels by area.

    x' = x_{i-1} inside the box, x_i outside
    y' = (1 - a) y_i + a y_{i-1}, a the share of pixels in the box

    The box has a random center, is cut off at the border, and before that covers 1 - m of the image, m ~ Beta(strength,
    strength), one box a batch. All axes between the first and the last are those of the image, or of time.

    Args:
      strength: shape of the distribution. *Sweepable.* *Neutral: 0.0.*
      outputs: number of classes, for integer labels.
    Returns: Augment; apply(key, batch) -> batch; integer labels become probabilities [B, ..., outputs].
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
        inside = box[None, ..., None]
        rows = _rows(batch.targets, outputs)
        shared = (1.0 - area) * rows + area * jnp.roll(rows, 1, axis=0)
        return Batch(jnp.where(inside, jnp.roll(x, 1, axis=0), x), shared)

    return Augment(apply)


@traits(neutral={"rate": 0.0}, fill=False)
def dropout(*, rate: Rate = 0.1) -> Augment:
    """Drop input features at random and scale the others up.

    x' = x k / (1 - rate), k = 1 with probability 1 - rate, else 0; hidden units are the model's `dropout`

    Args:
      rate: probability of a zero, in [0, 1). *Sweepable.* *Neutral: 0.0.*
    Returns: Augment; apply(key, batch) -> batch of the same shapes.
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

    return Augment(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def input_noise(*, strength: Strength = 0.1) -> Augment:
    """Add normal noise to the inputs.

    x' = x + strength z, z ~ N(0, 1)

    Args:
      strength: standard deviation, in units of the inputs. *Sweepable.* *Neutral: 0.0.*
    Returns: Augment; apply(key, batch) -> batch of the same shapes.
    Raises: ValueError for token inputs.
    Expect: Theory for small noise: a penalty on the slope of the outputs with respect to the inputs. The training loss
      and gradient_noise rise, sharpness should fall. Nothing where the noise is far below that of the data.
    Costs: One random number per input and step.
    References: Bishop 1995, Training with noise is equivalent to Tikhonov regularization.
    """

    def apply(key: Array, batch: Batch) -> Batch:
        x = _floats("input_noise", batch.inputs)
        return batch._replace(inputs=x + strength * random.normal(key, x.shape, x.dtype))

    return Augment(apply)


TABLE = {
    f.__name__: f
    for f in (
        l1,
        l2,
        elastic_net,
        group_lasso,
        orthogonality,
        spectral,
        activation_l2,
        temporal_activation_l2,
        jacobian,
        label_smoothing,
        mixup,
        cutmix,
        dropout,
        input_noise,
    )
}
