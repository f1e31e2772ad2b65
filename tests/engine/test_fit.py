"""The compiled fit of one lane: how steps are cut, and that cutting changes nothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from deepprinciples.engine.lane import fit
from deepprinciples.engine.lane.evaluation import evaluate
from deepprinciples.engine.population import Layout
from deepprinciples.engine.segments import Plan, plan
from deepprinciples.kernels.keys import fold_in
from deepprinciples.types import Batch, Learner

ONE = Layout(devices=1, blocks=1, points=1, mode="map")


def _loops(jaxpr):
    """List the loops of a program, outer ones first."""
    return [one for one in _each(jaxpr) if one.primitive.name in ("while", "scan")]


def _asks_each_lane(loop):
    """Tell whether lanes decide one by one how long a loop goes on; then every step chooses between two states."""
    return any(one.outvars[0].aval.shape for one in _each(loop.params["cond_jaxpr"]))


def _each(jaxpr):
    """Yield every equation of a program, those of its inner programs included."""
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation
        for value in equation.params.values():
            for one in value if isinstance(value, tuple | list) else (value,):
                if hasattr(getattr(one, "jaxpr", one), "eqns"):
                    yield from _each(one)


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


BOMBS = (-1, 0, 1, 3, 11, 12, 13, 24, 29, 30, 41, 54, 57, 58)  # segments have 30 and 29 steps, chunks 3


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_a_lane_diverges_at_any_step_of_a_segment(mode):
    """A lane would be blamed on a wrong step, keep weights that no step gave, or log what it never was."""
    layout = Layout(devices=1, blocks=1, points=len(BOMBS), mode=mode)
    cut = Plan(59, every=3, chunks=10, segments=2)
    points = [toy.point(bomb=float(bomb)) for bomb in BOMBS]
    outcome = toy.train([(5, points)], layout=layout, cut=cut)
    assert outcome.diverged_at[0].tolist() == list(BOMBS)
    losses = toy.by_hand(5, toy.point(), steps=cut.steps)[1]
    for number, bomb in enumerate(BOMBS):
        weights, _, _ = toy.by_hand(5, points[number], steps=cut.steps, span=cut.span)
        kept = cut.steps if bomb < 0 else bomb // cut.span * cut.span
        assert outcome.states["steps"][0, number] == kept
        np.testing.assert_allclose(outcome.states["w"][0, number], weights, rtol=1e-5, atol=1e-6)
        good = cut.steps if bomb < 0 else bomb
        known = np.where(np.arange(cut.steps) < good, losses, np.nan)
        np.testing.assert_allclose(outcome.logs["probed_loss"][0, number], known[::3], rtol=1e-5)
        means = [known[k : k + 3].mean() for k in range(0, cut.steps, 3)]
        np.testing.assert_allclose(outcome.logs["train_loss"][0, number], means, rtol=1e-5)
        first = outcome.logs["weight"]["first"][0, number]
        assert np.isfinite(first).tolist() == [k <= good for k in range(0, cut.steps, 3)]


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_a_state_lost_while_the_loss_is_finite_is_seen_when_the_segment_ends(mode):
    """Weights that are judged would be infinite, and a checkpoint hold them, since no loss told of it."""
    poisons, ends = (-1, 0, 4, 29, 30, 58), (-1, 29, 29, 29, 58, 58)
    layout = Layout(devices=1, blocks=1, points=len(poisons), mode=mode)
    cut = Plan(59, every=3, chunks=10, segments=2)
    points = [toy.point(poison=float(poison)) for poison in poisons]
    outcome = toy.train([(5, points)], layout=layout, cut=cut)
    assert outcome.diverged_at[0].tolist() == list(ends)
    healthy = toy.train([(5, [toy.point()] * len(poisons))], layout=layout, cut=cut)
    for number, end in enumerate(ends):
        kept = cut.steps if end < 0 else end // cut.span * cut.span
        assert outcome.states["steps"][0, number] == kept and np.isfinite(outcome.states["unread"][0, number]).all()
        for name in ("train_loss", "probed_loss"):
            known = np.arange(0, cut.steps, 3) <= (cut.steps if end < 0 else end)
            expected = np.where(known, healthy.logs[name][0, number], np.nan)
            np.testing.assert_array_equal(outcome.logs[name][0, number], expected)


def test_the_loss_tells_before_the_state_does():
    """Whoever looks for the fault would begin at the end of a segment, long after it."""
    cut = Plan(59, every=3, chunks=10, segments=2)
    both = [toy.point(bomb=7.0, poison=2.0), toy.point(bomb=2.0, poison=7.0)]
    outcome = toy.train([(5, both)], layout=ONE._replace(points=2), cut=cut)
    assert outcome.diverged_at[0].tolist() == [7, 2]


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_the_loop_is_a_step_and_nothing_else(mode):
    """Looking at a state in every step, or choosing between two, would cost a tenth of a small network's time."""
    hyper = {name: jnp.float32(value) for name, value in toy.point().items()}
    data, steps = jax.tree.map(jnp.asarray, toy.DATA), jnp.arange(6, dtype=jnp.int32).reshape(2, 3)
    indices = jnp.zeros((2, 3, toy.BATCH), jnp.int32)

    def segment(lane, total):
        one = toy.learner(hyper)
        return fit.segment(one, toy.probe, lane, jax.random.key(0), data, indices, steps, total)

    def by_hand(state, key):
        def body(state, row):
            batch = jax.tree.map(lambda a: a[row[1]], data)
            state, info = toy.learner(hyper).step(state, batch, fold_in(key, row[0]))
            return state, info.loss

        return jax.lax.scan(body, state, (steps[0], indices[0]))

    lane, key = fit.start(toy.learner(hyper), jax.random.key(0)), jax.random.key(0)
    engine = segment
    if mode == "vmap":  # lanes side by side: what they share must stay shared
        lane = jax.tree.map(lambda a: jnp.stack([a, a]), lane)
        engine, by_hand = (jax.vmap(one, in_axes=(0, None)) for one in (engine, by_hand))
    chunks, steps_of_one = _loops(jax.make_jaxpr(engine)(lane, jnp.int32(5)))
    (minimal,) = _loops(jax.make_jaxpr(by_hand)(lane.state, key))
    assert not any(map(_asks_each_lane, (chunks, steps_of_one)))
    ours, theirs = (list(_each(one)) for one in (steps_of_one.params["body_jaxpr"], minimal.params["jaxpr"]))
    arrays = lambda equations: sum(bool(one.outvars[0].aval.shape) for one in equations)
    assert arrays(ours) - arrays(theirs) <= 8  # rows of the order and of the losses, which a scan takes and puts itself
    assert not {one.primitive.name for one in ours} & {"is_finite", "cond"}
    if mode == "vmap":
        other = jax.make_jaxpr(jax.vmap(segment))(lane, jnp.array([5, 6]))
        assert all(map(_asks_each_lane, _loops(other))), "the check above would pass whatever happened"


def test_other_probes_train_the_same():
    """Looking more often would change what is seen."""
    cuts = [plan(23, probe_every=every, evaluate_every=8) for every in (1, 4)]
    weights = [toy.train([(5, [toy.point()])], layout=ONE, cut=cut).states["w"] for cut in cuts]
    for other in weights[1:]:
        np.testing.assert_allclose(other, weights[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [3, fit.SMALL // 2, fit.SMALL // 2 + 1])
def test_stayed_finite_sees_one_bad_value_in_any_leaf(bad, rows):
    """A lane with one infinite weight would be judged by it."""
    good = {"a": jnp.ones((rows, 2)), "b": [jnp.zeros(()), jnp.full((4,), -2.0)], "c": jnp.int32(1)}
    assert bool(fit.stayed_finite(good, good))
    spoiled = ({**good, "a": jnp.ones((rows, 2)).at[1, 1].set(bad)}, {**good, "b": [jnp.float32(bad), jnp.zeros(4)]})
    assert not any(bool(fit.stayed_finite(good, one)) for one in spoiled)


@pytest.mark.parametrize("rows", [3, fit.SMALL])
def test_values_as_large_as_numbers_go_are_finite(rows):
    """A lane with weights of 1e38 would count as diverged: only their sum overflows."""
    assert bool(fit.stayed_finite(jnp.ones((rows, 2)), jnp.full((rows, 2), 3e38)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [2, fit.SMALL])
def test_stayed_finite_counts_only_what_was_lost(bad, rows):
    """A state that starts with an empty (NaN) window would count as diverged, or a spoiled one pass."""
    before = {"w": jnp.ones((3, 2)), "window": jnp.ones((rows, 2)).at[0].set(jnp.nan), "count": jnp.int32(2)}
    assert bool(fit.stayed_finite(before, before))
    assert bool(fit.stayed_finite(before, {**before, "window": jnp.ones((rows, 2))}))
    assert not bool(fit.stayed_finite(before, {**before, "w": jnp.ones((3, 2)).at[2, 1].set(bad)}))
    assert not bool(fit.stayed_finite(before, {**before, "window": jnp.full((rows, 2), bad)}))


def test_nothing_that_could_be_lost():
    """A state of whole numbers, or of none, would fail to be traced."""
    for tree in ((), jnp.int32(1), jnp.zeros((0, 3)), jnp.zeros((3, 0))):
        assert bool(fit.stayed_finite(tree, tree))


def test_padding_weighs_nothing_in_an_evaluation():
    """The score would depend on the size of another split."""
    state = {"w": jnp.array([1.0, -2.0, 0.5])}
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
