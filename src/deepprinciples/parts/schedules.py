"""Schedules: how the learning rate changes over a run, as a shape on the unit interval.

Every factory returns `(progress) -> factor`: progress runs from 0 at the first step to 1 at the end, and the factor
is multiplied with the (swept) learning rate. The shape knows no step count and no rate, so one compiled program
serves all. `warmup` is the share of the run over which the factor first rises from 0 in a straight line: factor =
progress / warmup. With a warm-up the first step has length 0. Schedules of anything else than the learning rate do
not belong here. The factories carry the trait `of_progress`; one without it returns `(step) -> factor`, as optax's do.
Together its neutral values make a schedule constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp

from deepprinciples.types import Array, NonNegative, Positive, Range, Scalar, Share, traits

Schedule = Callable[[Array], Array]


def _rest(progress: Array, warmup: Scalar) -> Array:
    """Measure the progress of what follows the warm-up, in [0, 1]."""
    left = 1.0 - jnp.asarray(warmup, jnp.float32)
    return jnp.clip((progress - warmup) / jnp.where(left > 0, left, 1.0), 0.0, 1.0)


def _warm(progress: Array, warmup: Scalar, factor: Array) -> Array:
    share = jnp.asarray(warmup, jnp.float32)
    rising = progress / jnp.where(share > 0, share, 1.0)
    return jnp.where(progress < share, rising, factor)


@traits(of_progress=True)
def constant() -> Schedule:
    """Keep the learning rate; with a warm-up it is `warmup_stable_decay` with cooldown 0.

    factor = 1

    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: update_ratio settles at a floor that the rate and gradient_noise set, and the training loss goes no lower
      than that noise lets it. It is the ground that other schedules are compared with.
    Costs: Nothing that is measurable.
    """
    return lambda progress: jnp.ones_like(jnp.asarray(progress, jnp.float32))


@traits(neutral={"warmup": 0.0, "final": 1.0}, of_progress=True)
def cosine(*, warmup: Share = 0.0, final: NonNegative = 0.0) -> Schedule:
    """Fall along half a cosine.

    factor = final + (1 - final) (1 + cos(pi p)) / 2, p the progress after the warm-up

    Args:
      warmup: share of the run, in [0, 1]; above 0 the first step has length 0. *Sweepable.* *Neutral: 0.0.*
      final: factor at the end. *Sweepable.* *Neutral: 1.0.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: update_ratio falls with the factor, the noise of late steps dies out and the training loss drops towards the
      end; sharpness may rise, since 2 / rate does. A warm-up should keep early step_cosine above 0.
    Costs: Nothing that is measurable.
    References: Loshchilov and Hutter, arXiv:1608.03983.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        shape = 0.5 * (1.0 + jnp.cos(jnp.pi * _rest(progress, warmup)))
        return _warm(progress, warmup, final + (1.0 - final) * shape)

    return schedule


@traits(neutral={"warmup": 0.0, "final": 1.0}, of_progress=True)
def linear(*, warmup: Share = 0.0, final: NonNegative = 0.0) -> Schedule:
    """Fall in a straight line.

    factor = final + (1 - final) (1 - p), p the progress after the warm-up

    Args:
      warmup: share of the run, in [0, 1]; above 0 the first step has length 0. *Sweepable.* *Neutral: 0.0.*
      final: factor at the end. *Sweepable.* *Neutral: 1.0.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: Claimed to be the best of the simple shapes where the length of the run is known. update_ratio falls with
      the factor, and the training loss drops towards the end; sharpness may rise, since 2 / rate does.
    Costs: Nothing that is measurable.
    References: Defazio et al., arXiv:2310.07831.
    """
    return polynomial(warmup=warmup, final=final, power=1.0)


@traits(neutral={"warmup": 0.0, "final": 1.0}, of_progress=True)
def polynomial(*, warmup: Share = 0.0, final: NonNegative = 0.0, power: Positive = 2.0) -> Schedule:
    """Fall like a power of what is left of the run.

    factor = final + (1 - final) (1 - p)^power, p the progress after the warm-up

    Args:
      warmup: share of the run, in [0, 1]; above 0 the first step has length 0. *Sweepable.* *Neutral: 0.0.*
      final: factor at the end. *Sweepable.* *Neutral: 1.0.*
      power: above 0. *Sweepable.* At 1.0 it is linear.
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: update_ratio falls with the factor, for powers above 1 mostly early and with long small steps at the end;
      the training loss drops with its noise. sharpness may rise, since 2 / rate does.
    Costs: Nothing that is measurable.
    References: Chen et al., arXiv:1606.00915.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        shape = (1.0 - _rest(progress, warmup)) ** jnp.asarray(power, jnp.float32)
        return _warm(progress, warmup, final + (1.0 - final) * shape)

    return schedule


@traits(neutral={"warmup": 0.0, "final": 1.0}, of_progress=True)
def exponential(*, warmup: Share = 0.0, final: Positive = 0.01) -> Schedule:
    """Fall, or rise, by the same factor in equal times; with a final factor far above 1 it finds learning rates.

    factor = final^p, p the progress after the warm-up

    Args:
      warmup: share of the run, in [0, 1]; above 0 the first step has length 0. *Sweepable.* *Neutral: 0.0.*
      final: factor at the end, above 0. *Sweepable.* *Neutral: 1.0.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: update_ratio falls with the factor at an even pace in its logarithm. As a range test (final far above 1) the
      loss falls, then turns up: about where the rate passes 2 / sharpness and step_cosine drops below 0.
    Costs: Nothing that is measurable.
    References: Smith, arXiv:1506.01186 (range test).
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        return _warm(progress, warmup, jnp.asarray(final, jnp.float32) ** _rest(progress, warmup))

    return schedule


@traits(of_progress=True)
def inverse_sqrt(*, warmup: Annotated[Scalar, Range("(0, 1]")] = 0.1) -> Schedule:
    """Fall like one over the root of the steps.

    factor = sqrt(warmup / progress) after the warm-up; it meets the warm-up at 1

    Args:
      warmup: share of the run, in (0, 1]; the first step has length 0. *Sweepable.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: update_ratio falls slowly and does not come near 0: at the end the factor is sqrt(warmup), 0.32 at the
      default, so some noise of the steps stays. Claimed to suit runs whose length is not known before.
    Costs: Nothing that is measurable.
    References: Vaswani et al., arXiv:1706.03762.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        share = jnp.maximum(jnp.asarray(warmup, jnp.float32), 1e-6)  # at 0 every factor would be 0
        return _warm(progress, share, jnp.sqrt(share / jnp.maximum(progress, share)))

    return schedule


@traits(neutral={"warmup": 0.0, "factor": 1.0}, of_progress=True)
def step(
    *,
    boundaries: Annotated[tuple[float, ...], Range("(0, 1)")] = (0.5, 0.75),
    factor: Positive = 0.1,
    warmup: Share = 0.0,
) -> Schedule:
    """Fall at once at given times.

    factor^n, n the number of boundaries at or before the progress

    Args:
      boundaries: shares of the run, in (0, 1).
      factor: what each fall multiplies by, above 0. *Sweepable.* *Neutral: 1.0.*
      warmup: share of the run, in [0, 1]; above 0 the first step has length 0. *Sweepable.* *Neutral: 0.0.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: update_ratio falls by the factor at each boundary, and the training loss with it at once, as far as it was
      held up by the noise of the steps (gradient_noise); sharpness may rise after, since 2 / rate does.
    Costs: Nothing that is measurable.
    References: He et al., arXiv:1512.03385.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        passed = sum((progress >= b).astype(jnp.float32) for b in boundaries) + jnp.zeros_like(progress)
        return _warm(progress, warmup, jnp.asarray(factor, jnp.float32) ** passed)

    return schedule


@traits(neutral={"warmup": 0.0, "cooldown": 0.0, "final": 1.0}, of_progress=True)
def warmup_stable_decay(*, warmup: Share = 0.05, cooldown: Share = 0.2, final: NonNegative = 0.0) -> Schedule:
    """Rise, stay, and fall in a straight line at the end.

    factor = min(progress / warmup, 1, final + (1 - final) (1 - progress) / cooldown)

    Args:
      warmup: share of the run, in [0, 1]; above 0 the first step has length 0. *Sweepable.* *Neutral: 0.0.*
      cooldown: share of the run over which the factor falls, in [0, 1]. *Sweepable.* *Neutral: 0.0.*
      final: factor at the end. *Sweepable.* *Neutral: 1.0.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: The loss stays on a plateau in the stable part and drops in the cooldown, as update_ratio does; claimed to
      come close to cosine while the end can be chosen late. The warm-up should keep early step_cosine above 0.
    Costs: Nothing that is measurable.
    References: Hu et al., arXiv:2404.06395; Hägele et al., arXiv:2405.18392.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        share = jnp.asarray(cooldown, jnp.float32)
        left = jnp.clip((1.0 - progress) / jnp.where(share > 0, share, 1.0), 0.0, 1.0)
        return _warm(progress, warmup, jnp.where(share > 0, final + (1.0 - final) * left, 1.0))

    return schedule


@traits(of_progress=True)
def one_cycle(
    *, peak: Annotated[Scalar, Range("(0, 1)")] = 0.3, start: NonNegative = 0.04, final: NonNegative = 1e-4
) -> Schedule:
    """Rise and fall once along cosines.

    factor = start to 1 until `peak`, then 1 to final, each along half a cosine

    PyTorch: final 4e-6, and momentum falls from 0.95 to 0.85 and rises again; here it stays.

    Args:
      peak: share of the run before the highest rate, in (0, 1). *Sweepable.*
      start: factor at the start, at least 0. *Sweepable.*
      final: factor at the end. *Sweepable.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: Claimed to train in far fewer steps, the large rates of the middle acting as a regularizer: sharpness should
      be low at the peak and rise as the rate falls. update_ratio follows the factor.
    Costs: Nothing that is measurable.
    References: Smith and Topin, arXiv:1708.07120.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        share = jnp.asarray(peak, jnp.float32)
        up = 0.5 * (1.0 - jnp.cos(jnp.pi * jnp.clip(progress / jnp.where(share > 0, share, 1.0), 0.0, 1.0)))
        down = 0.5 * (1.0 + jnp.cos(jnp.pi * _rest(progress, share)))
        return jnp.where(progress < share, start + (1.0 - start) * up, final + (1.0 - final) * down)

    return schedule


@traits(neutral={"final": 1.0}, of_progress=True)
def cyclic(*, cycles: Positive = 4.0, final: NonNegative = 0.1) -> Schedule:
    """Rise and fall several times in straight lines.

    factor = final + (1 - final) |1 - |1 - 2 (cycles progress mod 1)||: low at the ends of a cycle, 1 in its middle

    Args:
      cycles: how many. *Sweepable.*
      final: lowest factor. *Sweepable.* *Neutral: 1.0.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: The loss, update_ratio and the noise of the steps rise and fall with the factor; claimed to spare the search
      for one rate. Compare it where a cycle ends, not in its middle.
    Costs: Nothing that is measurable.
    References: Smith, arXiv:1506.01186.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        height = 1.0 - jnp.abs(1.0 - 2.0 * jnp.mod(cycles * progress, 1.0))
        return final + (1.0 - final) * height

    return schedule


@traits(neutral={"final": 1.0}, of_progress=True)
def warm_restarts(*, cycles: Positive = 4.0, final: NonNegative = 0.0) -> Schedule:
    """Fall along half a cosine several times, jumping back up.

    factor = final + (1 - final) (1 + cos(pi (cycles progress mod 1))) / 2

    Args:
      cycles: how many. *Sweepable.*
      final: factor at the end of each cycle. *Sweepable.* *Neutral: 1.0.*
    Returns: function (progress, any shape, in [0, 1]) -> factor of the same shape.
    Expect: The loss falls towards the end of each cycle and jumps up at the restart, as update_ratio does; claimed to
      give good weights at any end of a cycle. Compare it there. At one cycle it is cosine.
    Costs: Nothing that is measurable.
    References: Loshchilov and Hutter, arXiv:1608.03983.
    """

    def schedule(progress: Array) -> Array:
        progress = jnp.asarray(progress, jnp.float32)
        return final + (1.0 - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.mod(cycles * progress, 1.0)))

    return schedule


TABLE = {
    f.__name__: f
    for f in (
        constant,
        cosine,
        linear,
        polynomial,
        exponential,
        inverse_sqrt,
        step,
        warmup_stable_decay,
        one_cycle,
        cyclic,
        warm_restarts,
    )
}
