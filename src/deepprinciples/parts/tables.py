"""Every kind of part and its TABLE, in one place.

`TABLES` is every kind's TABLE, with a user's parts once `--with` has added them, which are not among `OURS`. What else
there is to know of a part are the traits of its factory, see `types.Traits`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepprinciples.parts import (
    activations,
    averages,
    data,
    gan_losses,
    initializers,
    losses,
    metrics,
    models,
    optimizers,
    parameter_groups,
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
    weights,
)

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "data": data.TABLE,
    "model": models.TABLE,
    "generator": models.GENERATORS,
    "activation": activations.TABLE,
    "initializer": initializers.TABLE,
    "loss": {**losses.TABLE, **variational.LOSSES},
    "gan_loss": gan_losses.TABLE,
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
    "weights": weights.TABLE,
    "rule": rules.TABLE,
    "optimizer": optimizers.TABLE,
    "schedule": schedules.TABLE,
    "groups": parameter_groups.TABLE,
    "average": averages.TABLE,
    "probe": probes.TABLE,
}


OURS = frozenset(
    factory for table in TABLES.values() for factory in table.values()
)  # what --with adds is in TABLES alone
