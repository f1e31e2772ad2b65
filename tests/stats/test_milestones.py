"""Curves that get somewhere: the first step at a level, stages, and batch sizes, against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import deepprinciples as dp
from deepprinciples.errors import DataError

LOSS = xr.DataArray(
    [[[2.0, 0.9, 0.2], [2.0, 0.8, 0.1]], [[2.0, 1.5, 0.9], [2.0, 1.6, 1.2]]],
    coords={"arm": ["a", "b"], "seed": [0, 1], "eval_step": [5, 10, 15]},
    dims=("arm", "seed", "eval_step"),
)


def test_the_first_step_at_a_level() -> None:
    """Lost: a step too early, or a number where the curve never gets there."""
    found = dp.stats.steps_to(LOSS, 1.0, above=False)
    np.testing.assert_array_equal(found, [[10, 10], [15, np.nan]])
    np.testing.assert_array_equal(dp.stats.steps_to(LOSS, 1.5), [[5, 5], [5, 5]])


def test_stages_follow_one_another() -> None:
    """Lost: steps of a stage that began elsewhere; an arm that did not get there has none from then on."""
    first, second = dp.stats.stages(LOSS, (1.0, 0.3))
    np.testing.assert_array_equal(first.steps, [10, np.nan])
    np.testing.assert_array_equal(second.steps, [5, np.nan])
    np.testing.assert_array_equal(second.begin, [10, np.nan])


def test_the_critical_batch_size_is_that_of_the_law() -> None:
    """Lost: the answer of the study; steps that follow the law exactly give its two numbers back."""
    sizes = np.array([8, 16, 32, 64, 128])
    fit = dp.stats.critical_batch_size(sizes, 30 * (1 + 20 / sizes))
    assert fit.fewest == pytest.approx(30) and fit.critical == pytest.approx(20)
    some = np.where(sizes == 8, np.nan, 30 * (1 + 20 / sizes))
    assert dp.stats.critical_batch_size(sizes, some).critical == pytest.approx(20)
    assert np.isnan(dp.stats.critical_batch_size(sizes, np.full(5, np.nan)).critical)
    with pytest.raises(DataError, match="steps: found shape"):
        dp.stats.critical_batch_size(sizes, [1.0])


def test_the_noise_scale_is_of_its_steps() -> None:
    """Lost: steps of another stage in the sum."""
    step = {"step": [0, 5, 10, 15]}
    trace, signal = (xr.DataArray(values, coords=step) for values in ([1.0, 6, 10, 100], [1.0, 1, 3, 1]))
    assert dp.stats.noise_scale(trace, signal, 5, 15) == pytest.approx(16 / 4)


def test_theory_beside_measurement() -> None:
    """Lost: the numbers that networks before training are held against; on the critical line nothing shrinks."""
    critical = float(dp.theory.critical_variance(0.05))
    assert float(dp.theory.susceptibility(critical, 0.05)) == pytest.approx(1.0, abs=1e-3)
    assert dp.theory.signal(critical, 0.05) == pytest.approx(0.295, abs=1e-3)
    assert dp.theory.factor_per_layer([8.0, 4.0, 2.0, 1.0]) == pytest.approx(2.0)
