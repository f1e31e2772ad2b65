"""Pictures of what a generator made: the right pictures in the right places, and none where there is nothing."""

import numpy as np
import pytest
import xarray as xr

from deepprinciples.report.figures import mpl_style, plots
from deepprinciples.report.figures.examples import samples

ARMS, SEEDS, TIMES = ["plain", "r1"], [4, 5, 6], 7


def results(shape, count=20, lost=None):
    """Make results of a game that was never played: every sample tells its arm, seed and time."""
    random = np.random.RandomState(0)
    leading = (len(ARMS), len(SEEDS), TIMES)
    made = random.randn(*leading, count, *shape)
    line = random.randn(*leading, 8, *shape)
    dims = ("arm", "seed", "eval_step")
    inner = [f"samples_{k}" for k in range(1 + len(shape))]
    between = [f"interpolation_{k}" for k in range(1 + len(shape))]
    diverged = np.full(leading[:2], -1)
    if lost is not None:
        diverged[lost] = 3
    variables = {
        "samples": ((*dims, *inner), made),
        "interpolation": ((*dims, *between), line),
        "diverged_at": (("arm", "seed"), diverged),
    }
    return xr.Dataset(variables, {"arm": ARMS, "seed": SEEDS, "eval_step": np.arange(TIMES)})


@pytest.mark.parametrize(
    ("shape", "names"),
    [((2,), ["samples", "progress"]), ((6, 5, 1), ["samples", "progress", "interpolation"]), ((3,), [])],
)
def test_points_and_pictures_have_figures(shape, names):
    """The report would not show what was made, or fail where samples are no pictures."""
    with mpl_style.style():
        drawn = samples.pictures(results(shape))
    assert [plot.name for plot in drawn] == names
    for plot in drawn:
        assert plot.group == "samples" and "seed 4, not chosen" in plot.caption
        assert b"<svg" in mpl_style.to_svg(plot)


def test_the_first_seed_that_did_not_diverge_is_shown():
    """A picture of NaN would be shown, or the prettiest seed."""
    given = results((2,), lost=(0, 0))
    values, seeds = samples._of_first_seed(given, "samples")
    assert seeds == ["5", "4"]
    np.testing.assert_array_equal(values[0], given.samples.values[0, 1])
    with mpl_style.style():
        assert "each arm's first seed that did not diverge" in samples.pictures(given)[0].caption


def test_nothing_made_draws_nothing():
    """A comparison of classifiers would have empty figures, or none at all."""
    assert samples.pictures(xr.Dataset()) == []
    assert not [plot for plot in plots.figures(xr.Dataset(), {}) if plot.group in ("samples", "players")]


def test_pictures_are_scaled_alike_in_all_arms():
    """A pale arm would look as bright as the others."""
    values = np.stack([np.zeros((3, 4, 4, 1)), np.ones((3, 4, 4, 1)) * 5])
    bright = samples._bright(values)
    assert bright[0].max() == 0 and bright[1].min() == 1
    spoiled = values.copy()
    spoiled[0, 0] = np.nan
    assert np.isfinite(samples._bright(spoiled)).all()


def test_a_conditional_generator_is_shown_in_one_row_a_class():
    """A reader could not see whether the generator draws what it was asked for."""
    given = results((8, 8, 1), count=12)
    asked = np.broadcast_to(np.arange(12) % 5, (len(ARMS), len(SEEDS), TIMES, 12))
    given["sample_class"] = (("arm", "seed", "eval_step", "sample_class_0"), asked.astype(np.float32))
    with mpl_style.style():
        drawn = samples.pictures(given)
    assert [plot.name for plot in drawn] == ["samples_00", "samples_01", "progress", "interpolation"]
    assert len({id(plot.figure) for plot in drawn}) == 4
    for arm, plot in enumerate(drawn[:2]):
        written = [text.get_text() for text in plot.figure.texts]
        assert written == [f"Samples by class: {ARMS[arm]}", "0", "1", "2", "3", "4"]
        tops = [round(axes.get_position().y1, 6) for axes in plot.figure.axes]
        assert [tops.count(top) for top in sorted(set(tops), reverse=True)] == [3, 3, 2, 2, 2]
        # Samples 2, 7 are those of class 2, in this order.
        expected = samples._bright(samples._of_first_seed(given, "samples")[0])[arm, -1, [2, 7], :, :, 0]
        np.testing.assert_array_equal([axes.images[0].get_array() for axes in plot.figure.axes[6:8]], expected)
        assert min(plot.figure.get_size_inches()) * 72 >= 256 and b"pixelated" in mpl_style.to_svg(plot)


def test_classes_are_named_where_the_results_name_them():
    """A row would be called 1 where the data say malignant."""
    given = results((6, 5, 1), count=4).assign_coords({"class": ["benign", "malignant"]})
    asked = np.broadcast_to([0.0, 1.0, 0.0, 1.0], (len(ARMS), len(SEEDS), TIMES, 4))
    given["sample_class"] = (("arm", "seed", "eval_step", "sample_class_0"), asked)
    with mpl_style.style():
        texts = [text.get_text() for text in samples.pictures(given)[0].figure.texts]
    assert texts[1] == "benign" and texts[2].startswith("malig")
