"""Every general kind of part and its TABLE, in one place; `domains.registry` adds the parts of the domains.

Whatever else there is to know of a part are the traits of its factory, see `types.Traits`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepprinciples.parts import (
    activations,
    attributions,
    augment,
    data,
    gradient_rules,
    initializers,
    losses,
    metrics,
    models,
    optimizers,
    parameter_groups,
    penalties,
    probes,
    regularizers,
    schedules,
    search_methods,
    transformers,
    transforms,
    variational,
    weight_averaging,
    weights,
)
from deepprinciples.parts import text as texts
from deepprinciples.parts.fetched import picture_sets, series_archive
from deepprinciples.parts.losses import gan_losses
from deepprinciples.parts.metrics import (
    attribution_metrics,
    boundary_metrics,
    calibration_metrics,
    ranking_metrics,
    sample_metrics,
    sequence_metrics,
    split_metrics,
)

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "data": {**data.TABLE, **picture_sets.TABLE, **series_archive.TABLE, **texts.TABLE},
    "model": {**models.TABLE, **transformers.TABLE},
    "generator": models.GENERATORS,
    "activation": activations.TABLE,
    "environment": {},
    "initializer": initializers.TABLE,
    "loss": {**losses.TABLE, **variational.LOSSES},
    "gan_loss": gan_losses.TABLE,
    "penalties": penalties.TABLE,
    "metric": {
        **metrics.TABLE,
        **split_metrics.TABLE,
        **ranking_metrics.TABLE,
        **boundary_metrics.TABLE,
        **calibration_metrics.TABLE,
        **variational.METRICS,
        **sample_metrics.TABLE,
        **sequence_metrics.TABLE,
    },
    "augment": augment.TABLE,
    "regularizers": regularizers.TABLE,
    "transforms": transforms.TABLE,
    "weights": weights.TABLE,
    "gradient": gradient_rules.TABLE,
    "optimizer": optimizers.TABLE,
    "schedule": schedules.TABLE,
    "groups": parameter_groups.TABLE,
    "weight_averaging": weight_averaging.TABLE,
    "probe": probes.TABLE,
    "pruning": search_methods.PRUNING,
    "search": search_methods.TABLE,
    "attribution": attributions.TABLE,
    "attribution_metric": attribution_metrics.TABLE,
}
