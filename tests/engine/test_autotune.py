"""The shape of a population: what is measured, what is chosen, and that the results do not depend on it."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import toy

from deepprinciples.engine import autotune
from deepprinciples.engine.population import Layout, place
from deepprinciples.engine.segments import plan

PAIR = [toy.point(), toy.point(learning_rate=0.02, bomb=9.0)]
MAPPED = Layout(devices=2, blocks=16, points=2, mode="map")


def test_shorter_calls_change_no_bit():
    """A repeat in another shape would tell other numbers, or evaluate elsewhere."""
    cut = plan(23, probe_every=1, evaluate_every=6)
    shorter = cut.shortened(3)
    assert (cut.chunks, shorter.chunks, shorter.stride) == (6, 3, 2)
    assert shorter.evaluation_steps() == cut.evaluation_steps() == [6, 12, 18, 23]
    whole, parts = (toy.train([(5, PAIR)], cut=one)._replace(seconds=None) for one in (cut, shorter))
    toy.same_bits(*(jax.tree.map(lambda a: a[:, :1], one) for one in (whole, parts)))
    # A lane that diverges keeps the state with which its call began.
    toy.same_bits(*((one.logs, one.diverged_at, one.cause) for one in (whole, parts)))
    assert [one.states["steps"][0, 1] for one in (whole, parts)] == [6, 9]


def test_shorter_calls_end_early_alike():
    """A run whose lanes have all diverged between two evaluations would lose the curve's last values."""
    lost = [toy.point(bomb=1.0), toy.point(bomb=7.0)]
    cut = plan(23, probe_every=1, evaluate_every=6)
    whole, parts = (toy.train([(5, lost)] * 4, cut=one)._replace(seconds=None) for one in (cut, cut.shortened(2)))
    toy.same_bits(whole, parts)  # both begin a call at steps 0 and 6
    assert whole.diverged_at.tolist() == [[1, 7]] * 4


@pytest.mark.parametrize("most", [0, 1, 2, 5, 6, 7, 100])
def test_a_shortened_plan_covers_the_same_steps(most):
    """Steps would be left out."""
    for steps in (1, 23, 100, 1000):
        cut = plan(steps, probe_every=2, evaluate_every=13)
        short = cut.shortened(most)
        assert short.chunks <= max(most, 1) and short.segments * short.span >= steps
        assert (short.segments - 1) * short.span < steps
        assert short.evaluation_steps() == cut.evaluation_steps()


def test_a_call_is_bounded_in_time_and_memory():
    """A signal would wait for hours, or the orders of a long run fill the memory."""
    cut = plan(100_000, probe_every=100)
    assert autotune.shortened(MAPPED, cut, 32) == (MAPPED, cut)
    layout, short = autotune.shortened(MAPPED, cut, 32, seconds=1e-3)
    assert 1e-3 * layout.devices * layout.width * short.span <= 1.01 * autotune.CALL_SECONDS
    assert layout.blocks == 5 and short.chunks == 1
    slow = autotune.shortened(MAPPED, cut, 32, seconds=1.0)
    assert slow == (MAPPED._replace(blocks=1), cut.shortened(1))
    _, many = autotune.shortened(MAPPED, cut, 4096)
    assert 4 * MAPPED.blocks * many.span * 4096 <= autotune.ORDER_BYTES and many.chunks > 1


def test_a_program_is_halved_until_it_fits():
    """Ten thousand lanes would run out of memory."""
    make = lambda layout: SimpleNamespace(layout=layout, memory_bytes=10 * layout.blocks)
    assert autotune.fitted(make, MAPPED, 1000).layout.blocks == 16
    assert autotune.fitted(make, MAPPED, 50).layout.blocks == 4
    assert autotune.fitted(make, MAPPED, 1).layout.blocks == 1
    assert 2**20 < autotune.memory_limit(2) == pytest.approx(autotune.memory_limit(1) / 2, rel=0.2)


@pytest.mark.parametrize(
    ("costs", "chosen", "tried"),
    [
        ({("map", 16): 1.0, ("vmap", 2): 1.2}, ("map", 16), 2),
        ({("map", 16): 1.0, ("vmap", 2): 0.99}, ("map", 16), 2),  # a gain within the noise is none
        ({("map", 16): 1.0, ("vmap", 2): 0.8, ("vmap", 8): 0.4, ("vmap", 16): 0.6}, ("vmap", 8), 4),
        ({("map", 16): 1.0, ("vmap", 2): 0.8, ("vmap", 8): 0.6, ("vmap", 16): 0.3}, ("vmap", 16), 4),
    ],
)
def test_the_fastest_shape_is_chosen(costs, chosen, tried):
    """A slow shape would be kept, or compiling go on without end."""
    made = []

    def make(layout):
        made.append(layout)
        return SimpleNamespace(layout=layout)

    def cost(program):
        return autotune.Measured(program.layout, costs[program.layout.mode, program.layout.blocks], 1.0, 1)

    best, told = autotune.choose(make(MAPPED), make, cost, most_blocks=16)
    assert (best.layout.mode, best.layout.blocks) == chosen
    assert len(told) == len(made) == tried and {one.layout.devices for one in told} == {2}


def test_a_wide_vmap_is_tried_narrower():
    """On an accelerator the widest would always stand."""
    wide = Layout(devices=1, blocks=256, points=1, mode="vmap")
    assert [[one.blocks for one in ladder] for ladder in autotune.others(wide, 256)] == [[64, 16, 4, 1]]
    assert list(autotune.others(Layout(1, 1, 1, "map"), 1)) == [()]


def test_measuring_tells_a_plausible_time():
    """The choice would rest on nothing: more steps in the same call take longer, and time is not negative."""
    made = toy.program()
    data = place(toy.DATA, made.mesh, shared=True)
    told = autotune.measure(made, toy.CUT, data, toy.point(), toy.BATCH, count=3)
    assert told.layout == toy.WIDE and 0 < told.seconds < 1
    assert told.described()["ms_per_model_step"] == pytest.approx(1e3 * told.seconds, rel=1e-3, abs=1e-6)
    assert np.isfinite(jax.tree.leaves(toy.train([(5, PAIR)]).curves)[0]).any()
