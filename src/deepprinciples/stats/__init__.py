"""The statistics of a verdict as functions of arrays, for scripts: `dp.stats.friedman(scores)`.

`dp.judge` puts the usual ones together. Each function says in its docstring what it computes and where it is from.
"""

from __future__ import annotations

from deepprinciples.stats.many_tasks import (
    Friedman,
    benjamini_hochberg,
    friedman,
    iqm,
    nemenyi_distance,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    profile_band,
    stratified_bootstrap,
)
from deepprinciples.stats.milestones import BatchFit, Stage, critical_batch_size, noise_scale, stages, steps_to
from deepprinciples.stats.paired_tests import (
    Estimate,
    correlation,
    differences,
    equivalence_p,
    holm,
    mean_interval,
    paired_difference,
    probability_of_superiority,
    sign_flip_test,
    wilson,
    worst_case,
)
from deepprinciples.stats.planning import can_show, minimum_detectable
from deepprinciples.stats.sentences import with_interval
from deepprinciples.stats.verdicts import block_means

__all__ = [
    "BatchFit", "Estimate", "Friedman", "Stage", "benjamini_hochberg", "block_means", "can_show", "correlation",
    "critical_batch_size", "differences", "equivalence_p", "friedman", "holm", "iqm", "mean_interval",
    "minimum_detectable", "nemenyi_distance", "noise_scale", "optimality_gap", "paired_difference",
    "performance_profile", "probability_of_improvement", "probability_of_superiority", "profile_band", "sign_flip_test",
    "stages", "steps_to", "stratified_bootstrap", "wilson", "with_interval", "worst_case",
]  # fmt: skip
