"""The compiled fit of one lane: how steps are cut, and that cutting changes nothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from deepprinciples.engine import fit
from deepprinciples.engine.cuts import Plan, plan
from deepprinciples.engine.evaluation import evaluate
from deepprinciples.engine.population import Layout
from deepprinciples.types import Batch, Learner

ONE = Layout(devices=1, blocks=1, points=1, mode="map")


@pytest.mark.parametrize("every", [0, 1, 3, 10, 500])
@pytest.mark.parametrize("evaluate", [0, 1, 7, 40, 10_000])
def test_a_plan_covers_every_step_once(every, evaluate):
    """The last steps would be left out, or a segment run in vain."""
    for steps in range(1, 130):
        cut = plan(steps, probe_every=every, evaluate_every=evaluate)
        assert (cut.segments - 1) * cut.span < steps <= cut.segments * cut.span
        assert cut.probe_steps() == list(range(0, steps, cut.every))
        done = cut.evaluation_steps()
        assert len(done) == cut.segments and done[-1] == steps and done == sorted(set(done))


def test_a_plan_looks_about_as_often_as_it_says():
    """A long run would be slowed by probes, or a short one show nothing."""
    for steps in (1, 7, 50, 51, 1500, 100_000):
        cut = plan(steps)
        assert min(steps, 10) // 2 <= len(cut.probe_steps()) <= 50 and (cut.every >= 16 or len(cut.probe_steps()) <= 10)
        assert min(5, steps) <= cut.segments <= 10
    asked = plan(100, probe_every=10, evaluate_every=20)
    assert (asked.every, asked.span, asked.segments) == (10, 20, 5)


@pytest.mark.parametrize("steps", [1, 7, 23, 101])
def test_odd_step_counts_train_as_a_plain_loop(steps):
    """Steps beyond the last would train on, or the last ones be lost."""
    cut = Plan(steps, every=4, chunks=2, segments=math.ceil(steps / 8))  # one program serves: `steps` is traced
    outcome = toy.train([(5, [toy.point()])], layout=ONE, cut=cut)
    weights, losses, _ = toy.by_hand(5, toy.point(), steps=steps)
    assert outcome.states["steps"][0, 0] == steps and outcome.diverged_at[0, 0] == -1
    np.testing.assert_allclose(outcome.states["w"][0, 0], weights, rtol=1e-5, atol=1e-6)
    chunks = [np.mean(losses[k : k + 4]) for k in range(0, steps, 4)]
    np.testing.assert_allclose(outcome.logs["train_loss"][0, 0], chunks, rtol=1e-5)
    np.testing.assert_allclose(outcome.logs["probed_loss"][0, 0], losses[::4], rtol=1e-5)


def test_other_segments_give_the_same_bits():
    """Evaluating more often would change what is evaluated."""
    cuts = [plan(23, probe_every=4, evaluate_every=evaluate) for evaluate in (8, 23)]
    assert len({cut.segments for cut in cuts}) == 2
    results = [toy.train([(5, [toy.point()])], layout=ONE, cut=cut) for cut in cuts]
    for other in results[1:]:
        toy.same_bits((results[0].states, results[0].logs), (other.states, other.logs))
    for cut, result in zip(cuts, results, strict=True):
        assert result.curves["loss"].shape == (1, 1, cut.segments)
        assert result.curves["loss"][0, 0, -1] == results[0].curves["loss"][0, 0, -1]


BOMBS = (-1, 0, 1, 3, 11, 12, 13, 24, 29, 30, 41, 54, 57)  # stretches have 12, 12, 6, 12, 12 and 5 steps


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_a_lane_stops_anywhere_in_a_stretch(mode):
    """A lane would be frozen at the start of its stretch, or log what it never was after its last step."""
    layout = Layout(devices=1, blocks=1, points=len(BOMBS), mode=mode)
    cut = Plan(59, every=3, chunks=10, segments=2)
    assert cut.chunks % fit.STRETCH and cut.chunks > 2 * fit.STRETCH
    points = [toy.point(bomb=float(bomb)) for bomb in BOMBS]
    outcome = toy.train([(5, points)], layout=layout, cut=cut)
    assert outcome.diverged_at[0].tolist() == list(BOMBS)
    losses = toy.by_hand(5, toy.point(), steps=cut.steps)[1]
    for number, bomb in enumerate(BOMBS):
        good = cut.steps if bomb < 0 else bomb
        weights = toy.by_hand(5, toy.point(), steps=good)[0]
        assert outcome.states["steps"][0, number] == good
        np.testing.assert_allclose(outcome.states["w"][0, number], weights, rtol=1e-5, atol=1e-6)
        known = np.where(np.arange(cut.steps) < good, losses, np.nan)
        np.testing.assert_allclose(outcome.logs["probed_loss"][0, number], known[::3], rtol=1e-5)
        means = [known[k : k + 3].mean() for k in range(0, cut.steps, 3)]
        np.testing.assert_allclose(outcome.logs["train_loss"][0, number], means, rtol=1e-5)
        first = outcome.logs["weight"]["first"][0, number]
        assert np.isfinite(first).tolist() == [k <= good for k in range(0, cut.steps, 3)]


def test_other_probes_train_the_same():
    """Looking more often would change what is seen."""
    cuts = [plan(23, probe_every=every, evaluate_every=8) for every in (1, 4)]
    weights = [toy.train([(5, [toy.point()])], layout=ONE, cut=cut).states["w"] for cut in cuts]
    for other in weights[1:]:
        np.testing.assert_allclose(other, weights[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [3, fit.SMALL // 2, fit.SMALL // 2 + 1])
def test_sums_finite_sees_one_bad_value_in_any_leaf(bad, rows):
    """A lane with one infinite gradient would train on."""
    good = {"a": jnp.ones((rows, 2)), "b": [jnp.zeros(()), jnp.full((4,), -2.0)], "c": jnp.int32(1)}
    assert bool(fit.sums_finite((good, jnp.zeros(()))))
    spoiled = ({**good, "a": jnp.ones((rows, 2)).at[1, 1].set(bad)}, {**good, "b": [jnp.float32(bad), jnp.zeros(4)]})
    assert not any(bool(fit.sums_finite((jnp.zeros(()), one))) for one in spoiled)


def test_small_arrays_may_be_as_large_as_numbers_go():
    """A clipped gradient of 1e30 would end a lane that trains on: only a sum over a large array may overflow."""
    assert bool(fit.sums_finite([jnp.full((4, 4), 3e38), jnp.full((4,), -3e38)]))
    assert not bool(fit.sums_finite(jnp.full((fit.SMALL, 2), 3e38)))


def test_nothing_that_could_be_lost():
    """A state of whole numbers, or of none, would fail to be traced."""
    for tree in ((), jnp.int32(1), jnp.zeros((0, 3)), jnp.zeros((3, 0))):
        assert bool(fit.sums_finite(tree)) and bool(fit.stayed_finite(tree, tree))


def test_infinities_of_both_signs_are_seen():
    """inf and -inf in one leaf would cancel."""
    assert not bool(fit.sums_finite(jnp.array([jnp.inf, -jnp.inf])))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_stayed_finite_counts_only_what_was_lost(bad):
    """A state that starts with an empty (NaN) window would count as diverged, or a spoiled one pass."""
    before = {"w": jnp.ones((3, 2)), "window": jnp.array([jnp.nan, 1.0]), "count": jnp.int32(2)}
    assert bool(fit.stayed_finite(before, before))
    assert bool(fit.stayed_finite(before, {**before, "w": jnp.full((3, 2), 3e38)}))
    assert not bool(fit.stayed_finite(before, {**before, "w": jnp.ones((3, 2)).at[2, 1].set(bad)}))
    assert not bool(fit.stayed_finite(before, {**before, "window": jnp.array([bad, bad])}))


def test_padding_weighs_nothing_in_an_evaluation():
    """The score would depend on the size of another split."""
    state = {"w": jnp.array([1.0, -2.0, 0.5]), "steps": jnp.zeros(())}
    one = toy.learner({name: jnp.float32(v) for name, v in toy.point().items()})
    x = np.asarray(jax.random.normal(jax.random.key(0), (11, 3)))
    y = np.ones(11, np.float32)
    expected = np.mean((x @ np.array([1.0, -2.0, 0.5]) - 1) ** 2)
    lane = fit.Lane(state, jnp.int32(-1))
    for size, batch in ((11, 256), (16, 256), (11, 4), (30, 7), (11, 1)):
        batches, weights = toy.pad_split(Batch(x, y), size=size, batch=batch)
        assert weights.sum() == 11
        found = evaluate(one, lane, batches, weights)["loss"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_padding_may_even_be_poisonous():
    """A metric that is infinite on a padded example would spoil the mean of the real ones."""
    one = Learner(None, None, lambda state, batch, key: {"m": 1.0 / batch.inputs[:, 0]})
    batches = Batch(np.array([[[2.0], [4.0], [0.0]]], np.float32), np.zeros((1, 3), np.float32))
    found = evaluate(one, fit.Lane((), jnp.int32(-1)), batches, np.array([[1.0, 1.0, 0.0]], np.float32))
    np.testing.assert_allclose(found["m"], 0.375)
