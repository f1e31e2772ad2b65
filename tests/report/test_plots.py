"""The figures must show what the numbers say: the worst outcome, the right rows, the chosen scale."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

from deepprinciples.report import formatting, page, selections
from deepprinciples.report.figures import curves, forest_plot, heat_maps, mpl_style, plots, search_plots


def line_data(plot, axes=0):
    return [line.get_xydata() for line in plot.figure.axes[axes].lines]


def test_curves_are_medians_and_a_diverged_seed_is_the_worst():
    """Lost otherwise: the arm that diverges most looks best, because its bad seeds are dropped."""
    loss = np.array([[[4.0, 3.0, 2.0, 1.0], [4.0, 5.0, 6.0, 0.0], [4.0, 4.0, 4.0, 4.0]]])
    results = xr.Dataset(
        {"train_loss": (("arm", "seed", "step"), loss), "diverged_at": (("arm", "seed"), [[-1, -1, -1]])},
        coords={"arm": ["a"], "step": [0, 10, 20, 30]},
    )
    with mpl_style.style():
        calm = curves.learning(results, {"metric": "loss"})[0]
        results["diverged_at"].values[0, :2] = 20  # two of three: the median leaves the picture
        broken = curves.learning(results, {"metric": "loss"})[0]
    np.testing.assert_allclose(line_data(calm)[0][:, 1], [4, 4, 4, 1])
    np.testing.assert_allclose(line_data(broken)[0][:, 1], [4, 4, np.nan, np.nan])


def test_quartiles_agree_with_numpy_and_keep_the_worst_apart():
    """Lost otherwise: bands are drawn at huge numbers, or are not quartiles."""
    values = np.random.default_rng(0).normal(size=(2, 9, 5))
    np.testing.assert_allclose(selections.quartiles(values, 1), np.quantile(values, [0.25, 0.5, 0.75], axis=1))
    at = np.full((2, 9), np.nan)
    at[0, :3] = 2.0
    worst = selections.quartiles(selections.with_worst(values, at, np.arange(5.0), maximize=True), 1)
    assert np.isnan(worst[0, 0, 2:]).all() and np.isfinite(worst[1:, 0]).all() and np.isfinite(worst[:, 1]).all()


def test_the_forest_shows_the_numbers_of_the_summary(study):
    """Lost otherwise: the figure and the table disagree."""
    _, summary, _ = study(seeds=6, layers=2, steps=4)
    with mpl_style.style():
        plot = forest_plot.forest(summary)
        down = forest_plot.forest(summary | {"direction": "min"})
    drawn = line_data(plot)
    for row in summary["comparisons"]:
        assert any(np.allclose(line[:, 0], row["interval"]) for line in drawn)
        assert any(line.shape == (1, 2) and np.isclose(line[0, 0], row["difference"]) for line in drawn)
    said = lambda plot: {item.get_text() for item in plot.figure.texts}
    assert "first is better →" in said(plot) and "second is better →" in said(down)


def test_a_report_of_thousands_of_seeds_stays_small_and_says_so(study):
    """Lost otherwise: 10,000 runs make a page of megabytes, or one that hides the only seed that diverged."""
    results, summary, _ = study(arms=("a", "b"), seeds=3000, layers=1, steps=2)
    results["diverged_at"].values[:] = -1
    results["diverged_at"].values[1, 2999] = 1
    summary["arms"] = [{**row, "chosen": row["chosen"][:1] * 3000} for row in summary["arms"]]
    with mpl_style.style():
        dots = forest_plot.seed_dots(results, summary)
        (chosen,) = search_plots.chosen(summary)
        few = forest_plot.seed_dots(results.isel(seed=slice(500)), summary)
    drawn = line_data(dots)
    assert len(drawn) < selections.MOST + 20 and max(map(len, drawn)) == selections.MOST
    assert [len(one) for one in drawn if len(one) == 1] == [1], "the cross of the one seed that diverged"
    assert max(map(len, line_data(chosen))) == selections.MOST
    assert "Of 3,000 seeds of each arm, 500 evenly spaced ones are drawn." in dots.caption
    assert "Of 3,000 searches of an arm, 500 evenly spaced ones are drawn." in chosen.caption
    assert "evenly" not in few.caption
    assert len(mpl_style.to_svg(dots)) < 500_000 > len(mpl_style.to_svg(chosen))


def test_many_searches_are_thinned_whole(study):
    """Lost otherwise: a dot of one search beside the ring of another, or a figure of 10,000 trials."""
    results, summary, _ = study(arms=("a", "b"), seeds=6, layers=1, steps=2, trials=8)
    many = results.isel(search=np.zeros(300, int))
    with mpl_style.style():
        (plot,) = forest_plot.tuning(many, summary)
    rings = [line for line in plot.figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [len(line.get_xydata()) for line in rings] == [500 // 8]
    assert f"Of 300 searches of each arm, {500 // 8} evenly spaced ones are drawn." in plot.caption


def test_the_same_seed_is_joined_from_arm_to_arm(study):
    """Lost otherwise: a reader cannot see that the seeds are paired."""
    results, summary, _ = study(arms=("a", "b", "c"), seeds=6, layers=2, steps=4)
    with mpl_style.style():
        plot = forest_plot.seed_dots(results, summary)
    joined = [line for line in line_data(plot) if len(line) == 3 and np.allclose(line[:, 1], [0.68, 1.68, 2.68])]
    assert len(joined) == 6
    np.testing.assert_allclose(joined[1][:, 0], results["score"].values[:, 1])


def test_an_arm_far_from_the_others_does_not_press_them_together(study):
    """Lost otherwise: .95 and .97 look alike beside an arm that never left chance; values, or a bar, in the gray."""
    results, summary, _ = study(arms=("chance", "good", "best"), seeds=6, layers=2, steps=4)
    results["diverged_at"].values[:] = -1
    score = np.array([0.1, 0.95, 0.97])[:, None] + 0.004 * np.cos(np.arange(6))
    results["score"].values[:] = score
    for row, values in zip(summary["arms"], score, strict=True):
        row.update(mean=values.mean(), interval=[values.min(), values.max()])
    with mpl_style.style():
        plot = forest_plot.seed_dots(results, summary)
        axes = plot.figure.axes[0]
        plot.figure.canvas.draw()
        at = lambda x: axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
        ticks = [tick for tick in axes.get_xticks() if 0 <= at(tick) <= 1]
        summary["arms"][0]["interval"] = [0.05, 0.96]
        whole = forest_plot.seed_dots(results, summary)
    assert at(0.97) - at(0.95) > 0.3 and 0 < at(score.min()) < at(score[0].max()) < 0.35
    # Both sides have one scale: what is twice as far is drawn twice as far.
    assert (at(0.104) - at(0.098)) / (at(0.97) - at(0.95)) == pytest.approx(0.3)
    assert not any(0.11 < tick < 0.94 for tick in ticks) and min(ticks) < 0.2 and max(ticks) > 0.9
    assert "leaves out the gray stretch" in plot.caption
    assert whole.figure.axes[0].get_xscale() == "linear" and "gray" not in whole.caption
    assert mpl_style.gap([0.1, 0.2, 0.3]) is None and mpl_style.gap([0.1, 0.9]) is None and mpl_style.gap([]) is None
    assert mpl_style.gap([0.1, 0.1, 0.95, 0.97]) == (0.1, 0.95)


def test_tuned_values_over_two_decades_have_a_log_axis(study):
    """Lost otherwise: all small learning rates sit in one spot."""
    results, summary, _ = study(arms=("a", "b"), seeds=3, layers=2, steps=4)
    with mpl_style.style():
        wide = forest_plot.tuning(results, summary)[0]
        results["tuning_point"].values[:] = np.linspace(0.1, 0.5, 8)[None, :, None]
        narrow = forest_plot.tuning(results, summary)[0]
        results["tuning_point"].values[0] = np.nan  # this arm does not tune it
        alone = forest_plot.tuning(results, summary)[0]
    assert wide.figure.axes[0].get_xscale() == "log" and narrow.figure.axes[0].get_xscale() == "linear"
    assert len(narrow.figure.axes) == 2 and len(alone.figure.axes) == 1


def test_a_heat_map_shows_the_median_and_only_layers_the_arm_has(study):
    """Lost otherwise: a layer's color is another layer's gradient."""
    results, summary, _ = study(arms=("a", "b"), seeds=5, layers=4, steps=6)
    plot = next(plot for plot in plots.figures(results, summary) if plot.name == "gradient-norm")
    images = plot.figure.axes[1].images
    maps = [image.get_array() for image in images]
    assert [grid.shape for grid in maps] == [(4, 6), (2, 6)]
    want = np.log10(np.nanmedian(results["gradient_norm"].values[0], axis=0)).T
    np.testing.assert_allclose(maps[0].filled(np.nan), want)
    assert len({image.get_clim() for image in images}) == 1  # one scale for all arms
    places = plot.figure.axes[1].get_yticks()
    for image, count in zip(images, (4, 2), strict=True):  # an arm's labels are beside its map
        bottom, top = image.get_extent()[2:]
        assert ((top < places) & (places < bottom)).sum() == count


def test_a_zero_gradient_is_the_lowest_color_and_not_a_gap(study):
    """Lost otherwise: a layer that gets no gradient at all looks as if it was not measured."""
    results, summary, _ = study(arms=("a", "b"), seeds=3, layers=4, steps=6)
    results["gradient_norm"].values[0, :, :, 0] = 0.0
    plot = next(plot for plot in plots.figures(results, summary) if plot.name == "gradient-norm")
    image = plot.figure.axes[1].images[0]
    assert not np.ma.getmaskarray(image.get_array()).any()
    assert (image.get_array()[0] < image.get_clim()[0]).all()


def test_layers_of_a_game_are_told_apart(study):
    """Lost otherwise: the two players' layers have the same shortened label."""
    results, summary, _ = study(arms=("a", "b"), seeds=3, layers=4, steps=6)
    names = [f"{player}.layer_{k:02}" for player in ("generator", "discriminator") for k in range(2)]
    plot = next(p for p in plots.figures(results.assign_coords(layer=names), summary) if p.name == "gradient-norm")
    shown = [label.get_text() for label in plot.figure.axes[1].get_yticklabels()]
    assert shown == ["G.layer_00", "G.layer_01", "D.layer_00", "D.layer_01", "G.layer_00", "G.layer_01"]


def test_a_dozen_arms_have_a_dozen_looks():
    """Lost otherwise: two arms are drawn alike, or only color tells them apart."""
    looks = [mpl_style.look(index) for index in range(12)]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == 12
    assert len({(look["color"], look["marker"]) for look in looks}) == 12


def test_files_are_whole_repeatable_and_safe(study, tmp_path):
    """Lost otherwise: a figure for a paper cannot be opened, or changes at every run."""
    results, summary, _ = study(arms=("a <b>", "$x_2$"), seeds=3, layers=2, steps=4, trials=3)
    made = (results[["score", "train_loss", "gradient_norm"]], summary)
    first = plots.save_all(plots.figures(*made), tmp_path / "one")
    again = plots.save_all(plots.figures(*made), tmp_path / "two")
    assert len(first) == 12 and [path.name for path in first] == [path.name for path in again]
    for left, right in zip(first, again, strict=True):
        data = left.read_bytes()
        assert data == right.read_bytes()
        if left.suffix == ".png":
            assert data.startswith(b"\x89PNG")
        else:
            assert ElementTree.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"
            assert b"<metadata" not in data and b"matplotlib.org" not in data and b"date" not in data


def test_the_budget_is_drawn_as_it_was_told(study):
    """Lost otherwise: a curve that climbs where the numbers do not."""
    results, summary, _ = study(arms=("a", "b"), seeds=3, layers=2, steps=4)
    with mpl_style.style():
        plot = search_plots.budget(results, summary)
        without = search_plots.budget(results, summary | {"budget": {"arms": [], "leaders": []}})
    drawn = {tuple(line[:, 1]) for line in line_data(plot) if len(line) == 8}
    assert drawn == {tuple(row["expected"]) for row in summary["budget"]["arms"]} and without is None


def test_a_range_test_shows_loss_edge_and_range(range_test):
    """Lost otherwise: the marks lie beside the curve they speak of, or the bar is not the range that is printed."""
    results, summary, _ = range_test()
    (plot,) = plots.figures(results, summary)
    row = summary["rates"][0]
    np.testing.assert_allclose(line_data(plot)[0][:, 0], results.learning_rate)
    marks = [line[0] for line in line_data(plot) if len(line) == 1]
    assert any(np.isclose(x, row["steepest"]) for x, _ in marks) and any(np.isclose(x, row["breaks"]) for x, _ in marks)
    np.testing.assert_allclose(line_data(plot, 1)[0][:, 0], [row["low"], row["high"]])
    assert plot.figure.axes[0].get_xscale() == "log"


def test_every_search_has_a_dot_at_the_value_it_chose(study):
    """Lost otherwise: one typical value hides that the searches chose from a whole decade, or never agreed."""
    _, summary, _ = study(arms=("a", "b"), seeds=6, layers=2, steps=4)
    with mpl_style.style():
        (plot,) = search_plots.chosen(summary)
    assert plot.group == "tuning" and plot.figure.axes[0].get_xscale() == "log"
    drawn = {tuple(line[:, 0]) for line in line_data(plot) if len(line) == 4}
    assert drawn == {tuple(point["optimizer.learning_rate"] for point in row["chosen"]) for row in summary["arms"]}
    counted = [item.get_text() for item in plot.figure.axes[0].texts]
    assert counted == ["0", "3", "1"] * 2
    held = [item.get_position()[0] for item in plot.figure.axes[0].texts[:3]]
    np.testing.assert_allclose(held, [10**-2.5, 10**-1.5, 10**-0.5], rtol=1e-6)  # in the middle of its part


def test_each_tuned_value_has_a_scale_of_its_own(study):
    """Lost otherwise: momentum on the axis of a learning rate, or an arm that never tuned it in the picture."""
    _, summary, _ = study(arms=("a", "b"), seeds=6, layers=2, steps=4)
    momentum = {"path": "optimizer.momentum", "ends": [0.0, 0.45, 0.9], "counts": [1, 3], "log": False}
    summary["arms"][1]["regions"].append(momentum)
    for k, point in enumerate(summary["arms"][1]["chosen"]):
        point["optimizer.momentum"] = 0.3 * k
    with mpl_style.style():
        rate, second = search_plots.chosen(summary)
        assert (
            search_plots.chosen(summary | {"arms": [row | {"regions": [], "chosen": []} for row in summary["arms"]]})
            == []
        )
        damaged = [{"regions": [{}, {"path": 1, "ends": ["x"], "counts": None}, momentum], "chosen": [{}, None]}, {}]
        assert search_plots.chosen({"arms": damaged}) == []
        summary["arms"][0]["chosen"][0]["optimizer.learning_rate"] = 1e308
        assert len(search_plots.chosen(summary)) == 2
    assert rate.name != second.name and second.figure.axes[0].get_xscale() == "linear"
    said = [item.get_text() for item in second.figure.texts]
    assert "b" in said and "a" not in said


def test_the_trials_of_all_searches_are_drawn_and_the_chosen_ringed(study):
    """Lost otherwise: one search is shown for all, or a reader cannot see which trial won."""
    results, summary, _ = study(arms=("a", "b"), seeds=6, layers=2, steps=4, trials=6)
    results["tuning_point"].values[0, 0, 4:] = np.nan  # a search that was not extended
    results["tuning_score"].values[0, 0, 4:] = np.nan
    with mpl_style.style():
        (plot,) = forest_plot.tuning(results, summary)
    lines = plot.figure.axes[0].lines
    dots = sum(len(line.get_xdata()) for line in lines if line.get_marker() in ("o", "x") and line.get_markersize() < 6)
    (rings,) = [line.get_xdata() for line in lines if line.get_markersize() == 7]
    assert dots == 4 * 6 - 2
    best = results["chosen_trial"].values[0]
    np.testing.assert_allclose(rings, [results["tuning_point"].values[0, b, k, 0] for b, k in enumerate(best)])


def test_a_verdict_on_settings_is_drawn_hollow(study):
    """Lost otherwise: three searches look as sure as thirty."""
    _, summary, _ = study(arms=("a", "b", "c"), seeds=6, layers=2, steps=4)
    firm, conditional = summary["comparisons"]
    firm["verdict"], conditional["verdict"] = "better", "better for the settings found"
    with mpl_style.style():
        plot = forest_plot.forest(summary)
    said = [item.get_text() for item in plot.figure.texts]
    assert "better" in said and "better*" in said and "* for the settings found" in said
    faces = [line.get_markerfacecolor() for line in plot.figure.axes[0].lines if line.get_marker() == "o"]
    assert faces[0] != "white" and faces[1] == "white"


@pytest.mark.parametrize(
    "ends", [(6.1e6, 9.9e6), (5.3e4, 7.9e4), (3.0, 14.9), (1e-3, 0.02), (1.8e-4, 8.4e-3), (1e2, 1e8)]
)
def test_a_logarithmic_axis_has_two_ticks_or_more(ends):
    """One number on an axis is no scale: sizes of arms often lie within one decade."""
    with mpl_style.style():
        axes = mpl_style.panel(mpl_style.sheet(100, "a"), 10, 10, 100, 50)
        mpl_style.axis(axes, "x", ends, log=True)
        inside = [place for place in axes.get_xticks() if ends[0] <= place <= ends[1]]
    assert 2 <= len(inside) <= 6, inside


def test_equal_medians_leave_room_for_the_band_of_the_seeds(study):
    """Lost: a curve whose axis reads 0.94444 at every tick, since all medians are alike while the seeds differ."""
    results, summary, _ = study(arms=("one",), seeds=4, layers=2, steps=10)
    spread = np.array([0.80, 0.95, 0.95, 0.97])[None, :, None] * np.ones(results.validation.shape)
    results["validation"] = results.validation.copy(data=spread)
    results["diverged_at"] = results.diverged_at.copy(data=np.full(results.diverged_at.shape, -1))
    plot = next(plot for plot in curves.learning(results, summary) if plot.name == "validation")
    low, high = plot.figure.axes[0].get_ylim()
    assert low <= np.quantile([0.80, 0.95, 0.95, 0.97], 0.25) and high >= np.quantile([0.80, 0.95, 0.95, 0.97], 0.75)


def test_the_scale_of_a_share_is_one_of_shares(study):
    """Lost: a color bar that begins at -0.1 for a share of units."""
    results, _, _ = study(arms=("one",), seeds=4, layers=3, steps=10)
    few = np.full(results.dead_units.shape, 0.02)
    results["dead_units"] = results.dead_units.copy(data=few)
    plot = next(plot for plot in heat_maps.heat_maps(results) if plot.name == "dead-units-map")
    ends = [image.get_clim() for axes in plot.figure.axes for image in axes.images]
    assert (0.0, pytest.approx(0.12)) in ends


def test_a_dot_says_whose_it_is(study):
    """Lost otherwise: which seed is the one far out, without a program that reads results.nc."""
    results, summary, manifest = study(arms=("a<b", "b"), seeds=6, layers=2, steps=4)
    results["diverged_at"].values[1, 2] = 3
    with mpl_style.style():
        plot = forest_plot.seed_dots(results, summary)
    words = [one.words for one in plot.points]
    seeds = results.seed.values.tolist()
    assert words[4] == f"a<b, seed {seeds[4]}: {formatting.number(results.score.values[0, 4])}"
    assert words[8] == f"b, seed {seeds[2]}: diverged" and len(words) == 12
    axes = plot.figure.axes[0]
    x, _ = axes.transData.inverted().transform(plot.figure.transFigure.transform((plot.points[4].left, 0.5)))
    assert x == pytest.approx(results.score.values[0, 4], rel=1e-2)
    shown = page.render(results, summary, manifest, [plot])
    assert f'title="a&lt;b, seed {seeds[4]}: ' in shown and shown.count('<i style="left: ') == 12


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.08, 1.01), ["0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0.94, 1.0), ["0.94", "0.96", "0.98", "1.00"]),
        ((0.9, 1.0), ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]),
        ((-0.1, 0.1), ["\u22120.10", "\u22120.05", "0.00", "0.05", "0.10"]),
        ((0.0, 300.0), ["0", "100", "200", "300"]),
        ((0.0, 7e-4), ["0.0000", "0.0002", "0.0004", "0.0006"]),
        ((0.0, 1.1e-3), ["0", "2.5e\u22124", "5e\u22124", "7.5e\u22124", "1e\u22123"]),
        ((0.0, 1.25e-4), ["0", "2.5e\u22125", "5e\u22125", "7.5e\u22125", "1e\u22124", "1.25e\u22124"]),
        ((0.0, 2e5), ["0", "5e4", "1e5", "1.5e5", "2e5"]),
    ],
)
def test_the_ticks_of_an_axis_are_written_alike(ends, said):
    """Lost: the eye's comparison of two labels: 0.1 beside 0.97, 50000 beside 1e5, or 1.2e-4 for 1.25e-4."""
    with mpl_style.style():
        axes = mpl_style.panel(mpl_style.sheet(100, "a"), 10, 10, 100, 50)
        mpl_style.axis(axes, "x", ends)
        low, high = ends
        found = [one.get_text() for one in axes.get_xticklabels() if low <= one.get_position()[0] <= high]
    assert found == said


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.9e-3, 1.1), ["0.001", "0.01", "0.1", "1"]),
        ((1.8e-4, 8.4e-3), ["2e\u22124", "5e\u22124", "1e\u22123", "2e\u22123", "5e\u22123"]),
        ((0.9, 1.1e6), ["1e0", "1e2", "1e4", "1e6"]),
    ],
)
def test_the_ticks_of_a_logarithmic_axis_are_written_alike(ends, said):
    """Lost: the same, where 5e-4 stood beside 0.001."""
    with mpl_style.style():
        axes = mpl_style.panel(mpl_style.sheet(100, "a"), 10, 10, 100, 50)
        mpl_style.axis(axes, "x", ends, log=True)
        found = [one.get_text() for one in axes.get_xticklabels() if ends[0] <= one.get_position()[0] <= ends[1]]
    assert found == said


def test_figures_say_their_values(study):
    """Lost: the numbers behind a figure, without a program that reads results.nc."""
    results, summary, manifest = study(arms=("a<b", "b"), seeds=6, layers=2, steps=40)
    drawn = {plot.name: plot for plot in plots.figures(results, summary)}
    row = summary["comparisons"][0]
    held = formatting.bounds(row["interval"], signed=True)
    told = {name: [one.words for one in plot.points] for name, plot in drawn.items()}
    assert told["forest"][0].startswith(f"{row['a']} \u2212 {row['b']}: ") and held in told["forest"][0]
    last, step = results.validation[1, :, -1].median().item(), int(results.eval_step[-1])
    assert told["validation"][-1] == f"b, step {step}: {formatting.number(last)}"
    axes, one = drawn["validation"].figure.axes[0], drawn["validation"].points[-1]
    place = axes.transData.inverted().transform(
        drawn["validation"].figure.transFigure.transform((one.left, 1 - one.top))
    )
    np.testing.assert_allclose(place, [step, last], rtol=1e-2)
    seen = results.gradient_norm[0, :, 0, 0].median().item()
    layer, first = results.layer.values[0], int(results.step[0])
    assert told["gradient-norm"][0] == f"a<b, {layer}, step {first}: {formatting.number(seen)}"
    tried = results.tuning_point.values[0].ravel()[0], np.median(results.tuning_score.values[0, 0, 0])
    point, score = map(formatting.number, map(float, tried))
    assert any(words.endswith(f": {score}") and point in words for words in told["tuning-0"])
    assert len(told["budget"]) > 2 and told["chosen-0"][0].startswith("a<b, search 0: ")
    assert 'title="a&lt;b, step ' in page.render(results, summary, manifest, [drawn["validation"]])
    many = [drawn["validation"].points[0]] * 2001
    assert "<i style" not in page.render(results, summary, manifest, [drawn["validation"]._replace(points=many)])
