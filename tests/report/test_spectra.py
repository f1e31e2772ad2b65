"""Figures of spectra, of gradients through time and of landscapes: what is drawn is what was measured."""

import numpy as np
import pytest
import xarray as xr

from deepprinciples.report.figures import heat_maps, mpl_style, plots, spectra


def deep_study(arms=2, seeds=3, steps=4):
    """Give what deep probes measure, from a generator."""
    draw = np.random.default_rng(3)
    lags = [0, 1, 2, 4, 8]
    fade = 0.5 ** np.array(lags) * np.ones((arms, seeds, steps, 1))
    nodes = np.sort(draw.normal(size=(arms, seeds, steps, 6)), axis=-1)
    weights = draw.dirichlet(np.ones(6), size=(arms, seeds, steps))
    names = ["layer_00", "layer_01", "output"]
    share = draw.uniform(0, 1, (arms, seeds, steps, 3))
    decades = draw.dirichlet(np.ones(11), size=(arms, seeds, steps))
    bowl = (np.linspace(-1, 1, 21) ** 2 + 0.1) * np.ones((arms, seeds, 2, 1))
    return xr.Dataset(
        {
            "gradient_through_time": (("arm", "seed", "step", "lag"), fade),
            "hessian_ritz": (("arm", "seed", "step", "ritz"), nodes),
            "hessian_weight": (("arm", "seed", "step", "ritz"), weights),
            "dormant_units": (("arm", "seed", "step", "layer"), share),
            "gradient_histogram": (("arm", "seed", "step", "decade"), decades),
            "landscape": (("arm", "seed", "way", "place"), bowl),
            "between": (("arm", "pair", "point"), np.sin(np.linspace(0, np.pi, 11)) * np.ones((arms, 3, 1))),
            "similarity": (("arm", "layer", "other_layer"), np.eye(3) * np.ones((arms, 1, 1))),
        },
        {
            "arm": [f"arm {k}" for k in range(arms)], "seed": range(seeds), "step": [0, 10, 20, 30][:steps],
            "layer": names, "other_layer": names, "lag": [f"lag_{lag:04d}" for lag in lags],
            "decade": [f"decade_{k:02d}" for k in range(11)],
            "place": np.linspace(-1, 1, 21), "point": np.linspace(0, 1, 11),
        },
    )  # fmt: skip


def drawn(results, name):
    with mpl_style.style():
        (plot,) = [plot for plot in [*spectra.figures(results), *heat_maps.heat_maps(results)] if plot.name == name]
    return plot


def test_the_gradient_through_time_is_drawn_against_the_lag():
    """Lost: a line over the wrong lags, or of the wrong probe."""
    results = deep_study()
    plot = drawn(results, "gradient-through-time")
    first = plot.figure.axes[0].get_lines()[0]
    np.testing.assert_array_equal(first.get_xdata(), [0, 1, 2, 4, 8])
    np.testing.assert_allclose(first.get_ydata(), 0.5 ** np.array([0.0, 1, 2, 4, 8]))


def test_a_density_is_one():
    """Lost: a spectrum whose area is not that of a density, or that a diverged seed fills with NaN."""
    results = deep_study()
    nodes, weights = results.hessian_ritz.values[0, :, 0], results.hessian_weight.values[0, :, 0]
    nodes = np.concatenate([nodes, np.full((1, 6), np.nan)])
    where, density = spectra._density(nodes, np.concatenate([weights, np.full((1, 6), np.nan)]))
    assert np.trapezoid(density, where) == pytest.approx(1.0, abs=0.01)
    assert drawn(results, "hessian-spectrum").group == "curvature"


def test_shares_are_maps_and_not_decades():
    """Lost: a share of units on a log scale, or a decade without its name."""
    plot = drawn(deep_study(), "dormant-units-map")
    assert "log" not in plot.caption and plot.group == "units"
    labels = [
        label.get_text() for label in drawn(deep_study(), "gradient-histogram-map").figure.axes[1].get_yticklabels()
    ]
    assert labels[0] == "< 1e\u22128"


@pytest.mark.parametrize(("name", "count"), [("landscape", 12), ("between", 6)])
def test_every_line_is_drawn(name, count):
    """Lost: a seed, or a way, that nobody sees."""
    assert len(drawn(deep_study(), name).figure.axes[0].get_lines()) == count


def test_nothing_measured_is_nothing_drawn():
    """Lost: an empty figure, or a failure, where a study measured less."""
    assert spectra.figures(xr.Dataset()) == []
    assert spectra.figures(deep_study() * np.nan) == []


def test_the_page_takes_them_all(tmp_path):
    """Lost: a figure that cannot be written."""
    names = {path.stem for path in plots.save_all(plots.figures(deep_study(), {"kind": "probe"}), tmp_path)}
    assert {"gradient-through-time", "hessian-spectrum", "landscape", "between", "similarity"} <= names
