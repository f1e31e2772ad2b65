"""Game losses: what two players minimize, one that tells real examples from generated ones and one that generates.

A factory returns `GanLoss(discriminator, generator)`, two functions of the same logits, real [B] and fake [B], with
one value per pair. In the formulas r and f are these logits and s is the logistic function; a logit above 0 says
"real".
Penalties on the slope of the discriminator are in `penalties`; the learner decides who steps when.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, GanLoss, Scalar, Share, traits

PairLoss = Callable[[Array, Array], Array]


def _paired(name: str, loss: PairLoss) -> PairLoss:
    """Refuse logits that would broadcast: [B] with [B, 1] is [B, B], and its mean looks like a loss."""

    def checked(real: Array, fake: Array) -> Array:
        if real.ndim != 1 or real.shape != fake.shape:
            shapes = f"real logits {list(real.shape)} and fake logits {list(fake.shape)}"
            raise ValueError(f"{name}: {shapes} do not pair; expected [B] and [B]")
        return loss(real, fake)

    return checked


def _game(name: str, discriminator: PairLoss, generator: PairLoss, *, per_example: bool = True) -> GanLoss:
    return GanLoss(_paired(name, discriminator), _paired(name, generator), per_example)


def _cross_entropy(real_smoothing: Scalar, fake_smoothing: Scalar) -> PairLoss:
    # -(1 - a) log s(r) - a log s(-r) = softplus(-r) + a r: no logarithm of a rounded probability
    return lambda r, f: jax.nn.softplus(-r) + real_smoothing * r + jax.nn.softplus(f) - fake_smoothing * f


@traits(neutral={"fake_smoothing": 0.0, "real_smoothing": 0.0})
def minimax(*, real_smoothing: Share = 0.0, fake_smoothing: Share = 0.0) -> GanLoss:
    """Play the zero-sum game of the first paper.

    discriminator: -log s(r) - log(1 - s(f)), generator: log(1 - s(f)); the generator's slope fades where it is caught

    Smoothing makes the discriminator's target 1 - real_smoothing for real and fake_smoothing for fake examples.

    Args:
      real_smoothing: taken from the target of real examples, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      fake_smoothing: given to the target of fake examples, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
    Returns: GanLoss of functions (real logits [B], fake logits [B]) -> [B].
    Raises: ValueError for logits that do not pair.
    Expect: Where the generator is caught (discriminator_fake near 0) its slope fades: generator_gradient falls, and it
      may stop to learn. At the solution discriminator_real = discriminator_fake = 1/2; smoothing keeps
      discriminator_real below 1.
    Costs: Nothing that is measurable.
    References: Goodfellow et al., arXiv:1406.2661; smoothing: Salimans et al., arXiv:1606.03498.
    """
    discriminator = _cross_entropy(real_smoothing, fake_smoothing)
    return _game("minimax", discriminator, lambda r, f: -jax.nn.softplus(f))


@traits(neutral={"fake_smoothing": 0.0, "real_smoothing": 0.0})
def non_saturating(*, real_smoothing: Share = 0.0, fake_smoothing: Share = 0.0) -> GanLoss:
    """Let the generator raise the probability of "real" instead of lowering that of "fake".

    discriminator: -log s(r) - log(1 - s(f)), generator: -log s(f); the generator's slope is largest where it is caught

    Smoothing makes the discriminator's target 1 - real_smoothing for real and fake_smoothing for fake examples.

    Args:
      real_smoothing: taken from the target of real examples, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      fake_smoothing: given to the target of fake examples, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
    Returns: GanLoss of functions (real logits [B], fake logits [B]) -> [B].
    Raises: ValueError for logits that do not pair.
    Expect: generator_gradient stays large where discriminator_fake is near 0, unlike with minimax; both have the same
      solution, discriminator_real = discriminator_fake = 1/2. Smoothing keeps discriminator_real below 1.
    Costs: Nothing that is measurable.
    References: Goodfellow et al., arXiv:1406.2661; smoothing: Salimans et al., arXiv:1606.03498.
    """
    discriminator = _cross_entropy(real_smoothing, fake_smoothing)
    return _game("non_saturating", discriminator, lambda r, f: jax.nn.softplus(-f))


def least_squares(*, real_target: Scalar = 1.0, fake_target: Scalar = 0.0, generator_target: Scalar = 1.0) -> GanLoss:
    """Regress the logits on targets, so that an example far on the right side still pulls.

    discriminator: (r - real_target)^2 / 2 + (f - fake_target)^2 / 2, generator: (f - generator_target)^2 / 2

    Args:
      real_target: what the discriminator gives to real examples. *Sweepable.*
      fake_target: what it gives to fake examples. *Sweepable.*
      generator_target: what the generator wants it to give to fake examples. *Sweepable.*
    Returns: GanLoss of functions (real logits [B], fake logits [B]) -> [B].
    Raises: ValueError for logits that do not pair.
    Expect: Claimed to be steadier and to fade less: critic_gap is near real_target - fake_target where the
      discriminator wins and near 0 at the solution; generator_gradient grows with the distance from the target.
    Costs: Nothing that is measurable.
    References: Mao et al., arXiv:1611.04076.
    """

    def discriminator(r: Array, f: Array) -> Array:
        return 0.5 * jnp.square(r - real_target) + 0.5 * jnp.square(f - fake_target)

    return _game("least_squares", discriminator, lambda r, f: 0.5 * jnp.square(f - generator_target))


def wasserstein() -> GanLoss:
    """Estimate a distance between real and fake examples by a critic, which something else must keep Lipschitz.

    discriminator: f - r, generator: -f; unbounded below without a gradient penalty, spectral norm or clipping

    Returns: GanLoss of functions (real logits [B], fake logits [B]) -> [B].
    Raises: ValueError for logits that do not pair.
    Expect: Claimed to give a slope everywhere and a loss that follows the samples: with a penalty critic_gap estimates
      a distance and should fall. Without one, or weight clipping, critic_gap grows without bound.
    Costs: Nothing that is measurable, without the penalty that it needs.
    References: Arjovsky et al., arXiv:1701.07875.
    """
    return _game("wasserstein", lambda r, f: f - r, lambda r, f: -f)


def hinge() -> GanLoss:
    """Stop teaching the discriminator about examples that it tells apart by a margin of one.

    discriminator: max(0, 1 - r) + max(0, 1 + f), generator: -f

    Returns: GanLoss of functions (real logits [B], fake logits [B]) -> [B].
    Raises: ValueError for logits that do not pair.
    Expect: Pairs separated by the margin no longer teach the discriminator, so discriminator_gradient fades and
      critic_gap stays near 2 where it wins; generator_gradient does not fade with it. Claimed to be steady with
      spectral norm.
    Costs: Nothing that is measurable.
    References: Lim and Ye, arXiv:1705.02894; Miyato et al., arXiv:1802.05957.
    """
    return _game("hinge", lambda r, f: jax.nn.relu(1.0 - r) + jax.nn.relu(1.0 + f), lambda r, f: -f)


def relativistic() -> GanLoss:
    """Ask of each pair which of the two is real.

    discriminator: -log s(r - f), generator: -log s(f - r); only differences of logits count

    Returns: GanLoss of functions (real logits [B], fake logits [B]) -> [B].
    Raises: ValueError for logits that do not pair.
    Expect: Only the difference of the logits matters, so discriminator_real and discriminator_fake may drift together:
      look at critic_gap, near 0 at the solution. Claimed to be steadier, since real examples teach the generator too.
    Costs: Nothing that is measurable.
    References: Jolicoeur-Martineau, arXiv:1807.00734, "RSGAN".
    """
    return _game("relativistic", lambda r, f: jax.nn.softplus(f - r), lambda r, f: jax.nn.softplus(r - f))


def relativistic_average() -> GanLoss:
    """Ask of each example whether it looks more real than the other side does on average.

    discriminator: -log s(r - mean f) - log(1 - s(f - mean r)), generator: the same with r and f exchanged

    The means are over the batch, and gradients pass through them. As in the paper there is no factor 1/2.

    Returns: GanLoss of functions (real logits [B], fake logits [B]) -> [B].
    Raises: ValueError for logits that do not pair.
    Expect: As relativistic, against the mean of the other side, so single pairs matter less: look at critic_gap, near 0
      at the solution. Claimed to be steadier; small batches make the means noisy.
    Costs: Nothing that is measurable.
    References: Jolicoeur-Martineau, arXiv:1807.00734, "RaSGAN".
    """

    def more_real(a: Array, b: Array) -> Array:
        return jax.nn.softplus(jnp.mean(b) - a) + jax.nn.softplus(b - jnp.mean(a))

    return _game("relativistic_average", more_real, lambda r, f: more_real(f, r), per_example=False)


TABLE = {
    f.__name__: f
    for f in (minimax, non_saturating, least_squares, wasserstein, hinge, relativistic, relativistic_average)
}
