"""Optimizers that find their own step size: from bets, from the distance travelled, or from the loss.

Their `learning_rate` is a factor on that step or its largest value, and not the step: a rate tuned for another
optimizer says nothing here.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from deepprinciples.parts.optimizers.from_optax.cards import part
from deepprinciples.parts.transforms import norm
from deepprinciples.types import PyTree, Scalar


def _resting(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Skip steps without any gradient, where an estimate of the distance would be 0 / 0."""

    def update(grads: PyTree, state: PyTree, params: PyTree = None, **extra):
        del extra
        moving = norm(grads) != 0.0
        updates, moved = optimizer.update(grads, state, params)
        updates = jax.tree.map(lambda u: jnp.where(moving, u, 0.0), updates)
        return updates, jax.tree.map(lambda new, old: jnp.where(moving, new, old), moved, state)

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def _prodigy(b1: Scalar, b2: Scalar, **others: Any) -> optax.GradientTransformation:
    return _resting(contrib.prodigy(betas=(b1, b2), **others))


def _dadapt_adamw(b1: Scalar, b2: Scalar, initial_estimate: Scalar, **others: Any) -> optax.GradientTransformation:
    return _resting(contrib.dadapt_adamw(betas=(b1, b2), estim_lr0=initial_estimate, **others))


def _dog(init_step: Scalar, **others: Any) -> optax.GradientTransformation:
    return contrib.dog(init_step=("heuristic", init_step), **others)


cocob = part(
    "cocob",
    contrib.cocob,
    "Bet coins on every weight; needs no learning rate beyond 1.",
    "params = params_0 + bet share times wealth, per entry",
    "Orabona and Tommasi, arXiv:1705.07795.",
    "Claimed to need no rate: learning_rate only scales the gradient, to which the bets are blind. update_ratio "
    "starts small, since first bets are 1 / alpha of the wealth, and grows where gradients agree.",
    "Five copies of the weights.",
    learning_rate=1.0,
    alpha=100.0,
    eps=1e-8,
    weight_decay=0.0,
)
dog = part(
    "dog",
    _dog,
    "Set the step by the distance travelled over the gradients seen.",
    "params -= learning_rate max_i |params_i - params_0| / sqrt(sum |g_i|^2 + eps) g",
    "Ivgi et al., arXiv:2302.12022.",
    "Claimed to need no rate: update_ratio starts tiny and grows with the distance travelled, then falls as gradients "
    "add up. The authors judge an average of the weights; a rate other than 1 leaves the theory.",
    "One copy of the weights.",
    learning_rate=1.0,
    init_step=1e-6,
    eps=1e-8,
    weight_decay=0.0,
)
dowg = part(
    "dowg",
    contrib.dowg,
    "Set the step by the distance travelled over the gradients seen, weighted by distance.",
    "params -= learning_rate r^2 / sqrt(sum r_i^2 |g_i|^2) g, r = max_i |params_i - params_0|",
    "Khaled et al., arXiv:2305.16284.",
    "Claimed to need no rate and to follow how smooth the loss is: update_ratio starts tiny and grows with the "
    "distance travelled. A rate other than 1 leaves the theory.",
    "One copy of the weights.",
    learning_rate=1.0,
    eps=1e-4,
    weight_decay=0.0,
)
prodigy = part(
    "prodigy",
    _prodigy,
    "Take AdamW's step times an estimate of the distance to the solution; rest where the gradient is zero.",
    "params -= learning_rate d (m / (sqrt(v) + d eps) + weight_decay params), d growing with <g, params_0 - params>",
    "Mishchenko and Defazio, arXiv:2306.06101.",
    "Claimed to match a tuned AdamW at rate 1, with a d that grows faster than in dadapt_adamw. update_ratio starts "
    "tiny and grows with d, which never falls; a short run may end before d has grown.",
    "Four copies of the weights.",
    learning_rate=1.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
)
dadapt_adamw = part(
    "dadapt_adamw",
    _dadapt_adamw,
    "Take AdamW's step times an estimate of the distance to the solution; rest where the gradient is zero.",
    "params -= learning_rate d (m / (sqrt(v) + eps) + weight_decay params), d estimated from sums of gradients",
    "Defazio and Mishchenko, arXiv:2301.07733.",
    "Claimed to match a tuned AdamW at rate 1: update_ratio starts tiny and grows with d, which never falls; a short "
    "run may end before d has grown.",
    "Three copies of the weights.",
    learning_rate=1.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    initial_estimate=1e-6,
    weight_decay=0.0,
)
momo = part(
    "momo",
    contrib.momo,
    "Choose the step of averaged momentum from the loss, at most the learning rate.",
    "params -= min(learning_rate, (f + <m, params> - lower_bound)_+ / |m|^2) m; f, m: means of loss - <g, params>, g",
    "Schaipp et al., arXiv:2305.07583.",
    "Claimed to depend less on the rate: steps shorten as the loss nears the bound, so update_ratio falls with the "
    "loss. Where learning_rate is the shorter step it is sgd with averaged momentum.",
    "One copy of the weights.",
    learning_rate=1.0,
    beta=0.9,
    lower_bound=0.0,
    weight_decay=0.0,
    adapt_lower_bound=False,
)
momo_adam = part(
    "momo_adam",
    contrib.momo_adam,
    "Choose the step of Adam from the loss, at most the learning rate.",
    "as momo, with m / (sqrt(v) + eps) in place of m; needs the loss",
    "Schaipp et al., arXiv:2305.07583.",
    "Claimed to depend less on the rate than Adam: steps shorten as the loss nears the bound, so update_ratio falls "
    "with the loss. Where learning_rate is the shorter step it is near adam.",
    "Two copies of the weights.",
    learning_rate=1e-2,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    lower_bound=0.0,
    weight_decay=0.0,
    adapt_lower_bound=False,
)
