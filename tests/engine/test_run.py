"""Many lanes as one program: each is the run it stands for, whatever its neighbors are and do."""

import collections

import chex
import jax
import numpy as np
import pytest
import toy

from deepprinciples.engine import compile_cache
from deepprinciples.engine import run as run_module
from deepprinciples.engine.batching import Feed, resident
from deepprinciples.engine.lane import evaluation, fit
from deepprinciples.engine.population import Layout, choose_layout, compile_program, make_mesh
from deepprinciples.engine.run import Block, run
from deepprinciples.engine.segments import plan

ALONE = Layout(devices=1, blocks=1, points=1, mode="map")
VMAPPED = toy.WIDE._replace(mode="vmap")
SHARED = Layout(devices=1, blocks=1, points=2, mode="vmap")  # vmapped lanes with one minibatch
PAIR = [toy.point(), toy.point(learning_rate=0.02, noise=0.0)]
BLOCKS = [(seed, PAIR) for seed in range(4)]


@pytest.fixture(scope="module")
def four():
    """Four seeds by two points: one call of the wide program, nothing padded."""
    return toy.train(BLOCKS)


def lanes(outcome, *index):
    """All that lanes gave, at some blocks and points."""
    return jax.tree.map(lambda a: a[index], outcome._replace(seconds=None))


@pytest.mark.parametrize("layout", [toy.WIDE, VMAPPED])
def test_a_lane_is_a_plain_python_loop(layout):
    """A study would not be the runs it claims to be."""
    outcome = toy.train(BLOCKS, layout=layout)
    for seed, points in BLOCKS:
        for p, settings in enumerate(points):
            weights, losses, _ = toy.by_hand(seed, settings)
            np.testing.assert_allclose(outcome.states["w"][seed, p], weights, rtol=1e-5, atol=1e-6)
            means = [np.mean(losses[k : k + toy.CUT.every]) for k in range(0, toy.CUT.steps, toy.CUT.every)]
            np.testing.assert_allclose(outcome.logs["train_loss"][seed, p], means, rtol=1e-5)


def test_a_lane_is_a_population_of_one(four):
    """A user could not repeat one lane of a study alone."""
    for seed, points in BLOCKS[:2]:
        for p, settings in enumerate(points):
            solo = toy.train([(seed, [settings])], layout=ALONE)
            together = lanes(four, slice(seed, seed + 1), slice(p, p + 1))
            chex.assert_trees_all_close(solo._replace(seconds=None), together, rtol=1e-5, atol=1e-6)


def test_the_host_works_for_calls_and_not_for_lanes(monkeypatch):
    """10,000 lanes would cost more a lane than 8 do: each would be placed, fetched or unpacked for itself."""
    work = []
    for name in ("place", "unpack", "_evaluated", "on_host"):
        real = getattr(run_module, name)
        monkeypatch.setattr(run_module, name, lambda *a, r=real, n=name, **k: (work.append(n), r(*a, **k))[1])
    counts = []
    for blocks in (2, 16):
        work.clear()
        layout = toy.WIDE._replace(blocks=blocks)
        toy.train([(seed, PAIR) for seed in range(2 * blocks * 2)], layout=layout)  # two calls of either width
        counts.append(collections.Counter(work))
    assert counts[0] == counts[1]
    assert sum(counts[0].values()) < 40 * toy.CUT.segments


def test_mapped_equals_vmapped(four):
    """The way a device runs its lanes would change the result."""
    vmapped = toy.train(BLOCKS, layout=VMAPPED)
    everything = slice(None)
    chex.assert_trees_all_close(lanes(four, everything), lanes(vmapped, everything), rtol=1e-5, atol=1e-6)


def test_one_device_equals_two(four):
    """A study on another machine would be another study."""
    single = toy.train(BLOCKS, layout=toy.WIDE._replace(devices=1))
    chex.assert_trees_all_close(lanes(four, slice(None)), lanes(single, slice(None)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [toy.WIDE, VMAPPED])
@pytest.mark.parametrize("seeds", [[0], [3, 0], [9, 8, 7, 6, 0], [5, 4, 3, 2, 1, 0, 8, 9, 10]])
@pytest.mark.parametrize("other", [{"noise": 2.0}, {"learning_rate": 1e30}, {"poison": 7.0}])
def test_no_bit_depends_on_the_neighbors(layout, seeds, other):
    """Adding a seed to a study would change the others: at one width, count, position and neighbors mean nothing."""
    reference = toy.train(BLOCKS, layout=layout)
    other = [toy.point(bomb=1.0), toy.point(**other)]
    outcome = toy.train([(seed, PAIR if seed < 4 else other) for seed in seeds], layout=layout)
    assert outcome.states["w"].shape == (len(seeds), 2, 3)
    for k, seed in enumerate(seeds):
        if seed < 4:
            toy.same_bits(lanes(outcome, k), lanes(reference, seed))


def test_points_of_a_seed_share_weights_and_batches(four):
    """Arms would not be paired, and the correlation that makes differences sharp would be lost."""
    weight, loss = four.logs["weight"]["first"], four.logs["probed_loss"]
    np.testing.assert_array_equal(weight[:, 0, 0], weight[:, 1, 0])
    np.testing.assert_array_equal(loss[:, 0, 0], loss[:, 1, 0])
    twins = toy.train([(1, [toy.point(), toy.point()])])
    toy.same_bits(lanes(twins, 0, 0), lanes(twins, 0, 1))


def test_seeds_differ_in_weights_batches_and_noise(four):
    """Replicates would be copies, and every interval a lie."""
    assert len(set(four.logs["weight"]["first"][:, 0, 0])) == 4
    assert len(set(four.logs["probed_loss"][:, 0, 0])) == 4
    quiet, noisy = (
        toy.train([(0, [toy.point(noise=s)] * 2), (1, [toy.point(noise=s)] * 2)]).states["w"] for s in (0, 1)
    )
    assert not np.allclose((noisy - quiet)[0], (noisy - quiet)[1], atol=1e-3)


def test_same_seed_same_bits(four):
    """A result could not be repeated."""
    toy.same_bits(lanes(toy.train(BLOCKS), slice(None)), lanes(four, slice(None)))


# --- divergence ---------------------------------------------------------------------------------------------------

BAD = {
    "a rate of 1e30": toy.point(learning_rate=1e30),
    "an infinite rate": toy.point(learning_rate=np.inf),
    "a rate that is no number": toy.point(learning_rate=np.nan),
    "a slow explosion": toy.point(learning_rate=4.0),
    "broken initial weights": toy.point(broken_init=1.0),
    "NaN at step 0": toy.point(bomb=0),
    "NaN at a probed step": toy.point(bomb=9),
    "NaN between probes": toy.point(bomb=10),
    "NaN at the last step": toy.point(bomb=22),
    "NaN after the last step": toy.point(bomb=23),
    "a state that no loss reads": toy.point(poison=7),
    "such a state at the last step": toy.point(poison=22),
}


@pytest.mark.parametrize("layout", [toy.WIDE, VMAPPED, SHARED])
@pytest.mark.parametrize("what", BAD)
def test_a_diverged_lane_is_marked_and_harms_no_other(layout, what):
    """One bad setting would spoil its neighbors, or be kept with weights of NaN, or be blamed on a wrong step."""
    healthy = toy.train(BLOCKS, layout=layout)
    blocks = [(0, PAIR), (1, [PAIR[0], BAD[what]]), (2, PAIR), (3, PAIR)]
    outcome = toy.train(blocks, layout=layout)
    weights, _, step = toy.by_hand(1, BAD[what])
    others = np.ones((4, 2), bool)
    others[1, 1] = False
    assert outcome.diverged_at[1, 1] == step and np.all(outcome.diverged_at[others] == -1)
    toy.same_bits(lanes(outcome, others), lanes(healthy, others))
    if what == "broken initial weights":
        assert step == 0 and np.isnan(outcome.states["w"][1, 1]).all()
        return
    np.testing.assert_allclose(outcome.states["w"][1, 1], weights, rtol=1e-4, atol=1e-6)
    assert all(np.isfinite(leaf[1, 1]).all() for leaf in outcome.states.values())
    segment = step // toy.CUT.span
    assert outcome.states["steps"][1, 1] == (segment * toy.CUT.span if step >= 0 else toy.CUT.steps)
    if step >= 0:
        begin = np.arange(0, toy.CUT.steps, toy.CUT.every)
        for log in (outcome.logs["train_loss"], outcome.logs["probed_loss"], outcome.logs["weight"]["first"]):
            assert np.isnan(log[1, 1][begin > step]).all()
            assert np.isfinite(log[1, 1][begin + toy.CUT.every <= step]).all()
        curve = outcome.curves["loss"][1, 1]
        assert np.isfinite(curve).all() and len(set(curve[max(segment - 1, 0) :])) == 1, "a diverged lane went on"


@pytest.mark.parametrize("layout", [toy.WIDE, VMAPPED])
def test_lanes_that_diverge_in_the_same_chunk_are_told_apart(layout):
    """One lane would be given another's step or state."""
    cut = plan(23, probe_every=12, evaluate_every=12)
    bad = [[toy.point(bomb=3), toy.point(learning_rate=4.0)], [toy.point(bomb=12), toy.point(bomb=13)], [PAIR[0]] * 2]
    blocks = [*enumerate(bad), (3, [toy.point(bomb=1), toy.point()])]
    outcome = toy.train(blocks, layout=layout, cut=cut)
    for seed, points in blocks:
        for number, settings in enumerate(points):
            weights, losses, step = toy.by_hand(seed, settings, span=cut.span)
            assert outcome.diverged_at[seed, number] == step
            np.testing.assert_allclose(outcome.states["w"][seed, number], weights, rtol=1e-4, atol=1e-6)
            if step < 0:
                shares = np.mean(losses[:12]), np.mean(losses[12:])
                np.testing.assert_allclose(outcome.logs["train_loss"][seed, number], shares, rtol=1e-4)


@pytest.mark.parametrize("layout", [toy.WIDE, VMAPPED, SHARED])
def test_a_lane_among_diverging_ones_is_the_lane_alone(layout):
    """A user could not repeat the one lane that stood of a study in which all others were lost."""
    solo = toy.train([(2, [toy.point()])], layout=ALONE)._replace(seconds=None)
    lost = [toy.point(learning_rate=1e30), toy.point(bomb=4)]
    outcome = toy.train([(0, lost), (1, lost), (2, [toy.point(), BAD["NaN at step 0"]]), (3, lost)], layout=layout)
    assert np.sum(outcome.diverged_at < 0) == 1
    chex.assert_trees_all_close(solo, lanes(outcome, slice(2, 3), slice(0, 1)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("mode", "taken"), [("map", 6), ("vmap", 23)])
def test_a_mapped_lane_that_diverged_takes_no_further_step(mode, taken):
    """A search that loses half of its lanes would take as long as one that loses none."""
    told = []

    def learner(hyper):
        one = toy.learner(hyper)

        def step(state, batch, key):
            jax.debug.callback(lambda bomb: told.append(float(bomb)), hyper["bomb"])
            return one.step(state, batch, key)

        return one._replace(step=step)

    layout = Layout(devices=1, blocks=1, points=2, mode=mode)
    made = compile_program(
        learner, toy.probe, layout=layout, names=toy.NAMES, plan=toy.CUT, data=toy.DATA, batch_size=toy.BATCH,
        split=toy.SPLIT,
    )  # fmt: skip
    feed = resident(toy.DATA, batch_size=toy.BATCH, plan=toy.CUT, mesh=made.mesh)
    run(made, [Block(0, (toy.point(bomb=2.0), toy.point()))], plan=toy.CUT, feed=feed, curve=toy.SPLIT)
    jax.effects_barrier()
    assert (told.count(2.0), told.count(-1.0)) == (taken, toy.CUT.steps)


def test_an_infinite_target_stops_the_lanes_that_meet_it_when_they_meet_it():
    """A bad example would stop seeds that never saw it, or the report would name a wrong step."""
    targets = toy.DATA.targets.copy()
    targets[7] = np.inf
    data = toy.DATA._replace(targets=targets)
    cut = toy.CUT._replace(steps=5, segments=1)
    blocks = [(seed, PAIR) for seed in range(12)]
    healthy, outcome = (toy.train(blocks, cut=cut, data=d) for d in (toy.DATA, data))
    meets = [next((t for t, chosen in enumerate(toy.order_by_hand(seed, 5)) if 7 in chosen), -1) for seed, _ in blocks]
    assert -1 in meets and max(meets) > 1
    np.testing.assert_array_equal(outcome.diverged_at, np.stack([meets, meets], axis=1))
    spared = np.array(meets) == -1
    toy.same_bits(lanes(outcome, spared), lanes(healthy, spared))


def test_when_all_lanes_have_diverged_the_run_ends():
    """Hours of NaN would be computed; or the arrays would have other shapes than those of a healthy run."""
    asked, told = [], []
    inner = resident(toy.DATA, batch_size=toy.BATCH, plan=toy.CUT, mesh=make_mesh(2))

    def get(seeds, segment):
        asked.append(segment)
        return inner.get(seeds, segment)

    blocks = [(seed, [toy.point(bomb=2), toy.point(bomb=7)]) for seed in range(4)]
    outcome = toy.train(blocks, feed=Feed(inner.shapes, inner.batch_size, get), progress=told.append)
    assert asked == [0, 1]
    assert outcome.diverged_at.tolist() == [[2, 7]] * 4
    healthy = toy.train(BLOCKS)
    assert jax.tree.map(np.shape, outcome._replace(seconds=0)) == jax.tree.map(np.shape, healthy._replace(seconds=0))
    assert np.isnan(outcome.logs["train_loss"][:, :, 3:]).all() and np.isfinite(outcome.final["loss"]).all()
    assert sum(told) == 8 * toy.CUT.steps, "the progress bar would stop half-way"


def test_progress_counts_real_lanes_only():
    """The bar would pass its end, or never reach it."""
    told = []
    toy.train([(seed, PAIR) for seed in range(5)], progress=told.append)
    assert sum(told) == 5 * 2 * toy.CUT.steps


# --- what is compiled -----------------------------------------------------------------------------------------------


def test_lanes_beyond_counting_are_one_compilation(monkeypatch):
    """A study of a thousand lanes would compile for hours: each function is traced once, whatever runs through it."""
    for module, name in ((fit, "segment"), (fit, "start"), (evaluation, "evaluate")):
        monkeypatch.setattr(module, name, chex.assert_max_traces(getattr(module, name), n=1))
    cut = plan(20, probe_every=5, evaluate_every=5)  # a cut of its own: nothing is compiled yet
    toy.train([(seed, PAIR) for seed in range(13)], cut=cut)
    toy.train([(99, BLOCKS[0][1])], cut=cut)
    assert toy.program(toy.WIDE, cut).compiles == 1


def test_the_guard_on_compilations_can_fail():
    """The test above would pass whatever happened."""
    guarded = chex.assert_max_traces(fit.start, n=1)
    one = toy.learner(dict.fromkeys(toy.NAMES, 0.0))
    with pytest.raises(AssertionError, match="traced"):
        for keys in (1, 2):
            jax.jit(jax.vmap(lambda key: guarded(one, key)))(jax.random.split(jax.random.key(0), keys))


@pytest.mark.parametrize(("flags", "left"), [("", True), ("--xla_backend_optimization_level=0", False)])
def test_what_xla_flags_choose_stays(monkeypatch, flags, left):
    """Lost: the level of LLVM that somebody chose, such as that of these tests, which compile quickly."""
    given = []
    real = compile_cache.compiled
    monkeypatch.setattr(compile_cache, "compiled", lambda *args: given.append(args[2]) or real(*args))
    monkeypatch.setenv("DEEPPRINCIPLES_CACHE", "off")
    monkeypatch.setenv("XLA_FLAGS", flags)
    toy._program.__wrapped__(toy.WIDE, toy.CUT._replace(steps=0, segments=0))
    assert [("xla_backend_optimization_level" in options) for options in given] == [left] * 3
    assert sum("xla_cpu_prefer_vector_width" in options for options in given) == 2  # init needs none of the rest


@pytest.mark.parametrize("layout", [toy.WIDE, VMAPPED])
def test_devices_never_talk(layout):
    """Lanes would wait for each other: no collective may appear in a compiled function."""
    made = toy.program(layout)
    for compiled in (made.init, made.segment, made.evaluate):
        text = compiled.as_text()
        for word in ("all-reduce", "all-gather", "all-to-all", "collective", "reduce-scatter"):
            assert word not in text


def test_lanes_lie_on_every_device():
    """Half the machine would idle."""
    made = toy.program()
    for tree in jax.tree.leaves(made.segment.output_shardings):
        assert len(tree.device_set) == len(jax.devices()) == 2
        assert tree.spec[0] == "lane"


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_a_layout_fits_all_phases(mode):
    """Lanes would be left out, or the machine fill up with padding."""
    for counts in ([1], [3], [20, 24], [30, 60], [1000]):
        for devices in (1, 2, 8):
            for points in (1, 5, 100):
                chosen = choose_layout(counts, points, devices=devices, mode=mode)
                assert (chosen.devices, chosen.points, chosen.mode) == (devices, points, mode)
                assert 1 <= chosen.blocks <= -(-max(counts) // devices)
                assert chosen.width <= {"map": 64, "vmap": 1024}[mode] or chosen.blocks == 1


def test_a_layout_wastes_little():
    """Twenty seeds on two devices would be run as thirty-two."""
    assert choose_layout([20], 5, devices=2, mode="map").blocks == 10
    assert choose_layout([24, 20], 1, devices=2, mode="vmap").blocks == 12
    assert choose_layout([20], 1, devices=2, mode="map", limit=3).width <= 3
    assert choose_layout([20], 7, devices=2, mode="map", limit=3).blocks == 1
