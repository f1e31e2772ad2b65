"""Penalties: what is asked of the slope of a discriminator, beside its loss.

A factory returns `CriticPenalty(apply)`; apply(critic, real, fake, key) -> scalar is added to the discriminator's loss.
The critic maps examples [B, ...] to logits [B]. The slope of an example is the gradient of the sum of all logits with
respect to it, which is the gradient of its own logit wherever examples do not meet inside the critic; batch norm makes
them meet. Each penalty is one more forward and backward pass, and its own gradient a backward pass through both.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from deepprinciples.kernels import random
from deepprinciples.types import Array, CriticPenalty, NonNegative, Scalar, Strength, traits

Critic = Callable[[Array], Array]


def _slopes(critic: Critic, inputs: Array, strength: Scalar) -> Array:
    """Return the gradient of every logit with respect to its example, one row each, [B, D]."""
    slopes = jax.grad(lambda x: jnp.sum(critic(x)))(inputs)
    slopes = slopes.reshape(slopes.shape[0], -1).astype(jnp.float32)  # [B, D]
    # Without a penalty a critic may grow until the square overflows, and 0 * inf is NaN: off must mean off.
    return jnp.where(jnp.asarray(strength) == 0.0, 0.0, slopes)


def _squares(critic: Critic, inputs: Array, strength: Scalar) -> Array:
    return jnp.sum(jnp.square(_slopes(critic, inputs, strength)), axis=1)  # [B]


def _gaps(critic: Critic, inputs: Array, strength: Scalar) -> Array:
    norms = optax.safe_norm(_slopes(critic, inputs, strength), 0.0, axis=1)  # [B]; its gradient at a slope of 0 is 0
    return jnp.square(norms - 1.0)


def _between(name: str, real: Array, fake: Array, key: Array) -> Array:
    """Draw one point, uniformly, on the line from each fake to its real example."""
    if real.shape != fake.shape:
        raise ValueError(f"{name}: real {list(real.shape)} and fake {list(fake.shape)} do not pair; expected one shape")
    share = random.uniform(key, (real.shape[0],) + (1,) * (real.ndim - 1), real.dtype)
    return share * real + (1.0 - share) * fake


@traits(neutral={"strength": 0.0}, fill=False)
def r1(*, strength: Strength = 1.0) -> CriticPenalty:
    """Flatten the discriminator on real examples, which makes training converge near the solution.

    penalty = strength / 2 mean_i ||grad D(real_i)||^2

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
    Returns: CriticPenalty; apply(critic, real, fake, key) -> scalar float32.
    Expect: Theory: near the solution a game that circles now converges. `penalty` and discriminator_gradient (players)
      should fall, discriminator_real and discriminator_fake come near 1/2. Nothing where D is flat at real examples.
    Costs: One more forward and backward pass of the discriminator, and a way back through both; no copy of the weights.
    References: Mescheder et al., arXiv:1801.04406.
    """

    def apply(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        del fake, key
        return 0.5 * strength * jnp.mean(_squares(critic, real, strength))

    return CriticPenalty(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def r2(*, strength: Strength = 1.0) -> CriticPenalty:
    """Flatten the discriminator on fake examples.

    penalty = strength / 2 mean_i ||grad D(fake_i)||^2

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
    Returns: CriticPenalty; apply(critic, real, fake, key) -> scalar float32.
    Expect: Theory as for r1, of which it is the mirror: it damps on what is made, so it does little while the fakes are
      far from where D turns. `penalty` and discriminator_gradient (players) should fall.
    Costs: One more forward and backward pass of the discriminator, and a way back through both; no copy of the weights.
    References: Mescheder et al., arXiv:1801.04406.
    """

    def apply(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        del real, key
        return 0.5 * strength * jnp.mean(_squares(critic, fake, strength))

    return CriticPenalty(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def gradient_penalty(*, strength: Strength = 10.0) -> CriticPenalty:
    """Pull the slope of the critic to one between real and fake examples, so that it measures a distance.

    penalty = strength mean_i (||grad D(x_i)|| - 1)^2, x_i = u_i real_i + (1 - u_i) fake_i, u_i uniform in [0, 1)

    The gradient at a slope of exactly zero, where the norm has none, is zero.

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
    Returns: CriticPenalty; apply(critic, real, fake, key) -> scalar float32.
    Raises: ValueError where real and fake differ in shape.
    Expect: Claimed to keep a critic Lipschitz better than weight clipping: critic_gap (players) stays bounded and can
      be read as a distance, `penalty` falls towards 0. Theory: no convergence close to the solution, where r1 has it.
    Costs: One more forward and backward pass of the discriminator, and a way back through both; no copy of the weights.
    References: Gulrajani et al., arXiv:1704.00028.
    """

    def apply(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        return strength * jnp.mean(_gaps(critic, _between("gradient_penalty", real, fake, key), strength))

    return CriticPenalty(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def zero_centered(*, strength: Strength = 10.0) -> CriticPenalty:
    """Flatten the discriminator between real and fake examples.

    penalty = strength mean_i ||grad D(x_i)||^2, x_i = u_i real_i + (1 - u_i) fake_i, u_i uniform in [0, 1)

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
    Returns: CriticPenalty; apply(critic, real, fake, key) -> scalar float32.
    Raises: ValueError where real and fake differ in shape.
    Expect: Claimed to keep the discriminator from learning the examples by heart, and to make training converge:
      discriminator_real and discriminator_fake (players) come near 1/2, `penalty` and generator_gradient should fall.
    Costs: One more forward and backward pass of the discriminator, and a way back through both; no copy of the weights.
    References: Thanh-Tung et al., arXiv:1902.03984.
    """

    def apply(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        return strength * jnp.mean(_squares(critic, _between("zero_centered", real, fake, key), strength))

    return CriticPenalty(apply)


@traits(neutral={"strength": 0.0}, fill=False)
def dragan(*, strength: Strength = 10.0, noise: NonNegative = 0.5) -> CriticPenalty:
    """Pull the slope of the discriminator to one around real examples.

    penalty = strength mean_i (||grad D(x_i)|| - 1)^2, x_i = real_i + noise std(real) u_i, u_i uniform in [0, 1)

    std is one number for all entries of the batch, and u_i has one draw per entry. This is the shift of the authors'
    program (which then draws a point on the way there), not the normal noise of their text: it is never negative.

    Args:
      strength: weight. *Sweepable.* *Neutral: 0.0.*
      noise: length of the shift, in standard deviations. *Sweepable.* At 0.0 the points are the real examples.
    Returns: CriticPenalty; apply(critic, real, fake, key) -> scalar float32.
    Expect: Claimed to prevent sharp slopes around real examples, and with them mode collapse: diversity (players)
      should fall less, discriminator_real stay below 1. The slope is pulled to 1, so it does not fade at the solution.
    Costs: One more forward and backward pass of the discriminator, and a way back through both; no copy of the weights.
    References: Kodali et al., arXiv:1705.07215.
    """

    def apply(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        del fake
        shift = noise * jnp.std(real) * random.uniform(key, real.shape, real.dtype)
        return strength * jnp.mean(_gaps(critic, real + shift, strength))

    return CriticPenalty(apply)


TABLE = {f.__name__: f for f in (r1, r2, gradient_penalty, zero_centered, dragan)}
