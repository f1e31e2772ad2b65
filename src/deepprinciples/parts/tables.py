"""Every kind of part and its TABLE, in one place.

`TABLES` is every kind's TABLE; `NEUTRALS` says which value of which hyper-parameter switches a part off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepprinciples.parts import (
    activations,
    data,
    initializers,
    losses,
    metrics,
    models,
    optimizers,
    probes,
    regularizers,
    rules,
    schedules,
    transforms,
)

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "data": data.TABLE,
    "model": models.TABLE,
    "activation": activations.TABLE,
    "initializer": initializers.TABLE,
    "loss": losses.TABLE,
    "metric": metrics.TABLE,
    "regularizers": regularizers.TABLE,
    "transforms": transforms.TABLE,
    "rule": rules.TABLE,
    "optimizer": optimizers.TABLE,
    "schedule": schedules.TABLE,
    "probe": probes.TABLE,
}

NEUTRALS: dict[str, Mapping[str, Mapping[str, float]]] = {
    "model": models.NEUTRAL,
    "loss": losses.NEUTRAL,
    "schedule": schedules.NEUTRAL,
    "activation": activations.NEUTRAL,
    "regularizers": regularizers.NEUTRAL,
    "transforms": transforms.NEUTRAL,
    "optimizer": optimizers.NEUTRAL,
}
