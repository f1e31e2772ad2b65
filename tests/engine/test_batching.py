"""Where minibatches come from: resident and streamed data give the same lanes."""

import itertools
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import toy

from deepprinciples.engine import batching
from deepprinciples.engine.batching import Feed, bounded, evaluated_at_once, pad_split, resident, streamed
from deepprinciples.engine.population import Layout, compile_program, make_mesh
from deepprinciples.engine.run import Block, run
from deepprinciples.engine.segments import Plan, plan
from deepprinciples.errors import DataError
from deepprinciples.parts.splitting.batches import numbered
from deepprinciples.types import Batch

CUT = Plan(11, every=2, chunks=2, segments=3)
FIRST = Batch(*(array[: toy.BATCH] for array in toy.DATA[:2]))


PASS = 5  # batches; no multiple of a segment, so that segments begin in the middle of a pass


def passes(count=PASS):
    """Give `count` batches in the data's own order, again and again as a pass."""
    for k in range(count):
        yield Batch(*(array[k * toy.BATCH : (k + 1) * toy.BATCH] for array in toy.DATA[:2]))


def test_resident_gives_the_order_of_each_seed():
    """Lanes would train on other batches than their seed says; each seed's row is its own, in any company."""
    feed = resident(toy.DATA, batch_size=toy.BATCH, plan=CUT, mesh=make_mesh(2))
    for segment in range(CUT.segments):
        data, indices = feed.get([4, 9, 4], segment)
        toy.same_bits(jax.device_get(data), toy.DATA)
        assert indices.shape == (3, CUT.chunks, CUT.every, toy.BATCH) and indices.dtype == np.int32
        for row, seed in zip(indices, [4, 9, 4], strict=True):
            expected = toy.order_by_hand(seed, (segment + 1) * CUT.span)[-CUT.span :]
            np.testing.assert_array_equal(row.reshape(CUT.span, -1), expected)


def test_orders_are_drawn_once_for_all_arms_and_kept_in_little_memory(monkeypatch):
    """Arms would draw the orders of their seeds anew, or 10,000 lanes keep all orders that they have had."""
    drawn = []

    def draw(seed, start, *, steps, size, batch_size):
        drawn.append((seed, start))
        return np.full((steps, batch_size), seed, np.int32)

    monkeypatch.setattr(batching, "batch_indices", draw)
    monkeypatch.setattr(batching, "_known", {})
    monkeypatch.setattr(batching, "ORDER_BYTES", 8 * 4 * CUT.span * toy.BATCH)
    feed = resident(toy.DATA, batch_size=toy.BATCH, plan=CUT, mesh=make_mesh(1))
    for _ in range(2):
        for segment in range(2):
            assert feed.get([3, 5], segment)[1][1].min() == 5
    assert drawn == [(3, 0), (5, 0), (3, CUT.span), (5, CUT.span)]
    for first in range(0, 1000, 2):
        feed.get([first, first + 1], 0)
    assert sum(orders.nbytes for orders in batching._known.values()) <= batching.ORDER_BYTES
    feed.get([998, 999], 0)
    assert len(drawn) == 4 + 1000, "the latest are the ones that are kept"


def test_resident_keeps_one_copy_a_device():
    """Data would be copied for every lane, and a GPU run out of memory."""
    data, _ = resident(toy.DATA, batch_size=toy.BATCH, plan=CUT, mesh=make_mesh(2)).get([0], 0)
    assert data.inputs.sharding.is_fully_replicated and len(data.inputs.sharding.device_set) == 2


def test_streamed_equals_resident_in_the_same_order():
    """Data too large for memory would train differently."""
    layout, mesh = Layout(2, 1, 2, "map"), make_mesh(2)
    blocks = [Block(seed, (toy.point(), toy.point(learning_rate=0.01))) for seed in range(4)]  # two calls of two blocks
    held = jax.device_put(toy.DATA)
    rounds = np.arange(PASS * toy.BATCH, dtype=np.int32).reshape(PASS, toy.BATCH)

    def get(seeds, segment):
        steps = (np.arange(CUT.span) + segment * CUT.span) % PASS
        return held, np.repeat(rounds[steps].reshape(1, CUT.chunks, CUT.every, toy.BATCH), len(seeds), axis=0)

    feeds = [
        streamed(passes, batch_size=toy.BATCH, plan=CUT, mesh=mesh, first=FIRST),
        Feed(jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), toy.DATA), toy.BATCH, get),
    ]
    outcomes = []
    for feed in feeds:
        made = compile_program(
            toy.learner,
            toy.probe,
            layout=layout,
            names=toy.NAMES,
            plan=CUT,
            data=feed.shapes,
            batch_size=feed.batch_size,
            split=toy.SPLIT,
        )
        outcomes.append(
            run(made, blocks, plan=CUT, feed=feed, curve=toy.SPLIT, keep_states=True)._replace(seconds=None)
        )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), *outcomes)
    assert np.all(outcomes[0].states["steps"] == CUT.steps)


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_a_stream_cut_into_pieces_trains_the_same(mode):
    """A stream's memory would grow with the steps, or its probes and evaluations move."""
    whole = plan(40, probe_every=11, evaluate_every=11)
    outcomes = []
    for cut in (whole, whole.bounded(4)):
        feed = streamed(passes, batch_size=toy.BATCH, plan=cut, mesh=make_mesh(2), first=FIRST)
        assert feed.shapes.inputs.shape[0] == cut.span * toy.BATCH
        made = compile_program(
            toy.learner,
            toy.probe,
            layout=Layout(2, 1, 2, mode),
            names=toy.NAMES,
            plan=cut,
            data=feed.shapes,
            batch_size=toy.BATCH,
            split=toy.SPLIT,
        )
        blocks = [Block(seed, (toy.point(), toy.point(learning_rate=0.01))) for seed in range(2)]
        told: list[int] = []
        ran = run(made, blocks, plan=cut, feed=feed, curve=toy.SPLIT, keep_states=True, progress=told.append)
        assert sum(told) == 4 * 40
        outcomes.append(ran._replace(seconds=None))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *outcomes)


@pytest.mark.parametrize("steps", [1, 7, 40, 8000, 8123])
@pytest.mark.parametrize("most", [1, 3, 8, 50])
def test_a_bounded_plan_takes_every_step_once(steps, most):
    """Steps would be left out or taken twice, or a report's columns belong to other steps."""
    whole = plan(steps)
    cut = whole.bounded(most)
    assert cut.span <= most
    taken = [step for s in range(cut.segments) for step in range(cut.begin(s), cut.end(s))]
    assert taken == list(range(steps))
    assert all(cut.begin(s) < steps for s in range(cut.segments))
    assert cut.probe_steps() == whole.probe_steps() and cut.evaluation_steps() == whole.evaluation_steps()
    assert all(cut.begin(s) <= step < cut.end(s) for step in (0, steps // 2, steps - 1) for s in [cut.segment_of(step)])


def test_the_bytes_of_a_stream_on_the_device_are_bounded():
    """A stream, for data larger than memory, would take more memory the longer it runs."""
    large = Batch(np.zeros((64, 3072), np.float32), np.zeros(64, np.int32))
    sizes = [bounded(plan(steps), large).span * (large.inputs.nbytes + large.targets.nbytes) for steps in (500, 8000)]
    assert max(sizes) <= 2**25 and sizes[1] < 2 * sizes[0]


def test_the_next_segment_is_read_while_one_trains_and_no_more():
    """Training would wait for the loader, or memory fill with batches that nobody waits for yet."""
    read, wanted = [], [2 * CUT.span, CUT.steps, CUT.steps]  # so many batches after each segment

    def loader():
        for k, batch in enumerate(passes()):
            read.append(k)
            yield batch

    feed = streamed(loader, batch_size=toy.BATCH, plan=CUT, mesh=make_mesh(1), first=FIRST)
    for segment, count in enumerate(wanted):
        feed.get([0], segment)
        until = time.monotonic() + 5
        while len(read) < count and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)
        assert count <= len(read) <= count + CUT.span * (segment > 0)


def test_a_segment_of_a_stream_is_placed_once(monkeypatch):
    """A stream of 10 million rows would be sent to the device batch by batch, each a call that waits."""
    puts = []
    real = jax.device_put
    monkeypatch.setattr(jax, "device_put", lambda *a, **k: (puts.append(a), real(*a, **k))[1])
    feed = streamed(passes, batch_size=toy.BATCH, plan=CUT, mesh=make_mesh(2), first=FIRST)
    for segment in range(CUT.segments):
        feed.get([0, 1], segment)
    assert len(puts) == CUT.segments


def test_what_is_read_for_nobody_is_given_up():
    """A run that turns to its next lanes would wait for a segment nobody wants, or read a loader twice at once."""
    read, inside, most = [], [], [0]

    def slow():
        for batch in itertools.repeat(FIRST):
            inside.append(1)
            most[0] = max(most[0], len(inside))
            time.sleep(0.02)
            inside.pop()
            read.append(1)
            yield batch

    feed = streamed(slow, batch_size=toy.BATCH, plan=Plan(100, 1, 50, 2), mesh=make_mesh(1), first=FIRST)
    feed.get([0], 0)
    before = len(read)
    feed.get([0], 0)  # 50 batches of segment 1 are under way
    assert len(read) - before <= 50 + 3
    assert most[0] == 1


def test_a_program_that_ends_does_not_wait_for_its_stream():
    """Ctrl-C would seem dead until a slow loader has read a segment that nobody trains on."""
    code = """
import itertools, time
import numpy as np
from deepprinciples.engine.batching import streamed
from deepprinciples.engine.population import make_mesh
from deepprinciples.engine.segments import Plan
from deepprinciples.types import Batch

one = Batch(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))

def loader():
    for k in itertools.count():
        time.sleep(0.5 * (k >= 200))
        yield one

streamed(loader, batch_size=2, plan=Plan(400, 1, 200, 2), mesh=make_mesh(1), first=one).get([0], 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)  # all of segment 1 would take 100 s


def test_every_call_of_lanes_reads_the_stream_from_its_start():
    """Later seeds would see other data than earlier ones, and pairs would not be pairs."""
    feed = streamed(passes, batch_size=toy.BATCH, plan=CUT, mesh=make_mesh(2), first=FIRST)
    calls = [jax.device_get(feed.get([0, 1], segment)[0]) for segment in (0, 1, 2, 0, 1, 2)]
    toy.same_bits(calls[:3], calls[3:])
    read = np.concatenate([batch.inputs for batch in calls[:3]])
    expected = np.concatenate([b.inputs for b in itertools.islice(itertools.cycle(list(passes())), CUT.span * 3)])
    np.testing.assert_array_equal(read, expected)


def test_an_exception_of_the_loader_names_the_batch():
    """A user would not find the broken file among thousands."""

    def broken():
        yield from passes(3)
        raise OSError("disk gone")

    feed = streamed(lambda: iter(numbered(broken())), batch_size=toy.BATCH, plan=CUT, mesh=make_mesh(2), first=FIRST)
    with pytest.raises(DataError, match=r"batch 3: OSError: disk gone") as caught:
        feed.get([0], 0)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("count", "size", "batch", "rows"), [(5, 8, 256, 1), (300, 300, 256, 2), (10, 25, 7, 4), (1, 1, 4, 1)]
)
def test_a_padded_split_holds_every_example_once(count, size, batch, rows):
    """A score would leave out examples or count some twice."""
    x = np.arange(count, dtype=np.float32)[:, None] + 1
    batches, weights = pad_split(Batch(x, x[:, 0]), size=size, batch=batch)
    assert batches.inputs.shape[:2] == weights.shape and weights.shape[0] == rows and weights.shape[1] <= batch
    assert batches.inputs.shape[0] * batches.inputs.shape[1] >= size
    np.testing.assert_array_equal(batches.inputs[weights > 0], x)
    np.testing.assert_array_equal(batches.targets[weights > 0], x[:, 0])


def test_two_splits_padded_alike_share_a_shape():
    """Validation and test would need a compilation each."""
    shapes = {pad_split(Batch(np.zeros((n, 2)), np.zeros(n)), size=300)[0].inputs.shape for n in (36, 299, 300)}
    assert len(shapes) == 1


@pytest.mark.parametrize(("shape", "expected"), [((28, 28, 1), 32), ((3,), 256), ((400, 400, 3), 8), ((), 256)])
def test_pictures_are_evaluated_few_at_a_time(shape: tuple[int, ...], expected: int) -> None:
    """Evaluating a CNN would take three times as long: what its convolutions make would not fit the cache."""
    split = Batch(np.zeros((300, *shape), np.float32), np.zeros(300))
    assert evaluated_at_once(split) == expected
