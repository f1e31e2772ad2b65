"""Every kind of part and its TABLE, in one place.

`TABLES` is every kind's TABLE, with a user's parts once `--with` has added them, which are not among `OURS`; `NEUTRALS`
says which value of which hyper-parameter switches a part off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepprinciples.parts import (
    activations,
    averages,
    data,
    game_losses,
    initializers,
    losses,
    metrics,
    models,
    optimizers,
    penalties,
    probes,
    ranking_metrics,
    regularizers,
    rules,
    sample_metrics,
    schedules,
    split_metrics,
    transforms,
    variational,
)

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "data": data.TABLE,
    "model": models.TABLE,
    "generator": models.GENERATORS,
    "activation": activations.TABLE,
    "initializer": initializers.TABLE,
    "loss": {**losses.TABLE, **variational.LOSSES},
    "game_loss": game_losses.TABLE,
    "penalties": penalties.TABLE,
    "metric": {
        **metrics.TABLE,
        **split_metrics.TABLE,
        **ranking_metrics.TABLE,
        **variational.METRICS,
        **sample_metrics.TABLE,
    },
    "regularizers": regularizers.TABLE,
    "transforms": transforms.TABLE,
    "rule": rules.TABLE,
    "optimizer": optimizers.TABLE,
    "schedule": schedules.TABLE,
    "average": averages.TABLE,
    "probe": probes.TABLE,
}

NEUTRALS: dict[str, Mapping[str, Mapping[str, float]]] = {
    "model": models.NEUTRAL,
    "loss": losses.NEUTRAL,
    "game_loss": game_losses.NEUTRAL,
    "penalties": penalties.NEUTRAL,
    "schedule": schedules.NEUTRAL,
    "activation": activations.NEUTRAL,
    "regularizers": regularizers.NEUTRAL,
    "transforms": transforms.NEUTRAL,
    "rule": rules.NEUTRAL,
    "optimizer": optimizers.NEUTRAL,
    "average": averages.NEUTRAL,
}

OURS = frozenset(
    factory for table in TABLES.values() for factory in table.values()
)  # what --with adds is in TABLES alone
