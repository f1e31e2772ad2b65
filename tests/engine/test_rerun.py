"""One lane run again: the step and the array that spoiled it are found, wherever they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from deepprinciples.engine.batching import resident
from deepprinciples.engine.divergence import CAUSES
from deepprinciples.engine.population import Layout
from deepprinciples.engine.rerun import Known, rerun
from deepprinciples.engine.run import Block, begun_lane
from deepprinciples.engine.serialization import Keeper

PAIR = Layout(devices=1, blocks=1, points=2, mode="map")
SEED = 5
MODES = pytest.mark.parametrize("mode", ["map", "vmap"])


def again(settings, *, mode="map", data=toy.DATA, make_learner=toy.learner, **options):
    """Run the second lane of a block again."""
    made = toy.program(PAIR._replace(mode=mode))
    feed = resident(data, batch_size=toy.BATCH, plan=toy.CUT, mesh=made.mesh)
    block = Block(SEED, (toy.point(), settings))
    return rerun(made, toy.CUT, feed, block, 1, make_learner, curve=toy.SPLIT, **options)


def train(settings, *, mode="map", **options):
    return toy.train([(SEED, [toy.point(), settings])], layout=PAIR._replace(mode=mode), **options)


# What spoils a lane -> the step at which it diverged, and the look at the first bad array.
LOST = {
    "infinite weights after the first step": (toy.point(learning_rate=np.inf), 1, 0, "update"),
    "a rate that is no number": (toy.point(learning_rate=np.nan), 1, 0, "update"),
    "broken initial weights": (toy.point(broken_init=1.0), 0, 0, "parameter"),
    "NaN at step 0": (toy.point(bomb=0), 0, 0, "loss"),
    "NaN at the first step of a segment": (toy.point(bomb=12), 12, 12, "loss"),
    "NaN in a chunk": (toy.point(bomb=10), 10, 10, "loss"),
    "NaN at the last step": (toy.point(bomb=22), 22, 22, "loss"),
    "a state that no loss reads": (toy.point(poison=10), 11, 10, "state unread"),
    "such a state at the last step": (toy.point(poison=22), 22, 22, "state unread"),
}


@MODES
@pytest.mark.parametrize("what", LOST)
def test_the_first_bad_array_is_found(what, mode):
    """A person would be shown that weights are NaN, and not which array made them so."""
    settings, failed, step, array = LOST[what]
    found, outcome = again(settings, mode=mode, last=4), train(settings, mode=mode)
    assert found.diverged_at == failed == outcome.diverged_at[0, 1]
    assert found.cause == CAUSES[outcome.cause[0, 1]] != ""
    assert [look.step for look in found.looks] == list(range(max(failed - 3, 0), failed + 1))
    first = next(look for look in found.looks if look.first_bad)
    assert (first.step, first.first_bad) == (step, array)
    assert all(look.first_bad for look in found.looks if look.step >= step)


@MODES
def test_a_fault_before_the_steps_looked_at_is_found_too(mode):
    """A state that was lost at the begin of a long segment would be seen at its end alone."""
    found = again(toy.point(poison=6), mode=mode, last=2)
    assert (found.diverged_at, found.cause) == (11, "update")
    assert [(look.step, look.first_bad) for look in found.looks] == [
        (6, "state unread"), (10, "state unread"), (11, "state unread"),
    ]  # fmt: skip


@MODES
def test_looks_are_those_of_the_run(mode):
    """What is shown would be another run's steps."""
    healthy, lost = train(toy.point(), mode=mode), train(toy.point(bomb=13), mode=mode)
    for settings, outcome, steps in (
        (toy.point(), healthy, range(15, 23)), (toy.point(bomb=13), lost, range(6, 14)),
    ):  # fmt: skip
        found = again(settings, mode=mode)
        assert [look.step for look in found.looks] == list(steps)
        for look in found.looks[:-1]:
            assert not look.first_bad and np.isfinite(look[1:5]).all()
            if look.step % toy.CUT.every == 0:
                seen = outcome.logs["probed_loss"][0, 1, look.step // toy.CUT.every]
                np.testing.assert_allclose(look.loss, seen, rtol=1e-6)


def test_a_gradient_that_was_hidden_is_found_among_the_steps_looked_at():
    """Clipping would hide that gradients are NaN, and a person see a lane that stands still for no reason."""

    def clipped(hyper):
        one = toy.learner(hyper)

        def step(state, batch, key):
            after, info = one.step(state, batch, key)
            return after, info._replace(grads=jnp.where(state["steps"] == 20, jnp.nan, info.grads))

        return one._replace(step=step)

    seen = [(look.step, look.first_bad) for look in again(toy.point(), make_learner=clipped, last=4).looks]
    assert seen == [(19, ""), (20, "gradient"), (21, ""), (22, "")]
    assert not any(look.first_bad for look in again(toy.point(), make_learner=clipped, last=2).looks)


@pytest.mark.parametrize("what", [np.nan, np.inf])
def test_the_cause_is_that_of_the_run(what):
    """Two answers to one question: the report would blame the data, and the replay the optimizer."""
    inputs = toy.DATA.inputs.copy()
    inputs[7, 1] = what
    data = toy.DATA._replace(inputs=inputs)
    for settings in (toy.point(), toy.point(bomb=0), toy.point(broken_init=1.0), toy.point(poison=0)):
        found, outcome = again(settings, data=data), train(settings, data=data)
        assert (found.diverged_at, found.cause) == (outcome.diverged_at[0, 1], CAUSES[outcome.cause[0, 1]])
    assert (again(toy.point(), data=data).cause, again(toy.point()).cause) == ("data", "")


@MODES
@pytest.mark.parametrize("settings", [toy.point(), toy.point(bomb=9), toy.point(poison=8), toy.point(bomb=14)])
def test_a_lane_is_run_again_from_a_checkpoint(settings, mode):
    """A lane that diverged before its checkpoint would show nothing, and a stopped run be trained from its start."""
    kept = []
    train(settings, mode=mode, keeper=Keeper(offer=lambda tell: kept.append(jax.tree.map(np.copy, tell()))))
    for count in (1, 2, 3):
        lane, segments = begun_lane(toy.program(PAIR._replace(mode=mode)), kept[count - 1])
        known = Known(lane, 0, segments)
        whole, part = again(settings, mode=mode, last=2), again(settings, mode=mode, last=2, known=known)
        assert segments == count and whole.diverged_at == part.diverged_at and whole.cause == part.cause
        assert str([look for look in whole.looks if look.step >= part.looks[0].step]) == str(part.looks)
        if whole.diverged_at >= 0:
            assert str(whole.looks) == str(part.looks)
