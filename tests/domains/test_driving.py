"""Driving: the camera, the car, the expert, its frames, and what is measured of a model that drives."""

from __future__ import annotations

import functools
import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.domains import driving
from deepprinciples.domains.driving import closed_loop, frames, simulation
from deepprinciples.domains.driving.simulation import Road, State
from deepprinciples.errors import ConfigError
from deepprinciples.learners.assembly import from_config
from deepprinciples.types import Batch

KEY = jax.random.key(3, impl="threefry2x32")
RENDER, MASK = jax.jit(simulation.render), jax.jit(simulation.lane_mask)
SMALL: dict[str, typing.Any] = {"roads": 2, "held_out": 1, "frames": 3}


def straight_road() -> Road:
    """Return a straight road in clear light: new paint, no shadows, no noise."""
    zeros, waves, blotches = jnp.zeros, simulation.WAVES, simulation.BLOTCHES
    return Road(
        zeros(waves), jnp.full(waves, 100.0), zeros(waves), jnp.array([-0.4, -0.1, 0.6]), jnp.float32(0.6), zeros(2),
        zeros((2, 2)), jnp.float32(0.0), zeros(2), jnp.float32(0.0), zeros((blotches, 3)), jnp.float32(0.0),
    )  # fmt: skip


def at(along: float = 0.0, offset: float = 0.0, heading: float = 0.0) -> State:
    return State(jnp.float32(along), jnp.float32(offset), jnp.float32(heading))


def circle(curvature: float) -> Road:
    """Return a road of one curvature: a wave without end."""
    wave = jnp.full(simulation.WAVES, 1e9)
    return straight_road()._replace(bend=jnp.full(simulation.WAVES, curvature / 5), wavelength=wave)


@functools.cache
def seen(heading: float = 0.0, offset: float = 0.0) -> np.ndarray:
    return np.asarray(RENDER(straight_road(), at(1.0, offset, heading), KEY))[..., 0]


def test_a_straight_road_is_symmetric() -> None:
    """Lost: a camera that looks to one side teaches a model to steer there."""
    picture = seen()
    np.testing.assert_allclose(picture, picture[:, ::-1], atol=1e-6)
    mask = np.asarray(MASK(straight_road(), at()))
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    assert mask[:10].sum() == 0 and mask[-1, 32] == 1 and set(np.unique(mask)) == {0, 1}


def test_left_is_left() -> None:
    """Lost: offsets, headings and what is seen of them contradict each other."""
    np.testing.assert_allclose(seen(0.05, 0.4), seen(-0.05, -0.4)[:, ::-1], atol=1e-5)
    mask = MASK(straight_road(), at(0.0, 1.0))  # the car is left of the center
    columns = np.flatnonzero(np.asarray(mask)[20])
    assert columns.mean() > 32  # so the lane is to its right


def test_the_pinhole_camera_by_hand() -> None:
    """Lost: a meter of the ground is not where a camera of these numbers would show it."""
    # 6 m ahead, 1.5 m left: row 10 + 40 * 1.5 / 6 = 20, column 32 - 40 * 1.5 / 6 = 22.
    assert simulation.project(6.0, 1.5) == (20.0, 22.0)
    # Row 19.5 shows the ground 60 / 9.5 = 6.316 m ahead; the markings are 1.75 m to both sides: columns 32 -+ 11.08.
    mask = np.asarray(MASK(straight_road(), at()))[19]
    assert list(np.flatnonzero(mask)[[0, -1]]) == [21, 42]  # centers 21.5 and 42.5
    paint = seen()[19]
    assert (paint[[20, 21, 42, 43]] > -0.1).all() and (paint[23:41] < -0.3).all()  # 20.92 and 43.08 are their middles


def test_a_bicycle_step_by_hand() -> None:
    """Lost: the car does not move as the card says."""
    after = simulation.advance(circle(0.02), at(10.0, 0.5, 0.1), 0.5)
    along = 10.0 * math.cos(0.1) / (1 - 0.02 * 0.5)
    turn = 10.0 * math.tan(0.2 * 0.5) / 2.7 - 0.02 * along
    expected = (10.0 + 0.2 * along, 0.5 + 0.2 * 10.0 * math.sin(0.1), 0.1 + 0.2 * turn)
    np.testing.assert_allclose(after, expected, rtol=1e-5)


def test_the_center_line_of_a_circle() -> None:
    """Lost: curves are drawn and steered along that are not those of the road."""
    ahead = jnp.linspace(0.0, 30.0, 61)
    x, y, angle = simulation.center_line(circle(0.02), at(7.0), ahead)
    np.testing.assert_allclose(x, np.sin(0.02 * ahead) / 0.02, atol=2e-3)
    np.testing.assert_allclose(y, (1 - np.cos(0.02 * ahead)) / 0.02, atol=2e-3)
    np.testing.assert_allclose(angle, 0.02 * ahead, atol=1e-5)


def test_pure_pursuit_by_hand() -> None:
    """Lost: what models learn from is not what the card says."""
    # On a circle the point ahead lies on that circle, so the wheels turn by atan(wheelbase curvature).
    steering = simulation.expert(circle(0.02), at())
    assert float(steering) == pytest.approx(math.atan(2.7 * 0.02) / 0.2, abs=1e-3)
    # 0.8 m left of a straight line: the point is at (8, -0.8).
    off = simulation.expert(straight_road(), at(0.0, 0.8))
    assert float(off) == pytest.approx(-math.atan(2.7 * 2 * 0.8 / (64 + 0.64)) / 0.2, rel=1e-4)


def test_the_expert_stays_in_its_lane_on_every_road() -> None:
    """Lost: the best that could be learned would leave the lane, and 300 m could not be reached."""
    roads = jax.jit(jax.vmap(simulation.random_road))(jax.random.split(KEY, 100))
    path = jax.jit(jax.vmap(lambda road: simulation.follow(road, at(), 165)))(roads)
    assert float(jnp.max(jnp.abs(path.offset))) < simulation.IN_LANE
    assert float(jnp.min(path.along[:, -1])) > 300.0
    bends = jax.vmap(lambda road: simulation.curvature(road, jnp.linspace(0.0, 400.0, 100)))(roads)
    assert float(jnp.std(bends)) == pytest.approx(0.014, rel=0.05)


def test_keys_decide() -> None:
    """Lost: arms of a comparison drive other roads than each other."""
    one, two = simulation.random_road(KEY), simulation.random_road(jax.random.key(4, impl="threefry2x32"))
    assert not np.array_equal(one.phase, two.phase)
    first, again = (RENDER(one, at(), KEY) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = RENDER(one, at(), jax.random.key(5, impl="threefry2x32"))
    assert float(jnp.abs(first - other).max()) > 0 and float(jnp.abs(first).max()) <= 1.0


def test_frames_are_split_by_road() -> None:
    """Lost: neighbors of test frames are learned by heart."""
    source = driving.road(**SMALL)
    assert source.inputs.shape == (6, 32, 64, 1) and source.targets.shape == (6,)
    assert source.validation is not None and source.test is not None
    skies = [np.round(one[:10].mean(), 2) for one in (*source.inputs[::3], source.validation.inputs[0])]
    assert len(set(skies)) == 3  # the sky is that of the road
    again = driving.road(**SMALL)
    np.testing.assert_array_equal(source.inputs, again.inputs)
    lanes = driving.lane(**SMALL)
    np.testing.assert_array_equal(lanes.inputs, source.inputs)
    assert lanes.targets.shape == (6, 32, 64) and set(np.unique(lanes.targets)) == {0, 1}


def test_recoveries_change_the_part_that_they_are_named_for() -> None:
    """Lost: an arm that learns from recoveries would be tested on easier or harder frames than the others."""
    plain, some = driving.road(**SMALL), driving.road(**SMALL, recoveries=1.0)
    off = driving.road(**SMALL, test_recoveries=1.0)
    assert plain.test is not None and some.test is not None and off.test is not None
    np.testing.assert_array_equal(plain.test.inputs, some.test.inputs)
    np.testing.assert_array_equal(plain.inputs, off.inputs)
    assert (np.abs(plain.inputs - some.inputs).max(axis=(1, 2, 3)) > 0.05).all()
    assert np.abs(off.test.targets - plain.test.targets).max() > 0.05


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"roads": 0}, "roads: expected a whole number of at least 1, found 0"),
        ({"recoveries": 1.5}, "recoveries: expected a number .*, found 1.5"),
    ],
)
def test_frames_that_cannot_be_made(given: dict[str, typing.Any], words: str) -> None:
    """Lost: an error inside the renderer, in place of the line that says what to change."""
    with pytest.raises(ConfigError, match=words):
        configs.resolve_parts("data", {"road": {"name": "road", **given}}, from_config.KINDS)


def test_meters_by_hand() -> None:
    """Lost: the verdict on driving rests on another distance than the card says."""
    metric = driving.meters_in_lane(roads=3, length=60)
    targets = jnp.zeros((5, 1))
    value = lambda predict: metric.statistics(predict, targets)
    straight = value(lambda pictures: jnp.zeros((len(pictures), 1)))
    assert straight.shape == (5,) and 0.0 < float(straight[0]) <= 60.0
    assert float(metric.compute(jnp.sum(straight), 5)) == pytest.approx(float(straight[0]))
    # A step is 2 m. Wheels turned by 0.2 to the left turn the car by 0.15 a step, so the offset is 0, 0.3, 0.89 m on a
    # straight road; a curve of it adds or takes away at most one step.
    turned = closed_loop.trip(lambda pictures: jnp.ones((len(pictures), 1)), roads=3, length=60, road_seed=0)
    assert (turned[1] >= 3.9).all() and (turned[1] <= 6.1).all()
    lost = value(lambda pictures: jnp.full((len(pictures), 1), jnp.nan))
    np.testing.assert_array_equal(lost, jnp.zeros(5))  # a car that cannot be steered is nowhere
    with pytest.raises(ValueError, match=r"outputs \[3, 2\] of 3 pictures; expected one number each"):
        value(lambda pictures: jnp.zeros((len(pictures), 2)))


def test_a_car_that_sees_the_lane_arrives() -> None:
    """Lost: no picture would show what is needed to drive."""
    roads = jax.tree.map(lambda a: jnp.stack([a, a]), straight_road())
    start = State(jnp.zeros(2), jnp.array([0.5, -0.5]), jnp.zeros(2))

    def toward_the_middle(pictures: jax.Array) -> jax.Array:
        dark = jnp.maximum(-0.2 - pictures[:, 19, :, 0], 0.0)  # the asphalt
        middle = jnp.sum(dark * (jnp.arange(64)[None, :] + 0.5), axis=1) / jnp.sum(dark, axis=1)
        return -0.1 * (middle - 32.0)

    path, inside = simulation.drive(toward_the_middle, roads, start, 40, KEY)
    assert bool(inside.all()) and float(jnp.abs(path.offset[-1]).max()) < 0.3


def test_what_is_earned_is_the_meters_in_the_lane() -> None:
    """Lost: learning by driving that is paid for something else than what drivers are judged by."""
    world = driving.TABLES["environment"]["road"](horizon=40)
    reset, step = jax.jit(world.reset), jax.jit(world.step)
    begun = [reset(key)[0] for key in jax.random.split(KEY, 3)]
    every = jax.tree.map(lambda *one: jnp.stack(one), *begun)
    for angle in (0.0, 0.1):
        path, _ = simulation.drive(lambda x, angle=angle: jnp.full(len(x), angle), every.road, every.car, 40, KEY)
        for number, state in enumerate(begun):
            earned, ended = 0.0, False
            for _ in range(40):
                if not ended:
                    state, _, reward, ended = step(KEY, state, jnp.array([angle]))
                    earned += float(reward)
            np.testing.assert_allclose(earned, path.along[-1, number], rtol=1e-5)
            assert ended == (float(reward) == 0.0)


def test_the_camera_of_the_environment_is_that_of_the_frames() -> None:
    """Lost: a cloned network that sees other pictures than it learned from, once it is paid."""
    world = driving.TABLES["environment"]["road"]()
    state, _ = jax.jit(world.reset)(KEY)
    after, seen, _, _ = jax.jit(world.step)(KEY, state, jnp.array([0.3]))
    np.testing.assert_allclose(seen, RENDER(after.road, after.car, KEY), atol=1e-5)
    assert seen.shape == world.observation == (32, 64, 1)
    figure = Figure()
    world.draw(figure.add_subplot(), jax.device_get(after))
    assert figure.axes[0].get_title() == "2 m" and figure.axes[0].images


def test_a_shifted_view_is_what_a_shifted_camera_sees() -> None:
    """Lost: pictures move to the wrong side, by another distance, or for another steering."""
    plain = jnp.asarray(seen())[None, ..., None]
    for offset, heading, given in ((0.5, 0.0, {"shift": 0.5, "turn": 0.0}), (0.0, 0.06, {"shift": 0.0, "turn": 0.06})):
        part = driving.shifted_view(**given)
        batch = Batch(jnp.repeat(plain, 64, axis=0), jnp.zeros((64, 1)))
        out = part.apply(KEY, batch)
        draws = np.asarray(simulation.random.uniform(KEY, (2, 64), None, -1.0, 1.0))[0 if offset else 1]
        most = int(np.argmax(draws))  # nearly all of the shift to the left
        camera = seen(heading * float(draws[most]), offset * float(draws[most]))
        middle = np.s_[12:30, 12:52]
        moved, still = (np.abs(one[middle] - camera[middle]).mean() for one in (out.inputs[most, ..., 0], seen()))
        assert moved < 0.4 * still
        expert = simulation.expert(straight_road(), at(1.0, offset * draws[most], heading * draws[most]))
        assert float(out.targets[most, 0]) == pytest.approx(float(expert), rel=0.03)


def test_a_shifted_view_that_is_off_changes_no_bit() -> None:
    """Lost: an arm without the trick is not the baseline."""
    x = jax.random.normal(KEY, (4, 32, 64, 2))
    y = jnp.array([[0.1], [-0.0], [0.3], [-0.7]])
    out = jax.jit(lambda s: driving.shifted_view(shift=s, turn=s).apply(KEY, Batch(x, y)))(0.0)
    np.testing.assert_array_equal(out.inputs, x)
    np.testing.assert_array_equal(out.targets, y)
    kept = driving.shifted_view(correction=0.0).apply(KEY, Batch(x, y))
    np.testing.assert_array_equal(kept.targets, y)
    assert float(jnp.abs(kept.inputs - x).max()) > 0.1
    with pytest.raises(ValueError, match=r"inputs \[4, 8, 8, 1\] with targets \[4, 1\]; expected \[B, 32, 64, C\]"):
        driving.shifted_view().apply(KEY, Batch(jnp.zeros((4, 8, 8, 1)), y))


def test_frames_are_drawn() -> None:
    """Lost: a reader of the report sees numbers in place of roads."""
    from matplotlib.figure import Figure

    for source in (driving.road(**SMALL), driving.lane(**SMALL)):
        axes = Figure().subplots()
        assert source.display is not None
        source.display(axes, source.inputs[0], source.targets[0])
        assert len(axes.images) == 1 and len(axes.lines) + len(axes.collections) == 1


def test_a_comparison_drives_and_is_drawn(tmp_path: typing.Any) -> None:
    """Lost: the one study that this domain is there for."""
    config = {
        "data": {"name": "road", **SMALL, "batch_size": 2},
        "test_sets": {"off_center": {"name": "road", **SMALL, "test_recoveries": 1.0}},
        "model": {"name": "cnn", "depth": 1, "width": 2, "stages": 1, "readout": "mean"},
        "loss": "mse",
        "augment": {"shifted_view": {"shift": 0.0, "turn": 0.0}},
        "optimizer": "adam",
        "train": {"steps": 2, "evaluate_every": 2, "probes": []},
        "study": {
            "metric": {"name": "meters_in_lane", "roads": 1, "length": 10},
            "also": ["mse"],
            "seeds": 2,
            "keep": 1,
        },
        "arms": {"plain": {}, "shifted": {"augment.shifted_view.shift": 0.5}},
    }
    run = dp.compare(config, tmp_path / "run")
    assert len(run.summary["programs"]) == 1
    assert ((run.results.score > 0) & (run.results.score <= 10)).all()
    assert run.results.test_set_mse.dims == ("arm", "seed", "test_set")
    picture = dp.driving.draw(run, tmp_path / "driving.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    model, params = run.model("shifted")
    predict = functools.partial(model.predict, params)
    _, meters = closed_loop.trip(predict, roads=1, length=10, road_seed=0)
    np.testing.assert_allclose(meters[0], run.results.score.sel(arm="shifted", seed=0), rtol=1e-3)


def test_a_push_is_taken_back() -> None:
    """Lost: recoveries would show cars that leave the lane."""
    road = simulation.random_road(KEY)
    draws = jax.random.uniform(KEY, (200, 3))
    states = jax.jit(jax.vmap(lambda one: frames.off_center(road, at(50.0), one)))(draws)
    assert float(jnp.std(states.offset)) > 0.2 and float(jnp.abs(states.offset).max()) < 1.2
    assert float(states.along.min()) >= 50.0 and float(states.along.max()) <= 50.0 + 4 * 2.2
