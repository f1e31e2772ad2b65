"""The state that is judged: the best of a lane's evaluations, by hand and as a plain loop that keeps the best."""

import jax
import numpy as np
import pytest
import toy

from deepprinciples.engine import early_stopping
from deepprinciples.engine.early_stopping import Choice
from deepprinciples.engine.lane.fit import Lane
from deepprinciples.engine.population import make_mesh, place

NAN = np.nan
SHAKY = [toy.point(noise=3.0, learning_rate=0.2), toy.point(noise=0.0, learning_rate=0.9)]  # the second one grows
BLOCKS = [(seed, SHAKY) for seed in range(6)]  # two calls of the program, the second padded
BEST = Choice("loss", False, (True, True), (0, 0))
AT = toy.CUT.evaluation_steps()


def kept(values, *, diverged_at=None, choice=None, steps=None):
    """Show evaluations [blocks, points, evaluations] to lanes whose state is the number of the evaluation."""
    values = np.asarray(values, np.float32)
    diverged_at = np.full(values.shape[:2], -1) if diverged_at is None else np.asarray(diverged_at)
    steps = steps or list(range(10, 10 * values.shape[2] + 10, 10))
    mesh = make_mesh(2 if len(values) % 2 == 0 else 1)
    put = lambda tree: place(tree, mesh, shared=False)

    def lanes(number, end):
        state = {"w": np.full((*values.shape[:2], 3), number, np.float32), "n": np.full(values.shape[:2], number)}
        return Lane(put(state), put(np.where(diverged_at < end, diverged_at, -1)))

    found = early_stopping.begin(lanes(-1, 0))
    for number, end in enumerate(steps):
        lane = lanes(number, end)
        found = early_stopping.update(choice, found, lane, number, values[:, :, number], mesh)
    judged = early_stopping.judged(choice, found, lane, steps, mesh)
    assert np.all(np.asarray(judged.state["w"]) == judged.number[..., None]), "another state than the one named"
    assert np.all(np.asarray(judged.state["n"]) == judged.number)
    return judged


@pytest.mark.parametrize(
    ("values", "higher", "patience", "expected"),
    [
        ([0.1, 0.5, 0.3, 0.4], True, 0, 1),
        ([0.1, 0.5, 0.3, 0.4], False, 0, 0),
        ([3.0, 1.0, 2.0, 0.5], False, 0, 3),
        ([0.1, 0.5, 0.5, 0.5], True, 0, 1),  # the first of equal values
        ([2.0, 1.0, 1.0, 1.0], False, 0, 1),
        ([NAN, 0.2, NAN, 0.3], True, 0, 3),
        ([NAN, 0.2, NAN, 0.3], False, 0, 1),
        ([0.5, NAN, 0.4, NAN], True, 0, 0),
        ([NAN, NAN, NAN, NAN], True, 0, 0),
        ([-np.inf, 0.1, np.inf, 0.2], True, 0, 2),
        ([np.inf, np.inf, 9.0, np.inf], False, 0, 2),
        ([0.5, 0.4, 0.4, 0.9], True, 2, 0),  # two evaluations brought nothing: the third does not count
        ([0.5, 0.4, 0.4, 0.9], True, 3, 3),
        ([0.5, 0.5, 0.9, 0.4], True, 1, 0),  # an equal value is no improvement
        ([0.5, NAN, NAN, 0.9], True, 2, 0),
        ([NAN, NAN, 0.1, 0.9], True, 2, 3),
        ([NAN, NAN, 0.1, 0.9], True, 1, 0),
        ([0.5, 0.4, 0.6, 0.5, 0.4, 0.9], True, 2, 2),  # each improvement begins the count anew
        ([0.5, 0.4, 0.6, 0.5, 0.7, 0.9], True, 2, 5),
        ([0.5, 0.4, 0.4, 0.6, 0.7, 0.9], True, 2, 0),  # who has stopped does not begin again
    ],
)
def test_the_best_by_hand(values, higher, patience, expected) -> None:
    """Lost: a tie, a NaN, the direction or the patience decides for another state than the card says."""
    judged = kept([[values]], choice=Choice("m", higher, (True,), (patience,)))
    assert (judged.number.item(), judged.step.item()) == (expected, 10 * expected + 10)


@pytest.mark.parametrize("higher", [True, False])
def test_many_lanes_are_a_plain_loop_each(higher) -> None:
    """Lost: a lane is stopped, or given a state, by what another lane had."""
    random = np.random.default_rng(0)
    values = random.integers(0, 6, (40, 5, 9)).astype(np.float32)
    values[random.random(values.shape) < 0.2] = NAN
    best, patience = (True, False, True, True, True), (0, 0, 1, 2, 4)
    judged = kept(values, choice=Choice("m", higher, best, patience))
    for block in range(40):
        for point in range(5):
            at, record, waited = 0, None, 0
            for number, value in enumerate(values[block, point].tolist()):
                if patience[point] and waited >= patience[point]:
                    break
                ahead = value == value and (record is None or (value > record if higher else value < record))
                at, record, waited = (number, value, 0) if ahead else (at, record, waited + (number > 0))
            assert judged.number[block, point] == (at if best[point] else 8)


def test_what_comes_after_a_stop_does_not_count_by_hand() -> None:
    """Lost: a run that a user had stopped is lost for what it would have done later; or one that diverged is saved."""
    values = np.tile([0.5, 0.4, 0.4, 0.4], (4, 3, 1))
    diverged_at = np.array([[5] * 3, [29] * 3, [30] * 3, [35] * 3])  # patience 2: it stops after 30 steps
    judged = kept(values, diverged_at=diverged_at, choice=Choice("m", True, (True, True, False), (2, 0, 0)))
    assert judged.diverged_at.tolist() == [[5, 5, 5], [29, 29, 29], [-1, 30, 30], [-1, 35, 35]]
    assert judged.step.tolist() == [[-1] * 3, [-1] * 3, [10, -1, -1], [10, -1, -1]]
    assert judged.number[1:].tolist() == [[0, 0, 3]] * 3


def test_nothing_is_kept_of_a_lane_that_diverged() -> None:
    """Lost: the value of the last sound weights is taken for progress."""
    judged = kept([[[0.5, 0.4, 0.9, 0.9]]], diverged_at=[[25]], choice=Choice("m", True, (True,), (0,)))
    assert judged.number.item() == 0 and judged.diverged_at.item() == 25


# --- in a run -----------------------------------------------------------------------------------------------------


def by_hand(seed, settings, patience=0):
    """Train up to each evaluation anew, in a plain loop, and keep the weights with the lowest loss on the split."""
    inputs = np.asarray(toy.SPLIT[0].inputs).reshape(-1, 3)[: toy.VALIDATION]
    best, waited = (np.inf, None, 0), 0
    for steps in AT:
        weights, _, _ = toy.by_hand(seed, settings, steps=steps)
        loss = np.mean((inputs @ np.asarray(weights)) ** 2)
        best, waited = ((loss, weights, steps), 0) if loss < best[0] else (best, waited + 1)
        if patience and waited == patience:
            break
    return best


@pytest.mark.parametrize("layout", [toy.WIDE, toy.WIDE._replace(mode="vmap")])
@pytest.mark.parametrize("patience", [0, 1])
def test_a_run_is_the_loop_that_keeps_the_best(layout, patience) -> None:
    """Lost: another state than the best one is judged and written, on one device or on two."""
    choice = BEST._replace(patience=(patience, patience))
    outcome = toy.train(BLOCKS, layout=layout, choice=choice, judges={"test": toy.SPLIT, "more": toy.SPLIT})
    steps = set()
    for seed, points in BLOCKS:
        for p, settings in enumerate(points):
            loss, weights, step = by_hand(seed, settings, patience)
            np.testing.assert_allclose(outcome.states["w"][seed, p], weights, rtol=1e-4, atol=1e-5)
            assert outcome.kept_step[seed, p] == step == outcome.states["steps"][seed, p]
            for found in (outcome.final, outcome.test_sets["more"]):
                np.testing.assert_allclose(found["loss"][seed, p], loss, rtol=1e-4)
            steps.add(step)
    assert len(steps) > 2, "the case tells nothing"
    np.testing.assert_array_equal(outcome.kept_step[:, 1], AT[0])  # its loss grows from the first evaluation on


def test_without_a_test_split_the_best_value_of_the_curve_stands() -> None:
    """Lost: a search chooses its trials by other states than those that are kept."""
    outcome = toy.train(BLOCKS, choice=BEST._replace(best=(True, False)))
    np.testing.assert_array_equal(outcome.final["loss"][:, 0], outcome.curves["loss"][:, 0].min(axis=1))
    np.testing.assert_array_equal(outcome.final["loss"][:, 1], outcome.curves["loss"][:, 1, -1])
    short = toy.train(BLOCKS, choice=BEST, until=2)
    np.testing.assert_array_equal(short.final["loss"], outcome.curves["loss"][:, :, :2].min(axis=2))


def test_lanes_train_as_if_nothing_were_kept() -> None:
    """Lost: the lanes of a pair differ in more than the state that is judged."""
    bad = [toy.point(bomb=14.0), toy.point(noise=3.0)]
    blocks = [*BLOCKS[:3], (3, bad)]
    plain = toy.train(blocks)
    outcome = toy.train(blocks, choice=BEST._replace(best=(False, True)))
    for name in ("logs", "curves", "diverged_at", "cause"):
        toy.same_bits(getattr(plain, name), getattr(outcome, name))
    last = lambda one: jax.tree.map(lambda a: a[:, 0], (one.final, one.states))
    toy.same_bits(last(plain), last(outcome))
    assert plain.kept_step is None and outcome.kept_step[:, 0].tolist() == [23, 23, 23, -1]


def test_a_run_that_loses_all_lanes_has_the_shapes_of_any_other() -> None:
    """Lost: a study in which a whole call diverges ends in a traceback."""
    lost = toy.train([(seed, [toy.point(bomb=7.0)] * 2) for seed in range(4)], choice=BEST)
    sound = toy.train(BLOCKS[:4], choice=BEST)
    shapes = lambda one: jax.tree.map(np.shape, one._replace(seconds=0))
    assert shapes(lost) == shapes(sound) and np.all(lost.kept_step == -1) and np.all(lost.diverged_at == 7)
    assert np.isfinite(lost.states["w"]).all()


def test_the_choice_is_made_on_every_device_by_itself() -> None:
    """Lost: devices wait for each other at each evaluation, or one of them holds the states of all."""
    mesh = make_mesh(2)
    state = {"w": place(np.zeros((4, 2, 3), np.float32), mesh, shared=False)}
    lowered = early_stopping._selector(mesh).lower(place(np.ones((4, 2), bool), mesh, shared=False), state, state)
    compiled = lowered.compile()
    for word in ("all-reduce", "all-gather", "all-to-all", "collective", "reduce-scatter"):
        assert word not in compiled.as_text()
    assert compiled.output_shardings["w"].spec[0] == "lane" and len(compiled.output_shardings["w"].device_set) == 2
    made = toy.program()
    assert early_stopping.held_bytes(made) == made.layout.width * 4 * 6  # w, steps and unread: 6 numbers a lane
