"""Probes: what is measured of a lane while it trains, for every layer, as pure functions of `types.Info`.

A probe returns scalars, or dicts of scalars keyed by layer. It only measures; what is drawn from it is the report's.
Here are the three tiers; what they are made of is in the modules beside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepprinciples.parts.layers.normalization import TooFewValues
from deepprinciples.parts.probes import curvature, flow, gradients, signals
from deepprinciples.types import Info

Measured = dict[str, Any]


def combine(probes: Mapping[str, Callable[[Info], Measured]]) -> Callable[[Info], Measured]:
    """Join probes into one that gives all their values.

    A probe of single examples gives none where the model normalizes by the statistics of a batch.
    """

    def probe(info: Info) -> Measured:
        found: Measured = {}
        for one in probes.values():
            with contextlib.suppress(TooFewValues):
                found |= one(info)
        return found

    return probe


_CHEAP = (
    "gradient_norm", "update_ratio", "activation_mean_square", "gradient_mean_square", "dead_units", "saturated_units",
    "trigger_rate", "players",
)  # fmt: skip
_STANDARD = (
    *_CHEAP, "step_cosine", "rank", "rotation", "travel", "dormant_units", "gradient_histogram",
    "gradient_through_time", "gate_saturation",
)  # fmt: skip
_FULL = (
    *_STANDARD, "activation_change", "gradient_noise", "gradient_conflict", "input_jacobian", "sharpness",
    "sam_sharpness", "preconditioned_sharpness", "hessian_trace", "spectrum",
)  # fmt: skip


def cheap() -> Callable[[Info], Measured]:
    """Measure what a step has at hand: the probes a run has unless it asks for others.

    Returns:
        (info) -> the values of gradient_norm, update_ratio, activation_mean_square, gradient_mean_square, dead_units,
        saturated_units, trigger_rate and players.

    Expect: what a run needs to tell whether signals pass, and whether steps are of a good size.

    Costs: one more backward pass without gradients of weights, at a probed step.
    """
    return _all(_CHEAP)


def standard() -> Callable[[Info], Measured]:
    """Measure what takes a further gradient or a decomposition of each kernel.

    Returns:
        (info) -> the values of cheap, step_cosine, rank, rotation, travel, dormant_units, gradient_histogram,
        gradient_through_time and gate_saturation.

    Expect: also how steps turn, how far they lead, and which layers collapse.

    Costs: one more gradient, and a decomposition of each kernel, at a probed step.
    """
    return _all(_STANDARD)


def full() -> Callable[[Info], Measured]:
    """Measure everything, curvature and the noise between examples included: some 150 gradients a probed step.

    Returns:
        (info) -> the values of standard, activation_change, gradient_noise, gradient_conflict, input_jacobian,
        sharpness, sam_sharpness, preconditioned_sharpness, hessian_trace and spectrum.

    Expect: also how stiff and how noisy the loss is: for short runs, or few probed steps.

    Costs: some 150 gradients at a probed step.
    """
    return _all(_FULL)


def _all(names: Sequence[str]) -> Callable[[Info], Measured]:
    return combine({name: TABLE[name]() for name in names})


TABLE = (
    flow.TABLE
    | gradients.TABLE
    | signals.TABLE
    | curvature.TABLE
    | {"cheap": cheap, "standard": standard, "full": full}
)
