"""Optimizers that measure a step by something other than Adam's two averages: sums of squares, norms of whole leaves,
orthogonal matrices, signs, or the change of the gradient.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from deepprinciples.parts.optimizers.from_optax.cards import OPTIMISM, Schedulable, part
from deepprinciples.parts.transforms import CountState, norm
from deepprinciples.types import Array, PyTree, Scalar


def _sm3(learning_rate: Schedulable, momentum: Scalar) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_sm3(momentum), optax.scale_by_learning_rate(learning_rate))


def _fromage(learning_rate: Schedulable, min_norm: Scalar) -> optax.GradientTransformation:
    """Write fromage so that its rate may be a schedule, which optax's may not."""

    def update(grads: PyTree, state: CountState, params: PyTree = None, **extra):
        del extra
        rate = jnp.asarray(learning_rate(state.steps) if callable(learning_rate) else learning_rate)
        shrink = 1.0 / jnp.sqrt(1.0 + jnp.square(rate))

        def step(g: Array, w: Array) -> Array:
            trust = jnp.maximum(norm(w), min_norm) / jnp.maximum(norm(g), min_norm)
            return shrink * (w - rate * trust * g) - w

        return jax.tree.map(step, grads, params), CountState(state.steps + 1)

    return optax.GradientTransformationExtraArgs(lambda params: CountState(jnp.zeros((), jnp.int32)), update)


adadelta = part(
    "adadelta",
    lambda decay, **others: optax.adadelta(rho=decay, **others),
    "Measure the step in units of past steps.",
    "v, u: averages of g^2 and s^2 with `decay`, s = g sqrt(u + eps) / sqrt(v + eps); params -= learning_rate s",
    "Zeiler, arXiv:1212.5701.",
    "Claimed to need no rate: steps have the units of the weights. update_ratio starts tiny, at a scale that eps "
    "sets, and grows; it hardly follows gradient_norm.",
    "Two copies of the weights.",
    learning_rate=1.0,
    decay=0.9,
    eps=1e-6,
    weight_decay=0.0,
)
adafactor = part(
    "adafactor",
    optax.adafactor,
    "Keep squared gradients of matrices as a row and a column only.",
    "v = outer(row means, column means) / mean; params -= learning_rate clip(g / sqrt(v)) max(rms(params), 1e-3)",
    "Shazeer and Stern, arXiv:1804.04235.",
    "update_ratio of a leaf is at most learning_rate clipping_threshold, once its weights have a root mean square "
    "above 1e-3: it follows the rate, not gradient_norm. Claimed to do about as well as Adam with less memory.",
    "One copy of the weights; but only a row and a column for kernels with two axes of at least "
    "min_dim_size_to_factor.",
    "v is that of every entry in leaves without two axes of at least min_dim_size_to_factor, 128 at the default; "
    "PyTorch and the paper factor every matrix, which min_dim_size_to_factor = 1 gives. Their rate falls, "
    "min(learning_rate, 1 / sqrt(t)); here that is left to the schedule. PyTorch's divisor has a floor that gradients "
    "below 3e-4 reach.",
    learning_rate=1e-2,
    decay_rate=0.8,
    clipping_threshold=1.0,
    eps=1e-30,
    min_dim_size_to_factor=128,
    multiply_by_parameter_scale=True,
)
adagrad = part(
    "adagrad",
    optax.adagrad,
    "Divide by the root of all squared gradients so far.",
    "v = v + g^2 from initial_accumulator_value; params -= learning_rate g / sqrt(v + eps)",
    "Duchi et al. 2011, Adaptive subgradient methods.",
    "Theory for convex losses and rare features. Steps only shrink: at a steady gradient_norm update_ratio falls like "
    "1 / sqrt(steps), and long runs may stop too early.",
    "One copy of the weights.",
    "PyTorch starts v at 0, so that the first step of every weight is the learning rate; here gradients far below "
    "sqrt(initial_accumulator_value), 0.32 at the default, hardly move it. Its eps is 1e-10, outside the root.",
    learning_rate=1e-2,
    initial_accumulator_value=0.1,
    eps=1e-7,
)
madgrad = part(
    "madgrad",
    contrib.madgrad,
    "Average iterates of dual averaging with a cube root in place of Adagrad's square root.",
    "z = params_0 - sum(l g) / cbrt(sum(l g^2)), l = learning_rate sqrt(t); params += (1 - momentum) (z - params)",
    "Defazio and Jelassi, arXiv:2101.11075.",
    "Claimed to do as well as sgd on pictures and as Adam on text. The step goes with the cube root of the gradient: "
    "update_ratio follows gradient_norm, but less than sgd's. The weights stay tied to where they started.",
    "Three copies of the weights.",
    learning_rate=1e-2,
    momentum=0.9,
    weight_decay=0.0,
    eps=1e-6,
)
rmsprop = part(
    "rmsprop",
    optax.rmsprop,
    "Divide the gradient by the root of its averaged square.",
    "v = decay v + (1 - decay) g^2; params -= momentum sum of learning_rate g / sqrt(v + eps)",
    "Hinton 2012, Neural networks for machine learning, lecture 6; Graves, arXiv:1308.0850.",
    "Every weight moves by about the learning rate at most, in the first step by 1 / sqrt(1 - decay) times that, 3.2 "
    "at the default: update_ratio starts high, and later hardly follows gradient_norm.",
    "Two copies of the weights, three where centered; the sum of momentum is kept at momentum 0 too.",
    "With eps_in_sqrt = false it is g / (sqrt(v) + eps), as in PyTorch. Under the root, eps shortens the steps of "
    "gradients below sqrt(eps): for 1e-6 they are 100 times shorter. PyTorch: decay 0.99, learning_rate 0.01; momentum "
    "sums g / sqrt(v), and the rate of the moment multiplies the sum.",
    learning_rate=1e-3,
    decay=0.9,
    momentum=0.0,
    eps=1e-8,
    initial_scale=0.0,
    centered=False,
    nesterov=False,
    eps_in_sqrt=True,
)
sm3 = part(
    "sm3",
    _sm3,
    "Keep one accumulator per row and column of Adagrad's.",
    "v = min over the axes of their accumulators + g^2; params -= momentum average of learning_rate g / sqrt(v)",
    "Anil et al., arXiv:1901.11150.",
    "Claimed to come close to adagrad with less memory. Its divisor is at least the root of all squared gradients so "
    "far, and only grows: at a steady gradient_norm update_ratio falls, and is no larger than there.",
    "One copy of the weights, for momentum, and a vector per axis.",
    learning_rate=1e-2,
    momentum=0.9,
)
lamb = part(
    "lamb",
    optax.lamb,
    "Scale Adam's step of each leaf to the norm of its weights.",
    "r = m / (sqrt(v) + eps) + weight_decay params; params -= learning_rate |params| r / |r|",
    "You et al., arXiv:1904.00962.",
    "Claimed to bear very large batches. update_ratio of a leaf is the learning rate, at every step and whatever "
    "gradient_norm is; a leaf of zeros, such as a bias at the start, takes adam's step.",
    "Two copies of the weights.",
    learning_rate=1e-2,
    b1=0.9,
    b2=0.999,
    eps=1e-6,
    weight_decay=0.0,
)
lars = part(
    "lars",
    optax.lars,
    "Scale the gradient of each leaf to the norm of its weights.",
    "r = g + weight_decay params; params -= momentum sum of learning_rate trust_coefficient |params| r / |r|",
    "You et al., arXiv:1708.03888.",
    "Claimed to bear very large batches. update_ratio of a leaf is about learning_rate trust_coefficient, up to 1 / "
    "(1 - momentum) times that, whatever gradient_norm is; a leaf of zeros takes the step of sgd.",
    "One copy of the weights.",
    learning_rate=1.0,
    momentum=0.9,
    weight_decay=0.0,
    trust_coefficient=1e-3,
)
novograd = part(
    "novograd",
    optax.novograd,
    "Divide the gradient of each leaf by its averaged norm, then add momentum.",
    "v = b2 v + (1 - b2) |g|^2, m = b1 m + g / (sqrt(v) + eps) + weight_decay params; params -= learning_rate m",
    "Ginsburg et al., arXiv:1905.11286.",
    "Claimed to bear large batches and rates. A leaf with small gradients moves as far as others, so update_ratio "
    "does not follow gradient_norm; where gradients agree the step is up to learning_rate / (1 - b1) long.",
    "One copy of the weights and a number per leaf.",
    learning_rate=1e-2,
    b1=0.9,
    b2=0.25,
    eps=1e-6,
    weight_decay=0.0,
)
fromage = part(
    "fromage",
    _fromage,
    "Scale the gradient of each leaf to the norm of its weights and keep that norm from growing.",
    "params = (params - learning_rate |params| g / |g|) / sqrt(1 + learning_rate^2)",
    "Bernstein et al., arXiv:2002.03432.",
    "update_ratio of a leaf is about the learning rate, and the norms of weights hardly change, whatever "
    "gradient_norm is. A leaf that starts at zero, such as a bias, can hardly leave it.",
    "No copy of the weights.",
    learning_rate=1e-2,
    min_norm=1e-6,
)
muon = part(
    "muon",
    contrib.muon,
    "Orthogonalize the momentum of each matrix; train all else by NAdam, or by Adam without nesterov.",
    "M: average of G, corrected for the start at zero, M = U S V^T; params -= learning_rate (U V^T sqrt(max(1, out / "
    "in)) + weight_decay params), by Newton-Schulz steps; nesterov: beta M + (1 - beta) G in place of M, M with the "
    "count of the next step, G with this one's",
    "Jordan et al. 2024, Muon; Liu et al., arXiv:2502.16982.",
    "All directions of a matrix get about the same step (0.7 to 1.1), so rank should fall less than with Adam, and "
    "update_ratio does not follow gradient_norm. Kernels of convolutions are no matrices here and get Adam.",
    "One copy of the matrices, two of all else, and 3 ns_steps products of matrices a step, which small batches feel.",
    "Jordan and PyTorch mix without the corrections, so that the first steps with nesterov weigh G less there. "
    "PyTorch: learning_rate 0.001, weight_decay 0.1, eps 1e-7, products in bfloat16, and matrices only.",
    learning_rate=1e-2,
    beta=0.95,
    eps=1e-8,
    weight_decay=0.0,
    adam_b1=0.9,
    adam_b2=0.999,
    ns_steps=5,
    nesterov=True,
)
lion = part(
    "lion",
    optax.lion,
    "Step by the sign of an averaged gradient.",
    "params -= learning_rate (sign(b1 m + (1 - b1) g) + weight_decay params), then m = b2 m + (1 - b2) g",
    "Chen et al., arXiv:2302.06675.",
    "Claimed to do as well as adamw with less memory and a rate 3 to 10 times lower. Every weight moves by the "
    "learning rate, so update_ratio does not follow gradient_norm, and a minimum is circled unless a schedule lowers "
    "the rate.",
    "One copy of the weights.",
    learning_rate=1e-4,
    b1=0.9,
    b2=0.99,
    weight_decay=1e-3,
)
sign_sgd = part(
    "sign_sgd",
    optax.sign_sgd,
    "Step by the sign of the gradient.",
    "params -= learning_rate sign(g)",
    "Bernstein et al., arXiv:1802.04434.",
    "Every weight with a gradient moves by the learning rate, so update_ratio does not follow gradient_norm, and a "
    "minimum is circled (step_cosine falls) unless a schedule lowers the rate. Theory: best where gradients are "
    "dense.",
    "No copy of the weights.",
    learning_rate=1e-3,
)
signum = part(
    "signum",
    optax.signum,
    "Step by the sign of the averaged gradient.",
    "m = beta m + (1 - beta) g; params -= learning_rate sign(m)",
    "Bernstein et al., arXiv:1802.04434.",
    "As sign_sgd with signs that single batches disturb less: step_cosine should be higher where gradient_noise is. "
    "update_ratio does not follow gradient_norm; at beta 0 it is sign_sgd.",
    "One copy of the weights.",
    learning_rate=1e-3,
    beta=0.9,
)
optimistic_gradient_descent = part(
    "optimistic_gradient_descent",
    optax.optimistic_gradient_descent,
    "Add the change of the gradient to the gradient, for games.",
    "params -= learning_rate ((alpha + beta) g - beta g_last)",
    OPTIMISM,
    "Theory for simple games: it goes to the solution where plain steps circle, so the gradients of both players "
    "(players) should fall. Near sgd where gradients change slowly; with noisy batches update_ratio rises.",
    "One copy of the weights.",
    learning_rate=0.1,
    alpha=1.0,
    beta=1.0,
)
