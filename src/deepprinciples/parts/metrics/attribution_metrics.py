"""What an attribution map is worth: where it points, what follows from it, and whether it depends on the network.

Every factory returns a pure function of an `Explained` batch, one value for each example. A metric marked `needs_mask`
reads where the evidence lies. The importance of a position is the sum over its channels of the size of the map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deepprinciples.types import Array, Count, PyTree, Scalar, better, traits


class Explained(NamedTuple):
    """A batch of examples, what was explained of them, and their maps.

    predict: (params, inputs) -> outputs [B] or [B, C].
    params: of the network.
    inputs: [B, ...], with channels in the last axis, but for feature vectors [B, F].
    targets: [B], which output of each example was explained.
    maps: [B, ...], in the shape of the inputs.
    mask: [B, ...], true at the positions of the evidence; None where nobody knows.
    redrawn: () -> the maps [B, ...] that the same attribution makes of the network with newly drawn weights.
    """

    predict: Callable[[PyTree, Array], Array]
    params: PyTree
    inputs: Array
    targets: Array
    maps: Array
    mask: Array | None
    redrawn: Callable[[], Array]


Measure = Callable[[Explained], Array]


def importance_of(maps: Array) -> Array:
    """Return the importance of each position, [B, P]: the sum of the sizes of its channels."""
    sizes = jnp.abs(maps)
    return (jnp.sum(sizes, axis=-1) if maps.ndim > 2 else sizes).reshape(len(maps), -1)


@traits(needs_mask=True)
@better("max", worst=0.0, best=1.0)
def mass_in_mask() -> Measure:
    """Measure which share of the importance lies where the evidence is.

    sum of importance inside the mask / sum of importance; 0 for a map that is 0 everywhere

    Returns: measure from 0 to 1; the share of the mask for a map without a preference.
    References: Arras, Osman, Samek, arXiv:2003.07258. Quantus: RelevanceMassAccuracy.
    """

    def measure(given: Explained) -> Array:
        importance, mask = importance_of(given.maps), _mask_of("mass_in_mask", given)
        whole = jnp.sum(importance, axis=1)
        return jnp.sum(importance * mask, axis=1) / jnp.where(whole > 0, whole, 1.0)

    return measure


@traits(needs_mask=True)
@better("max", worst=0.0, best=1.0)
def pointing_game() -> Measure:
    """Check whether the most important position lies where the evidence is.

    1 where argmax importance is inside the mask, else 0; 0 for a map that is 0 everywhere

    Returns: measure, 0 or 1.
    References: Zhang et al., arXiv:1608.00507. Quantus: PointingGame.
    """

    def measure(given: Explained) -> Array:
        importance, mask = importance_of(given.maps), _mask_of("pointing_game", given)
        first = jnp.argmax(importance, axis=1)
        inside = jnp.take_along_axis(mask, first[:, None], axis=1)[:, 0]
        return (inside & (jnp.max(importance, axis=1) > 0)).astype(jnp.float32)

    return measure


@better("min", worst=1.0, best=0.0)
def deletion(*, steps: Count = 32, baseline: Scalar = 0.0) -> Measure:
    """Delete the most important positions first, and see how fast the probability of the class falls.

    area under p_t(x without its k P / K most important positions) against k / K, k = 0 to K, by the trapezoid rule

    Args:
      steps: equal shares in which the P positions are deleted, K.
      baseline: value of what is deleted; 0 is the mean where the data are standardized. *Sweepable.*
    Returns: measure from 0 to 1, small where the map finds what the answer rests on.
    Raises: ValueError where outputs are no class scores [B, C] of at least two classes.
    Costs: K + 1 evaluations.
    References: Petsiuk, Das, Saenko, arXiv:1806.07421. Quantus: PixelFlipping.
    """

    def measure(given: Explained) -> Array:
        importance, inputs = importance_of(given.maps), given.inputs
        rank = jnp.argsort(jnp.argsort(-importance, axis=1), axis=1)  # [B, P], 0 goes first
        rank = rank.reshape(inputs.shape[:-1] + (1,) if inputs.ndim > 2 else inputs.shape)

        def chance(count: Array) -> Array:
            outputs = given.predict(given.params, jnp.where(rank < count, baseline, inputs))
            if outputs.ndim != 2 or outputs.shape[1] < 2:
                raise ValueError(f"deletion: found outputs {list(outputs.shape)}; expected scores of classes [B, C]")
            return jnp.take_along_axis(jax.nn.softmax(outputs), given.targets[:, None], axis=1)[:, 0]

        counts = jnp.round(jnp.linspace(0.0, importance.shape[1], steps + 1))
        chances = jax.lax.map(chance, counts)  # [K + 1, B]
        return jnp.mean((chances[1:] + chances[:-1]) / 2.0, axis=0)

    return measure


@better("min", worst=1.0, best=-1.0)
def randomization() -> Measure:
    """Compare the map with that of the same network with newly drawn weights: a sanity check.

    Spearman's rank correlation of the importance of the positions under both

    Returns: measure from -1 to 1: about 0 where the map depends on what was learned, 1 where it does not. A map that is
      constant under one of them has 0, under both of them 1.
    Costs: One more map of every example.
    References: Adebayo et al., arXiv:1810.03292. Quantus: MPRT, its last step.
    """

    def measure(given: Explained) -> Array:
        ranks = [_ranks(importance_of(maps)) for maps in (given.maps, given.redrawn())]
        a, b = (one - jnp.mean(one, axis=1, keepdims=True) for one in ranks)
        power = [jnp.sum(jnp.square(one), axis=1) for one in (a, b)]
        both = jnp.sqrt(power[0] * power[1])
        constant = (power[0] == 0) & (power[1] == 0)
        return jnp.where(constant, 1.0, jnp.sum(a * b, axis=1) / jnp.where(both > 0, both, 1.0))

    return measure


def _mask_of(name: str, given: Explained) -> Array:
    if given.mask is None:
        raise ValueError(f"{name}: nobody said where the evidence lies; give masks")
    return given.mask.reshape(len(given.maps), -1).astype(bool)


def _ranks(values: Array) -> Array:
    """Return the ranks of each row [B, P], ties sharing the mean of theirs."""

    def one(row: Array) -> Array:
        ordered = jnp.sort(row)
        ends = [jnp.searchsorted(ordered, row, side=side) for side in ("left", "right")]
        return (ends[0] + ends[1] - 1) / 2.0

    return jax.vmap(one)(values)


TABLE = {f.__name__: f for f in (mass_in_mask, pointing_game, deletion, randomization)}
